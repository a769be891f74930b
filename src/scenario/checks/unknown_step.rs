//! `removeFault` names a step that breaks something, earlier, and once.

use std::collections::BTreeMap;

use super::steps;
use crate::document::Diagnostic;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let steps = steps(scenario);
    let faults = || {
        let faults = steps.iter().filter(|placed| placed.step.action.key() == "fault");
        faults.map(|placed| placed.step.id.as_str())
    };
    let mut found = Vec::new();
    let mut removed = BTreeMap::new();
    for (index, placed) in steps.iter().enumerate() {
        let Action::RemoveFault(of) = &placed.step.action else { continue };
        let named = steps.iter().position(|other| other.step.id == *of);
        let path = placed.action();
        let diagnostic = match named.and_then(|at| steps.get(at).map(|other| (at, other))) {
            None => Some(placed.text.unknown(&path, "step", of.as_str(), faults())),
            Some((_, other)) if other.step.action.key() != "fault" => {
                let names: Vec<String> = faults().map(|id| format!("`{id}`")).collect();
                let help = if names.is_empty() {
                    "no step does".to_owned()
                } else {
                    format!("these do: {}", names.join(", "))
                };
                Some(placed.text.error(&path, format!("the step `{of}` breaks nothing")).help(help))
            }
            Some((at, _)) if at > index => {
                let error = placed.text.error(&path, format!("the step `{of}` comes only after this one"));
                Some(error.help("remove a fault after it was injected"))
            }
            Some(_) => removed.insert(of, &placed.step.id).map(|first| {
                let error =
                    placed.text.error(&path, format!("the step `{first}` has removed this fault already"));
                error.help("remove this step")
            }),
        };
        found.extend(diagnostic);
    }
    found
}
