//! `drillmaster heal FOLDER`: put back what a dead run left, from its journal.
//!
//! The healing itself is the engine's. A rehearsal's regions end with its process, so a rehearsal's journal has nothing to heal.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{exit, say};
use crate::journal;
use crate::undo::outstanding;

/// Put back what a run left that died, from its journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster heal reports/checkout-region-failover-7c1f0a9e")]
pub struct Heal {
    /// The evidence folder of the run.
    pub folder: PathBuf,
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
    let Some(header) = evidence.header() else {
        say("the journal has no start: nothing was done by this run, and nothing is to be healed");
        return exit::code(exit::MET);
    };
    let open = outstanding(&evidence.events);
    if header.rehearsal {
        say(&format!(
            "run {} was a rehearsal: its simulated regions ended with its process, so nothing is left to heal \
             ({} effects were in place when it ended)",
            header.run,
            open.len(),
        ));
        return exit::code(exit::MET);
    }
    for open in &open {
        say(&format!("outstanding: step {}: {}", open.step, open.effect.act));
    }
    say("error: this version runs in simulated regions only, so it has no way to these clusters");
    exit::code(if open.is_empty() { exit::USAGE } else { exit::NOT_HEALED })
}
