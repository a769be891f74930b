//! `drillmaster run DRILL`: rehearse a drill in simulated regions, and write its evidence and reports.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::inputs::{self, Inputs};
use super::rehearsal::{self, Rehearsal, runtime};
use super::report::{Written, write_all};
use super::{OutputFormat, exit, failed, look, progress, say};
use crate::engine::Finished;
use crate::journal::{self, Writer};
use crate::model::event::Ended;
use crate::verdict::Judgement;

/// Rehearse a drill: simulate its regions, break them, recover, measure, heal, and write a readiness report.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster run scenarios/checkout-region-failover.yaml --seed 7

Exit codes: 0 met, 10 missed, 11 not shown, 12 invalid, 13 journal, 14 not healed, 15 refused, 130 interrupted.")]
pub struct Run {
    /// The drill's file; what it refers to is found in its folder.
    pub drill: PathBuf,
    /// More files with documents that it refers to.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Repeat a rehearsal byte for byte; a fresh one is drawn and printed without it.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where the simulated wall clock starts, as RFC 3339.
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z")]
    pub at: DateTime<Utc>,
    /// Where the evidence goes; reports/DRILL-RUN without it.
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// What goes to standard output at the end.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Run) -> ExitCode {
    let inputs = match inputs::load(&arguments.drill, &arguments.files) {
        Ok(inputs) => inputs,
        Err(findings) => {
            say(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    if !inputs.warnings.diagnostics.is_empty() {
        say(&inputs.warnings.render(look()));
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    runtime.block_on(rehearse(arguments, &inputs, seed))
}

async fn rehearse(arguments: &Run, inputs: &Inputs, seed: u64) -> ExitCode {
    let wall = arguments.at.timestamp_nanos_opt().unwrap_or_default();
    let rehearsal = match Rehearsal::prepare(inputs, seed, wall).await {
        Ok(rehearsal) => rehearsal,
        Err(error) => return rehearsal::refused(inputs, &error),
    };
    let (drill, run) = (rehearsal.plan.drill.clone(), rehearsal.head.run.clone());
    let folder =
        arguments.evidence.clone().unwrap_or_else(|| Path::new("reports").join(format!("{drill}-{run}")));
    let writer = match written_inputs(&folder, inputs) {
        Ok(writer) => Arc::new(Mutex::new(writer)),
        Err(error) => {
            say(&format!("error: {error}"));
            return exit::code(exit::JOURNAL);
        }
    };
    for line in rehearsal.sandbox.not_simulated() {
        say(&format!("not simulated: {line}"));
    }
    say(&format!(
        "rehearsal of {drill}, seed {seed}: simulated regions, virtual time; it never counts as a drill"
    ));
    let watcher = progress::watcher(&rehearsal.plan, arguments.quiet);
    let finished = rehearsal.run(writer.clone(), watcher, interrupts()).await;
    let head = writer.lock().unwrap_or_else(PoisonError::into_inner).head().clone();
    conclude(arguments, inputs, &folder, &finished, head.as_str())
}

/// A fresh folder with the exact bytes of the documents.
fn written_inputs(folder: &Path, inputs: &Inputs) -> Result<Writer, journal::JournalError> {
    let mut writer = Writer::create(folder)?;
    for (path, bytes) in &inputs.files {
        writer.input(path, bytes)?;
    }
    Ok(writer)
}

/// Turns true at Ctrl-C; a second one ends the process as the shell would. Signals have a thread and an event queue of their own: the
/// runtime of virtual time would ask the operating system for events at each step of its clock.
fn interrupts() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    std::thread::spawn(move || {
        // Without a signal handler nothing interrupts.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                say("interrupted: aborting and healing; a second Ctrl-C would leave what the drill broke");
                // Nobody listens where the run is over.
                let _ = sender.send(true);
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(i32::from(exit::INTERRUPTED));
                }
            }
        });
    });
    receiver
}

/// Measures, judges, reports, and says how it went.
fn conclude(arguments: &Run, inputs: &Inputs, folder: &Path, finished: &Finished, head: &str) -> ExitCode {
    let evidence = match journal::read(folder) {
        Ok(evidence) => evidence,
        Err(error) => {
            say(&format!("error: {error}"));
            return exit::code(if finished.outstanding.is_empty() {
                exit::JOURNAL
            } else {
                exit::NOT_HEALED
            });
        }
    };
    let runbook = inputs.runbook.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let written = match write_all(folder, &evidence, runbook) {
        Ok(written) => written,
        Err(error) => return failed(&error, exit::BUG),
    };
    summarise(finished, &written, folder, head);
    if arguments.output == OutputFormat::Json {
        match std::fs::read_to_string(folder.join("result.json")) {
            Ok(text) => super::print(&text),
            Err(error) => return failed(&error, exit::BUG),
        }
    }
    exit::code(exit::of_run(finished, written.judged.overall))
}

fn summarise(finished: &Finished, written: &Written, folder: &Path, head: &str) {
    match &finished.how {
        Ended::Completed => {}
        Ended::Refused { guard, why } => say(&format!("refused by the guard {guard}: {why}")),
        Ended::Aborted { why } => say(&format!("aborted: {why}")),
        Ended::Crashed { why } => say(&format!("stopped by {why}; please report it with its journal")),
        Ended::Interrupted => say("interrupted"),
    }
    if let Some(why) = &finished.journal {
        say(&format!("the journal is incomplete: {why}"));
    }
    let mut stderr = std::io::stderr().lock();
    // A display that cannot be written is no reason to fail (I6).
    let _ = writeln!(stderr);
    for judgement in &written.judged.objectives {
        let _ = writeln!(stderr, "  {}", line(judgement));
    }
    if let Some(why) = &written.judged.invalid {
        let _ = writeln!(stderr, "  the run is invalid: {why}");
    }
    for left in &finished.outstanding {
        let _ = writeln!(stderr, "  left: {} ({})", left.what, left.advice);
    }
    let _ = writeln!(stderr, "\n  verdict: {}", written.judged.overall);
    let _ = writeln!(stderr, "  report:  {}", folder.join("report.html").display());
    let _ = writeln!(stderr, "  head:    {head}");
}

/// `checkout rta  met (pre-warned)  …`
fn line(judgement: &Judgement) -> String {
    let objective = &judgement.objective;
    let verdict = match judgement.prewarned {
        true => format!("{} (pre-warned)", judgement.verdict),
        false => judgement.verdict.to_string(),
    };
    format!("{:<12} {:<10} {:<18} {}", objective.service, objective.kind, verdict, judgement.why)
}
