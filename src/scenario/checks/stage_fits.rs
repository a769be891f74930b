//! Faults are injected in `inject`, and a tabletop drill touches no system.

use super::steps;
use crate::document::Diagnostic;
use crate::model::plan::{DrillType, Stage};
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let tabletop = scenario.drill.spec.drill_type == DrillType::Tabletop;
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let (message, help) = match &placed.step.action {
            Action::Fault(_) | Action::Recover(_) | Action::RemoveFault(_) if tabletop => (
                "a tabletop drill touches no system".to_owned(),
                "make it a `task` of somebody, or give the drill another `type`",
            ),
            Action::Fault(_) if placed.stage != Stage::Inject => (
                format!("a fault cannot stand in `{}`", placed.stage),
                "put it into `inject`: times are measured from there",
            ),
            Action::Declare(_) if placed.stage != Stage::Declare => (
                format!("a declaration cannot stand in `{}`", placed.stage),
                "put it into `declare`: the decision is measured there",
            ),
            Action::Fault(_)
            | Action::Recover(_)
            | Action::RemoveFault(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => continue,
        };
        let place = placed.text.place_of_key(&placed.action());
        found.push(Diagnostic::error(message, Some(place)).help(help));
    }
    found
}
