//! A side whose pods are gone cannot be fenced, and is primary again the moment they are back (I5): the run leaves such a fault in once the
//! workload is promoted elsewhere, and lists it. A drill may mean just that: a warning.

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
                    "`{}` promotes {} while `{fault}` has scaled {region} away: a side without pods cannot be fenced, so the run will not bring it back",
                    placed.step.id, takeover.region
                );
                let warning = placed.text.warning(&placed.action(), message);
                found.push(warning.help(format!("cut {region} off by `isolate`, to exercise the way back")));
            }
        }
        sides.take(placed);
    }
    found
}
