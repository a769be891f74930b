//! Times that cannot come true: a step that waits, or should take, longer than it may, and a proof that is due before its probe can have shown
//! a failure.

use super::{Placed, steps};
use crate::document::Diagnostic;
use crate::model::plan::{OnTimeout, Stage, Wait};
use crate::model::time::Duration;
use crate::scenario::{Action, Scenario};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let of = |placed: &Placed| [step(placed), proof(scenario, placed)];
    steps(scenario).iter().flat_map(of).flatten().collect()
}

fn step(placed: &Placed) -> Option<Diagnostic> {
    let timeout = placed.step.timeout.filter(|timeout| *timeout > Duration::ZERO)?;
    // An escalation waits as long again, and is what follows in `declare` where the step does not say.
    let then = placed.step.on_timeout;
    let escalates = then.map_or(placed.stage == Stage::Declare, |then| then == OnTimeout::Escalate);
    let most = if escalates { timeout.plus(timeout) } else { timeout };
    // Where it is stated what follows, that is meant: an abort, or somebody who lets the wait go on.
    let waits = match &placed.step.action {
        _ if then.is_some() => None,
        Action::Wait(Wait::Duration(time)) => Some(*time),
        Action::Wait(Wait::Succeeds(succeeds)) => Some(succeeds.lasting),
        Action::Wait(Wait::Alert(_))
        | Action::Fault(_)
        | Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_)
        | Action::Parallel(_) => None,
    };
    let budget = placed.step.budget.map(|budget| ("should take", budget));
    let takes = waits.map(|time| ("waits for", time)).into_iter().chain(budget);
    let (what, time) = takes.filter(|(_, time)| *time > most).max_by_key(|(_, time)| *time)?;
    let message = format!("`{}` {what} {time}, but is given up after {most}", placed.step.id);
    let error = placed.text.error(&placed.path.then("timeout"), message);
    Some(error.help(format!("allow at least `{time}`, or leave the timeout out")))
}

/// A fault may take effect just after a question was sent: the next one is sent a period later, and fails at its timeout.
fn proof(scenario: &Scenario, placed: &Placed) -> Option<Diagnostic> {
    let proof = placed.step.proof.as_ref()?;
    let (id, within) = (proof.probe.as_ref()?, proof.fails_within?);
    let probe = scenario.drill.spec.probes.iter().find(|probe| probe.id == *id)?;
    let needs = probe.every.plus(probe.timeout);
    if within >= needs {
        return None;
    }
    let message = format!(
        "the probe `{id}` may need {needs} to show a failure: it asks every {}, and waits {} for an answer",
        probe.every, probe.timeout
    );
    let error = placed.text.error(&placed.path.then("proof").then("failsWithin"), message);
    Some(error.help(format!("allow at least `{needs}`")))
}
