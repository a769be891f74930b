//! A prober that runs elsewhere: an agent at a vantage, which times by its own clock, and this end of the way to it.
//!
//! ```text
//! follow ── what to ask, since when ──► serve ─► calibration, prober::run …
//!    ▲                                    │
//!    ├── each sample with its number ─────┤  kept there until it is confirmed
//!    └── what time is it? ───────── clocks┘  bounds the agent's clock by this one
//! ```
//! Why an agent, and no proxy: what a region loses of its network, it loses of the way to here as well. An agent goes on asking meanwhile,
//! and hands over what it saw once somebody reaches it again, so that a region that is cut off is seen from within.
//!
//! An agent's instants become this clock's by what is known of the two clocks: `sent` is the earliest that it can have been, `completed` the
//! latest. So a sample still proves "up, or down, at some instant in [sent, completed]" (DESIGN section 5), and every bound that follows
//! is wider by the uncertainty of the clocks and by nothing else.
//!
//! What passes is a line of JSON each, of bounded length, from either side (I15). Left out: ledgers' writes, which are sent from where the
//! run is.

mod clocks;
mod follow;
mod lines;
mod serve;

use std::io;

use serde::{Deserialize, Serialize};

use crate::model::name::Region;
use crate::model::plan::Probe;
use crate::model::time::{At, Duration, Span};
use crate::world::AddressRange;

pub use follow::{Followed, follow, greet};
pub use serve::Agent;

/// The way in which the two speak; other versions do not understand each other.
const VERSION: u32 = 1;

/// A line is no longer.
const LONGEST_LINE: usize = 1 << 20;

/// What an agent is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Ask {
    /// Which job it is about, always first.
    Hello { version: u32, job: String },
    /// What time is it? With a number, for the answer.
    Time(u64),
    /// To do a job that it does not have.
    Begin(Box<Job>),
    /// To hand over what it saw, from a number on; what came before it can be forgotten.
    From(u64),
    /// To ask nothing more.
    Stop,
}

/// What an agent does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    probes: Vec<Probe>,
    /// What a header may name.
    regions: Vec<Region>,
    ranges: Vec<AddressRange>,
    /// The first question, by the agent's clock.
    start: At,
    /// It ends by itself after this.
    lasts: Duration,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Tell {
    /// Its version, whether it has the job, and who it is: another agent has another clock.
    Hello { version: u32, has_it: bool, agent: String },
    /// Its clock, for a number.
    Time { number: u64, now: At },
    /// It has the job since it measured a pause of known length so.
    Begun { truth: Span, measured: Span },
    /// Which of the job's probes saw what, as a row of evidence by the agent's clock.
    Saw { number: u64, probe: usize, row: String },
    /// It asks nothing more, and so many samples there were.
    Ended(u64),
    /// Why it does not do it.
    Refused(String),
}

fn unasked() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other side says what it was not asked for")
}

#[cfg(test)]
mod tests;
