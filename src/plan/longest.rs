//! The longest way through a plan: what runs at once takes as long as its longest, what runs in turn takes the sum.
//!
//! Budgets are compared with each RTO, from the origin that counts; timeouts with the drill's limit. Here, and not among the checks of
//! the documents, since only a plan knows the times that a scenario leaves out.

use super::objectives;
use crate::document::{Diagnostic, Path};
use crate::model::plan::{Action, LongestPath, OnTimeout, Stage, Step, Wait};
use crate::model::target::Origin;
use crate::model::time::Duration;
use crate::scenario::Scenario;

/// Both ways of counting.
pub(super) fn path(steps: &[Step]) -> LongestPath {
    LongestPath { budgets: budgets(steps, Origin::Fault), timeouts: sum(steps.iter().map(timeout)) }
}

/// How long recovering should take, from an origin.
fn budgets(steps: &[Step], from: Origin) -> Duration {
    let counts = |step: &&Step| match from {
        Origin::Fault | Origin::Impact => {
            matches!(step.stage, Stage::Detect | Stage::Declare | Stage::Failover)
        }
        Origin::Declaration => step.stage == Stage::Failover,
    };
    sum(steps.iter().filter(counts).map(budget))
}

/// What the steps break if each takes as long as it may: an RTO, or the drill's limit.
pub(super) fn too_long(scenario: &Scenario, steps: &[Step]) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut found = Vec::new();
    for (index, name, targets) in objectives::recovery_times(scenario) {
        let long = budgets(steps, targets.from);
        if long > targets.rto {
            let message =
                format!("the steps' budgets add up to {long}, over the RTO of {name}, {}", targets.rto);
            let error = drill.text.error(&Path::spec().then("services").then(index), message);
            found.push(error.help(
                "shorten budgets between `detect` and `failover`, or run steps in `parallel`; steps without one share what is left of the catalogue's",
            ));
        }
    }
    let (long, most) = (path(steps).timeouts, drill.spec.limits.max_duration);
    if long > most && most > Duration::ZERO {
        let message = format!("the steps' timeouts add up to {long}, over `maxDuration`");
        let error = drill.text.error(&Path::spec().then("limits").then("maxDuration"), message);
        found.push(error.help(format!(
            "allow at least `{long}`, or shorten timeouts; a step without one has its stage's own"
        )));
    }
    found
}

/// How long a step should take, with those inside.
pub(super) fn budget(step: &Step) -> Duration {
    step.budget.unwrap_or_else(|| match &step.action {
        Action::Wait(Wait::Duration(time)) => *time,
        Action::Parallel { .. } | Action::Procedure { .. } => inside(&step.action, budget),
        Action::Fault { .. }
        | Action::Recover { .. }
        | Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(Wait::Alert(_) | Wait::Succeeds(_))
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_) => Duration::ZERO,
    })
}

/// How long a step may take: an escalation waits as long again.
pub(super) fn timeout(step: &Step) -> Duration {
    match step.on_timeout {
        OnTimeout::Escalate => step.timeout.plus(step.timeout),
        OnTimeout::Finding | OnTimeout::Abort => step.timeout,
    }
}

/// The longest of the steps at once, or the sum of those in turn.
pub(super) fn inside(action: &Action, of: fn(&Step) -> Duration) -> Duration {
    match action {
        Action::Parallel { steps } => steps.iter().map(of).max().unwrap_or_default(),
        Action::Procedure { steps, .. } => sum(steps.iter().map(of)),
        Action::Fault { .. }
        | Action::Recover { .. }
        | Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(_)
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_) => Duration::ZERO,
    }
}

pub(super) fn sum(durations: impl Iterator<Item = Duration>) -> Duration {
    durations.fold(Duration::ZERO, Duration::plus)
}
