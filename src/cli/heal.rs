//! `drillmaster heal FOLDER`: put back what a dead run left, from its journal.
//!
//! The healing itself is the engine's. A rehearsal's regions end with its process, so a rehearsal's journal has nothing to heal.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{OutputFormat, exit, failed, print_json, say};
use crate::journal;
use crate::model::evidence::Evidence;
use crate::model::name::{RunId, StepId};
use crate::undo::{Open, outstanding};

/// Put back what a run left that died, from its journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster heal reports/checkout-region-failover-7c1f0a9e")]
pub struct Heal {
    /// The evidence folder of the run.
    pub folder: PathBuf,
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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Owed {
    step: StepId,
    act: String,
}

/// Runs the command.
pub fn run(arguments: &Heal) -> ExitCode {
    let evidence = match journal::read(&arguments.folder) {
        Ok(evidence) => evidence,
        Err(error) => {
            say(&format!("error: {error}"));
            return exit::code(exit::JOURNAL);
        }
    };
    for gap in &evidence.gaps {
        say(&format!("note: {gap}"));
    }
    let healed = healed(&evidence);
    if arguments.output == OutputFormat::Json {
        match serde_json::to_string_pretty(&healed) {
            Ok(json) => print_json(&json),
            Err(error) => return failed(&error, exit::BUG),
        }
    }
    if healed.run.is_none() || healed.rehearsal {
        return exit::code(exit::MET);
    }
    say("error: this version runs in simulated regions only, so it has no way to these clusters");
    exit::code(if healed.left.is_empty() { exit::USAGE } else { exit::NOT_HEALED })
}

/// What this version can say of a journal, which is said to people as well.
fn healed(evidence: &Evidence) -> Healed {
    let Some(header) = evidence.header() else {
        say("the journal has no start: nothing was done by this run, and nothing is to be healed");
        return Healed::default();
    };
    let open = outstanding(&evidence.events);
    let of_run = Healed { run: Some(header.run.clone()), rehearsal: header.rehearsal, ..Healed::default() };
    if header.rehearsal {
        say(&format!(
            "run {} was a rehearsal: its simulated regions ended with its process, so nothing is left to heal \
             ({} effects were in place when it ended)",
            header.run,
            open.len(),
        ));
        return of_run;
    }
    let owed = |open: Open| Owed { step: open.step, act: open.effect.act.to_string() };
    let left: Vec<Owed> = open.into_iter().map(owed).collect();
    for owed in &left {
        say(&format!("outstanding: step {}: {}", owed.step, owed.act));
    }
    Healed { left, ..of_run }
}
