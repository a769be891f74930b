//! If every step takes as long as it may: is the service back within its RTO, and the drill over within its limit?
//!
//! Budgets are compared with the RTO, from the origin that counts; steps without one are left out, so this errs towards
//! silence. Steps in parallel take as long as the longest. What is waited for beside the steps, the steady state and one answer, fits
//! into the limit as well.

use crate::document::{Diagnostic, Path};
use crate::model::plan::{Stage, Wait};
use crate::model::target::Origin;
use crate::model::time::Duration;
use crate::scenario::{Action, Scenario, Step};

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = over_rto(scenario);
    found.extend(over_limit(scenario));
    found.extend(waits_over_limit(scenario));
    found
}

fn over_rto(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let (Some(catalogue), Some(lost)) = (&scenario.catalogue, &drill.spec.regions.lost) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, name) in drill.spec.services.iter().enumerate() {
        let Some(targets) = catalogue.spec.service(name).and_then(|service| service.targets.get(lost)) else {
            continue;
        };
        let stages: &[Stage] = match targets.from {
            Origin::Fault | Origin::Impact => &[Stage::Detect, Stage::Declare, Stage::Failover],
            Origin::Declaration => &[Stage::Failover],
        };
        let budgets = total(scenario, stages, &budget);
        if budgets > targets.rto {
            let message =
                format!("the steps' budgets add up to {budgets}, over the RTO of {name}, {}", targets.rto);
            found.push(
                drill
                    .text
                    .error(&Path::spec().then("services").then(index), message)
                    .help("shorten budgets between `detect` and `failover`, or run steps in `parallel`"),
            );
        }
    }
    found
}

fn over_limit(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let (longest, most) = (total(scenario, &Stage::ALL, &limit), drill.spec.limits.max_duration);
    let path = Path::spec().then("limits").then("maxDuration");
    if most == Duration::ZERO {
        return vec![
            drill.text.error(&path, "a run of no time cannot do anything").help("write it like `2h`"),
        ];
    }
    if longest <= most {
        return Vec::new();
    }
    let message = format!("the steps' timeouts add up to {longest}, over `maxDuration`");
    vec![drill.text.error(&path, message).help("shorten timeouts, or allow a longer run")]
}

/// The steady state, and the timeouts of single probes and writes: each alone.
fn waits_over_limit(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let spec = &drill.spec;
    let steady =
        (Path::spec().then("steadyState").then("for"), spec.steady_state.lasting, "the steady state");
    let probes = spec.probes.iter().enumerate().map(|(index, probe)| {
        (Path::spec().then("probes").then(index).then("timeout"), probe.timeout, "one answer of the probe")
    });
    let ledger = spec.workload.ledger.iter().map(|ledger| {
        (Path::spec().then("workload").then("ledger").then("timeout"), ledger.timeout, "one write's answer")
    });
    let most = spec.limits.max_duration;
    let over = std::iter::once(steady).chain(probes).chain(ledger);
    let over = over.filter(|(_, time, _)| *time > most && most > Duration::ZERO);
    let said = over.map(|(path, time, what)| {
        let message = format!("{what} may take {time}, longer than the whole run: `maxDuration` is {most}");
        drill.text.error(&path, message).help("shorten it, or allow a longer run")
    });
    said.collect()
}

fn total(scenario: &Scenario, stages: &[Stage], of: &dyn Fn(&Step) -> Option<Duration>) -> Duration {
    let steps = stages.iter().flat_map(|stage| scenario.drill.spec.stages.of(*stage));
    steps.map(|step| long(scenario, step, of, 0)).fold(Duration::ZERO, Duration::plus)
}

fn long(scenario: &Scenario, step: &Step, of: &dyn Fn(&Step) -> Option<Duration>, depth: usize) -> Duration {
    let inner = |step| long(scenario, step, of, depth + 1);
    of(step).unwrap_or_else(|| match &step.action {
        Action::Parallel(steps) => steps.iter().map(inner).max().unwrap_or_default(),
        Action::Procedure(name) if depth < 4 => {
            let steps = scenario.procedure(name).into_iter().flat_map(|procedure| &procedure.spec.steps);
            steps.map(inner).fold(Duration::ZERO, Duration::plus)
        }
        Action::Fault(_)
        | Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_) => Duration::ZERO,
    })
}

fn budget(step: &Step) -> Option<Duration> {
    step.budget.or_else(|| waits(step))
}

fn limit(step: &Step) -> Option<Duration> {
    step.timeout.or_else(|| budget(step))
}

fn waits(step: &Step) -> Option<Duration> {
    match &step.action {
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
    }
}
