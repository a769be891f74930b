//! A promise that counts from the declaration is kept or broken only where somebody declares.

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::model::target::Origin;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let (Some(catalogue), Some(lost)) = (&scenario.catalogue, &drill.spec.regions.lost) else {
        return Vec::new();
    };
    if steps(scenario).iter().any(|placed| matches!(placed.step.action, Action::Declare(_))) {
        return Vec::new();
    }
    let services = drill.spec.services.iter().enumerate();
    let from_declaration = services.filter(|(_, name)| {
        let targets = catalogue.spec.service(name).and_then(|service| service.targets.get(lost));
        targets.is_some_and(|targets| targets.from == Origin::Declaration)
    });
    let said = from_declaration.map(|(index, name)| {
        let path = Path::spec().then("services").then(index);
        let message =
            format!("the RTO of `{name}` counts from a declaration, and nobody is asked for one: this drill does not exercise it");
        drill.text.warning(&path, message).help("add a step `declare: {role: …}`")
    });
    said.collect()
}
