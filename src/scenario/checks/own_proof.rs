//! A fault that the service's own probe proves until it is restored: its recovery ends the proof before it is restored for all.

use super::steps;
use crate::document::Diagnostic;
use crate::model::plan::ProofUntil;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let owed = placed.step.proof.as_ref().filter(|proof| proof.until == ProofUntil::Restored);
        let Some(id) = owed.and_then(|proof| proof.probe.as_ref()) else { continue };
        let probe = scenario.drill.spec.probes.iter().find(|probe| probe.id == *id);
        let Some(service) = probe.and_then(|probe| probe.service.as_ref()) else { continue };
        let message =
            format!("the probe `{id}` measures `{service}`, so it cannot fail until that is restored");
        let path = placed.path.then("proof").then("until");
        let help = "write `until: recovery`, or name a probe that sees the fault whatever the recovery does";
        found.push(placed.text.error(&path, message).help(help));
    }
    found
}
