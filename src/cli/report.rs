//! `drillmaster report DIR`: renders a run's reports again from its evidence, on any machine, years later (I1).
//!
//! `run` writes the same files with [`write_all`]. A journal without an end is rendered as incomplete, and a rendering replaces the
//! files of the one before it; the evidence itself is never touched.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::exit;
use super::files::LONGEST_FILE;
use super::say;
use crate::journal;
use crate::measure::measure;
use crate::model::event::What;
use crate::model::evidence::Evidence;
use crate::report::{self, Format, RenderError};
use crate::runbook;
use crate::verdict::{Judged, judge};

/// As many links are followed as Linux follows itself.
const MOST_LINKS: usize = 40;

/// The runbook's patch in the evidence folder.
pub(super) const PATCH: &str = "runbook.patch";

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
    #[error(
        "{path} cannot be written: {why}: once it can, `drillmaster report` makes it again from the evidence, or elsewhere with --format and --output"
    )]
    Write { path: PathBuf, why: io::Error },
    #[error("{0} is or would be a part of a run's evidence: name a file elsewhere for the report")]
    Evidence(PathBuf),
}

impl ReportError {
    /// What it means for a command that ends with it.
    pub fn exit(&self) -> u8 {
        match self {
            ReportError::Read(_) | ReportError::Write { .. } => exit::JOURNAL,
            ReportError::Render(_) => exit::BUG,
            ReportError::Evidence(_) => exit::USAGE,
        }
    }
}

/// Everything that stands beside the evidence, a pure function of it (I1).
#[derive(Debug)]
pub struct Rendered {
    pub judged: Judged,
    /// The text of each file, by its name in the evidence folder.
    pub files: BTreeMap<&'static str, String>,
}

/// Runs the command.
///
/// # Errors
/// Where the evidence cannot be read, or the report cannot be written.
pub fn run(arguments: &Report) -> Result<(), ReportError> {
    let output = arguments.output.as_ref().map(|path| (path, led_to(path)));
    if let Some((path, led)) = &output
        && (is_evidence(path, arguments) || is_evidence(led, arguments))
    {
        return Err(ReportError::Evidence(path.to_path_buf()));
    }
    let evidence = journal::read(&arguments.folder)?;
    let Some(format) = arguments.format else {
        let text = recorded_runbook(&arguments.folder, &evidence);
        let runbook = text.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        write_all(&arguments.folder, &evidence, runbook)?;
        if let (None, Some(path)) = (&text, evidence.header().and_then(|header| header.plan.runbook.as_ref()))
        {
            say(&format!(
                "warning: {PATCH} was not made: inputs/{path} is not there, or is not the text that the run read"
            ));
        }
        return Ok(());
    };
    let measured = measure(&evidence);
    let view = report::view(&evidence, &measured, &judge(&evidence, &measured));
    let text = format.render(&view)?;
    match output {
        Some((path, led)) => {
            // What another name leads to as well stays as it is.
            let is_shared =
                fs::symlink_metadata(&led).is_ok_and(|about| about.is_file() && about.nlink() > 1);
            let written = if is_shared { replace(&led, &text) } else { fs::write(&led, &text) };
            written.map_err(|why| ReportError::Write { path: path.to_owned(), why })
        }
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|why| ReportError::Write { path: "standard output".into(), why }),
    }
}

/// What a chain of links leads to, whether it is there or not; the path itself where it is no link.
fn led_to(path: &Path) -> PathBuf {
    let mut led = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(to) = fs::read_link(&led) else { break };
        led = led.parent().unwrap_or(Path::new("")).join(to);
    }
    led
}

/// Whether a file would stand in an evidence folder, this one or another, and is not this one's own report.
fn is_evidence(path: &Path, arguments: &Report) -> bool {
    folder_of(path).is_some_and(|folder| {
        let own = arguments.format.map(Format::file);
        let is_own = fs::canonicalize(&arguments.folder).is_ok_and(|of| of == folder)
            && own.is_some_and(|own| path.file_name().is_some_and(|name| name == own));
        folder.ancestors().any(|above| above.join(journal::JOURNAL).exists()) && !is_own
    })
}

/// The folder that a file would stand in.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(parent).ok()
}

/// Renders every format, and the patch to the runbook, given by its path and its text, where it has one.
///
/// # Errors
/// Where a template is wrong.
pub fn rendered(evidence: &Evidence, runbook: Option<(&str, &str)>) -> Result<Rendered, RenderError> {
    let measured = measure(evidence);
    let judged = judge(evidence, &measured);
    let view = report::view(evidence, &measured, &judged);
    let mut files = BTreeMap::new();
    for format in Format::ALL {
        files.insert(format.file(), format.render(&view)?);
    }
    let patch = runbook.and_then(|(path, text)| runbook::patch(evidence, &measured, path, text));
    files.extend(patch.map(|patch| (PATCH, patch)));
    Ok(Rendered { judged, files })
}

/// Renders and writes everything.
///
/// # Errors
/// Where a file cannot be made.
pub fn write_all(
    dir: &Path,
    evidence: &Evidence,
    runbook: Option<(&str, &str)>,
) -> Result<Rendered, ReportError> {
    let rendered = rendered(evidence, runbook)?;
    rendered.write(dir)?;
    Ok(rendered)
}

impl Rendered {
    /// Writes every file that can be written.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn write(&self, dir: &Path) -> Result<(), ReportError> {
        let all = self.files.iter().map(|(name, text)| {
            let path = dir.join(name);
            replace(&path, text).map_err(|why| ReportError::Write { path, why })
        });
        all.fold(Ok(()), Result::and)
    }

    /// A format's text.
    pub fn text(&self, format: Format) -> &str {
        self.files.get(format.file()).map_or("", String::as_str)
    }
}

/// Puts a file in the place of another as a whole: one that cannot be written leaves what was there, and never a part of itself. What
/// stands there is hostile and may be a link, which is not followed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // One that is left of a run that died; or there is none.
    let _ = fs::remove_file(&part);
    let put = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    put().inspect_err(|_| {
        // Nothing of it stays; where even that fails, its name says what it is.
        let _ = fs::remove_file(&part);
    })
}

/// The runbook as the run read it, where it stands among the run's inputs; a path that leaves them is ignored, and so is what is no plain
/// file, longer than any that a run reads, or another text than the run read.
pub(super) fn recorded_runbook(folder: &Path, evidence: &Evidence) -> Option<(String, String)> {
    let path = evidence.header()?.plan.runbook.as_ref()?;
    let inside =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let file = inside.then(|| journal::open(folder, &format!("inputs/{path}")).ok())??;
    let mut text = String::new();
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).ok()?;
    let What::RunStarted { inputs, .. } = &evidence.events.first()?.what else { return None };
    let as_read = inputs.get(path) == Some(&journal::sha256(text.as_bytes()));
    (as_read && text.len() as u64 <= LONGEST_FILE).then(|| (path.clone(), text))
}
