//! A fault that no step removes is removed only after the run; its drill shows no way back. A drill may lack it: a warning.

use std::collections::BTreeSet;

use super::steps;
use crate::document::Diagnostic;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let steps = steps(scenario);
    let removed: BTreeSet<_> = steps
        .iter()
        .filter_map(|placed| match &placed.step.action {
            Action::RemoveFault(of) => Some(of),
            Action::Fault(_)
            | Action::Recover(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => None,
        })
        .collect();
    let left = steps.iter().filter(|placed| match &placed.step.action {
        Action::Fault(kind) => !kind.behaviour().heals_itself() && !removed.contains(&placed.step.id),
        Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_)
        | Action::Parallel(_) => false,
    });
    left.map(|placed| {
        let id = &placed.step.id;
        placed
            .text
            .warning(
                &placed.path.then("id"),
                format!("no step removes the fault `{id}`; it is removed after the run"),
            )
            .help(format!("add a step `removeFault: {id}` to `failback`, so that the way back is exercised"))
    })
    .collect()
}
