//! Every probe that is named exists.

use super::steps;
use crate::document::{Diagnostic, Path, Text};
use crate::model::name::ProbeId;
use crate::model::plan::{Check, Wait};
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut named: Vec<(&Text, Path, &ProbeId)> = Vec::new();
    for (index, abort) in drill.spec.limits.abort_when.iter().enumerate() {
        let path = Path::spec().then("limits").then("abortWhen").then(index).then("probe");
        named.push((&drill.text, path, &abort.probe));
    }
    for placed in steps(scenario) {
        if let Some(probe) = placed.step.proof.as_ref().and_then(|proof| proof.probe.as_ref()) {
            named.push((placed.text, placed.path.then("proof").then("probe"), probe));
        }
        match &placed.step.action {
            Action::Wait(Wait::Succeeds(succeeds)) => {
                named.push((placed.text, placed.action().then("succeeds").then("probe"), &succeeds.probe));
            }
            Action::Check(Check::Probe(probe)) => {
                named.push((placed.text, placed.action().then("probe"), probe));
            }
            Action::Wait(Wait::Alert(_) | Wait::Duration(_))
            | Action::Check(Check::Ledger(_))
            | Action::Fault(_)
            | Action::Recover(_)
            | Action::RemoveFault(_)
            | Action::Declare(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => {}
        }
    }
    let ids = || drill.spec.probes.iter().map(|probe| probe.id.as_str());
    let unknown = named.into_iter().filter(|(_, _, probe)| ids().all(|id| id != probe.as_str()));
    unknown.map(|(text, path, probe)| text.unknown(&path, "probe", probe.as_str(), ids())).collect()
}
