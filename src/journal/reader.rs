//! Reads an evidence folder back: what every result is computed from.
//!
//! What the chain does not bind is no evidence: a torn last line and unbound rows are named as gaps and left out.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::JOURNAL;
use super::chain::{Chain, Next};
use super::rows::{Bound, Gathered, open};
use crate::model::event::What;
use crate::model::evidence::Evidence;

/// Why evidence could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path}: {why}: name a run's evidence folder, the one with journal.jsonl in it")]
    File { path: PathBuf, why: io::Error },
    #[error("{at}: {what}: the evidence was changed; `drillmaster verify` says more", at = place(file, *line))]
    Record { file: String, line: Option<u64>, what: String },
}

/// A file, and its line where one is meant.
fn place(file: &str, line: Option<u64>) -> String {
    line.map_or_else(|| file.to_owned(), |line| format!("{file}, line {line}"))
}

/// Reads a folder whose last line may be torn and whose last rows may be unbound: both stand among the evidence's gaps.
///
/// # Errors
/// Where it cannot be read, or a record before the end does not hold.
pub fn read(folder: &Path) -> Result<Evidence, ReadError> {
    read_with(folder, true)
}

/// The same without its rows, whatever became of them: what a healing goes by.
///
/// # Errors
/// Where the journal cannot be read, or a record before its end does not hold.
pub fn read_events(folder: &Path) -> Result<Evidence, ReadError> {
    read_with(folder, false)
}

fn read_with(folder: &Path, rows: bool) -> Result<Evidence, ReadError> {
    let path = folder.join(JOURNAL);
    let failed = |why| ReadError::File { path: path.clone(), why };
    let mut chain = Chain::new(BufReader::new(open(folder, JOURNAL).map_err(failed)?));
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    let (mut bound, mut gathered) = (Bound::default(), Gathered::default());
    loop {
        let event = match chain.next_event().map_err(failed)? {
            Next::Event(event) => *event,
            Next::Bad(bad) => {
                let what = bad.to_string();
                return Err(ReadError::Record { file: JOURNAL.to_owned(), line: Some(chain.read + 1), what });
            }
            Next::Torn(_) => {
                gaps.push(format!("{JOURNAL}: line {} is torn: its writer was cut off", chain.read + 1));
                break;
            }
            Next::End => break,
        };
        if let What::Rows { file, from, count, sha256 } = &event.what
            && rows
        {
            let file = &file.0;
            bound
                .block(folder, file, (*from, *count, sha256), |row| gathered.add(file, row))
                .map_err(|bad| ReadError::Record { file: file.path(), line: bad.line, what: bad.what })?;
        }
        events.push(event);
    }
    if !rows {
        return Ok(gathered.into_evidence(events, gaps));
    }
    gaps.extend(bound.unbound(folder).into_iter().map(|(file, bad)| format!("{file}: {}", bad.what)));
    Ok(gathered.into_evidence(events, gaps))
}
