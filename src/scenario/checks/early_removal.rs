//! No healing into a split brain (I5): once write authority has moved, a fault is removed only after its side is fenced.
//!
//! A fence that can only be armed, since the fault cuts its region off, counts: it takes effect before the side may write.

use std::collections::BTreeSet;

use super::{moves_authority, region_of, steps};
use crate::document::Diagnostic;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let steps = steps(scenario);
    let mut moved = None;
    let mut fenced = BTreeSet::new();
    let mut found = Vec::new();
    for placed in &steps {
        match &placed.step.action {
            Action::Recover(kind) if kind.behaviour().fences() => {
                fenced.extend(region_of(scenario, &placed.step.action));
            }
            Action::Recover(_) if moves_authority(scenario, placed.step) => {
                moved = moved.or(Some(&placed.step.id));
            }
            Action::RemoveFault(of) => {
                let fault = steps.iter().map(|other| other.step).find(|step| step.id == *of);
                let fault = fault.map(|step| &step.action).filter(|action| action.key() == "fault");
                let region = fault.and_then(|fault| region_of(scenario, fault));
                if let (Some(by), Some(region)) = (moved, region)
                    && !fenced.contains(&region)
                {
                    let message = format!(
                        "removing `{of}` lets {region} write again, though `{by}` has moved write authority: two sides would accept"
                    );
                    found.push(placed.text.error(&placed.action(), message).help(format!(
                        "put a step `recover: {{fence: {{region: {region}, …}}}}` before this one"
                    )));
                }
            }
            Action::Fault(_)
            | Action::Recover(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => {}
        }
    }
    found
}
