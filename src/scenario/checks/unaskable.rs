//! What is asked can be asked: a probe of no URL would only say that everything is down.

use crate::document::{Diagnostic, Path};
use crate::model::url::Url;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = Vec::new();
    for (index, probe) in drill.spec.probes.iter().enumerate() {
        let at = Path::spec().then("probes").then(index).then(probe.ask.name());
        for wrong in probe.ask.behaviour().wrong(&at) {
            let error = drill.text.error(&wrong.at, wrong.why);
            found.push(match wrong.help {
                Some(help) => error.help(help),
                None => error,
            });
        }
    }
    if let Some(ledger) = &drill.spec.workload.ledger
        && let Err(bad) = ledger.url.parse::<Url>()
    {
        let path = Path::spec().then("workload").then("ledger").then("url");
        found.push(drill.text.error(&path, bad.to_string()));
    }
    found
}
