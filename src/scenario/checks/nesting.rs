//! `parallel` holds steps, but no `parallel`, and a procedure no `procedure`: what runs when stays readable.

use super::steps;
use crate::document::{Diagnostic, Document, Path, Text};
use crate::scenario::{Action, Procedure, Scenario, Step};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for placed in steps(scenario) {
        if let Action::Parallel(steps) = &placed.step.action {
            if steps.is_empty() {
                let place = placed.text.place_of_key(&placed.action());
                let nothing = Diagnostic::error("nothing is to be done at once here", Some(place));
                found.push(nothing.help("list the steps, or remove this one"));
            }
            inner(steps, &placed.action(), placed.text, "parallel", &mut found);
        }
    }
    found.extend(scenario.procedures.iter().flat_map(of_procedure));
    found
}

/// What is wrong with a procedure by itself.
pub fn alone(procedure: &Document<Procedure>) -> Vec<Diagnostic> {
    let mut found = of_procedure(procedure);
    for (path, steps) in parallels(procedure) {
        inner(steps, &path, &procedure.text, "parallel", &mut found);
    }
    found
}

/// The procedures that a procedure may not hold, wherever in it.
fn of_procedure(procedure: &Document<Procedure>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let whole = (Path::spec().then("steps"), procedure.spec.steps.as_slice());
    for (path, steps) in std::iter::once(whole).chain(parallels(procedure)) {
        inner(steps, &path, &procedure.text, "procedure", &mut found);
    }
    found
}

/// What a procedure does at once, and where it stands.
fn parallels(procedure: &Document<Procedure>) -> impl Iterator<Item = (Path, &[Step])> {
    let path = Path::spec().then("steps");
    procedure.spec.steps.iter().enumerate().filter_map(move |(index, step)| {
        let Action::Parallel(steps) = &step.action else { return None };
        Some((path.then(index).then(step.action.key()), steps.as_slice()))
    })
}

fn inner(steps: &[Step], path: &Path, text: &Text, key: &str, found: &mut Vec<Diagnostic>) {
    for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.action.key() == key) {
        let path = path.then(index).then(step.action.key());
        let place = text.place_of_key(&path);
        let message = format!("a `{key}` cannot hold a `{key}`");
        found.push(Diagnostic::error(message, Some(place)).help("put its steps here instead"));
    }
}
