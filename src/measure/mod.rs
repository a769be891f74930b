//! Events and rows → measurements: a pure function of the evidence (I1).
//!
//! ```text
//! samples ─► outage (model) ─► service ──┐
//! events ──► story ─► timeline, phases ──┼─► Measured
//! rows ────► ledger (checkers) ──────────┘
//! ```
pub mod measured;

pub use measured::*;

use crate::model::evidence::Evidence;

/// Everything that a run's evidence says in numbers.
pub fn measure(_evidence: &Evidence) -> Measured {
    Measured::default()
}
