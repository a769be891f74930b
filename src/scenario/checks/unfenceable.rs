//! A side whose pods are gone cannot be fenced, and is primary again the moment they are back (I5): a workload that is promoted elsewhere
//! must not be scaled away, but cut off.

use super::sides::Sides;
use super::steps;
use crate::document::Diagnostic;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut sides = Sides::new(scenario);
    let mut found = Vec::new();
    for placed in &steps(scenario) {
        if let Some(authority) = sides.authority(placed)
            && let Some(takeover) = authority.takeover()
        {
            let gone =
                |side: &crate::model::plan::Side| Some((side.region.clone(), sides.taken_away(side.pod())?));
            for (region, fault) in authority.others(&takeover.region).filter_map(gone) {
                let message = format!(
                    "`{}` promotes {} while `{fault}` has scaled {region} away: a side without pods cannot be fenced before they are back, so the fault could never be removed",
                    placed.step.id, takeover.region
                );
                let error = placed.text.error(&placed.action(), message);
                found.push(error.help(format!("cut {region} off by `isolate` instead of scaling it away")));
            }
        }
        sides.take(placed);
    }
    found
}
