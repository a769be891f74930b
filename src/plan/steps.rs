//! The steps of a plan: stage by stage, with the deadlines and budgets that the scenario leaves out.

use super::{as_text, longest, objectives};
use crate::document::{Diagnostic, Path};
use crate::model::name::{Name, Region, StepId};
use crate::model::plan::{
    self, Action, Ledger, Limits, OnTimeout, Probe, Proof, ProofBy, ProofUntil, Stage, Step, Wait,
};
use crate::model::scene::Scene;
use crate::model::time::Duration;
use crate::scenario::{self, Drill, Scenario};

/// What the objects must show a fault within, where the scenario names no proof or no time.
const PROOF_WITHIN: Duration = Duration::from_secs(60);
/// What a wait may take beyond the time that it waits.
const WAIT_MARGIN: Duration = Duration::from_secs(60);

/// How long a step of a stage may take, and what follows, where the scenario does not say.
fn defaults(stage: Stage) -> (Duration, OnTimeout) {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    match stage {
        Stage::Inject => (minutes(5), OnTimeout::Abort),
        Stage::Detect => (minutes(10), OnTimeout::Finding),
        Stage::Declare => (minutes(15), OnTimeout::Escalate),
        Stage::Failover => (minutes(10), OnTimeout::Abort),
        Stage::Verify => (minutes(5), OnTimeout::Finding),
        Stage::Operate => (minutes(10), OnTimeout::Finding),
        Stage::Failback => (minutes(5), OnTimeout::Abort),
    }
}

/// Every step, in the order of the stages.
pub(super) fn of(scenario: &Scenario) -> Result<Vec<Step>, Vec<Diagnostic>> {
    let mut build = Build { scenario, errors: Vec::new(), within: Vec::new() };
    let mut all = Vec::new();
    for stage in Stage::ALL {
        let given = scenario.drill.spec.stages.of(stage);
        let mut steps: Vec<Step> = given.iter().map(|step| build.step(stage, step)).collect();
        share_out(scenario, stage, &mut steps);
        all.extend(steps);
    }
    if build.errors.is_empty() { Ok(all) } else { Err(build.errors) }
}

struct Build<'a> {
    scenario: &'a Scenario,
    errors: Vec<Diagnostic>,
    /// The procedures that a step stands in, the outermost first.
    within: Vec<Name>,
}

impl Build<'_> {
    fn step(&mut self, stage: Stage, given: &scenario::Step) -> Step {
        let action = self.action(stage, given);
        let (default, then) = defaults(stage);
        let least = match &action {
            Action::Wait(Wait::Duration(time)) => time.plus(WAIT_MARGIN),
            Action::Wait(Wait::Succeeds(succeeds)) => succeeds.lasting.plus(default),
            Action::Fault { proof, .. } => proof.within.max(default),
            Action::Parallel { .. } | Action::Procedure { .. } => longest::inside(&action, longest::timeout),
            Action::Recover { .. }
            | Action::RemoveFault { .. }
            | Action::Declare { .. }
            | Action::Wait(Wait::Alert(_))
            | Action::Task { .. }
            | Action::Notify { .. }
            | Action::Check(_) => default,
        };
        Step {
            id: given.id.clone(),
            stage,
            title: given.title.clone(),
            role: given.role.clone(),
            runbook: given.runbook.clone(),
            budget: given.budget,
            timeout: given.timeout.unwrap_or_else(|| least.max(given.budget.unwrap_or_default())),
            // What runs inside has its own deadlines, and escalates by itself.
            on_timeout: given.on_timeout.unwrap_or(if is_group(&action) && then == OnTimeout::Escalate {
                OnTimeout::Abort
            } else {
                then
            }),
            action,
        }
    }

    fn action(&mut self, stage: Stage, given: &scenario::Step) -> Action {
        match &given.action {
            scenario::Action::Fault(kind) => {
                let region = self.region(given, None, stage);
                let proof = proof(given.proof.as_ref(), kind.behaviour().heals_itself());
                Action::Fault { fault: as_text(kind), region, proof }
            }
            scenario::Action::Recover(kind) => {
                let recover = as_text(kind);
                let own = recover[kind.name()]["region"].as_str().map(Region::from);
                let region = self.region(given, own, stage);
                let run = super::unborn();
                let scene =
                    Scene { run: &run, step: &given.id, region: &region, regions: &[], namespaces: &[] };
                let moves_authority =
                    kind.behaviour().authority(&scene).is_some_and(|of| !of.moves.is_empty());
                Action::Recover { recover, region, moves_authority }
            }
            scenario::Action::RemoveFault(step) => Action::RemoveFault { step: step.clone() },
            scenario::Action::Declare(declare) => {
                Action::Declare { role: declare.role.clone(), escalation: objectives::ladder(self.scenario) }
            }
            scenario::Action::Wait(wait) => Action::Wait(wait.clone()),
            scenario::Action::Task(task) => Action::Task { role: task.role.clone(), text: task.text.clone() },
            scenario::Action::Notify(notify) => Action::Notify {
                audience: notify.audience.clone(),
                text: notify.text.clone(),
                within: notify.within,
            },
            scenario::Action::Check(check) => Action::Check(check.clone()),
            scenario::Action::Procedure(name) => {
                let found = self.scenario.procedure(name).map(|document| document.spec.steps.as_slice());
                if found.is_none() {
                    self.refuse(given, &format!("there is no Procedure named `{name}`"));
                }
                // One that leads to itself is refused by the checks, and ends here.
                let found = found.filter(|_| !self.within.contains(name)).unwrap_or_default();
                self.within.push(name.clone());
                let steps = found.iter().map(|step| self.step(stage, step)).collect();
                self.within.pop();
                Action::Procedure { name: name.clone(), steps }
            }
            scenario::Action::Parallel(steps) => {
                Action::Parallel { steps: steps.iter().map(|step| self.step(stage, step)).collect() }
            }
        }
    }

    /// Where a step acts: its own region, else the part of its kind in the drill, else the only region that there is.
    fn region(&mut self, given: &scenario::Step, own: Option<Region>, stage: Stage) -> Region {
        let regions = &self.scenario.drill.spec.regions;
        let (lost, takes_over) = (regions.lost.clone(), regions.takes_over.clone());
        let default = match &given.action {
            scenario::Action::Fault(_) => lost.or(takes_over),
            _ => takes_over.or(lost),
        };
        own.or(default).unwrap_or_else(|| {
            self.refuse(
                given,
                &format!("this step of {stage} has no region: say `regions.lost` or `regions.takesOver`"),
            );
            Region::default()
        })
    }

    fn refuse(&mut self, given: &scenario::Step, message: &str) {
        self.errors.push(super::blame(self.scenario, &given.id, message));
    }
}

