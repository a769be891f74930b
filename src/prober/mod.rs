//! Runs probes open loop over a net.
//!
//! ```text
//! s0 + i·period ──► ask ──► answer or timeout ──► Sample ──► out
//!        └── never waits for an answer (I12); later than half a period: a recorded gap
//! ```
//! One task runs one probe from one vantage; requests in flight are futures of that task, at most `timeout / period + 1` of them,
//! so a hung target costs bounded memory. How to add a protocol: a client file here, and its arm in [`run`].

pub mod agent;
pub mod calibration;
mod http;
mod open_loop;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::http::BadRequest;
use crate::model::event::Outcome;
use crate::model::name::{Name, ProbeId, Region, Vantage};
use crate::model::plan;
use crate::model::sample::{Sample, Seen, Stages, Write};
use crate::model::time::{At, Duration, Span};
use crate::probe::{Ask, ProbeKind};
use crate::world::{AddressRange, Clock, Net, watch};

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
    fn who(&self, by_header: bool, answer: &http::Answer) -> Option<Region> {
        if by_header {
            let named = answer.named.as_deref()?;
            return self.regions.iter().find(|region| region.as_str() == named).cloned();
        }
        let address = answer.address?;
        self.ranges.iter().find(|range| range.holds(address)).map(|range| range.region.clone())
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
    let Ask::Http(request) = kind.behaviour().ask();
    let client = http::Client::new(kind.behaviour(), &request, &spec)
        .map_err(|source| BadProbe::Request { probe: id.clone(), source })?;
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
