//! A wait for an alert that nobody can send would only run into its timeout.

use super::{steps, texts};
use crate::document::Diagnostic;
use crate::model::plan::Wait;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let Some(alerts) = scenario.surroundings.as_ref().and_then(|around| around.alerts.as_ref()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for placed in steps(scenario) {
        if let Action::Wait(Wait::Alert(alert)) = &placed.step.action
            && !alerts.contains(alert)
        {
            let names: Vec<&str> = texts(alerts).collect();
            let path = placed.action().then("alert");
            found.push(placed.text.unknown(&path, "alert", alert.as_str(), names.iter().copied()));
        }
    }
    found
}
