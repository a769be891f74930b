//! `drillmaster report DIR`: renders a run's reports again from its evidence, on any machine, years later (I1).
//!
//! `run` writes the same files with [`write_all`]. A journal without an end is rendered as incomplete, and a rendering replaces the
//! files of the one before it; the evidence itself is never touched.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::journal;
use crate::measure::measure;
use crate::model::evidence::Evidence;
use crate::report::{self, Format, RenderError, View};
use crate::runbook;
use crate::verdict::{Judged, judge};

/// Render the report of a run again from its evidence folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster report reports/checkout-region-failover-7c1f0a9e --format html --output report.html"
)]
pub struct Report {
    /// The evidence folder that a run wrote.
    pub folder: PathBuf,
    /// One format only: json, md or html; without it, every file in the folder is written again.
    #[arg(long)]
    pub format: Option<Format>,
    /// Where that format goes; to standard output without it.
    #[arg(long, requires = "format")]
    pub output: Option<PathBuf>,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Read(#[from] journal::ReadError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("{path} cannot be written: {why}; free some space or name another place with --output")]
    Write { path: PathBuf, why: io::Error },
}

/// What was written, and what it says.
#[derive(Debug)]
pub struct Written {
    pub files: Vec<PathBuf>,
    pub judged: Judged,
    pub view: View,
}

/// Runs the command.
///
/// # Errors
/// Where the evidence cannot be read, or the report cannot be written.
pub fn run(arguments: &Report) -> Result<(), ReportError> {
    let evidence = journal::read(&arguments.folder)?;
    let Some(format) = arguments.format else {
        let text = recorded_runbook(&arguments.folder, &evidence);
        let runbook = text.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        write_all(&arguments.folder, &evidence, runbook)?;
        return Ok(());
    };
    let measured = measure(&evidence);
    let view = report::view(&evidence, &measured, &judge(&evidence, &measured));
    let text = format.render(&view)?;
    match &arguments.output {
        Some(path) => write(path, &text),
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|why| ReportError::Write { path: "standard output".into(), why }),
    }
}

/// Writes every format, and the patch to the runbook, given by its path and its text, where it has one.
///
/// # Errors
/// Where a file cannot be written.
pub fn write_all(
    dir: &Path,
    evidence: &Evidence,
    runbook: Option<(&str, &str)>,
) -> Result<Written, ReportError> {
    let measured = measure(evidence);
    let judged = judge(evidence, &measured);
    let view = report::view(evidence, &measured, &judged);
    let mut files = Vec::new();
    for format in Format::ALL {
        let path = dir.join(format.file());
        write(&path, &format.render(&view)?)?;
        files.push(path);
    }
    if let Some(patch) = runbook.and_then(|(path, text)| runbook::patch(evidence, &measured, path, text)) {
        let path = dir.join("runbook.patch");
        write(&path, &patch)?;
        files.push(path);
    }
    Ok(Written { files, judged, view })
}

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(path, text).map_err(|why| ReportError::Write { path: path.to_owned(), why })
}

/// The runbook as the run read it, where it stands among the run's inputs; a path that leaves them is ignored.
fn recorded_runbook(folder: &Path, evidence: &Evidence) -> Option<(String, String)> {
    let path = evidence.header()?.plan.runbook.as_ref()?;
    let inside =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let text = inside.then(|| fs::read_to_string(folder.join("inputs").join(path)).ok())??;
    Some((path.clone(), text))
}
