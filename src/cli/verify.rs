//! `drillmaster verify`: whether an evidence folder is consistent and complete, and what that proves.
//!
//! The journal's room checks the evidence. What stands beside it is a pure function of it (I1), so that it is made again here, in
//! memory, and compared byte for byte; another version may make it otherwise, so that only the journal's own version is compared.
//! What the folder holds besides is named, and covered by nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::report::{PATCH, recorded_runbook, rendered};
use super::{OutputFormat, exit};
use crate::journal::verify::Fault;
use crate::journal::{self, JOURNAL, TORN, Verified};
use crate::model::name::Sha256;
use crate::report::Format;

/// What the journal's room looks into.
const EVIDENCE: [&str; 5] = [JOURNAL, TORN, "inputs", "probes", "ledger"];

/// More files than this are not named one by one.
const MOST_NAMES: usize = 32;

/// Checks an evidence folder: its chain, its rows, its inputs, its end, and the reports made from them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: drillmaster verify reports/checkout-region-failover-7c1f0a9e --head 4337f0d764047600d3658ee30cb9527606702db5be3925a132ae2aaa37febac5"
)]
pub struct Verify {
    /// The evidence folder, the one with journal.jsonl in it.
    pub bundle: PathBuf,
    /// The head that the run printed: proves that it is that run's evidence, and that nothing was cut off at its end.
    #[arg(long, value_name = "HASH", value_parser = head)]
    pub head: Option<String>,
    /// What goes to standard output.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A head as the run printed it.
fn head(text: &str) -> Result<String, String> {
    let head = text.trim().to_ascii_lowercase();
    match head.len() == 64 && head.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(head),
        false => Err("a head has 64 hexadecimal digits, as the run printed it".to_owned()),
    }
}

/// What a look at a whole folder showed; what is wrong stands among the evidence's faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    #[serde(flatten)]
    pub evidence: Verified,
    /// The files that are, byte for byte, what this version makes from the evidence.
    pub results: Vec<String>,
    /// Files that this version would make from the evidence and that are not there.
    pub missing: Vec<String>,
    /// Why no file was compared.
    pub not_compared: Option<String>,
    /// Files that neither the journal nor a comparison speaks of.
    pub not_covered: Vec<String>,
}

impl Verify {
    /// What was found, as text and as JSON, and the exit code: 0 or 13.
    pub fn run(&self) -> (Seen, u8) {
        let head = self.head.clone().map(Sha256::from);
        let seen = look(&self.bundle, head.as_ref());
        let code = if seen.evidence.holds() { exit::MET } else { exit::JOURNAL };
        (seen, code)
    }
}

fn look(folder: &Path, head: Option<&Sha256>) -> Seen {
    let mut seen = Seen { evidence: journal::verify(folder, head), ..Seen::default() };
    match seen.evidence.holds().then(|| made(folder)) {
        Some(Ok(made)) => compare(folder, &made, &mut seen),
        Some(Err(why)) => seen.not_compared = Some(why),
        None => seen.not_compared = Some("the evidence that they are made from does not hold".to_owned()),
    }
    let ours = |name: &String| EVIDENCE.contains(&name.as_str()) || results().any(|result| result == name);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    seen.not_covered = names.filter(|name| !ours(name)).collect();
    seen.not_covered.sort();
    seen
}

/// The files that are made from evidence.
fn results() -> impl Iterator<Item = &'static str> {
    Format::ALL.iter().map(|format| format.file()).chain([PATCH])
}

/// The results again, from the evidence alone; or why this version does not know them.
fn made(folder: &Path) -> Result<BTreeMap<&'static str, String>, String> {
    let evidence = journal::read(folder).map_err(|error| error.to_string())?;
    let version = evidence.header().map_or("", |header| header.version);
    if version != env!("CARGO_PKG_VERSION") {
        return Err(format!(
            "drillmaster {version} wrote this run, and this is {}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let text = recorded_runbook(folder, &evidence);
    let runbook = text.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    rendered(&evidence, runbook).map(|made| made.files).map_err(|error| error.to_string())
}

fn compare(folder: &Path, made: &BTreeMap<&'static str, String>, seen: &mut Seen) {
    for name in results() {
        let path = folder.join(name);
        let there = fs::symlink_metadata(&path).ok();
        // Neither a link nor anything longer is read.
        let same = |text: &String| {
            there.as_ref().is_some_and(|there| there.is_file() && there.len() == text.len() as u64)
                && fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes())
        };
        let wrong = match made.get(name) {
            Some(text) if same(text) => {
                seen.results.push(name.to_owned());
                continue;
            }
            Some(_) if there.is_none() => {
                seen.missing.push(name.to_owned());
                continue;
            }
            Some(_) => {
                "it is not what the evidence says: it was changed, or made before the evidence was whole; \
                        `drillmaster report` makes it again"
            }
            None if there.is_none() => continue,
            None => "the evidence makes no such file",
        };
        seen.evidence.faults.push(Fault { file: name.to_owned(), line: None, what: wrong.to_owned() });
    }
}

/// What a look at an evidence folder showed, for people. What stands in the folder is hostile: escapes are shown, not sent.
pub fn text(seen: &Seen) -> String {
    let mut text = String::new();
    let evidence = &seen.evidence;
    let run = evidence.run.as_ref().map_or("unknown", |run| run.as_str()).escape_debug();
    let (events, rows, inputs) = (evidence.events, evidence.rows, evidence.inputs);
    let _ = writeln!(text, "run {run}: {events} events, {rows} rows, {inputs} inputs");
    for fault in &evidence.faults {
        let place = fault.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let _ = writeln!(text, "✗ {}{place}: {}", fault.file.escape_debug(), fault.what);
    }
    let mut line = |words: &str, names: &[String], after: &str| {
        if !names.is_empty() {
            let shown: Vec<String> =
                names.iter().take(MOST_NAMES).map(|name| name.escape_debug().to_string()).collect();
            let more = if names.len() > MOST_NAMES { ", …" } else { "" };
            let _ = writeln!(text, "{words}{}{more}{after}", shown.join(", "));
        }
    };
    line("kinds of events unknown to this version, kept: ", &evidence.unknown, "");
    line("not there: ", &seen.missing, "; `drillmaster report` makes it again");
    line("the reports were not compared: ", seen.not_compared.as_slice(), "");
    line("not covered by the evidence: ", &seen.not_covered, "");
    if let Some(head) = &evidence.head {
        let _ = writeln!(text, "head {head}");
    }
    if !evidence.holds() {
        return text;
    }
    text.push_str("✓ consistent and complete: the chain holds from the first event to the end, and binds every row and input\n");
    if !seen.results.is_empty() {
        let _ = writeln!(text, "✓ made from it, byte for byte: {}", seen.results.join(", "));
    }
    text.push_str(match evidence.head_known {
        Some(true) => "✓ untouched since its run, nothing cut off: the head is the one given\n",
        Some(false) | None => {
            "not proved: who wrote it, and that nothing after the run's end was cut off. Whoever can write this folder can make \
             such a chain anew; only the head that the run printed tells (give --head HASH)\n"
        }
    });
    text
}
