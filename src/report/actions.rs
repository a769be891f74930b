//! What to do: the first page's list, derived from the view; the most pressing first.

use super::view::{Lasted, Objective, View};
use super::words;
use crate::model::target::{ObjectiveKind, Verdict};
use crate::verdict::Judged;

/// The first page shows no more than this; the rest stands in the sections below.
const MOST: usize = 8;

/// What the run's readers owe.
pub fn owed(view: &View, judged: &Judged) -> Vec<String> {
    let mut owed: Vec<String> = Vec::new();
    for left in &view.outstanding {
        owed.push(format!("Finish healing: {}. {}", left.what, words::sentence(&left.advice)));
    }
    if let Some(why) = &judged.invalid {
        owed.push(format!("Repeat the drill, since this run is invalid: {why}."));
    }
    for objective in &view.objectives {
        owed.extend(of(objective, view));
    }
    for step in view.steps.iter().filter(|step| step.against == Some("over")) {
        if let (Some(took), Some(budget)) = (&step.took, &step.budget) {
            let (took, budget) = (&took.text, &budget.text);
            owed.push(format!(
                "Shorten the step {} or raise its budget: it took {took} of {budget}.",
                step.id
            ));
        }
    }
    if view.run.how == "completed"
        && view.run.lost.is_some()
        && !view.steps.iter().any(|step| step.stage == "failback")
    {
        owed.push("Plan the way back: this drill has no failback.".to_owned());
    }
    let late = |finding: &&String| {
        view.steps.iter().any(|step| finding.starts_with(&format!("the step {} took ", step.id)))
    };
    let others: Vec<&String> = view.findings.iter().filter(|finding| !late(finding)).collect();
    if let Some(finding) = others.first() {
        let more = others.len() - 1;
        let rest = if more == 0 {
            String::new()
        } else {
            format!(" ({} below)", words::count(more as u64, "more finding"))
        };
        owed.push(format!("Look into: {}{rest}", finding.trim_end_matches('.')));
    }
    if view.run.rehearsal {
        owed.push("Run the drill on real regions: a rehearsal proves nothing about them.".to_owned());
    }
    if owed.len() > MOST {
        let more = owed.len() - (MOST - 1);
        owed.truncate(MOST - 1);
        owed.push(format!("And {} in the sections below.", words::count(more as u64, "more thing")));
    }
    owed
}

fn of(objective: &Objective, view: &View) -> Option<String> {
    let name = format!("the {} of {}", objective.title.to_lowercase(), objective.service);
    match objective.verdict {
        Verdict::Met | Verdict::NotExercised | Verdict::Void => None,
        Verdict::Missed => {
            let over =
                |actual: &Lasted| objective.target.as_ref().is_some_and(|target| actual.least_ns > target.ns);
            Some(match (objective.kind, longest_phase(objective, view), &objective.actual) {
                // What was measured kept the promise: something beside it did not.
                (_, _, Some(actual)) if !over(actual) => {
                    format!("Bring {name} within its target: {}.", objective.why)
                }
                (ObjectiveKind::Rta, Some(phase), _) => {
                    format!("Bring {name} within its target: most of it was {phase}.")
                }
                _ => format!("Bring {name} within its target: it was {}.", objective.shown),
            })
        }
        Verdict::Indeterminate => Some(format!(
            "Probe faster, or leave more room: the target of {name} lies inside what was measured."
        )),
        Verdict::Inconclusive => {
            Some(format!("Make {name} measurable: {}.", objective.why.trim_end_matches('.')))
        }
    }
}

/// The phase of the objective's service that took longest.
fn longest_phase(objective: &Objective, view: &View) -> Option<String> {
    let service = view.services.iter().find(|service| service.name == objective.service)?;
    let (phase, lasted) = service
        .phases
        .iter()
        .filter_map(|phase| Some((phase, phase.actual.as_ref()?)))
        .max_by_key(|(_, lasted)| lasted.most_ns.unwrap_or(i64::MAX))?;
    Some(format!("{} ({})", phase.name, lasted.text))
}
