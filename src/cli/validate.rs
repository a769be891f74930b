//! `drillmaster validate`: every error of some documents at once; it changes nothing, ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue::{self, ServiceCatalogue};
use crate::cli::answer::Answer;
use crate::cli::inputs::{self, Findings, KINDS};
use crate::document::{self, Diagnostic, Kind, Look, Source, Untyped, ordered};
use crate::sandbox::{self, SandboxSpec};
use crate::scenario::{Drill, Procedure};

/// Check documents: their shape, the names that they use, and what they mean together.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster validate scenarios/*.yaml")]
pub struct Args {
    /// Files of drills, catalogues, sandbox specs and procedures.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// More files to look for documents that a drill names, besides its folder.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub more: Vec<PathBuf>,
}

pub fn run(args: &Args, look: Look) -> Answer {
    let (mut text, mut refused) = (String::new(), false);
    for file in &args.files {
        let found = check(file, &args.more);
        text.push_str(&found.render(look));
        if found.refused() {
            refused = true;
        } else {
            text.push_str(&format!("{}: valid\n", file.display()));
        }
    }
    if refused { Answer::Refused(text) } else { Answer::Said(text) }
}

/// Everything that is wrong with the documents of a file.
pub fn check(file: &Path, more: &[PathBuf]) -> Findings {
    let only = |error: Diagnostic| Findings { diagnostics: vec![error], sources: Vec::new() };
    let bytes = match inputs::bytes_of(file) {
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
    }
    found.diagnostics = ordered(found.diagnostics);
    found.diagnostics.dedup();
    found
}

/// What is wrong with a document by itself.
fn alone(document: &Untyped) -> Vec<Diagnostic> {
    match document.kind.as_str() {
        ServiceCatalogue::KIND => match document.typed::<ServiceCatalogue>() {
            Ok(catalogue) => catalogue::checks::all(&catalogue),
            Err(errors) => errors,
        },
        SandboxSpec::KIND => match document.typed::<SandboxSpec>() {
            Ok(sandbox) => sandbox::checks::all(&sandbox),
            Err(errors) => errors,
        },
        Procedure::KIND => document.typed::<Procedure>().err().unwrap_or_default(),
        _ => document.unknown_kind(&KINDS),
    }
}
