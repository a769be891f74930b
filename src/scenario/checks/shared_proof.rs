//! Two faults that one probe proves: it fails for the first, and nobody can tell whether the second did anything.

use std::collections::BTreeMap;

use super::steps;
use crate::document::Diagnostic;
use crate::model::name::{ProbeId, StepId};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut proves: BTreeMap<&ProbeId, &StepId> = BTreeMap::new();
    let steps = steps(scenario);
    let mut found = Vec::new();
    for placed in &steps {
        let Some(probe) = placed.step.proof.as_ref().and_then(|proof| proof.probe.as_ref()) else { continue };
        if let Some(other) = proves.insert(probe, &placed.step.id) {
            let message = format!(
                "the probe `{probe}` proves the fault `{other}` already: nobody could tell what `{}` does",
                placed.step.id
            );
            let path = placed.path.then("proof").then("probe");
            found.push(
                placed
                    .text
                    .error(&path, message)
                    .help("add a probe that sees this fault alone, or `objectsWithin`"),
            );
        }
    }
    found
}
