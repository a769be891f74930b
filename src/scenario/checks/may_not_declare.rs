//! Who is asked to declare may: where the catalogue has a ladder, it says who. The others are paged, and what they say decides nothing.

use std::collections::BTreeSet;

use super::steps;
use crate::catalogue::ServiceCatalogue;
use crate::document::Diagnostic;
use crate::model::name::Role;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let Some(catalogue) = scenario.catalogue.as_ref().map(|document| &document.spec) else {
        return Vec::new();
    };
    let Some(may) = deciders(scenario, catalogue) else { return Vec::new() };
    let names: Vec<String> = may.iter().map(|role| format!("`{role}`")).collect();
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Action::Declare(declare) = &placed.step.action else { continue };
        let role = &declare.role;
        // One that nobody has is said elsewhere.
        if may.contains(role) || !catalogue.roles().contains(role) {
            continue;
        }
        let message = format!("by the catalogue, `{role}` may not declare a disaster");
        let error = placed.text.error(&placed.action().then("role"), message);
        found.push(error.help(format!(
            "these may: {}; or give `{role}` a step of the escalation with `mayDeclare: true`",
            names.join(", ")
        )));
    }
    found
}

/// Who may declare, by the catalogue's ladder, if it has one: whoever it says so of, and the final authority with its deputy.
fn deciders<'a>(scenario: &Scenario, catalogue: &'a ServiceCatalogue) -> Option<BTreeSet<&'a Role>> {
    let escalation = catalogue.escalation.as_ref()?;
    let mut services = scenario.drill.spec.services.iter().filter_map(|name| catalogue.service(name));
    let owner = services.find_map(|service| service.owner.as_ref()).map(|owner| &owner.role);
    let rungs = escalation.steps.iter().filter(|step| step.may_declare).map(|step| match owner {
        Some(owner) if step.role.as_str() == "owner" => owner,
        Some(_) | None => &step.role,
    });
    let last = &escalation.final_authority;
    Some(rungs.chain([&last.role]).chain(last.deputy.as_ref()).collect())
}
