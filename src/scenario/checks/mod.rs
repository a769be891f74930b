//! What a drill's documents must not say: one file per check, each a pure function from the documents to diagnostics.
//!
//! How to add one: a file here with a function `check`, its line in [`ALL`], and a bad document under `tests/bad_input`.

pub mod absent_catalogue;
pub mod at_once;
pub mod duplicate_id;
pub mod early_removal;
pub mod fault_left;
pub mod irreversible;
pub mod leaves_folder;
pub mod longer_than_the_run;
pub mod may_not_declare;
pub mod misspelt_record;
pub mod nesting;
pub mod not_the_canary;
pub mod own_proof;
pub mod regions;
pub mod scope;
pub mod second_primary;
pub mod shared_proof;
mod sides;
pub mod slow_probe;
pub mod stage_fits;
pub mod too_short;
pub mod unaskable;
pub mod undeclared;
pub mod unfenceable;
pub mod unjudged;
pub mod unknown_alert;
pub mod unknown_probe;
pub mod unknown_role;
pub mod unknown_service;
pub mod unknown_step;
pub mod unproven_fault;
pub mod unrehearsed;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Action, Drill, Procedure, Scenario, Step};
use crate::document::{Diagnostic, Document, Path, Text, ordered};
use crate::model::name::{Name, Region};
use crate::model::plan::Stage;
use crate::model::url::Url;

/// Every check.
pub const ALL: &[fn(&Scenario) -> Vec<Diagnostic>] = &[
    absent_catalogue::check,
    at_once::check,
    duplicate_id::check,
    early_removal::check,
    fault_left::check,
    irreversible::check,
    leaves_folder::check,
    longer_than_the_run::check,
    may_not_declare::check,
    misspelt_record::check,
    nesting::check,
    not_the_canary::check,
    own_proof::check,
    regions::check,
    scope::check,
    second_primary::check,
    shared_proof::check,
    slow_probe::check,
    stage_fits::check,
    too_short::check,
    unaskable::check,
    undeclared::check,
    unfenceable::check,
    unjudged::check,
    unknown_alert::check,
    unknown_probe::check,
    unknown_role::check,
    unknown_service::check,
    unknown_step::check,
    unproven_fault::check,
    unrehearsed::check,
];

/// Everything that is wrong with a scenario whose documents have the right shape.
pub fn all(scenario: &Scenario) -> Vec<Diagnostic> {
    ordered(ALL.iter().flat_map(|check| check(scenario)).collect())
}

/// A step, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed<'a> {
    pub stage: Stage,
    pub step: &'a Step,
    pub path: Path,
    /// The text that the path leads through: the drill's, or a procedure's.
    pub text: &'a Text,
}

impl Placed<'_> {
    /// The path of the action's value.
    pub fn action(&self) -> Path {
        self.path.then(self.step.action.key())
    }
}

impl Action {
    /// The key that it stands under.
    pub fn key(&self) -> &'static str {
        match self {
            Action::Fault(_) => "fault",
            Action::Recover(_) => "recover",
            Action::RemoveFault(_) => "removeFault",
            Action::Declare(_) => "declare",
            Action::Wait(_) => "wait",
            Action::Task(_) => "task",
            Action::Notify(_) => "notify",
            Action::Check(_) => "check",
            Action::Procedure(_) => "procedure",
            Action::Parallel(_) => "parallel",
        }
    }

    /// The parameters of a fault or a recovery, with the kind's name.
    pub(crate) fn parameters(&self) -> Option<(&'static str, Value)> {
        let (name, value) = match self {
            Action::Fault(kind) => (kind.name(), serde_json::to_value(kind)),
            Action::Recover(kind) => (kind.name(), serde_json::to_value(kind)),
            Action::RemoveFault(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_)
            | Action::Parallel(_) => return None,
        };
        Some((name, value.ok()?.get(name)?.clone()))
    }
}

/// Every step in the order of the run, with those inside `parallel` and of procedures.
pub(crate) fn steps(scenario: &Scenario) -> Vec<Placed<'_>> {
    let drill: &Document<Drill> = &scenario.drill;
    let mut placed = Vec::new();
    for stage in Stage::ALL {
        let path = Path::spec().then("stages").then(&*stage.to_string());
        for (index, step) in drill.spec.stages.of(stage).iter().enumerate() {
            add(scenario, &mut placed, Placed { stage, step, path: path.then(index), text: &drill.text });
        }
    }
    placed
}

fn add<'a>(scenario: &'a Scenario, placed: &mut Vec<Placed<'a>>, at: Placed<'a>) {
    placed.push(at.clone());
    match &at.step.action {
        Action::Parallel(steps) => {
            let path = at.action();
            for (index, step) in steps.iter().enumerate() {
                add(scenario, placed, Placed { step, path: path.then(index), ..at.clone() });
            }
        }
        // One that another holds is refused by `nesting`, and looked into by nobody.
        Action::Procedure(name) if std::ptr::eq(at.text, &scenario.drill.text) => {
            let Some(procedure): Option<&Document<Procedure>> = scenario.procedure(name) else { return };
            let path = Path::spec().then("steps");
            for (index, step) in procedure.spec.steps.iter().enumerate() {
                let inner = Placed { stage: at.stage, step, path: path.then(index), text: &procedure.text };
                add(scenario, placed, inner);
            }
        }
        Action::Fault(_)
        | Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_) => {}
    }
}

/// The hosts that a drill's probes and its ledger ask.
fn hosts(scenario: &Scenario) -> impl Iterator<Item = String> {
    let spec = &scenario.drill.spec;
    let probes = spec.probes.iter().filter_map(|probe| probe.ask.behaviour().ask().host());
    let ledger = spec.workload.ledger.iter().filter_map(|ledger| Some(ledger.url.parse::<Url>().ok()?.host));
    probes.chain(ledger)
}

/// The procedures that a drill's steps name, each once.
pub fn named_procedures(drill: &Drill) -> BTreeSet<Name> {
    let named = drill.all_steps().filter_map(|(_, step)| match &step.action {
        Action::Procedure(name) => Some(name.clone()),
        Action::Fault(_)
        | Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Parallel(_) => None,
    });
    named.collect()
}

/// The region that a fault or a recovery acts in.
pub(crate) fn region_of(scenario: &Scenario, action: &Action) -> Option<Region> {
    let named =
        action.parameters().and_then(|(_, parameters)| parameters["region"].as_str().map(Region::from));
    let regions = &scenario.drill.spec.regions;
    let default = match action {
        Action::Fault(_) => &regions.lost,
        Action::Recover(_)
        | Action::RemoveFault(_)
        | Action::Declare(_)
        | Action::Wait(_)
        | Action::Task(_)
        | Action::Notify(_)
        | Action::Check(_)
        | Action::Procedure(_)
        | Action::Parallel(_) => &regions.takes_over,
    };
    named.or_else(|| default.clone())
}

/// The names of a list, for "did you mean".
pub(crate) fn texts<'a>(names: impl IntoIterator<Item = &'a Name>) -> impl Iterator<Item = &'a str> {
    names.into_iter().map(Name::as_str)
}
