//! From documents to a plan: steps in order with their deadlines, what each will do, what it would take to fail a promise.
//!
//! ```text
//! scenario ─► outline ─► reads ─► inventory ─► plan (blast radius, refusals)
//!               │                                └─► effects (each step's acts with their undo, for people)
//!               ├ steps       stages, default deadlines and budgets
//!               ├ longest     the longest way through
//!               ├ moved       which services it moves
//!               └ objectives  what is promised, by the catalogue
//! ```
//! An outline needs no cluster: a tabletop drill is one. What a recovery will do depends on the world as it is after the fault, so
//! one that finds nothing to do yet is no error here; a fault that finds nothing is.

mod longest;
mod moved;
mod objectives;
mod steps;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::document::{Diagnostic, Path};
use crate::fault::FaultKind;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read};
use crate::model::name::{Name, Region, RunId, StepId};
use crate::model::plan::{Action, Authority, Plan, Stage, Step, Touched, Whole};
use crate::model::rollout;
use crate::model::scene::{Refusal, Scene};
use crate::recovery::RecoveryKind;
use crate::scenario::Scenario;

/// One act as people read it in a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    pub act: Act,
    /// What takes it back.
    pub undo: String,
}

/// What each fault and recovery would do now, in the order of the steps; a refusal says why that is not known.
pub type Effects = BTreeMap<StepId, Result<Vec<Planned>, Refusal>>;

/// The plan as far as the documents alone tell: no blast radius.
///
/// # Errors
/// What the documents promise and cannot keep, all at once.
pub fn outline(scenario: &Scenario) -> Result<Plan, Vec<Diagnostic>> {
    let drill = &scenario.drill.spec;
    let steps = steps::of(scenario)?;
    let services = objectives::services(scenario);
    let mut plan = Plan {
        drill: scenario.drill.metadata.name.clone(),
        purpose: drill.purpose.clone(),
        drill_type: drill.drill_type,
        announced: drill.announced,
        absent: drill.absent.clone(),
        lost: drill.regions.lost.clone(),
        takes_over: drill.regions.takes_over.clone(),
        regions: steps::regions(scenario, &steps),
        namespaces: drill.limits.namespaces.clone(),
        services,
        objectives: objectives::objectives(scenario),
        severity: objectives::severity(scenario),
        expectations: drill.expectations.clone(),
        probes: steps::probes(drill),
        ledgers: steps::ledgers(drill),
        steady_state: drill.steady_state.lasting,
        limits: steps::limits(drill),
        longest: longest::path(&steps),
        steps,
        point_of_no_return: None,
        authorities: Vec::new(),
        whole: Vec::new(),
        ladder: objectives::ladder(scenario),
        blast_radius: Vec::new(),
        runbook: drill.runbook.clone(),
    };
    plan.authorities = authorities(&plan);
    let moves = |step: &&Step| matches!(step.action, Action::Recover { moves_authority: true, .. });
    let first = plan.all_steps().find(moves).map(|first| first.id.clone());
    plan.point_of_no_return = first;
    let moved = moved::moved(&plan);
    for service in &mut plan.services {
        service.moved = moved.contains(&service.name);
    }
    let broken = broken_promises(scenario, &plan);
    if broken.is_empty() { Ok(plan) } else { Err(broken) }
}

/// Where a drill takes longer than it promises, or than its own limit. Steps that cannot be laid out are wrong for another reason, which
/// the checks of the documents say.
pub fn too_long(scenario: &Scenario) -> Vec<Diagnostic> {
    steps::of(scenario).map(|steps| longest::too_long(scenario, &steps)).unwrap_or_default()
}

