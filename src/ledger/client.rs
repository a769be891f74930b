//! The ledger's client: writes numbered records open loop, reads them back, removes them.
//!
//! Each write ends with one of three outcomes. It is failed only where it surely is not stored: never sent, or refused in the
//! service's own words. Any other end leaves it unknown, since a gateway's error says nothing about what happened behind it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::mpsc;

use super::Record;
use super::wire::{Accepted, Page, Refusal, digest, payload};
use crate::http::{self, Ask, BadRequest, Broken, Exchange};
use crate::model::effect::Request;
use crate::model::event::Outcome;
use crate::model::name::RunId;
use crate::model::plan;
use crate::model::sample::{Failure, Found, Write, WriteSeen};
use crate::model::time::{At, Duration};
use crate::prober::{Observation, Pace, Slot, open_loop};
use crate::world::{Clock, Net, watch};

/// Between two passes of reading back.
const PAUSE: Duration = Duration::from_secs(1);

/// The writes of a run to one store.
#[derive(Clone)]
pub struct LedgerRun {
    pub plan: plan::Ledger,
    pub net: Arc<dyn Net>,
    pub clock: Arc<dyn Clock>,
    pub run: RunId,
    /// The first write.
    pub start: At,
}

/// What was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// In the order of the store.
    pub found: Vec<Found>,
    /// Who answered last.
    pub answered_by: IpAddr,
    /// The pod that answered last, if it told.
    pub pod: Option<String>,
    /// That pod's namespace, if it told.
    pub namespace: Option<String>,
    /// Whether two passes in a row read the same.
    pub stable: bool,
    /// Why no second pass came to its end, where none did.
    pub once: Option<Failure>,
}

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error(transparent)]
    Request(#[from] BadRequest),
    #[error("nothing was read back in time: {0}")]
    Failed(Failure),
}

/// Writes until told to stop, or until nobody listens; then waits for what is in flight.
///
/// # Errors
/// Where the store's URL is none.
pub async fn run(
    spec: LedgerRun,
    out: mpsc::Sender<Observation>,
    stop: watch::Receiver<bool>,
) -> Result<(), BadRequest> {
    let ask = asking("POST", &spec.plan.url)?;
    let pace = Pace { start: spec.start, every: spec.plan.period(), clock: &*spec.clock };
    let observed = |slot: Slot, completed, seen, address| Observation::Write {
        store: spec.plan.store.clone(),
        write: Write {
            number: slot.number + 1,
            scheduled: slot.scheduled,
            sent: slot.sent,
            completed,
            seen,
            address,
        },
    };
    let send = async |slot: Slot| {
        let ask = ask.with_body(record(&spec.run, slot.number + 1));
        match http::exchange(&*spec.net, &*spec.clock, &ask, Some(spec.plan.timeout)).await {
            Ok(answer) => observed(slot, answer.ended, outcome(&answer), Some(answer.address)),
            Err(Broken { failure, address, sent, ended, .. }) => {
                let seen = if sent { WriteSeen::Unknown(failure) } else { WriteSeen::Failed(failure) };
                observed(slot, ended, seen, address)
            }
        }
    };
    // Not sent, so surely not stored.
    let gap = |slot: Slot| observed(slot, slot.sent, WriteSeen::Failed(Failure::Timeout), None);
    open_loop(pace, out, stop, send, gap).await;
    Ok(())
}

fn asking(method: &str, url: &str) -> Result<Ask, BadRequest> {
    Ask::new(&Request { method: method.into(), url: url.into(), headers: Default::default(), body: None })
}

fn record(run: &RunId, number: u64) -> Vec<u8> {
    let payload = payload(run.as_str(), number);
    let record = Record { run: run.to_string(), number, digest: digest(&payload), payload, synthetic: true };
    serde_json::to_vec(&record).unwrap_or_default()
}

