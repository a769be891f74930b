//! Ids name steps and probes in evidence, so no two are the same: nor are two steps of procedures.

use std::collections::BTreeMap;

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    for placed in steps(scenario) {
        let path = placed.path.then("id");
        let place = placed.text.place(&path);
        let id = &placed.step.id;
        if let Some(first) = seen.get(id) {
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
    let drill = &scenario.drill;
    let mut lines = BTreeMap::new();
    for (index, probe) in drill.spec.probes.iter().enumerate() {
        let path = Path::spec().then("probes").then(index).then("id");
        let line = drill.text.place(&path).line;
        if let Some(first) = lines.insert(&probe.id, line) {
            found.push(
                drill
                    .text
                    .error(
                        &path,
                        format!("two probes are called `{}`; the first is on line {first}", probe.id),
                    )
                    .help("give each probe an id of its own"),
            );
        }
    }
    found
}
