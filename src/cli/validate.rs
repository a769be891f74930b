//! `drillmaster validate`: every error of some documents at once; it changes nothing, ever.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{OutputFormat, exit, print, print_json, show};
use crate::catalogue::{self, ServiceCatalogue};
use crate::cli::files::bytes_of;
use crate::cli::inputs::{self, Findings, KINDS};
use crate::cluster::{self, EnvironmentSpec};
use crate::document::{self, Diagnostic, Kind, Look, Source, Untyped, ordered};
use crate::sandbox::{self, SandboxSpec};
use crate::scenario::checks::nesting;
use crate::scenario::{Drill, Procedure};

/// Check documents: their shape, the names that they use, and what they mean together.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster validate scenarios/*.yaml")]
pub struct Args {
    /// Files of drills, catalogues, sandbox specs, environments and procedures.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// More files to look for documents that a drill names, besides its folder.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub more: Vec<PathBuf>,
    /// What people read, or every diagnostic with its place as JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Runs the command: 0 where all of them are valid, 2 where one is refused.
pub fn run(arguments: &Args, look: Look) -> ExitCode {
    let checked = arguments.files.iter().map(|file| (file.as_path(), check(file, &arguments.more)));
    let found: Vec<Checked<'_>> = once_each(checked);
    let valid = found.iter().all(|one| !one.refused);
    match arguments.output {
        OutputFormat::Json => print_json(&json(&found, valid)),
        OutputFormat::Text => {
            for Checked { file, refused, found } in &found {
                if !found.diagnostics.is_empty() {
                    show(found.render(look).trim_end());
                }
                match (refused, found.diagnostics.is_empty()) {
                    (false, _) => print(&format!("{}: valid\n", file.display())),
                    (true, true) => show(&format!("{}: refused, for what is said above", file.display())),
                    (true, false) => {}
                }
            }
        }
    }
    exit::code(if valid { exit::MET } else { exit::USAGE })
}

/// What was found in a file that nothing before it had shown: one file may be another's neighbour.
struct Checked<'a> {
    file: &'a Path,
    refused: bool,
    found: Findings,
}

fn once_each<'a>(checked: impl Iterator<Item = (&'a Path, Findings)>) -> Vec<Checked<'a>> {
    let mut said: Vec<Diagnostic> = Vec::new();
    let each = checked.map(|(file, mut found)| {
        let refused = found.refused();
        found.diagnostics.retain(|one| !said.contains(one));
        said.extend(found.diagnostics.iter().cloned());
        Checked { file, refused, found }
    });
    each.collect()
}

/// `{"valid": false, "diagnostics": [{"severity": "error", "message": …, "file": …, "line": …, "column": …, "bytes": …, "help": …}]}`
fn json(found: &[Checked<'_>], valid: bool) -> String {
    let diagnostics: Vec<&Diagnostic> = found.iter().flat_map(|one| &one.found.diagnostics).collect();
    format!("{:#}", serde_json::json!({"valid": valid, "diagnostics": diagnostics}))
}

/// Everything that is wrong with the documents of a file.
pub fn check(file: &Path, more: &[PathBuf]) -> Findings {
    let only = |error: Diagnostic| Findings { diagnostics: vec![error], sources: Vec::new() };
    let bytes = match bytes_of(file) {
        Ok(bytes) => bytes,
        Err(error) => return only(error),
    };
    let source = match Source::from_bytes(&file.display().to_string(), &bytes) {
        Ok(source) => Arc::new(source),
        Err(error) => return only(error),
    };
    let documents = match document::documents(&source) {
        Ok(documents) => documents,
        Err(error) => return Findings { diagnostics: vec![error], sources: vec![source] },
    };
    let mut found = Findings { diagnostics: Vec::new(), sources: vec![source] };
    if documents.iter().any(|document| document.kind == Drill::KIND) {
        let scenario = match inputs::load(file, more) {
            Ok(inputs) => inputs.warnings,
            Err(refused) => refused,
        };
        found.diagnostics.extend(scenario.diagnostics);
        found.sources.extend(scenario.sources);
    }
    for document in documents.iter().filter(|document| document.kind != Drill::KIND) {
        found.diagnostics.extend(alone(document));
        if let (SandboxSpec::KIND, Ok(sandbox)) = (document.kind.as_str(), document.typed::<SandboxSpec>()) {
            let manifests = inputs::of_manifests(&sandbox, file);
            found.diagnostics.extend(manifests.diagnostics);
            found.sources.extend(manifests.sources);
        }
    }
    found.diagnostics = ordered(found.diagnostics);
    found.diagnostics.dedup();
    found
}

/// What is wrong with a document by itself.
fn alone(document: &Untyped) -> Vec<Diagnostic> {
    match document.kind.as_str() {
        ServiceCatalogue::KIND => document.wrong(catalogue::checks::all),
        SandboxSpec::KIND => document.wrong(sandbox::checks::all),
        EnvironmentSpec::KIND => document.wrong(cluster::checks::all),
        Procedure::KIND => document.wrong(nesting::alone),
        _ => document.unknown_kind(&KINDS),
    }
}