fn is_group(action: &Action) -> bool {
    matches!(action, Action::Parallel { .. } | Action::Procedure { .. })
}

fn proof(given: Option<&scenario::Proof>, heals_itself: bool) -> Proof {
    let until = given.map(|proof| proof.until).unwrap_or_default();
    let by = given.and_then(|proof| proof.probe.clone()).map_or(ProofBy::Objects, ProofBy::Probe);
    let within = given.and_then(|proof| proof.fails_within.or(proof.objects_within));
    Proof {
        by,
        within: within.unwrap_or(PROOF_WITHIN),
        until: if heals_itself && until == ProofUntil::Recovery { ProofUntil::Once } else { until },
    }
}

/// Shares what a stage's steps leave of the catalogue's budget out to those without one.
fn share_out(scenario: &Scenario, stage: Stage, steps: &mut [Step]) {
    let budgets = objectives::promised(scenario).filter_map(|service| service.budget.as_ref());
    let of_stage = |budget: &crate::catalogue::Budget| match stage {
        Stage::Detect => Some(budget.detection),
        Stage::Declare => Some(budget.decision),
        Stage::Failover => Some(budget.failover),
        Stage::Inject | Stage::Verify | Stage::Operate | Stage::Failback => None,
    };
    let Some(whole) = budgets.filter_map(of_stage).min() else { return };
    let left = whole.minus(longest::sum(steps.iter().map(longest::budget)));
    let without: Vec<&mut Step> =
        steps.iter_mut().filter(|step| longest::budget(step) == Duration::ZERO).collect();
    let Some(each) = u32::try_from(without.len()).ok().and_then(|many| left.checked_div(many)) else {
        return;
    };
    if each.is_zero() {
        return;
    }
    let whole_milliseconds = u64::try_from(each.as_millis()).unwrap_or(u64::MAX);
    for step in without {
        step.budget = Some(Duration::from_millis(whole_milliseconds));
    }
}

/// The drill's regions, first the lost one and the one that takes over, then those that steps name.
pub(super) fn regions(scenario: &Scenario, steps: &[Step]) -> Vec<Region> {
    let parts = &scenario.drill.spec.regions;
    let mut found: Vec<Region> = Vec::new();
    let all = steps.iter().flat_map(|step| std::iter::once(step).chain(step.action.steps()));
    let of_steps = all.filter_map(|step| match &step.action {
        Action::Fault { region, .. } | Action::Recover { region, .. } => Some(region),
        Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(_)
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_)
        | Action::Parallel { .. }
        | Action::Procedure { .. } => None,
    });
    for region in parts.lost.iter().chain(&parts.takes_over).chain(of_steps) {
        if !found.contains(region) {
            found.push(region.clone());
        }
    }
    found
}

/// The way to a step among these, at any depth.
pub(super) fn find(steps: &[scenario::Step], id: &StepId, at: &Path) -> Option<Path> {
    steps.iter().enumerate().find_map(|(i, step)| {
        let here = at.then(i);
        if step.id == *id {
            return Some(here.then("id"));
        }
        match &step.action {
            scenario::Action::Parallel(inner) => find(inner, id, &here.then("parallel")),
            _ => None,
        }
    })
}

/// The drill's probes.
pub(super) fn probes(drill: &Drill) -> Vec<Probe> {
    let probe = |probe: &scenario::Probe| Probe {
        id: probe.id.clone(),
        service: probe.service.clone(),
        control: probe.control,
        every: probe.every,
        timeout: probe.timeout,
        from: probe.from.clone(),
        fresh_every: probe.fresh_every,
        ask: as_text(&probe.ask),
    };
    drill.probes.iter().map(probe).collect()
}

/// The drill's ledgers.
pub(super) fn ledgers(drill: &Drill) -> Vec<Ledger> {
    let ledger = |ledger: &scenario::Ledger| Ledger {
        service: ledger.service.clone(),
        store: ledger.store.clone(),
        url: ledger.url.clone(),
        writes_per_second: ledger.writes_per_second,
        timeout: ledger.timeout,
        from: ledger.from.clone(),
    };
    drill.workload.ledger.iter().map(ledger).collect()
}

/// The drill's limits.
pub(super) fn limits(drill: &Drill) -> Limits {
    plan::Limits { max_duration: drill.limits.max_duration, abort_when: drill.limits.abort_when.clone() }
}
