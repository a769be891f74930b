//! A drill that measures services needs the catalogue that holds their targets; and the procedures that it names.

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = Vec::new();
    match (&drill.spec.catalogue, &scenario.catalogue) {
        (Some(name), None) => found.push(
            drill
                .text
                .error(&Path::spec().then("catalogue"), format!("there is no ServiceCatalogue `{name}` here"))
                .help("put it into the drill's folder, or give its file with `-f`"),
        ),
        (None, _) if !drill.spec.services.is_empty() => found.push(
            drill
                .text
                .error(
                    &Path::spec().then("services"),
                    "no catalogue says what was promised about these services",
                )
                .help("add `catalogue: NAME`, the name of a ServiceCatalogue"),
        ),
        (Some(_), Some(_)) | (None, _) => {}
    }
    for placed in steps(scenario) {
        // One that another holds is refused by `nesting`, and read by nobody.
        if let Action::Procedure(name) = &placed.step.action
            && std::ptr::eq(placed.text, &drill.text)
            && scenario.procedure(name).is_none()
        {
            found.push(
                placed
                    .text
                    .error(&placed.action(), format!("there is no Procedure `{name}` here"))
                    .help("put it into the drill's folder, or give its file with `-f`"),
            );
        }
    }
    found
}
