//! Every role that is named stands in the catalogue: somebody has to answer.

use super::steps;
use crate::document::{Diagnostic, Path, Text};
use crate::model::name::Role;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let Some(catalogue) = &scenario.catalogue else { return Vec::new() };
    let roles = catalogue.spec.roles();
    let drill = &scenario.drill;
    let mut named: Vec<(&Text, Path, &Role)> = Vec::new();
    for (index, role) in drill.spec.absent.iter().enumerate() {
        named.push((&drill.text, Path::spec().then("absent").then(index), role));
    }
    for placed in steps(scenario) {
        if let Some(role) = &placed.step.role {
            named.push((placed.text, placed.path.then("role"), role));
        }
        let role = match &placed.step.action {
            Action::Declare(declare) => &declare.role,
            Action::Task(task) => &task.role,
            Action::Fault(_)
            | Action::Recover(_)
            | Action::RemoveFault(_)
            | Action::Wait(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => continue,
        };
        named.push((placed.text, placed.action().then("role"), role));
    }
    let known = || roles.iter().map(|role| role.as_str());
    let unknown = named.into_iter().filter(|(_, _, role)| !roles.contains(role));
    unknown.map(|(text, path, role)| text.unknown(&path, "role", role.as_str(), known())).collect()
}
