//! What the service and its clients say to each other: JSON bodies, one type each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Logged, Record};

/// How much of a request's body is read.
pub const REQUEST_LIMIT: usize = 16 * 1024;
/// The most entries that one answer holds, so that it stays below the client's limit.
pub const PAGE: usize = 500;

/// A write was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub epoch: u64,
    pub position: u64,
}

/// A request was surely not carried out. Only an answer that says so in these words is a sure failure: a gateway's own 502 is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub refused: String,
}

/// A record as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub position: u64,
    /// Of the primary that took it.
    pub epoch: u64,
    #[serde(with = "super::node::shared")]
    pub record: Arc<Record>,
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub records: Vec<Read>,
    /// Where the next page starts; none after the last.
    pub next: Option<u64>,
    /// The pod that was read, where it knows its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// That pod's namespace, where it knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A run's records were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub removed: u64,
}

/// What a primary ships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    pub entries: Vec<Logged>,
    /// The primary's last position at that time.
    pub last: u64,
}

/// The asker's log is not a beginning of this one; the first position of each epoch here, oldest first, and the last position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    pub diverged: Vec<(u64, u64)>,
    pub last: u64,
}

/// The payload of a synthetic record: everybody who knows its number can say what it must be.
pub fn payload(run: &str, number: u64) -> String {
    format!("synthetic record {number} of run {run}")
}

/// SHA-256 of a payload, in hexadecimal.
pub fn digest(payload: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(payload.as_bytes());
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
