//! A plan as people read it before they agree to it, and as machines do: pure, values in, text out.
//!
//! The table answers, top to bottom, what was promised, what will be done by whom and for how long, what takes it back, and what
//! it puts at risk.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::inputs::Inputs;
use super::live::{self, Live};
use super::rehearsal::{self, Rehearsal};
use super::{OutputFormat, exit, failed, inputs, look, print, print_json, say, show};

use crate::guard::rights::roles;
use crate::model::name::{Name, StepId, Vantage};
use crate::model::plan::{Action, Check, Plan, ProofBy, Step, Wait};
use crate::model::scene::Refusal;
use crate::model::target::{Objective, ObjectiveKind};
use crate::plan::{Effects, Planned};
use crate::world::World;

/// Show what a drill would do, and change nothing: on simulated regions, or on the clusters of --env.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster plan scenarios/checkout-region-failover.yaml")]
pub struct Args {
    /// The drill's file; what it refers to is found in its folder.
    pub drill: PathBuf,
    /// More files with documents that it refers to.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Plan for the real clusters of this Environment, which are only read.
    #[arg(long, value_name = "FILE")]
    pub env: Option<PathBuf>,
    /// Print the Roles and ClusterRoles that the drill needs in each region, as YAML, from a rehearsal of it.
    #[arg(long, conflicts_with = "output")]
    pub rbac: bool,
    /// A table for people, or JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Runs the command.
pub fn run(arguments: &Args) -> ExitCode {
    let inputs = match inputs::load_for(&arguments.drill, &arguments.files, arguments.env.as_deref()) {
        Ok(inputs) => inputs,
        Err(findings) => {
            show(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    if arguments.rbac {
        return rbac(&inputs);
    }
    let is_live = arguments.env.is_some();
    let runtime = match if is_live { live::runtime() } else { rehearsal::runtime() } {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    let planned = if is_live {
        let live = runtime.block_on(Live::prepare(&inputs));
        let live = live.inspect(|live| made_for(&live.world, &live.plan).iter().for_each(|line| say(line)));
        live.map(|live| (live.plan, live.effects)).map_err(|error| live::refused(&inputs, &error))
    } else {
        let rehearsal = runtime.block_on(Rehearsal::prepare(&inputs, 0, 0));
        let told = rehearsal.inspect(|one| one.sandbox.notes().iter().for_each(|line| say(line)));
        told.map(|one| (one.plan, one.effects)).map_err(|error| rehearsal::refused(&inputs, &error))
    };
    let (plan, effects) = match planned {
        Ok(planned) => planned,
        Err(code) => return code,
    };
    match arguments.output {
        OutputFormat::Text => print(&table(&plan, &effects)),
        OutputFormat::Json => print_json(&format!("{:#}", json(&plan, &effects))),
    }
    exit::code(exit::MET)
}

/// What a run makes for itself before its first step, a line each.
fn made_for(world: &World, plan: &Plan) -> Vec<String> {
    let asked = |vantage: &Vantage| plan.probes.iter().any(|probe| probe.from.contains(vantage));
    let agents = world.agents.iter().filter(|(vantage, _)| asked(vantage));
    let made =
        agents.filter_map(|(vantage, agent)| Some((vantage, agent.makes(plan.limits.max_duration)?.0)));
    made.map(|(vantage, at)| {
        format!("an agent at {vantage}, made before the run and taken away after it: {at}")
    })
    .collect()
}

/// Prints what each region must allow.
fn rbac(inputs: &Inputs) -> ExitCode {
    let rights = match live::rights(inputs) {
        Ok(rights) => rights,
        Err(error) => return rehearsal::refused(inputs, &error),
    };
    for (region, rights) in &rights {
        print(&format!("# region {region}\n"));
        for role in roles(inputs.scenario.drill.metadata.name.as_str(), rights) {
            match serde_saphyr::to_string(&role) {
                Ok(yaml) => print(&format!("---\n{yaml}")),
                Err(error) => return failed(&error, exit::BUG),
            }
        }
    }
    exit::code(exit::MET)
}

/// How many names of a blast radius are printed; the rest is counted.
const MOST_NAMES: usize = 4;

/// The plan for machines.
pub fn json(plan: &Plan, effects: &Effects) -> Value {
    let of_step = |(step, acts): (&StepId, &Result<Vec<Planned>, Refusal>)| match acts {
        Ok(acts) => json!({"step": step, "acts": acts}),
        Err(refusal) => json!({"step": step, "knownWhenItStarts": refusal.to_string()}),
    };
    json!({"plan": plan, "effects": effects.iter().map(of_step).collect::<Vec<_>>()})
}

/// The plan for people.
pub fn table(plan: &Plan, effects: &Effects) -> String {
    let mut text = heading(plan);
    text.push('\n');
    text.push_str(&step_rows(plan, effects));
    text.push('\n');
    text.push_str(&risks(plan));
    text
}

fn heading(plan: &Plan) -> String {
    let announced = if plan.announced { "announced" } else { "unannounced" };
    let mut text = format!("{} ({}, {announced})\n{}\n\n", plan.drill, word(&plan.drill_type), plan.purpose);
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{label:<13}{value}\n"));
        }
    };
    line("Regions", regions(plan));
    line("May touch", joined(&plan.namespaces));
    line("Absent", joined(&plan.absent));
    for service in promised_services(plan) {
        let promises: Vec<String> =
            plan.objectives.iter().filter(|objective| objective.service == *service).map(promise).collect();
        line("Promised", format!("{service}: {}", promises.join(", ")));
    }
    text
}

fn promised_services(plan: &Plan) -> Vec<&Name> {
    let mut found = Vec::new();
    for objective in &plan.objectives {
        if !found.contains(&&objective.service) {
            found.push(&objective.service);
        }
    }
    found
}

fn regions(plan: &Plan) -> String {
    let lost = plan.lost.as_ref().map(|region| format!("{region} is lost"));
    let takes_over = plan.takes_over.as_ref().map(|region| format!("{region} takes over"));
    lost.into_iter().chain(takes_over).collect::<Vec<_>>().join(", ")
}

fn promise(objective: &Objective) -> String {
    let target = objective.target.map(|target| format!(" {target}")).unwrap_or_default();
    let detail = match objective.kind {
        ObjectiveKind::Rta => format!(" from {}", objective.origin),
        ObjectiveKind::Rpa => match &objective.store {
            Some(store) => format!(" of {store}"),
            None => " (no ledger shares its stores: cannot be shown)".to_owned(),
        },
        ObjectiveKind::Failback => objective.rpo.map(|rpo| format!(", losing {rpo}")).unwrap_or_default(),
        ObjectiveKind::Integrity
        | ObjectiveKind::Response
        | ObjectiveKind::Mtpd
        | ObjectiveKind::Exposure => String::new(),
    };
    format!("{}{target}{detail}", objective.kind)
}

/// A row's cells: stage, step, what, who, budget, timeout, what follows.
type Row = [String; 7];

fn step_rows(plan: &Plan, effects: &Effects) -> String {
    let mut rows: Vec<(Row, Vec<String>)> =
        vec![(["STAGE", "STEP", "WHAT", "WHO", "BUDGET", "TIMEOUT", "THEN"].map(str::to_owned), Vec::new())];
    let mut stage = None;
    for step in &plan.steps {
        let label = if stage == Some(step.stage) { String::new() } else { step.stage.to_string() };
        stage = Some(step.stage);
        push(plan, effects, step, label, 0, &mut rows);
    }
    let width = |cell: usize| rows.iter().map(|(row, _)| row[cell].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (row, details) in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        for detail in details {
            text.push_str(&format!("{:indent$}{detail}\n", "", indent = widths[0] + 4));
        }
    }
    text
}

fn push(
    plan: &Plan,
    effects: &Effects,
    step: &Step,
    stage: String,
    depth: usize,
    rows: &mut Vec<(Row, Vec<String>)>,
) {
    let mut details = Vec::new();
    match effects.get(&step.id) {
        Some(Ok(acts)) => {
            details.extend(acts.iter().map(|planned| format!("- {} (undo: {})", planned.act, planned.undo)));
            if acts.is_empty() {
                details
                    .push("- nothing to do as the world is now; looked at again when it starts".to_owned());
            }
        }
        Some(Err(refusal)) => details.push(format!("- known when it starts; now {refusal}")),
        None => {}
    }
    if plan.point_of_no_return.as_ref() == Some(&step.id) {
        details.push("- POINT OF NO RETURN: from here, only the failback goes back".to_owned());
    }
    let row = [
        stage,
        format!("{:indent$}{}", "", step.id, indent = depth * 2),
        what(step),
        who(step),
        step.budget.map(|budget| budget.to_string()).unwrap_or_default(),
        step.timeout.to_string(),
        word(&step.on_timeout),
    ];
    rows.push((row, details));
    match &step.action {
        Action::Parallel { steps } | Action::Procedure { steps, .. } => {
            for inner in steps {
                push(plan, effects, inner, String::new(), depth + 1, rows);
            }
        }
        Action::Fault { .. }
        | Action::Recover { .. }
        | Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(_)
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_) => {}
    }
}

fn what(step: &Step) -> String {
    match &step.action {
        Action::Fault { fault, region, proof } => {
            let by = match &proof.by {
                ProofBy::Probe(probe) => format!("{probe} fails"),
                ProofBy::Objects => "objects show it".to_owned(),
            };
            format!("fault {} in {region}; {by} within {}", kind(fault), proof.within)
        }
        Action::Recover { recover, region, .. } => format!("recover {} in {region}", kind(recover)),
        Action::RemoveFault { step } => format!("remove the fault {step}"),
        Action::Declare { escalation, .. } => {
            let rungs: Vec<String> =
                escalation.iter().map(|rung| format!("{} after {}", rung.role, rung.after)).collect();
            if rungs.is_empty() {
                "declare the disaster".to_owned()
            } else {
                format!("declare; asked: {}", rungs.join(", "))
            }
        }
        Action::Wait(Wait::Alert(alert)) => format!("wait for the alert {alert}"),
        Action::Wait(Wait::Duration(time)) => format!("wait {time}"),
        Action::Wait(Wait::Succeeds(until)) => {
            format!("wait until {} succeeds for {}", until.probe, until.lasting)
        }
        Action::Task { text, .. } => shortened(text),
        Action::Notify { audience, within, .. } => match within {
            Some(within) => format!("tell {audience} within {within}"),
            None => format!("tell {audience}"),
        },
        Action::Check(Check::Ledger(check)) => match &check.store {
            Some(store) => format!("read the ledger of {store} back"),
            None => "read every ledger back".to_owned(),
        },
        Action::Check(Check::Probe(probe)) => format!("check that {probe} succeeds"),
        Action::Parallel { .. } => "all at once:".to_owned(),
        Action::Procedure { name, .. } => format!("procedure {name}:"),
    }
}

fn who(step: &Step) -> String {
    let role = match &step.action {
        Action::Declare { role, .. } | Action::Task { role, .. } => Some(role),
        Action::Fault { .. }
        | Action::Recover { .. }
        | Action::RemoveFault { .. }
        | Action::Wait(_)
        | Action::Notify { .. }
        | Action::Check(_)
        | Action::Parallel { .. }
        | Action::Procedure { .. } => step.role.as_ref(),
    };
    role.map_or_else(|| "drillmaster".to_owned(), ToString::to_string)
}

fn risks(plan: &Plan) -> String {
    let mut text = format!("{:<13}{} by budgets", "Longest path", plan.longest.budgets);
    for objective in plan.objectives.iter().filter(|objective| objective.kind == ObjectiveKind::Rta) {
        if let Some(rto) = objective.target {
            text.push_str(&format!(", RTO of {} {rto}", objective.service));
        }
    }
    text.push_str(&format!(
        "\n{:<13}{} by timeouts, {} at most\n",
        "", plan.longest.timeouts, plan.limits.max_duration
    ));
    let mut label = "Blast radius";
    for touched in &plan.blast_radius {
        let place =
            touched.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let shown = joined(&touched.names[..touched.names.len().min(MOST_NAMES)]);
        let more = touched.names.len().saturating_sub(MOST_NAMES);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!(
            "{label:<13}{}: {} {}{place} of {}: {shown}{rest}\n",
            touched.step,
            touched.names.len(),
            touched.plural,
            touched.region
        ));
        label = "";
    }
    for (authority, first) in plan.authorities.iter().filter_map(|moved| Some((moved, moved.moves.first()?)))
    {
        let others: Vec<&str> = authority.others(&first.to).map(|side| side.region.as_str()).collect();
        text.push_str(&format!(
            "{:<13}{}: {} writes in {} from there on; must not write meanwhile: {}\n",
            "No way back",
            first.step,
            authority.workload,
            first.to,
            others.join(", ")
        ));
    }
    text
}

/// The kind's name of a fault or a recovery.
fn kind(text: &Value) -> &str {
    text.as_object().and_then(|kind| kind.keys().next()).map_or("", String::as_str)
}

/// A word as it stands in documents.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn joined<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// At most as much of a text as fits into a row.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
