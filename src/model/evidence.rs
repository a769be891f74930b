//! A whole run, read back: its events and the rows that they bind. What every result is computed from.

use std::collections::BTreeMap;

use super::event::{Event, What};
use super::name::{Name, ProbeId, RunId, Vantage};
use super::plan::Plan;
use super::sample::{Found, Sample, Write};
use super::time::At;

/// A run as its evidence folder holds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    pub events: Vec<Event>,
    /// Ordered by the instant of sending.
    pub samples: BTreeMap<(ProbeId, Vantage), Vec<Sample>>,
    /// Ordered by number.
    pub writes: BTreeMap<Name, Vec<Write>>,
    /// By store and pass, in the order of the store.
    pub reads: BTreeMap<(Name, u32), Vec<Found>>,
    /// What is known to be missing: a torn last line, rows that no event binds.
    pub gaps: Vec<String>,
}

/// The facts of the first event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header<'a> {
    pub version: &'a str,
    pub run: &'a RunId,
    pub rehearsal: bool,
    pub wall_unix_ns: i64,
    pub seed: Option<u64>,
    pub plan: &'a Plan,
}

impl Evidence {
    /// The first event's facts; `None` for a journal that has none.
    pub fn header(&self) -> Option<Header<'_>> {
        match self.events.first().map(|event| &event.what) {
            Some(What::RunStarted { version, run, rehearsal, wall_unix_ns, seed, plan, .. }) => {
                Some(Header {
                    version,
                    run,
                    rehearsal: *rehearsal,
                    wall_unix_ns: *wall_unix_ns,
                    seed: *seed,
                    plan,
                })
            }
            _ => None,
        }
    }

    /// The instant of the last event.
    pub fn end(&self) -> At {
        self.events.last().map_or(At(0), |event| event.at)
    }

    /// Whether the run has an end.
    pub fn is_complete(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::RunEnded { .. }))
    }
}
