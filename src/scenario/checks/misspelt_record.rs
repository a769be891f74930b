//! A name whose traffic a step moves, and that no probe asks, while one asks a name like it: where there is no such record, the step is held
//! for ever, past the point of no return. A warning, since there may be one.

use std::collections::BTreeSet;

use super::{hosts, steps};
use crate::document::{Diagnostic, nearest};
use crate::model::url::bare;
use crate::recovery::Leads;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let hosts: BTreeSet<String> = hosts(scenario).map(|host| bare(&host)).collect();
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Action::Recover(kind) = &placed.step.action else { continue };
        let Leads::Host(record) = kind.behaviour().leads() else { continue };
        let record = &bare(record);
        if hosts.contains(record) {
            continue;
        }
        if let Some(meant) = nearest(record, hosts.iter().map(String::as_str)) {
            let message = format!("no probe asks `{record}`, did you mean `{meant}`?");
            let path = placed.action().then(kind.name()).then("record");
            let warning = placed.text.warning(&path, message);
            found.push(warning.help(format!(
                "write `{meant}`; or have a probe ask `{record}`, which shows that its traffic moved"
            )));
        }
    }
    found
}