/// What an answer to a write means.
fn outcome(answer: &Exchange) -> WriteSeen {
    let failure = Failure::Status(answer.status);
    if answer.status == 201 {
        return match read(answer) {
            Some(Accepted { epoch, .. }) => WriteSeen::Ok { epoch },
            None => WriteSeen::Unknown(Failure::Body),
        };
    }
    match read::<Refusal>(answer) {
        Some(_) => WriteSeen::Failed(failure),
        None => WriteSeen::Unknown(failure),
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Exchange) -> Option<T> {
    serde_json::from_slice(&answer.body).ok()
}

/// Reads everything back that a run wrote up to a number, page by page, again and again until two passes read the same or the
/// deadline is over. What was written after it began would never let two passes agree. A pass may take longer than the deadline, over a slow
/// link or of many records: what was read to its end once is read once more in any case, or nobody knows whether it changed.
///
/// # Errors
/// Where no pass was read to its end in time.
pub async fn read_back(
    net: &dyn Net,
    clock: &dyn Clock,
    ledger: &plan::Ledger,
    run: &RunId,
    up_to: u64,
    deadline: At,
) -> Result<ReadBack, Unread> {
    let ask = asking("GET", &ledger.url)?;
    let mut before: Option<ReadBack> = None;
    let mut compared = false;
    loop {
        let now = pass(net, clock, &ask, ledger.timeout, run).await;
        let failed = match now {
            Ok(mut now) => {
                now.found.retain(|found| found.number <= up_to);
                if let Some(before) = &before {
                    compared = true;
                    if now.found == before.found {
                        return Ok(ReadBack { stable: true, ..now });
                    }
                }
                before = Some(now);
                None
            }
            Err(unread) => Some(unread),
        };
        if clock.now().plus(PAUSE) >= deadline {
            match (before, failed) {
                (Some(read), _) if compared => return Ok(read),
                (Some(read), Some(Unread::Failed(failure))) => {
                    return Ok(ReadBack { once: Some(failure), ..read });
                }
                (_, Some(unread)) => return Err(unread),
                (read, None) => before = read,
            }
        }
        tokio::time::sleep(PAUSE.std()).await;
    }
}

async fn pass(
    net: &dyn Net,
    clock: &dyn Clock,
    ask: &Ask,
    timeout: Duration,
    run: &RunId,
) -> Result<ReadBack, Unread> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let ask = ask.with_query(&format!("run={run}&after={after}"))?;
        let answer = http::exchange(net, clock, &ask, Some(timeout))
            .await
            .map_err(|broken| Unread::Failed(broken.failure))?;
        if answer.status != 200 {
            return Err(Unread::Failed(Failure::Status(answer.status)));
        }
        let page: Page = read(&answer).ok_or(Unread::Failed(Failure::Body))?;
        found.extend(page.records.iter().map(|read| {
            let Record { number, payload: held, digest: written, .. } = &*read.record;
            let intact = *held == payload(run.as_str(), *number) && digest(held) == *written;
            Found { number: *number, epoch: read.epoch, intact }
        }));
        match page.next {
            Some(next) if next > after => after = next,
            Some(_) => return Err(Unread::Failed(Failure::Body)),
            None => {
                let (answered_by, Page { pod, namespace, .. }) = (answer.address, page);
                return Ok(ReadBack { found, answered_by, pod, namespace, stable: false, once: None });
            }
        }
    }
}

/// Removes what a run wrote, and proves it by reading.
pub async fn remove(
    net: &dyn Net,
    clock: &dyn Clock,
    ledger: &plan::Ledger,
    run: &RunId,
    deadline: At,
) -> Outcome {
    let ask = asking("DELETE", &ledger.url).and_then(|ask| ask.with_query(&format!("run={run}")));
    let (ask, reading) = match (ask, asking("GET", &ledger.url)) {
        (Ok(ask), Ok(reading)) => (ask, reading),
        (Err(error), _) | (_, Err(error)) => return Outcome::failed(error),
    };
    loop {
        let asked = http::exchange(net, clock, &ask, Some(ledger.timeout)).await;
        let outcome = match pass(net, clock, &reading, ledger.timeout, run).await {
            Ok(read) if read.found.is_empty() => match asked {
                Ok(answer) if answer.status == 200 => return Outcome::Ok,
                Ok(answer) => {
                    Outcome::unknown(format!("none is found, but the removal was answered {}", answer.status))
                }
                Err(broken) => Outcome::unknown(format!("none is found, but the removal had {broken}")),
            },
            Ok(read) => Outcome::failed(format!("{} records are still there", read.found.len())),
            Err(unread) => Outcome::unknown(unread),
        };
        if clock.now().plus(PAUSE) >= deadline {
            return outcome;
        }
        tokio::time::sleep(PAUSE.std()).await;
    }
}
