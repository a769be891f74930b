//! What a drill can do to recover: pure planners, as in the room `fault`. One file and one line each.
//!
//! How to add one: a file here with the type of its parameters, its doc comment (what it does; then paragraphs that begin
//! `Cannot:`, `Effects:`, `Undo:`), its `EXAMPLE` and its [`Recovery`]; and its line below.

use crate::kinds;
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::plan::Authority;
use crate::model::scene::{Progress, Refusal, Scene};

/// What every recovery can say about itself.
pub trait Recovery {
    /// What `acts` must see.
    fn reads(&self, scene: &Scene) -> Vec<Read>;

    /// What it does to the world as it is; nothing where it is done already.
    ///
    /// # Errors
    /// Where there is no target, or one out of scope.
    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal>;

    /// What `settled` must see; may hold [`Read::Output`], since it is asked only during a run.
    fn watches(&self, scene: &Scene) -> Vec<Read>;

    /// Whether it has worked: its own success condition.
    ///
    /// # Errors
    /// Where a fact is missing.
    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread>;

    /// Whose write authority it decides about, if it does, and where it moves it: the first effect that moves any is the point of no return
    /// (I5).
    fn authority(&self, _scene: &Scene) -> Option<Authority> {
        None
    }

    /// Whether nothing takes it back, so that a scenario must allow it by name.
    fn irreversible(&self) -> bool {
        false
    }

    /// Whom it leads to another side. (Whose writes go there is told by `authority`.)
    fn leads(&self) -> Leads<'_> {
        Leads::Nobody
    }

    /// The side that takes no more writes once it is done: another may be promoted then (I5).
    fn keeps_off(&self, _scene: &Scene) -> Option<Ref> {
        None
    }

    /// Whether it keeps a side from writing.
    fn fences(&self) -> bool {
        false
    }
}

/// Whom a recovery leads to another side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads<'a> {
    Nobody,
    /// Who asks this host.
    Host(&'a str),
    /// It may be anybody: it does not know what it is for.
    Anybody,
}

kinds! {
    /// What a drill can do to recover.
    pub enum RecoveryKind: Recovery {
        promote::Promote as "promote",
        demote::Demote as "demote",
        fence::Fence as "fence",
        resync::Resync as "resync",
        dns_switch::DnsSwitch as "dnsSwitch",
        scale::Scale as "scale",
        rollout_undo::RolloutUndo as "rolloutUndo",
        restart::Restart as "restart",
        patch::Patch as "patch",
        uncordon::Uncordon as "uncordon",
        restore_from_copy::RestoreFromCopy as "restoreFromCopy",
    }
}

#[cfg(test)]
mod tests;
