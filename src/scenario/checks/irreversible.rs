//! `allowIrreversible` names steps that exist; what a step really does, and so what is irreversible, the plan knows.

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let steps = steps(scenario);
    let ids = || steps.iter().map(|placed| placed.step.id.as_str());
    let allowed = drill.spec.allow_irreversible.iter().enumerate();
    allowed
        .filter(|(_, id)| ids().all(|known| known != id.as_str()))
        .map(|(index, id)| {
            let path = Path::spec().then("allowIrreversible").then(index);
            drill.text.unknown(&path, "step", id.as_str(), ids())
        })
        .collect()
}
