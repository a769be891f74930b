//! `drillmaster verify`: whether an evidence folder is consistent and complete, and what that proves.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{OutputFormat, exit};
use crate::journal::{Verified, verify};
use crate::model::name::Sha256;

/// Checks an evidence folder: its chain, its rows, its inputs and its end.
#[derive(Debug, Args)]
#[command(after_help = "Example: drillmaster verify reports/checkout-region-failover-7c1f0a9e --head 5f2c…")]
pub struct Verify {
    /// The evidence folder, the one with journal.jsonl in it.
    pub bundle: PathBuf,
    /// The head that the run printed: proves that nothing was cut off at the end.
    #[arg(long, value_name = "HASH")]
    pub head: Option<String>,
    /// What goes to standard output.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

impl Verify {
    /// What was found, as text and as JSON, and the exit code: 0 or 13.
    pub fn run(&self) -> (Verified, u8) {
        let head = self.head.as_ref().map(|head| Sha256(head.trim().to_ascii_lowercase()));
        let seen = verify(&self.bundle, head.as_ref());
        let code = if seen.holds() { exit::MET } else { exit::JOURNAL };
        (seen, code)
    }
}

/// What a look at an evidence folder showed, for people. What stands in the folder is hostile: escapes are shown, not sent.
pub fn text(seen: &Verified) -> String {
    let mut text = String::new();
    let run = seen.run.as_ref().map_or("unknown".to_owned(), |run| run.as_str().escape_debug().to_string());
    let _ = writeln!(text, "run {run}: {} events, {} rows, {} inputs", seen.events, seen.rows, seen.inputs);
    for fault in &seen.faults {
        let place = fault.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let _ = writeln!(text, "✗ {}{place}: {}", fault.file.escape_debug(), fault.what);
    }
    if !seen.unknown.is_empty() {
        let kinds: Vec<String> = seen.unknown.iter().map(|kind| kind.escape_debug().to_string()).collect();
        let _ = writeln!(text, "kinds of events unknown to this version, kept: {}", kinds.join(", "));
    }
    if let Some(head) = &seen.head {
        let _ = writeln!(text, "head {head}");
    }
    if seen.holds() {
        text.push_str(
            "✓ consistent and complete: nothing in it was changed, swapped, inserted or taken out\n",
        );
        text.push_str(match seen.head_known {
            Some(true) => "✓ nothing was cut off at its end: the head is the one given\n",
            Some(false) | None => {
                "not proved: that nothing after the run's end was cut off (give --head HASH), nor who wrote it\n"
            }
        });
    }
    text
}
