//! Whether an evidence folder is consistent and complete; streaming, in constant memory.

use std::path::Path;

use serde::Serialize;

use crate::model::name::{RunId, Sha256};

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
}

/// Looks at an evidence folder; `head` is what its writer printed, known from elsewhere.
pub fn verify(_folder: &Path, _head: Option<&Sha256>) -> Verified {
    Verified::default()
}
