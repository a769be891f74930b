//! `drillmaster run DRILL`: rehearse a drill in simulated regions, or run it on the clusters of `--env`; write its evidence and reports.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::inputs::{self, Inputs};
use super::live::{self, Live};
use super::rehearsal::{self, Rehearsal, runtime};
use super::report::{ReportError, rendered};
use super::signals::{interruptions, may_leave};
use super::{OutputFormat, exit, failed, look, print_json, progress, say, show};
use crate::cluster::control::Control;
use crate::engine::{self, Finished};
use crate::journal::{self, Writer};
use crate::model::event::Ended;
use crate::model::name::{Name, RunId};
use crate::model::target::Verdict;
use crate::report::Format;
use crate::verdict::{Judged, Judgement};
use crate::world::watch;

/// Rehearse a drill, or run it on real clusters with --env: break, recover, measure, heal, and write a readiness report.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster run scenarios/checkout-region-failover.yaml --seed 7

Exit codes: 0 met, 10 missed, 11 not shown, 12 invalid, 13 evidence or reports not written, 14 not healed, 15 refused, 130 interrupted.")]
pub struct Run {
    /// The drill's file; what it refers to is found in its folder.
    pub drill: PathBuf,
    /// More files with documents that it refers to.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run on the real clusters of this Environment; without it, regions are simulated and nothing real is touched.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "at"])]
    pub env: Option<PathBuf>,
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
    let inputs = match inputs::load_for(&arguments.drill, &arguments.files, arguments.env.as_deref()) {
        Ok(inputs) => inputs,
        Err(findings) => {
            show(&findings.render(look()));
            return exit::code(exit::USAGE);
        }
    };
    if !inputs.warnings.diagnostics.is_empty() {
        show(&inputs.warnings.render(look()));
    }
    let Some(wall) = arguments.at.timestamp_nanos_opt() else {
        say(&format!("error: --at {}: a wall clock starts between the years 1678 and 2261", arguments.at));
        return exit::code(exit::USAGE);
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let is_live = arguments.env.is_some();
    match (interruptions(), if is_live { live::runtime() } else { runtime() }) {
        (Ok(interrupted), Ok(runtime)) if is_live => {
            runtime.block_on(run_live(arguments, &inputs, interrupted))
        }
        (Ok(interrupted), Ok(runtime)) => {
            runtime.block_on(rehearse(arguments, &inputs, (seed, wall), interrupted))
        }
        (Err(error), _) | (_, Err(error)) => failed(&error, exit::BUG),
    }
}

async fn run_live(arguments: &Run, inputs: &Inputs, interrupted: watch::Receiver<bool>) -> ExitCode {
    let live = match Live::prepare(inputs).await {
        Ok(live) => live,
        Err(error) => return live::refused(inputs, &error),
    };
    if let Err(why) = live.world.alerts.listen().await {
        say(&format!("error: {why}"));
        return exit::code(exit::REFUSED);
    }
    let (folder, writer) = match begun(arguments, inputs, &live.plan.drill, &live.head.run) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let (abort, aborted) = watch::channel(false);
    let _control = match Control::listen(&folder, live.people, abort.clone()) {
        Ok(control) => control,
        Err(error) => {
            say(&format!(
                "error: nobody could answer this run: {} cannot be made: {error}",
                folder.display()
            ));
            return exit::code(exit::REFUSED);
        }
    };
    let clusters = inputs.environment.iter().flat_map(|(environment, _)| &environment.spec.regions);
    let regions: Vec<String> = clusters.map(|region| format!("{} ({})", region.name, region.class)).collect();
    say(&format!("run of {} on real clusters: {}", live.plan.drill, regions.join(", ")));
    say(&format!("people answer with `drillmaster ack|done|retry|skip|return|abort {}`", folder.display()));
    let watcher = progress::watcher(&live.plan, arguments.quiet);
    let forwarding = tokio::spawn(forwarded(interrupted, abort));
    let finished = engine::run(live.world, live.plan, live.head, writer.clone(), watcher, aborted).await;
    forwarding.abort();
    let head = writer.lock().unwrap_or_else(PoisonError::into_inner).head().clone();
    conclude(arguments, inputs, &folder, &finished, head.as_str())
}

/// An interruption of the process is one of the run.
async fn forwarded(mut interrupted: watch::Receiver<bool>, abort: watch::Sender<bool>) {
    if interrupted.wait_for(|is| *is).await.is_ok() {
        abort.send(true);
    }
}

/// The run's folder, with the documents in it.
fn begun(
    arguments: &Run,
    inputs: &Inputs,
    drill: &Name,
    run: &RunId,
) -> Result<(PathBuf, Arc<Mutex<Writer>>), ExitCode> {
    let folder =
        arguments.evidence.clone().unwrap_or_else(|| Path::new("reports").join(format!("{drill}-{run}")));
    match written_inputs(&folder, inputs) {
        Ok(writer) => {
            may_leave(&folder, arguments.env.as_deref());
            Ok((folder, Arc::new(Mutex::new(writer))))
        }
        Err(error) => {
            say(&format!("error: {error}"));
            Err(exit::code(exit::JOURNAL))
        }
    }
}

async fn rehearse(
    arguments: &Run,
    inputs: &Inputs,
    (seed, wall): (u64, i64),
    interrupted: watch::Receiver<bool>,
) -> ExitCode {
    let rehearsal = match Rehearsal::prepare(inputs, seed, wall).await {
        Ok(rehearsal) => rehearsal,
        Err(error) => return rehearsal::refused(inputs, &error),
    };
    let drill = rehearsal.plan.drill.clone();
    let (folder, writer) = match begun(arguments, inputs, &drill, &rehearsal.head.run) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    rehearsal.sandbox.notes().iter().for_each(|line| say(line));
    say(&format!(
        "rehearsal of {drill}, seed {seed}: simulated regions, virtual time; it never counts as a drill"
    ));
    let watcher = progress::watcher(&rehearsal.plan, arguments.quiet);
    let finished = rehearsal.run(writer.clone(), watcher, interrupted).await;
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

/// Measures, judges, reports, and says how it went: what is left and the verdict in any case, whatever cannot be written.
fn conclude(arguments: &Run, inputs: &Inputs, folder: &Path, finished: &Finished, head: &str) -> ExitCode {
    let runbook = inputs.runbook.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let made = journal::read(folder)
        .map_err(ReportError::from)
        .and_then(|evidence| Ok(rendered(&evidence, runbook)?));
    let written = made.as_ref().map_or(Ok(()), |made| made.write(folder));
    let report = (made.is_ok() && written.is_ok()).then(|| folder.join(Format::Html.file()));
    say(&summary(finished, made.as_ref().ok().map(|made| &made.judged), report.as_deref(), head));
    if let (OutputFormat::Json, Ok(made)) = (arguments.output, &made) {
        print_json(made.text(Format::Json));
    }
    exit::code(match made.and_then(|made| written.map(|()| made.judged.overall)) {
        Ok(overall) => exit::of_run(finished, overall),
        Err(error) => {
            say(&format!("error: {error}"));
            exit::without_reports(finished, error.exit())
        }
    })
}

/// What a person reads at the end; `judged` is missing where the evidence cannot be read, `report` where it could not be written.
fn summary(finished: &Finished, judged: Option<&Judged>, report: Option<&Path>, head: &str) -> String {
    let mut lines = Vec::new();
    match &finished.how {
        Ended::Completed => {}
        Ended::Refused { guard, why } => lines.push(format!("refused by the guard {guard}: {why}")),
        Ended::Aborted { why } => lines.push(format!("aborted: {why}")),
        Ended::Crashed { why } => {
            lines.push(format!("stopped by {why}; please report it with its journal"));
        }
        Ended::Interrupted => lines.push("interrupted".to_owned()),
    }
    if let Some(why) = &finished.journal {
        lines.push(format!("the journal is incomplete: {why}"));
    }
    lines.push(String::new());
    if let Some(judged) = judged {
        lines.extend(judged.objectives.iter().map(|judgement| format!("  {}", line(judgement))));
        lines.extend(judged.invalid.iter().map(|why| format!("  the run is invalid: {why}")));
    }
    lines.extend(finished.outstanding.iter().map(|left| format!("  left: {} ({})", left.what, left.advice)));
    let verdict = judged.map_or("none on record".to_owned(), |judged| judged.overall.to_string());
    lines.push(format!("\n  verdict: {verdict}"));
    lines.extend(report.map(|report| format!("  report:  {}", report.display())));
    lines.push(format!("  head:    {head}"));
    lines.join("\n")
}

/// `checkout rta  met (pre-warned)  …`
fn line(judgement: &Judgement) -> String {
    let objective = &judgement.objective;
    let verdict = match judgement.prewarned {
        true => format!("{} (pre-warned)", judgement.verdict),
        false => judgement.verdict.to_string(),
    };
    // Why a run is invalid is said once, below.
    let why = if judgement.verdict == Verdict::Void { "the run is invalid" } else { &judgement.why };
    format!("{:<12} {:<10} {:<18} {why}", objective.service, objective.kind, verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Outstanding;

    #[test]
    fn what_is_left_is_said_even_where_no_evidence_can_be_read() {
        let left = Outstanding { effect: None, what: "east is fenced".into(), advice: "run heal".into() };
        let journal = Some("no space left".to_owned());
        let finished = Finished { how: Ended::Completed, outstanding: vec![left], journal };
        let said = summary(&finished, None, None, "5f2c");
        assert!(!said.contains("report:"), "there is none: {said}");
        for part in ["left: east is fenced (run heal)", "no space left", "verdict: none on record", "5f2c"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(exit::without_reports(&finished, exit::JOURNAL), exit::NOT_HEALED);
        let healed = Finished { outstanding: vec![], ..finished };
        assert_eq!(exit::without_reports(&healed, exit::JOURNAL), exit::JOURNAL);
    }
}
