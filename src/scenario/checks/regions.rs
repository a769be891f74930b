//! Regions and vantages exist, and the region that is lost does not take over.

use super::steps;
use crate::document::{self, Diagnostic, Path, Text};
use crate::model::name::Region;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let spec = &drill.spec;
    let mut found = Vec::new();
    let path = Path::spec().then("regions");
    if spec.regions.lost.is_some() && spec.regions.lost == spec.regions.takes_over {
        found.push(
            drill
                .text
                .error(&path.then("takesOver"), "the lost region cannot take over")
                .help("name the region that is left"),
        );
    }
    let (lost, takes_over) = (spec.regions.lost.as_ref(), spec.regions.takes_over.as_ref());
    for (key, region, other) in [("lost", lost, takes_over), ("takesOver", takes_over, lost)] {
        if let Some(region) = region {
            let known = known(scenario);
            if known.contains(&region.as_str()) {
                continue;
            }
            // The region that has the other part was not meant.
            let meant = known.iter().filter(|known| other.is_none_or(|other| other.as_str() != **known));
            let (message, help) =
                document::unknown("region", region.as_str(), known.iter().copied(), meant.copied());
            let error = drill.text.error(&path.then(key), message);
            found.push(match help {
                Some(help) => error.help(help),
                None => error,
            });
        }
    }
    for (index, probe) in spec.probes.iter().enumerate() {
        let path = Path::spec().then("probes").then(index).then("from");
        if probe.from.is_empty() {
            found.push(
                drill.text.error(&path, "a probe needs a vantage").help("write `[outside]`, or leave it out"),
            );
        }
        for (index, vantage) in probe.from.iter().enumerate() {
            found.extend(unknown(scenario, &drill.text, &path.then(index), vantage.as_str(), true));
        }
    }
    if let Some(ledger) = &spec.workload.ledger {
        let path = Path::spec().then("workload").then("ledger").then("from");
        found.extend(unknown(scenario, &drill.text, &path, ledger.from.as_str(), true));
    }
    for placed in steps(scenario) {
        if let Some((kind, parameters)) = placed.step.action.parameters() {
            if let Some(region) = parameters["region"].as_str() {
                let path = placed.action().then(kind).then("region");
                found.extend(unknown(scenario, placed.text, &path, region, false));
            }
            found.extend(homeless(scenario, &placed.step.action).map(|(part, whose)| {
                let message = format!("in which region? `spec.regions.{part}` does not say");
                let place = placed.text.place_of_key(&placed.action().then(kind));
                Diagnostic::error(message, Some(place))
                    .help(format!("add `regions: {{{part}: NAME}}`, where {whose} act"))
            }));
        }
    }
    found
}

/// The default region that a step needs and the drill lacks.
fn homeless(scenario: &Scenario, action: &Action) -> Option<(&'static str, &'static str)> {
    let missing = super::region_of(scenario, action).is_none();
    match action {
        Action::Fault(_) if missing => Some(("lost", "faults")),
        Action::Recover(_) if missing => Some(("takesOver", "recoveries")),
        Action::Fault(_)
        | Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_)
        | Action::Parallel(_) => None,
    }
}

/// The regions of the surroundings or, where there are none, of the drill and its catalogue.
pub(super) fn known(scenario: &Scenario) -> Vec<&str> {
    let own = &scenario.drill.spec.regions;
    match &scenario.surroundings {
        Some(surroundings) => surroundings.regions.iter().map(Region::as_str).collect(),
        None => {
            let promised = scenario.catalogue.iter().flat_map(|catalogue| &catalogue.spec.services);
            let promised = promised.flat_map(|service| service.targets.keys());
            own.lost.iter().chain(&own.takes_over).chain(promised).map(Region::as_str).collect()
        }
    }
}

/// A region that neither the surroundings nor, where there are none, the drill or its catalogue knows.
fn unknown(scenario: &Scenario, text: &Text, path: &Path, name: &str, vantage: bool) -> Option<Diagnostic> {
    let mut known = known(scenario);
    if vantage {
        known.push("outside");
    }
    let what = if vantage { "vantage" } else { "region" };
    (!known.contains(&name)).then(|| text.unknown(path, what, name, known.iter().copied()))
}
