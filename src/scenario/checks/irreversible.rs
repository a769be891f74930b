//! What nothing takes back must be meant: each such step is named in `allowIrreversible`, which names steps that exist.

use super::steps;
use crate::document::{Diagnostic, Path};
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let allowed = &drill.spec.allow_irreversible;
    let steps = steps(scenario);
    let ids = || steps.iter().map(|placed| placed.step.id.as_str());
    let unknown = allowed.iter().enumerate().filter(|(_, id)| ids().all(|known| known != id.as_str()));
    let unknown = unknown.map(|(index, id)| {
        let path = Path::spec().then("allowIrreversible").then(index);
        drill.text.unknown(&path, "step", id.as_str(), ids())
    });
    let not_allowed = steps.iter().filter(|placed| !allowed.contains(&placed.step.id)).filter_map(|placed| {
        let Action::Recover(kind) = &placed.step.action else { return None };
        kind.behaviour().irreversible().then(|| {
            let message = format!("nothing takes back `{}`", kind.name());
            placed.text.error(&placed.action(), message).help(format!(
                "if that is meant, say so in the drill: `allowIrreversible: [{}]`",
                placed.step.id
            ))
        })
    });
    unknown.chain(not_allowed).collect()
}
