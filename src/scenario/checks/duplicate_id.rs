//! Ids name steps and probes in evidence, so no two are the same: nor are two steps of procedures. And no probe has two bounds.

use std::collections::{BTreeMap, BTreeSet};

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    let mut named = BTreeSet::new();
    for placed in steps(scenario) {
        if let Action::Procedure(name) = &placed.step.action
            && !named.insert(name)
        {
            let message = format!("`{name}` stands in this drill twice, and its steps have one id each");
            let help = "put its steps here instead, with ids of their own";
            found.push(placed.text.error(&placed.action(), message).help(help));
        }
        let path = placed.path.then("id");
        let place = placed.text.place(&path);
        let id = &placed.step.id;
        if let Some(first) = seen.get(id) {
            // The same step again: of a procedure that is named twice.
            if *first == place {
                continue;
            }
            let crate::document::Place { file, line, .. } = first;
            found.push(
                placed
                    .text
                    .error(
                        &path,
                        format!("two steps are called `{id}`; the first is on line {line} of {file}"),
                    )
                    .help("give each step an id of its own"),
            );
        } else {
            seen.insert(id, place);
        }
    }
    found.extend(probes(scenario));
    found
}

fn probes(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let ids = drill.spec.probes.iter().enumerate().map(|(index, probe)| {
        let path = Path::spec().then("probes").then(index).then("id");
        (path, &probe.id, "two probes are called", "give each probe an id of its own")
    });
    let bounds = drill.spec.limits.abort_when.iter().enumerate().map(|(index, bound)| {
        let path = Path::spec().then("limits").then("abortWhen").then(index).then("probe");
        (path, &bound.probe, "two bounds are set for", "keep the one that is meant")
    });
    let mut lines = BTreeMap::new();
    let twice = ids.chain(bounds).filter_map(|(path, id, what, help)| {
        let line = drill.text.place(&path).line;
        let first = lines.insert((what, id), line)?;
        let message = format!("{what} `{id}`; the first is on line {first}");
        Some(drill.text.error(&path, message).help(help))
    });
    twice.collect()
}
