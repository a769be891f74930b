//! What a reader should know beyond the verdicts: late and held steps, excluded vantages, oddities in a store.

use super::number;
use crate::measure::{Finding, Loss, Measured, StepMeasured};

/// All of them: what measuring found, then steps, vantages and stores.
pub fn findings(measured: &Measured, incomplete: Option<String>) -> Vec<Finding> {
    let mut found = measured.findings.clone();
    if let Some(what) = incomplete.filter(|what| found.iter().all(|known| known.what != *what)) {
        found.push(Finding { about: "".into(), what, region: None });
    }
    let mut add = |about: &str, what: String| {
        found.push(Finding { about: about.into(), what, region: None });
    };
    for out in &measured.excluded {
        add(out.vantage.as_str(), format!("the vantage {} is excluded: {}", out.vantage, out.why));
    }
    for step in &measured.steps {
        of_step(step, &mut add);
    }
    for loss in &measured.losses {
        of_store(loss, &mut add);
    }
    found
}

fn of_step(step: &StepMeasured, add: &mut impl FnMut(&str, String)) {
    let id = step.step.as_str();
    if let Some((took, budget)) = step.took.zip(step.budget).filter(|(took, budget)| took > budget) {
        add(id, format!("the step {id} took {took}, over its budget of {budget}"));
    }
    if step.timed_out {
        add(id, format!("the step {id} went over its timeout"));
    }
    if step.held > 0 {
        let often = if step.held == 1 { "once".to_owned() } else { format!("{} times", step.held) };
        add(id, format!("the step {id} was held for a person {often}"));
    }
    if step.by_hand {
        add(id, format!("the step {id} was done or skipped by hand"));
    }
    if let Some(why) = step.outcome.as_ref().and_then(|outcome| outcome.why()) {
        add(id, format!("the step {id} did not end well: {why}"));
    }
}

fn of_store(loss: &Loss, add: &mut impl FnMut(&str, String)) {
    let store = loss.store.as_str();
    let odd = [
        (loss.found.corrupt.len() as u64, ["is corrupt", "are corrupt"]),
        (
            loss.found.dual_accepted.len() as u64,
            ["was accepted by an old primary", "were accepted by an old primary"],
        ),
        (
            loss.found.resurrected.len() as u64,
            ["came back after it was lost", "came back after they were lost"],
        ),
        (
            loss.found.unexpected.len() as u64,
            [
                "is there that nobody wrote, or that was refused",
                "are there that nobody wrote, or that were refused",
            ],
        ),
        (loss.found.duplicate.len() as u64, ["is there more than once", "are there more than once"]),
        (
            loss.found.stale.len() as u64,
            [
                "carries another epoch than the one that acknowledged it",
                "carry another epoch than the one that acknowledged them",
            ],
        ),
        (loss.found.reordered, ["stands out of order", "stand out of order"]),
    ];
    for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
        add(store, format!("reading {} of {store}: {}", loss.pass, number(count, "write", what)));
    }
    if let Some(why) = loss.removed.as_ref().and_then(|outcome| outcome.why()) {
        add(store, format!("what was written to {store} could not be removed: {why}"));
    }
}
