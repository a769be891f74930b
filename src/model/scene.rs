//! Where and for whom faults and recoveries are planned, and what they answer.

use super::effect::Resource;
use super::facts::{Read, Unread};
use super::name::{Name, Region, RunId, StepId};

/// Where and for whom a fault or a recovery is planned.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub run: &'a RunId,
    pub step: &'a StepId,
    /// The step's region: the lost one for a fault, the one that takes over for a recovery, unless it names another.
    pub region: &'a Region,
    /// All regions that there are, also those that the drill does not name: what stands out of the blast radius may stand in any.
    pub regions: &'a [Region],
    /// The namespaces that the drill may touch.
    pub namespaces: &'a [Name],
}

impl Scene<'_> {
    /// Says no to a namespace that the drill may not touch.
    ///
    /// # Errors
    /// Where it is not among the limits.
    pub fn may_touch(&self, namespace: &Name) -> Result<(), Refusal> {
        if self.namespaces.contains(namespace) {
            return Ok(());
        }
        Err(Refusal::OutOfScope(format!(
            "the namespace {namespace} is not within the drill's limits: add it to `limits.namespaces`, if it may be touched"
        )))
    }

    /// One kind of object in each namespace that the drill may touch.
    pub fn in_limits(&self, region: &Region, resource: &Resource) -> Vec<Read> {
        let read = |namespace: &Name| Read::Objects {
            region: region.clone(),
            resource: resource.clone(),
            namespace: Some(namespace.clone()),
        };
        self.namespaces.iter().map(read).collect()
    }
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

impl Refusal {
    /// What it means to who waits: what nobody could read stays unread, anything else may still come.
    ///
    /// # Errors
    /// Where a fact is missing.
    pub fn or_waiting(self) -> Result<Progress, Unread> {
        match self {
            Refusal::Unread(unread) => Err(unread),
            Refusal::NoTarget(why) | Refusal::OutOfScope(why) => Ok(Progress::Waiting(why)),
        }
    }
}

/// Whether something is so by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// Not yet, and what is missing.
    Waiting(String),
}
