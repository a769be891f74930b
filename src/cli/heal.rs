//! `drillmaster heal FOLDER`: put back what a dead run left, from its journal.
//!
//! The healing itself is the engine's. A rehearsal's regions end with its process, so a rehearsal's journal has nothing to heal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::signals::{interruptions, may_leave};
use super::{OutputFormat, exit, failed, inputs, live, look, print_json, progress, say, show};
use crate::cluster::clock::LiveClock;
use crate::cluster::control::Control;
use crate::cluster::{self, EnvironmentSpec, LivePeople};
use crate::engine;
use crate::journal::{self, Writer};
use crate::model::event::Event;
use crate::model::evidence::Evidence;
use crate::model::name::{RunId, StepId};
use crate::undo::{Open, outstanding};
use crate::world::watch;

/// Put back what a run left that died, from its journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster heal reports/checkout-region-failover-7c1f0a9e")]
pub struct Heal {
    /// The evidence folder of the run.
    pub folder: PathBuf,
    /// The Environment of the clusters that the run was on.
    #[arg(long, value_name = "FILE")]
    pub env: Option<PathBuf>,
    /// What people read, or what was undone and what is left as JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// What a healing did, for machines.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Healed {
    /// `null` where the journal has no start.
    run: Option<RunId>,
    rehearsal: bool,
    /// What was put back.
    undone: Vec<Owed>,
    /// What is left to do.
    left: Vec<Owed>,
}

/// An effect, and the step that it belongs to.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Owed {
    step: StepId,
    act: String,
}

/// Runs the command.
pub fn run(arguments: &Heal) -> ExitCode {
    let read = journal::read(&arguments.folder).map_err(|damaged| {
        let events = journal::read_events(&arguments.folder);
        (damaged, events.ok())
    });
    match read {
        Ok(evidence) => by(arguments, &evidence),
        // What measured the run is damaged, but not what says how to heal it.
        Err((damaged, Some(evidence))) => {
            let code = by(arguments, &evidence);
            say(&format!("error: {damaged}; healing needs none of that"));
            if code == exit::code(exit::MET) { exit::code(exit::JOURNAL) } else { code }
        }
        Err((error, None)) => {
            say(&format!("error: {error}"));
            exit::code(exit::JOURNAL)
        }
    }
}

/// Heals what a journal's events owe.
fn by(arguments: &Heal, evidence: &Evidence) -> ExitCode {
    for gap in &evidence.gaps {
        say(&format!("note: {gap}"));
    }
    let Some(header) = evidence.header() else {
        say("the journal has no start: nothing was done by this run, and nothing is to be healed");
        return told(arguments, &Healed::default(), exit::MET);
    };
    let of_run = Healed { run: Some(header.run.clone()), rehearsal: header.rehearsal, ..Healed::default() };
    let open = owed(&evidence.events);
    if header.rehearsal {
        say(&format!(
            "run {} was a rehearsal: its simulated regions ended with its process, so nothing is left to heal \
             ({} effects were in place when it ended)",
            header.run,
            open.len(),
        ));
        return told(arguments, &of_run, exit::MET);
    }
    let Some(environment) = &arguments.env else {
        for one in &open {
            say(&format!("outstanding: step {}: {}", one.step, one.act));
        }
        say("error: the run was on real clusters: name the file of their Environment with --env");
        let code = if open.is_empty() { exit::USAGE } else { exit::NOT_HEALED };
        return told(arguments, &Healed { left: open, ..of_run }, code);
    };
    let (environment, folder) = match inputs::environment(environment) {
        Ok(found) => found,
        Err(findings) => {
            show(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    may_leave(&arguments.folder, arguments.env.as_deref());
    match (interruptions(), live::runtime()) {
        (Ok(_), Ok(runtime)) => {
            runtime.block_on(healed(arguments, evidence, &environment.spec, &folder, of_run))
        }
        (Err(error), _) | (_, Err(error)) => failed(&error, exit::BUG),
    }
}

/// Heals on real clusters, as far as they are in reach.
async fn healed(
    arguments: &Heal,
    evidence: &Evidence,
    environment: &EnvironmentSpec,
    folder: &Path,
    of_run: Healed,
) -> ExitCode {
    let before = owed(&evidence.events);
    let stuck = |why: &dyn std::error::Error| {
        let code = if before.is_empty() { exit::REFUSED } else { exit::NOT_HEALED };
        failed(why, code)
    };
    let began = evidence.header().map_or(0, |header| header.wall_unix_ns);
    let clock = LiveClock::resume(began, evidence.end());
    let people = Arc::new(LivePeople::default());
    let _control = match Control::listen(&arguments.folder, Arc::clone(&people), watch::channel(false).0) {
        Ok(control) => control,
        Err(error) => return stuck(&error),
    };
    let (world, unreachable) = match cluster::world_in_reach(environment, folder, people, clock).await {
        Ok(found) => found,
        Err(error) => return stuck(&error),
    };
    for region in &unreachable {
        say(&format!("warning: {region}; what it owes stays outstanding"));
    }
    let writer = match Writer::resume(&arguments.folder) {
        Ok(writer) => Arc::new(Mutex::new(writer)),
        Err(error) => return stuck(&error),
    };
    let watcher = evidence.header().map(|header| progress::watcher(header.plan, false));
    let Some(watcher) = watcher else { return exit::code(exit::MET) };
    let finished = match engine::heal(world, evidence.events.clone(), writer, watcher).await {
        Ok(finished) => finished,
        Err(error) => return stuck(&error),
    };
    for left in &finished.outstanding {
        say(&format!("left: {} ({})", left.what, left.advice));
    }
    if let Some(why) = &finished.journal {
        say(&format!("the journal is incomplete: {why}"));
    }
    let after = match journal::read_events(&arguments.folder) {
        Ok(evidence) => owed(&evidence.events),
        Err(error) => return stuck(&error),
    };
    let (left, undone): (Vec<Owed>, Vec<Owed>) = before.into_iter().partition(|one| after.contains(one));
    if finished.outstanding.is_empty() && left.is_empty() {
        say(&nothing_left(undone.len()));
    }
    let code = match (finished.outstanding.is_empty(), &finished.journal) {
        (false, _) => exit::NOT_HEALED,
        (true, Some(_)) => exit::JOURNAL,
        (true, None) => exit::MET,
    };
    told(arguments, &Healed { undone, left, ..of_run }, code)
}

/// That a healing has ended well.
fn nothing_left(undone: usize) -> String {
    match undone {
        0 => "nothing was left to put back".to_owned(),
        1 => "1 effect was put back; nothing is left".to_owned(),
        _ => format!("{undone} effects were put back; nothing is left"),
    }
}

/// What a journal's run has done and not taken back.
fn owed(events: &[Event]) -> Vec<Owed> {
    let owed = |open: Open| Owed { step: open.step, act: open.effect.act.to_string() };
    outstanding(events).into_iter().map(owed).collect()
}

fn told(arguments: &Heal, healed: &Healed, code: u8) -> ExitCode {
    if arguments.output == OutputFormat::Json {
        match serde_json::to_string_pretty(healed) {
            Ok(json) => print_json(&json),
            Err(error) => return failed(&error, exit::BUG),
        }
    }
    exit::code(code)
}
