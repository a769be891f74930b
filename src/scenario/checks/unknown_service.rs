//! Services, their stores and the severity stand in the catalogue, with a target for the region that is lost.

use super::regions::known;
use super::{steps, texts};
use crate::document::{Diagnostic, Path};
use crate::model::name::Name;
use crate::model::plan::Check;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = checked_stores(scenario);
    let Some(catalogue) = scenario.catalogue.as_ref().map(|document| &document.spec) else { return found };
    let (text, spec) = (&scenario.drill.text, &scenario.drill.spec);
    let mut services: Vec<(Path, &Name)> = Vec::new();
    for (index, name) in spec.services.iter().enumerate() {
        let path = Path::spec().then("services").then(index);
        if let (Some(service), Some(lost)) = (catalogue.service(name), &spec.regions.lost)
            && !service.targets.contains_key(lost)
            // One that is misspelt is said where it stands.
            && known(scenario).contains(&lost.as_str())
        {
            found.push(
                text.error(&path, format!("nothing is promised about `{name}` when {lost} is lost"))
                    .help(format!("add `targets: {{{lost}: {{rto: …, rpo: …}}}}` to it in the catalogue")),
            );
        }
        services.push((path, name));
    }
    for (index, probe) in spec.probes.iter().enumerate() {
        let path = Path::spec().then("probes").then(index).then("service");
        services.extend(probe.service.iter().map(|name| (path.clone(), name)));
    }
    if let Some(ledger) = &spec.workload.ledger {
        let path = Path::spec().then("workload").then("ledger");
        services.push((path.then("service"), &ledger.service));
        if let Some(service) = catalogue.service(&ledger.service)
            && !service.stores.contains(&ledger.store)
        {
            let stores: Vec<&str> = texts(&service.stores).collect();
            let store = ledger.store.as_str();
            found.push(match catalogue.services.iter().find(|other| other.stores.contains(&ledger.store)) {
                Some(owner) => text
                    .error(&path.then("store"), format!("`{store}` is no store of `{}`", ledger.service))
                    .help(format!("it is one of `{}`: write `service: {}`", owner.name, owner.name)),
                None => text.unknown(&path.then("store"), "store", store, stores.iter().copied()),
            });
        }
    }
    let names = || catalogue.services.iter().map(|service| service.name.as_str());
    for (path, name) in services.iter().filter(|(_, name)| catalogue.service(name).is_none()) {
        found.push(text.unknown(path, "service", name.as_str(), names()));
    }
    if let Some(severity) = spec.severity.as_ref().filter(|name| !catalogue.severities.contains_key(*name)) {
        let all = catalogue.severities.keys().map(Name::as_str);
        found.push(text.unknown(&Path::spec().then("severity"), "severity", severity.as_str(), all));
    }
    found
}

/// A check of a store that no ledger writes to can show nothing.
fn checked_stores(scenario: &Scenario) -> Vec<Diagnostic> {
    let ledger = scenario.drill.spec.workload.ledger.as_ref();
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Action::Check(Check::Ledger(check)) = &placed.step.action else { continue };
        let path = placed.action().then("ledger");
        match (ledger, &check.store) {
            (None, _) => found.push(
                placed
                    .text
                    .error(&path, "there is no ledger to check")
                    .help("add `workload: {ledger: …}`, which writes the records that this reads back"),
            ),
            (Some(ledger), Some(store)) if ledger.store != *store => {
                let known = std::iter::once(ledger.store.as_str());
                found.push(placed.text.unknown(&path.then("store"), "store", store.as_str(), known));
            }
            (Some(_), _) => {}
        }
    }
    found
}
