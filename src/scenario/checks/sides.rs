//! Which side of each workload may write at a point of a drill, by what its steps before that point do (I5).
//!
//! Sides are pods, so that two databases of one region are two: to fence one keeps nobody from writing to the other.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::known;
use super::{Placed, region_of, steps};
use crate::fault::FaultKind;
use crate::model::effect::Ref;
use crate::model::name::{Region, RunId, StepId};
use crate::model::plan::Authority;
use crate::model::scene::Scene;
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
        let all = parts.lost.iter().chain(&parts.takes_over).cloned().chain(of_steps);
        // One that is misspelt is no side: it is said where it stands.
        let known = known(scenario);
        let all: BTreeSet<Region> = all.filter(|region| known.contains(&region.as_str())).collect();
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
        self.seen(placed, |scene| kind.behaviour().authority(scene)).filter(|of| !of.moves.is_empty())
    }

    /// Whether a fault that is in keeps everybody from writing to a side.
    pub fn cut_off(&self, side: &Ref) -> bool {
        self.faults.values().any(|(region, fault)| *region == side.region && fault.behaviour().cuts_off(side))
    }

    /// The fault that is in and takes a side's pod away, if one does.
    pub fn taken_away(&self, side: &Ref) -> Option<&'a StepId> {
        let takes =
            |region: &Region, fault: &FaultKind| *region == side.region && fault.behaviour().takes_away(side);
        self.faults.iter().find(|(_, (region, fault))| takes(region, fault)).map(|(step, _)| *step)
    }

    /// The side that a step keeps from writing, if it keeps one.
    pub fn kept_off(&self, placed: &Placed) -> Option<Ref> {
        let Action::Recover(kind) = &placed.step.action else { return None };
        self.seen(placed, |scene| kind.behaviour().keeps_off(scene))
    }

    /// Whether a step injects or removes a fault that keeps everybody from such a pod, in the fault's own region.
    pub fn cuts_or_frees(&self, placed: &Placed, pod: &Ref) -> bool {
        let steps = steps(self.scenario);
        let fault = match &placed.step.action {
            Action::RemoveFault(of) => steps.iter().map(|other| other.step).find(|step| step.id == *of),
            Action::Fault(_) => Some(placed.step),
            Action::Recover(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => None,
        };
        let Some(action @ Action::Fault(kind)) = fault.map(|step| &step.action) else { return false };
        let region = region_of(self.scenario, action).unwrap_or_default();
        kind.behaviour().cuts_off(&Ref { region, ..pod.clone() })
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
            Action::Recover(_) => self.recover(placed),
            Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => {}
        }
    }

    fn recover(&mut self, placed: &Placed<'a>) {
        self.off.extend(self.kept_off(placed));
        if let Some(authority) = self.authority(placed) {
            if let Some(takeover) = authority.takeover() {
                self.off.remove(takeover.pod());
            }
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
