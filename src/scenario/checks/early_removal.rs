//! No healing into a split brain (I5): once write authority has moved, a fault is removed only after its side is fenced.
//!
//! A fence that can only be armed, since the fault cuts its region off, counts: it takes effect before the side may write. Each workload
//! whose authority has moved needs its own.

use super::sides::Sides;
use super::{Placed, region_of, steps};
use crate::document::{Diagnostic, nearest};
use crate::model::effect::Ref;
use crate::model::name::{Region, StepId};
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
                    let help = fence_of(&sides, &steps, by, &side.region).unwrap_or_else(|| {
                        format!(
                            "put a step `recover: {{fence: {{region: {}, …}}}}` for it before this one",
                            side.region
                        )
                    });
                    found.push(placed.text.error(&placed.action(), message).help(help));
                }
            }
        }
        sides.take(placed);
    }
    found
}

/// Where a region's fence comes too late; or is of a workload with nearly the name of the one that was moved, and one of the two is misspelt.
fn fence_of(sides: &Sides, steps: &[Placed], moved_by: &StepId, region: &Region) -> Option<String> {
    let workload = |placed: &Placed| {
        let (_, parameters) = placed.step.action.parameters()?;
        let namespace = parameters["namespace"].as_str().unwrap_or_default();
        Some(format!("{} in {namespace}", parameters["workload"].as_str()?))
    };
    let moved = steps.iter().find(|placed| placed.step.id == *moved_by).and_then(workload)?;
    let fences =
        steps.iter().filter(|placed| sides.kept_off(placed).is_some_and(|side| side.region == *region));
    let of_fences: Vec<(&StepId, String)> =
        fences.filter_map(|placed| Some((&placed.step.id, workload(placed)?))).collect();
    let fenced = nearest(&moved, of_fences.iter().map(|(_, fenced)| fenced.as_str()))?;
    let (fence, _) = of_fences.iter().find(|(_, workload)| workload == fenced)?;
    if *fenced == moved {
        return Some(format!("put `{fence}` before this step"));
    }
    Some(format!(
        "`{moved_by}` moves `{moved}`, and `{fence}` fences `{fenced}`: write what is there in both of them"
    ))
}
