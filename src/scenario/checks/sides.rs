//! Which side of each workload may write at a point of a drill, by what its steps before that point do (I5).
//!
//! Sides are pods, so that two databases of one region are two: to fence one keeps nobody from writing to the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Placed, region_of, steps};
use crate::fault::FaultKind;
use crate::model::effect::Ref;
use crate::model::name::{Region, RunId, StepId};
use crate::model::plan::Authority;
use crate::model::scene::Scene;
use crate::recovery::RecoveryKind;
use crate::scenario::{Action, Scenario};

/// The sides of every workload that steps promote, fence or demote.
pub(super) struct Sides<'a> {
    scenario: &'a Scenario,
    regions: Vec<Region>,
    run: RunId,
    /// By workload: where authority is, and the step that moved it there; none where no step has moved it yet.
    pub moved: BTreeMap<String, (&'a StepId, Authority)>,
    /// Fenced, or stepped down.
    pub off: BTreeSet<Ref>,
    /// The faults that are in, with where they act.
    faults: BTreeMap<&'a StepId, (Region, &'a FaultKind)>,
}

impl<'a> Sides<'a> {
    /// As they are before the first step.
    pub fn new(scenario: &'a Scenario) -> Self {
        let parts = &scenario.drill.spec.regions;
        let of_steps = steps(scenario);
        let of_steps = of_steps.iter().filter_map(|placed| region_of(scenario, &placed.step.action));
        let all: BTreeSet<Region> =
            parts.lost.iter().chain(&parts.takes_over).cloned().chain(of_steps).collect();
        Self {
            scenario,
            regions: all.into_iter().collect(),
            run: RunId::default(),
            moved: BTreeMap::new(),
            off: BTreeSet::new(),
            faults: BTreeMap::new(),
        }
    }

    /// Whose authority a step moves, if it moves any.
    pub fn authority(&self, placed: &Placed) -> Option<Authority> {
        let Action::Recover(kind) = &placed.step.action else { return None };
        self.seen(placed, |scene| kind.behaviour().authority(scene))
    }

    /// Whether a fault that is in keeps everybody from writing to a side.
    pub fn cut_off(&self, side: &Ref) -> bool {
        self.faults.values().any(|(region, fault)| *region == side.region && fault.behaviour().cuts_off(side))
    }

    /// As they are after one more step.
    pub fn take(&mut self, placed: &Placed<'a>) {
        match &placed.step.action {
            Action::Fault(kind) => {
                let region = region_of(self.scenario, &placed.step.action).unwrap_or_default();
                self.faults.insert(&placed.step.id, (region, kind));
            }
            Action::RemoveFault(of) => {
                self.faults.remove(of);
            }
            Action::Recover(kind) => self.recover(placed, kind),
            Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => {}
        }
    }

    fn recover(&mut self, placed: &Placed<'a>, kind: &RecoveryKind) {
        self.off.extend(self.seen(placed, |scene| kind.behaviour().keeps_off(scene)));
        if let Some(authority) = self.authority(placed) {
            self.off.remove(&authority.takeover);
            self.moved.insert(authority.workload.clone(), (&placed.step.id, authority));
        }
    }

    fn seen<T>(&self, placed: &Placed, see: impl FnOnce(&Scene) -> T) -> T {
        let region = region_of(self.scenario, &placed.step.action).unwrap_or_default();
        see(&Scene {
            run: &self.run,
            step: &placed.step.id,
            region: &region,
            regions: &self.regions,
            namespaces: &self.scenario.drill.spec.limits.namespaces,
        })
    }
}
