//! A service that is asked, and is none of the drill's: nothing that was promised about it is judged.

use std::collections::BTreeSet;

use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let (text, spec) = (&scenario.drill.text, &scenario.drill.spec);
    let service = |name| scenario.catalogue.as_ref().and_then(|catalogue| catalogue.spec.service(name));
    let known = |name| service(name).is_some();
    // One that is misspelt is an error of its own.
    if !spec.services.iter().all(known) {
        return Vec::new();
    }
    let of_probes = spec.probes.iter().enumerate().filter_map(|(index, probe)| {
        Some((Path::spec().then("probes").then(index).then("service"), probe.service.as_ref()?))
    });
    let of_ledger = Path::spec().then("workload").then("ledger").then("service");
    let owned = spec.workload.ledger.iter().filter(|ledger| {
        service(&ledger.service).is_some_and(|service| service.stores.contains(&ledger.store))
    });
    let of_ledger = owned.map(|ledger| (of_ledger.clone(), &ledger.service));
    let unjudged =
        of_probes.chain(of_ledger).filter(|(_, name)| !spec.services.contains(name) && known(name));
    let mut seen = BTreeSet::new();
    let said = unjudged.filter(|(_, name)| seen.insert(*name)).map(|(path, name)| {
        let message =
            format!("`{name}` is measured, and not among `services`: none of its promises is judged");
        text.warning(&path, message).help(format!("add `{name}` to `services`"))
    });
    said.collect()
}
