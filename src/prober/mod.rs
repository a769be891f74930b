//! Runs probes open loop over a net.
//!
//! ```text
//! s0 + i·period ──► ask ──► answer or timeout ──► Sample ──► out
//!        └── never waits for an answer (I12); later than half a period: a recorded gap
//! ```
//! One task runs one probe from one vantage; requests in flight are futures of that task, at most `timeout / period + 1` of them,
//! so a hung target costs bounded memory. How to add a protocol: a client file here, and its arms in `Client`.

pub mod agent;
pub mod calibration;
mod dns;
mod grpc;
mod http;
mod open_loop;
mod tcp;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::http::{BadRequest, Broken, Course, Target};
use crate::model::event::Outcome;
use crate::model::name::{Name, ProbeId, Region, Vantage};
use crate::model::plan;
use crate::model::sample::{Sample, Seen, Stages, Write};
use crate::model::time::{At, Duration, Span};
use crate::model::url::HostPort;
use crate::probe::{Ask, Endpoint, ProbeKind};
use crate::world::{AddressRange, Clock, Net, Speaks, watch};

pub use open_loop::{Pace, Slot, open_loop};

/// What the instruments of a run see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A probe's answer, or its gap.
    Sample { probe: ProbeId, vantage: Vantage, sample: Sample },
    /// A ledger write's outcome.
    Write { store: Name, write: Write },
    /// The agent at a vantage came into reach, or went out of it.
    Agent { vantage: Vantage, outcome: Outcome },
    /// What the agent at a vantage measured of a pause of known length, and that contains it (I13).
    Calibrated { vantage: Vantage, truth: Span, measured: Span },
    /// How exactly an agent's clock was known at worst.
    ClockKnown { vantage: Vantage, within: Duration },
}

/// One probe from one vantage.
#[derive(Clone)]
pub struct ProbeRun {
    pub probe: plan::Probe,
    pub vantage: Vantage,
    pub net: Arc<dyn Net>,
    pub clock: Arc<dyn Clock>,
    /// Whose addresses are whose.
    pub ranges: Arc<[AddressRange]>,
    /// What a header may name: whatever else it says is nobody (I15).
    pub regions: Arc<[Region]>,
    /// The first send.
    pub start: At,
}

impl ProbeRun {
    /// Who answered: by the header that the probe names, else by the address.
    fn who(&self, by_header: bool, answer: &Answer) -> Option<Region> {
        if by_header {
            let named = answer.named.as_deref()?;
            return self.regions.iter().find(|region| region.as_str() == named).cloned();
        }
        let address = answer.address?;
        self.ranges.iter().find(|range| range.holds(address)).map(|range| range.region.clone())
    }
}

/// What one probe came to.
struct Answer {
    seen: Seen,
    address: Option<IpAddr>,
    /// What the header says that the probe names.
    named: Option<String>,
    stages: Stages,
    /// When it was known.
    completed: At,
}

impl Answer {
    /// At the end of a course.
    fn of(course: &Course<'_>, seen: Seen) -> Answer {
        let Course { address, stages, since, .. } = *course;
        Answer { seen, address, named: None, stages, completed: since }
    }
}

impl From<Broken> for Answer {
    fn from(broken: Broken) -> Answer {
        let Broken { failure, stages, address, ended, sent: _ } = broken;
        Answer { seen: Seen::Failed(failure), address, named: None, stages, completed: ended }
    }
}

/// How long a certificate is valid yet.
fn left(ends_unix: i64, clock: &dyn Clock) -> Duration {
    let now = clock.wall_unix_ns().div_euclid(1_000_000_000);
    Duration::from_secs(u64::try_from(ends_unix.saturating_sub(now)).unwrap_or(0))
}

/// Where a probe's connections go.
fn target(to: &Endpoint, speaks: Speaks) -> Result<Target, BadRequest> {
    let HostPort { host, port } = to.address.parse()?;
    let tls = to.tls.as_ref().map(|name| (name.clone().unwrap_or_else(|| host.clone()), speaks));
    Ok(Target::new(&host, port, tls))
}

/// The client of a probe's protocol.
enum Client<'a> {
    Http(Box<http::Client<'a>>),
    Tcp(tcp::Client<'a>),
    Dns(dns::Client<'a>),
    Grpc(grpc::Client<'a>),
}

impl<'a> Client<'a> {
    fn of(kind: &'a ProbeKind, run: &ProbeRun) -> Result<Client<'a>, BadProbe> {
        let probe = kind.behaviour();
        let client = match probe.ask() {
            Ask::Http { request, server_name } => {
                http::Client::new(probe, &request, server_name.as_deref(), run)
                    .map(|client| Client::Http(Box::new(client)))
            }
            Ask::Tcp { to, banner } => tcp::Client::new(probe, &to, banner, run).map(Client::Tcp),
            Ask::Dns(question) => Ok(Client::Dns(dns::Client::new(probe, question, run))),
            Ask::Grpc { to, service } => grpc::Client::new(probe, &to, &service, run).map(Client::Grpc),
        };
        client.map_err(|source| BadProbe::Request { probe: run.probe.id.clone(), source })
    }

    /// All but the fastest are in a box, so that each of that needs no more space than its own.
    async fn probe(&self, number: u64) -> Answer {
        match self {
            Client::Http(client) => client.probe(number).await,
            Client::Tcp(client) => Box::pin(client.probe()).await,
            Client::Dns(client) => Box::pin(client.probe()).await,
            Client::Grpc(client) => Box::pin(client.probe()).await,
        }
    }
}

/// Why a probe cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BadProbe {
    #[error("the probe `{probe}` is of no kind that this version knows: {source}")]
    Kind { probe: ProbeId, source: serde_json::Error },
    #[error("the probe `{probe}` cannot ask: {source}")]
    Request { probe: ProbeId, source: BadRequest },
    #[error("the probe `{0}` has a period of zero: give it an `every`")]
    Period(ProbeId),
}

/// Probes until told to stop, or until nobody listens; then sends no more, and waits for what is in flight.
///
/// # Errors
/// Where the probe cannot ask at all; an answer that does not come is a sample.
pub async fn run(
    spec: ProbeRun,
    out: mpsc::Sender<Observation>,
    stop: watch::Receiver<bool>,
) -> Result<(), BadProbe> {
    let id = spec.probe.id.clone();
    let kind: ProbeKind = serde_json::from_value(spec.probe.ask.clone())
        .map_err(|source| BadProbe::Kind { probe: id.clone(), source })?;
    if spec.probe.every == Duration::ZERO {
        return Err(BadProbe::Period(id));
    }
    let client = Client::of(&kind, &spec)?;
    let by_header = kind.behaviour().answered_by().is_some();
    let observed = |sample| Observation::Sample { probe: id.clone(), vantage: spec.vantage.clone(), sample };
    let pace = Pace { start: spec.start, every: spec.probe.every, clock: &*spec.clock };
    let send = async |slot: Slot| {
        let answer = client.probe(slot.number).await;
        let answered_by = spec.who(by_header, &answer);
        observed(Sample {
            scheduled: slot.scheduled,
            sent: slot.sent,
            completed: answer.completed,
            seen: answer.seen,
            address: answer.address,
            answered_by,
            stages: answer.stages,
        })
    };
    let gap = |slot: Slot| {
        observed(Sample {
            scheduled: slot.scheduled,
            sent: slot.sent,
            completed: slot.sent,
            seen: Seen::Gap,
            address: None,
            answered_by: None,
            stages: Stages::default(),
        })
    };
    open_loop(pace, out, stop, send, gap).await;
    Ok(())
}

#[cfg(test)]
mod tests;
