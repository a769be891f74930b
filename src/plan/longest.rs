//! The longest way through a plan: what runs at once takes as long as its longest, what runs in turn takes the sum.

use crate::model::plan::{Action, LongestPath, OnTimeout, Stage, Step, Wait};
use crate::model::time::Duration;

/// Both ways of counting.
pub(super) fn path(steps: &[Step]) -> LongestPath {
    let recovering = |step: &&Step| matches!(step.stage, Stage::Detect | Stage::Declare | Stage::Failover);
    LongestPath {
        budgets: sum(steps.iter().filter(recovering).map(budget)),
        timeouts: sum(steps.iter().map(timeout)),
    }
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
