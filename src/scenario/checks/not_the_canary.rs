//! What moves write authority speaks to the first pod of a StatefulSet: a Deployment's pods have no names that stay.

use super::steps;
use crate::document::Diagnostic;
use crate::scenario::Scenario;

/// The faults and recoveries that run the canary's own commands.
const ASKS_THE_CANARY: [&str; 6] =
    ["promote", "demote", "fence", "resync", "restoreFromCopy", "dataCorruption"];

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Some((kind, parameters)) = placed.step.action.parameters() else { continue };
        let workload = parameters["workload"].as_str().filter(|_| ASKS_THE_CANARY.contains(&kind));
        if let Some(name) = workload.and_then(|workload| workload.strip_prefix("deployment/")) {
            let message =
                format!("`{kind}` speaks to the first pod of a StatefulSet, and a Deployment has none");
            let path = placed.action().then(kind).then("workload");
            found.push(placed.text.error(&path, message).help(format!("write `statefulset/{name}`")));
        }
    }
    found
}
