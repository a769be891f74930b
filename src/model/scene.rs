//! Where and for whom faults and recoveries are planned, and what they answer.

use super::facts::Unread;
use super::name::{Name, Region, RunId, StepId};

/// Where and for whom a fault or a recovery is planned.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub run: &'a RunId,
    pub step: &'a StepId,
    /// The step's region: the lost one for a fault, the one that takes over for a recovery, unless it names another.
    pub region: &'a Region,
    /// All regions of the drill.
    pub regions: &'a [Region],
    /// The namespaces that the drill may touch.
    pub namespaces: &'a [Name],
}

/// Why a fault or a recovery cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Unread(#[from] Unread),
    /// Nothing to act on: an error, never a silent success.
    #[error("{0}")]
    NoTarget(String),
    /// The scope of the drill forbids it.
    #[error("{0}")]
    OutOfScope(String),
}

/// Whether something is so by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// Not yet, and what is missing.
    Waiting(String),
}