/// The whole plan, against the world as it is, which has these regions.
///
/// # Errors
/// As [`outline`], and faults that have no target or one out of scope.
pub fn plan(scenario: &Scenario, regions: &[Region], facts: &Facts) -> Result<Plan, Vec<Diagnostic>> {
    let mut plan = outline(scenario)?;
    let mut refused = Vec::new();
    for (step, refusal) in
        effects(&plan, regions, facts).into_iter().filter_map(|(step, acts)| Some((step, acts.err()?)))
    {
        let is_fault = matches!(plan.step(&step).map(|step| &step.action), Some(Action::Fault { .. }));
        if is_fault || matches!(refusal, Refusal::OutOfScope(_)) {
            refused.push(blame(scenario, &step, &refusal.to_string()));
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    plan.blast_radius = blast_radius(&plan, regions, facts);
    plan.whole = whole(&plan, facts);
    Ok(plan)
}

/// What `plan` and `effects` must see of a world with these regions.
pub fn reads(plan: &Plan, regions: &[Region]) -> Vec<Read> {
    let run = unborn();
    let of = |step| match kind(step)? {
        Acting::Fault(fault, region) => {
            Some(fault.behaviour().reads(&scene(plan, &run, &step.id, region, regions)))
        }
        Acting::Recovery(recovery, region) => {
            Some(recovery.behaviour().reads(&scene(plan, &run, &step.id, region, regions)))
        }
    };
    let mut reads: Vec<Read> = plan.all_steps().filter_map(of).flatten().collect();
    for (region, resource, namespace) in workloads(plan) {
        reads.push(Read::in_namespace(region, resource, namespace));
    }
    reads.sort();
    reads.dedup();
    reads
}

/// What each step would do to the world as it is now.
pub fn effects(plan: &Plan, regions: &[Region], facts: &Facts) -> Effects {
    let run = unborn();
    let of = |step: &Step| {
        let planned = match kind(step)? {
            Acting::Fault(fault, region) => {
                let fault = fault.behaviour();
                let acts = fault.acts(&scene(plan, &run, &step.id, region, regions), facts);
                let none = if fault.heals_itself() { HEALS_ITSELF } else { IRREVERSIBLE };
                acts.map(|acts| with_undo(acts, none))
            }
            Acting::Recovery(recovery, region) => {
                let recovery = recovery.behaviour();
                let acts = recovery.acts(&scene(plan, &run, &step.id, region, regions), facts);
                let none = match (recovery.fences(), recovery.irreversible()) {
                    (true, _) => "promote it again where it took the writes, else have it follow again",
                    (false, true) => IRREVERSIBLE,
                    (false, false) => "none needed",
                };
                acts.map(|acts| with_undo(acts, none))
            }
        };
        Some((step.id.clone(), planned))
    };
    plan.all_steps().filter_map(of).collect()
}

/// The run that a plan is for does not exist yet.
fn unborn() -> RunId {
    RunId::from("run")
}

fn scene<'a>(
    plan: &'a Plan,
    run: &'a RunId,
    step: &'a StepId,
    region: &'a Region,
    regions: &'a [Region],
) -> Scene<'a> {
    Scene { run, step, region, regions, namespaces: &plan.namespaces }
}

/// A step that acts on regions.
enum Acting<'a> {
    Fault(FaultKind, &'a Region),
    Recovery(RecoveryKind, &'a Region),
}

/// The kind of a step that acts; our own text, so it always reads back.
fn kind(step: &Step) -> Option<Acting<'_>> {
    match &step.action {
        Action::Fault { fault, region, .. } => {
            serde_json::from_value(fault.clone()).ok().map(|kind| Acting::Fault(kind, region))
        }
        Action::Recover { recover, region, .. } => {
            serde_json::from_value(recover.clone()).ok().map(|kind| Acting::Recovery(kind, region))
        }
        Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(_)
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_)
        | Action::Parallel { .. }
        | Action::Procedure { .. } => None,
    }
}

/// The authority of each workload that a step promotes, demotes or fences, with all that move it: there, on, and back.
fn authorities(plan: &Plan) -> Vec<Authority> {
    let run = unborn();
    let decided = plan.all_steps().filter_map(|step| match kind(step)? {
        Acting::Recovery(recovery, region) => {
            recovery.behaviour().authority(&scene(plan, &run, &step.id, region, &plan.regions))
        }
        Acting::Fault(..) => None,
    });
    let mut found: Vec<Authority> = Vec::new();
    for authority in decided {
        match found.iter_mut().find(|known| known.workload == authority.workload) {
            Some(known) => known.moves.extend(authority.moves),
            None => found.push(authority),
        }
    }
    found
}

const HEALS_ITSELF: &str = "none needed: its controller makes it again";
const IRREVERSIBLE: &str = "none: irreversible";

