//! Whether an evidence folder is consistent and complete; streaming, in memory that does not grow with the run.
//!
//! It proves that the folder agrees with itself. That it is the one which the run wrote (whoever can write it can make a whole chain
//! anew), and that no events after the run's end were cut off, nobody can prove from the folder alone: for that, the head that the
//! writer printed. What was made from the evidence is compared where it can be made again, in `cli`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256 as Hasher};

use super::chain::{Chain, Next, hex};
use super::rows::{Bound, is_row, names, open};
use super::writer::is_inside;
use super::{JOURNAL, TORN};
use crate::model::event::{Event, What};
use crate::model::name::{RunId, Sha256};

/// More kinds than this are not named one by one.
const MOST_KINDS: usize = 32;
/// The folders of the evidence.
const FOLDERS: [&str; 3] = ["inputs", "probes", "ledger"];
/// How deep folders under `inputs/` are looked into.
const DEEPEST: usize = 8;

/// What a look at an evidence folder showed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    pub run: Option<RunId>,
    /// Events that were read and hold.
    pub events: u64,
    /// Rows that an event binds and that hold.
    pub rows: u64,
    /// Inputs whose digests hold.
    pub inputs: u64,
    /// The last good hash.
    pub head: Option<Sha256>,
    /// Whether the head is the one that was known from elsewhere; `None` where none was.
    pub head_known: Option<bool>,
    /// Whether the run's end is there.
    pub complete: bool,
    /// Kinds of events that this version does not know; kept.
    pub unknown: Vec<String>,
    /// Everything that is wrong, the first bad record first; empty: consistent and complete.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong with an evidence folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The file within the folder.
    pub file: String,
    /// From 1; `None` where it is about the file as a whole.
    pub line: Option<u64>,
    pub what: String,
}

impl Verified {
    /// Consistent and complete.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, file: &str, line: Option<u64>, what: impl ToString) {
        self.faults.push(Fault { file: file.to_owned(), line, what: what.to_string() });
    }
}

/// Looks at an evidence folder; `head` is what its writer printed, known from elsewhere.
pub fn verify(folder: &Path, head: Option<&Sha256>) -> Verified {
    let mut seen = Verified::default();
    let mut bound = Bound::default();
    let mut inputs = BTreeMap::new();
    match open(folder, JOURNAL) {
        Err(why) => seen.fault(JOURNAL, None, format!("it cannot be read: {why}")),
        Ok(journal) => {
            let mut chain = Chain::new(BufReader::new(journal));
            let mut healing = false;
            while let Some(event) = next(&mut chain, &mut seen) {
                look(folder, event, &mut seen, &mut bound, &mut inputs, &mut healing);
            }
            seen.events = chain.read;
            ends(chain.read, healing, &mut seen);
            if chain.read > 0 {
                seen.head = Some(chain.head);
            }
        }
    }
    let whole = seen.faults.iter().all(|fault| fault.file != JOURNAL);
    check_folders(folder, &mut seen);
    check_inputs(folder, &inputs, whole, &mut seen);
    if whole {
        let mut unbound = bound.unbound(folder);
        // Where a bound row could not be read, nobody knows what follows it.
        unbound.retain(|(file, _)| seen.faults.iter().all(|fault| fault.file != *file));
        for (file, bad) in unbound {
            seen.fault(&file, bad.line, bad.what);
        }
    }
    if let Some(head) = head {
        let same = seen.head.as_ref() == Some(head);
        seen.head_known = Some(same);
        if !same {
            seen.fault(
                JOURNAL,
                None,
                "its head is not the one given: events were cut off, or it is another journal",
            );
        }
    }
    seen
}

/// The next event; a bad line is the end of what can be believed.
fn next<R: io::BufRead>(chain: &mut Chain<R>, seen: &mut Verified) -> Option<Event> {
    let line = chain.read + 1;
    match chain.next_event() {
        Ok(Next::Event(event)) => return Some(*event),
        Ok(Next::End) => {}
        Ok(Next::Bad(bad)) => seen.fault(JOURNAL, Some(line), bad),
        Ok(Next::Torn(_)) => {
            seen.fault(JOURNAL, Some(line), "the last line is torn: its writer was cut off while it wrote");
        }
        Err(why) => seen.fault(JOURNAL, Some(line), format!("it cannot be read: {why}")),
    }
    None
}

