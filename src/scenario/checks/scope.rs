//! A step touches only the namespaces that the drill's limits name, and where it takes a list of them, at least one.

use super::{steps, texts};
use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let allowed = &scenario.drill.spec.limits.namespaces;
    let mut found = Vec::new();
    for placed in steps(scenario) {
        let Some((kind, parameters)) = placed.step.action.parameters() else { continue };
        let path = placed.action().then(kind);
        let mut named: Vec<(Path, &str)> = Vec::new();
        if let Some(namespace) = parameters["namespace"].as_str() {
            named.push((path.then("namespace"), namespace));
        }
        if parameters["namespaces"].as_array().is_some_and(Vec::is_empty) {
            let place = placed.text.place_of_key(&path.then("namespaces"));
            found.push(
                Diagnostic::error("no namespace is named, so that nothing would happen", Some(place))
                    .help("name at least one of `limits.namespaces`"),
            );
        }
        for (index, namespace) in parameters["namespaces"].as_array().into_iter().flatten().enumerate() {
            named
                .extend(namespace.as_str().map(|namespace| (path.then("namespaces").then(index), namespace)));
        }
        for (path, namespace) in named {
            if texts(allowed).all(|allowed| allowed != namespace) {
                let message = format!("the namespace `{namespace}` is out of the drill's limits");
                found.push(
                    placed
                        .text
                        .error(&path, message)
                        .help("name one of `limits.namespaces`, or add it there if the drill may touch it"),
                );
            }
        }
    }
    found
}
