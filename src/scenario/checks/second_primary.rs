//! No promotion beside a side that takes writes (I5): a fault cuts that side off, or a step has fenced or demoted it before.
//!
//! What a step before it really did, only the run knows: the engine asks the other side again before it promotes.

use super::sides::Sides;
use super::steps;
use crate::document::Diagnostic;
use crate::model::effect::Ref;
use crate::model::plan::Side;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut sides = Sides::new(scenario);
    let mut found = Vec::new();
    for placed in &steps(scenario) {
        if let Some(authority) = sides.authority(placed)
            && let Some(takeover) = authority.takeover()
        {
            let holder = sides.moved.get(&authority.workload).and_then(|(_, moved)| moved.takeover());
            let holder = holder.map(|side| &side.region);
            let holder = holder.or(scenario.drill.spec.regions.lost.as_ref());
            let writes = |side: &&Ref| {
                holder.is_none_or(|holder| *holder == side.region)
                    && !sides.off.contains(*side)
                    && !sides.cut_off(side)
            };
            for side in authority.others(&takeover.region).map(Side::pod).filter(writes) {
                let message = format!(
                    "`{}` promotes {} while {} still takes the writes of {}: two sides would accept",
                    placed.step.id, takeover.region, side.region, authority.workload
                );
                found.push(placed.text.error(&placed.action(), message).help(format!(
                    "put a step `recover: {{demote: {{region: {0}, …}}}}` before this one, or `fence` where {0} cannot follow",
                    side.region
                )));
            }
        }
        sides.take(placed);
    }
    found
}
