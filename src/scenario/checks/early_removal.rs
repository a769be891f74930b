//! No healing into a split brain (I5): once write authority has moved, a fault is removed only after its side is fenced.
//!
//! A fence that can only be armed, since the fault cuts its region off, counts: it takes effect before the side may write. Each workload
//! whose authority has moved needs its own.

use super::sides::Sides;
use super::{region_of, steps};
use crate::document::Diagnostic;
use crate::model::effect::Ref;
use crate::model::plan::Side;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let steps = steps(scenario);
    let mut sides = Sides::new(scenario);
    let mut found = Vec::new();
    for placed in &steps {
        if let Action::RemoveFault(of) = &placed.step.action {
            let fault = steps.iter().map(|other| &other.step).find(|step| step.id == *of);
            let fault = fault.map(|step| &step.action).filter(|action| action.key() == "fault");
            let region = fault.and_then(|fault| region_of(scenario, fault));
            for (by, authority) in sides.moved.values() {
                let freed = |side: &&Ref| Some(&side.region) == region.as_ref() && !sides.off.contains(*side);
                let takeover = authority.takeover().map(|side| &side.region);
                let others = authority.sides.iter().filter(|side| Some(&side.region) != takeover);
                for side in others.map(Side::pod).filter(freed) {
                    let message = format!(
                        "removing `{of}` lets {} write to {} again, though `{by}` has moved its write authority: two sides would accept",
                        side.region, authority.workload
                    );
                    found.push(placed.text.error(&placed.action(), message).help(format!(
                        "put a step `recover: {{fence: {{region: {}, …}}}}` for it before this one",
                        side.region
                    )));
                }
            }
        }
        sides.take(placed);
    }
    found
}
