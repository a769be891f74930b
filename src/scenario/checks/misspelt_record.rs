//! A name whose traffic a step moves, and that no probe asks, while one asks a name like it: where there is no such record, the step is held
//! for ever, past the point of no return. A warning, since there may be one.

use std::collections::BTreeSet;

use super::steps;
use crate::document::{Diagnostic, nearest};
use crate::model::url::{Url, bare};
use crate::probe::Ask;
use crate::recovery::Leads;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let asked = asked(scenario);
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Action::Recover(kind) = &placed.step.action else { continue };
        let Leads::Host(record) = kind.behaviour().leads() else { continue };
        let record = &bare(record);
        if asked.contains(record) {
            continue;
        }
        if let Some(meant) = nearest(record, asked.iter().map(String::as_str)) {
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

/// The hosts that probes ask, and the ledger.
fn asked(scenario: &Scenario) -> BTreeSet<String> {
    let spec = &scenario.drill.spec;
    let probes = spec.probes.iter().map(|probe| {
        let Ask::Http(request) = probe.ask.behaviour().ask();
        request.url
    });
    let urls = probes.chain(spec.workload.ledger.iter().map(|ledger| ledger.url.clone()));
    urls.filter_map(|url| Some(bare(&url.parse::<Url>().ok()?.host))).collect()
}
