//! What is asked can be asked: a probe of no URL would only say that everything is down.

use crate::document::{Diagnostic, Path};
use crate::model::url::Url;
use crate::probe::Ask;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let probes = drill.spec.probes.iter().enumerate().map(|(index, probe)| {
        let Ask::Http(request) = probe.ask.behaviour().ask();
        (Path::spec().then("probes").then(index).then(probe.ask.name()).then("url"), request.url)
    });
    let ledger = drill.spec.workload.ledger.as_ref();
    let ledger =
        ledger.map(|ledger| (Path::spec().then("workload").then("ledger").then("url"), ledger.url.clone()));
    let wrong = probes.chain(ledger).filter_map(|(path, url)| {
        let bad = url.parse::<Url>().err()?;
        Some(drill.text.error(&path, bad.to_string()))
    });
    wrong.collect()
}
