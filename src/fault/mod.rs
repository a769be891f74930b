//! What a drill can break: pure planners from parameters and facts to effects. One file and one line each.
//!
//! ```text
//! reads(scene)   ─► the engine's inventory ─► acts(scene, facts) ─► effects, journalled with their undo by the engine
//! watches(scene) ─► the engine's inventory ─► in_effect(scene, facts): do the objects show it?
//! ```
//! A fault never touches the world and never writes its own undo: both are the engine's (I3).
//!
//! How to add one: a file here with the type of its parameters, its doc comment (what it does; then paragraphs that begin
//! `Cannot:`, `Effects:`, `Undo:`), its `EXAMPLE` and its [`Fault`]; and its line below.

mod occupants;
mod policy;

use crate::kinds;
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::scene::{Progress, Refusal, Scene};

/// What every fault can say about itself.
pub trait Fault {
    /// What `acts` must see.
    fn reads(&self, scene: &Scene) -> Vec<Read>;

    /// What it does to the world as it is.
    ///
    /// # Errors
    /// Where there is no target, or one out of scope.
    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal>;

    /// The objects that suffer from it, for the blast radius: those it acts on, unless it says otherwise.
    ///
    /// # Errors
    /// As `acts`.
    fn hits(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Ref>, Refusal> {
        Ok(self.acts(scene, facts)?.iter().filter_map(|act| act.at().cloned()).collect())
    }

    /// What `in_effect` must see; may hold [`Read::Output`], since it is asked only during a run.
    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    /// Whether the objects show its effect.
    ///
    /// # Errors
    /// Where a fact is missing.
    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread>;

    /// Whether it keeps everybody from writing to a workload's pod in its own region, so that another side may be promoted beside it (I5).
    /// No default: what a fault only slows, hides or may miss still takes writes.
    fn cuts_off(&self, pod: &Ref) -> bool;

    /// Whether it keeps everybody from writing to such a pod now, as the objects that `watches` names show it.
    ///
    /// # Errors
    /// Where a fact is missing.
    fn keeps_off(&self, scene: &Scene, facts: &Facts, _pod: &Ref) -> Result<Progress, Unread> {
        self.in_effect(scene, facts)
    }

    /// Whether it takes a workload's pod away, so that nobody can fence it before it is back.
    fn takes_away(&self, _pod: &Ref) -> bool {
        false
    }

    /// Whether the cluster undoes it by itself (a killed pod comes back).
    fn heals_itself(&self) -> bool {
        false
    }
}

kinds! {
    /// What a drill can break.
    pub enum FaultKind: Fault {
        isolate::Isolate as "isolate",
        drain::Drain as "drain",
        zone_loss::ZoneLoss as "zoneLoss",
        dns_failure::DnsFailure as "dnsFailure",
        egress_deny::EgressDeny as "egressDeny",
        config_corruption::ConfigCorruption as "configCorruption",
        data_corruption::DataCorruption as "dataCorruption",
        bad_rollout::BadRollout as "badRollout",
        scale::Scale as "scale",
        pod_kill::PodKill as "podKill",
    }
}

#[cfg(test)]
mod tests;