/// The acts with what takes each back; `none` says why nothing does, where its kind knows no reverse.
fn with_undo(acts: Vec<Act>, none: &str) -> Vec<Planned> {
    let run = |argv: &Option<Vec<String>>| argv.as_ref().map(|argv| format!("run `{}`", argv.join(" ")));
    let undo = |act: &Act| match act {
        Act::Create { .. } => Some("remove it".to_owned()),
        Act::Patch { .. } => Some("put the touched fields back".to_owned()),
        Act::Evict { .. } => Some(HEALS_ITSELF.to_owned()),
        Act::Delete { .. } => (none != HEALS_ITSELF).then(|| "put it back".to_owned()),
        Act::Exec(exec) => run(&exec.reverse),
        Act::Http { reverse, .. } => {
            reverse.as_ref().map(|request| format!("send {} {}", request.method, request.url))
        }
        Act::Command { reverse, .. } => run(reverse),
        Act::Ask { role, .. } => Some(format!("ask {role} to take it back")),
    };
    acts.into_iter().map(|act| Planned { undo: undo(&act).unwrap_or_else(|| none.to_owned()), act }).collect()
}

fn blast_radius(plan: &Plan, regions: &[Region], facts: &Facts) -> Vec<Touched> {
    let run = unborn();
    let hits = |step| match kind(step)? {
        Acting::Fault(fault, region) => {
            let hits = fault.behaviour().hits(&scene(plan, &run, &step.id, region, regions), facts).ok()?;
            Some(counted(&step.id, hits))
        }
        Acting::Recovery(..) => None,
    };
    plan.all_steps().filter_map(hits).flatten().collect()
}

/// What may serve users on the lost side, where a step may change it.
fn workloads(plan: &Plan) -> impl Iterator<Item = (&Region, Resource, &Name)> {
    let acts = |step: &Step| matches!(step.action, Action::Fault { .. } | Action::Recover { .. });
    let changes = plan.all_steps().any(acts);
    let lost = plan.lost.iter().filter(move |_| changes);
    let each = |namespace| [Resource::deployments(), Resource::stateful_sets()].map(|kind| (kind, namespace));
    lost.flat_map(move |lost| {
        plan.namespaces.iter().flat_map(each).map(move |(resource, namespace)| (lost, resource, namespace))
    })
}

fn whole(plan: &Plan, facts: &Facts) -> Vec<Whole> {
    let of = |(region, resource, namespace): (&Region, Resource, &Name)| {
        // What nobody can read is compared with nothing.
        let found = facts.objects(region, &resource, Some(namespace)).ok()?;
        let whole = |((_, name), object): (&(Option<Name>, Name), &Value)| Whole {
            at: Ref::new(region, resource.clone(), Some(namespace.as_str()), name.as_str()),
            replicas: rollout::wanted(object),
        };
        Some(found.iter().map(whole).collect::<Vec<_>>())
    };
    workloads(plan).filter_map(of).flatten().collect()
}

fn counted(step: &StepId, hits: Vec<Ref>) -> Vec<Touched> {
    let mut found: BTreeMap<(Region, String, Option<Name>), Vec<Name>> = BTreeMap::new();
    for Ref { region, resource, namespace, name, .. } in hits {
        found.entry((region, resource.plural, namespace)).or_default().push(name);
    }
    let touched = |((region, plural, namespace), mut names): ((_, String, _), Vec<Name>)| {
        names.sort();
        names.dedup();
        Touched { step: step.clone(), region, namespace, plural: plural.into(), names }
    };
    found.into_iter().map(touched).collect()
}

fn broken_promises(scenario: &Scenario, plan: &Plan) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let mut broken = longest::too_long(scenario, &plan.steps);
    for step in plan.all_steps().filter(|step| !drill.spec.allow_irreversible.contains(&step.id)) {
        if let Some(Acting::Recovery(recovery, _)) = kind(step)
            && recovery.behaviour().irreversible()
        {
            let message = format!(
                "nothing takes back `{}`: name `{}` in `allowIrreversible`",
                recovery.name(),
                step.id
            );
            broken.push(blame(scenario, &step.id, &message));
        }
    }
    broken
}

/// An error at a step, wherever it stands.
fn blame(scenario: &Scenario, id: &StepId, message: &str) -> Diagnostic {
    let stages = Path::spec().then("stages");
    for stage in Stage::ALL {
        let steps = stages.then(stage.to_string().as_str());
        if let Some(path) = steps::find(scenario.drill.spec.stages.of(stage), id, &steps) {
            return scenario.drill.text.error(&path, message);
        }
    }
    for procedure in &scenario.procedures {
        if let Some(path) = steps::find(&procedure.spec.steps, id, &Path::spec().then("steps")) {
            return procedure.text.error(&path, message);
        }
    }
    scenario.drill.text.error(&stages, message)
}

/// A kind as it stands in plans.
fn as_text(kind: &impl Serialize) -> Value {
    serde_json::to_value(kind).unwrap_or_default()
}

#[cfg(test)]
mod tests;