fn look(
    folder: &Path,
    event: Event,
    seen: &mut Verified,
    bound: &mut Bound,
    inputs: &mut BTreeMap<String, Sha256>,
    healing: &mut bool,
) {
    match event.what {
        What::RunStarted { run, inputs: named, .. } => {
            seen.run = Some(run);
            *inputs = named;
        }
        What::Rows { file, from, count, sha256 } => {
            let file = file.0;
            match bound.block(folder, &file, (from, count, &sha256), |row| is_row(&file, row)) {
                Ok(()) => seen.rows += count,
                Err(bad) if seen.faults.iter().any(|fault| fault.file == file.path()) => drop(bad),
                Err(bad) => seen.fault(&file.path(), bad.line, bad.what),
            }
        }
        What::RunEnded { .. } => seen.complete = true,
        What::HealStarted { .. } => *healing = true,
        What::HealEnded { .. } => *healing = false,
        What::Unknown(value) => {
            let kind = value.as_object().and_then(|fields| fields.keys().next()).cloned().unwrap_or_default();
            let kind: String = kind.chars().take(80).collect();
            if seen.unknown.len() < MOST_KINDS && !seen.unknown.contains(&kind) {
                seen.unknown.push(kind);
            }
        }
        What::Guarded { .. }
        | What::Calibrated { .. }
        | What::Steady { .. }
        | What::StepStarted { .. }
        | What::StepEnded { .. }
        | What::TimedOut { .. }
        | What::Held { .. }
        | What::Decided { .. }
        | What::EffectIntended { .. }
        | What::EffectEnded { .. }
        | What::UndoStarted { .. }
        | What::UndoEnded { .. }
        | What::Proof { .. }
        | What::Alerted { .. }
        | What::Asked { .. }
        | What::Said { .. }
        | What::Notified { .. }
        | What::Observed { .. }
        | What::Reached { .. }
        | What::ClockKnown { .. }
        | What::ReadBack { .. }
        | What::WritesRemoved { .. }
        | What::ClockStepped { .. }
        | What::AbortRequested { .. } => {}
    }
}

/// Whether the journal has its end, where nothing was wrong before it.
fn ends(read: u64, healing: bool, seen: &mut Verified) {
    if seen.faults.iter().any(|fault| fault.file == JOURNAL) {
        return;
    }
    if read == 0 {
        seen.fault(JOURNAL, None, "it holds no event");
    } else if !seen.complete {
        seen.fault(JOURNAL, Some(read + 1), "the end is missing: no `runEnded` follows the last event");
    } else if healing {
        seen.fault(
            JOURNAL,
            Some(read + 1),
            "the end is missing: no `healEnded` follows the last `healStarted`",
        );
    }
}

/// A folder that is a link leads to evidence that is not in the bundle, and that may be another tomorrow.
fn check_folders(folder: &Path, seen: &mut Verified) {
    for name in FOLDERS {
        if fs::symlink_metadata(folder.join(name)).is_ok_and(|about| !about.is_dir()) {
            seen.fault(name, None, "it is no plain folder");
        }
    }
}

fn check_inputs(folder: &Path, named: &BTreeMap<String, Sha256>, whole: bool, seen: &mut Verified) {
    for (path, digest) in named {
        let shown = format!("inputs/{path}");
        if !is_inside(path) {
            seen.fault(JOURNAL, Some(1), format!("the input `{}` leaves the folder", path.escape_debug()));
            continue;
        }
        match file_digest(folder, &shown) {
            Ok(found) if found == *digest => seen.inputs += 1,
            Ok(_) => seen.fault(&shown, None, "it is not the file that the run read"),
            Err(why) => seen.fault(&shown, None, format!("it cannot be read: {why}")),
        }
    }
    if whole {
        let mut there = BTreeSet::new();
        files_under(&folder.join("inputs"), "", DEEPEST, &mut there);
        for path in there.iter().filter(|path| !named.contains_key(*path)) {
            seen.fault(&format!("inputs/{path}"), None, "the journal names no such input");
        }
    }
    if fs::symlink_metadata(folder.join(TORN)).is_ok() && !seen.complete {
        seen.fault(TORN, None, "a torn line was set aside when the journal was continued");
    }
}

fn file_digest(folder: &Path, within: &str) -> io::Result<Sha256> {
    let mut file = open(folder, within)?;
    let mut hasher = Hasher::new();
    let mut buffer = [0; 8192];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if count > 0 => hasher.update(read),
            _ => return Ok(hex(&hasher.finalize())),
        }
    }
}

fn files_under(folder: &Path, within: &str, deep: usize, found: &mut BTreeSet<String>) {
    for name in names(folder) {
        let path = if within.is_empty() { name.clone() } else { format!("{within}/{name}") };
        let is_folder = fs::symlink_metadata(folder.join(&name)).is_ok_and(|about| about.is_dir());
        if is_folder && deep > 0 {
            files_under(&folder.join(&name), &path, deep - 1, found);
        } else {
            found.insert(path);
        }
    }
}
