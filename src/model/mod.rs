//! The words that every other room speaks: values only, no clock, no file, no network.
//!
//! ```text
//! name      identifiers as types of their own
//! time      instants, durations and intervals: every measured time is an interval (I8)
//! target    objectives, targets, clauses, verdicts
//! effect    what a step does to the world, and what takes it back (I3)
//! scene     where a fault or a recovery is planned, and what it answers
//! sample    one probe's answer, one ledger write, one read-back: a row of evidence each
//! plan      a plan's values, as they stand in the first event of a run
//! facts     what was read from a world, for pure planners
//! outage    from samples to outages: the arithmetic of bounds
//! event     the journal's lines: the one stream that every result is a function of (I1)
//! evidence  a whole run, read back: events with their samples
//! canary    the canary workload's commands as effects
//! dns       which object holds a name's record
//! lookup    a question to a resolver, and its answer
//! rollout   changes of a workload, and how far they are
//! workload  how documents point at what runs
//! url       what can be asked, taken apart
//! ```

pub mod canary;
pub mod dns;
pub mod effect;
pub mod event;
pub mod evidence;
pub mod facts;
pub mod lookup;
pub mod name;
pub mod outage;
pub mod plan;
pub mod rollout;
pub mod sample;
pub mod scene;
pub mod target;
pub mod time;
pub mod url;
pub mod workload;
