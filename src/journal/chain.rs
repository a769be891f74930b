//! One line of the journal and its place in the hash chain.
//!
//! The hash covers the bytes of the line as they stand, not what they mean: a reader of any version checks the chain without
//! understanding the events (I11). It follows the line's other fields, so that it is cut off and checked without parsing.

use sha2::{Digest, Sha256 as Hasher};

use crate::model::event::Event;
use crate::model::name::Sha256;

/// What the first line is chained to.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A longer line is no line of ours: the plan of a large drill has some hundred thousand bytes.
pub const LONGEST_LINE: usize = 16 << 20;

const MARK: &[u8] = b",\"hash\":\"";
const DIGEST: usize = 64;

/// The lower-case hexadecimal digits of a digest.
pub fn hex(digest: &[u8]) -> Sha256 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?'));
    Sha256(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The digest of some bytes.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    hex(&Hasher::digest(bytes))
}

/// The hash of a line's bytes before its own hash, after the previous line's.
fn link(previous: &Sha256, body: &[u8]) -> Sha256 {
    let mut hasher = Hasher::new();
    hasher.update(previous.as_str());
    hasher.update(body);
    hex(&hasher.finalize())
}

/// An event as a line, without its end, and the head that it makes.
///
/// # Errors
/// Where the event cannot stand as JSON: a bug in it.
pub fn line(previous: &Sha256, event: &Event) -> serde_json::Result<(String, Sha256)> {
    let mut text = serde_json::to_string(event)?;
    text.pop();
    let head = link(previous, text.as_bytes());
    text.push_str(",\"hash\":\"");
    text.push_str(head.as_str());
    text.push_str("\"}");
    Ok((text, head))
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("it has no hash at its end")]
    NoHash,
    #[error(
        "its hash is not that of its bytes after the line before it: changed, inserted, or a line before it is missing"
    )]
    Hash,
    #[error("its sequence number is {found} where {expected} should follow")]
    Sequence { expected: u64, found: u64 },
    #[error("it is no event: {0}")]
    NotAnEvent(String),
    #[error("it is longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("its time goes backwards")]
    Backwards,
    #[error("the first event of a journal, and no other, is `runStarted`")]
    First,
}

/// Checks a line, without its end, against the line before it: its event and the new head.
///
/// # Errors
/// What is wrong with it.
pub fn check(previous: &Sha256, seq: u64, line: &[u8]) -> Result<(Event, Sha256), BadLine> {
    let cut = line.len().checked_sub(MARK.len() + DIGEST + 2).ok_or(BadLine::NoHash)?;
    let (body, tail) = line.split_at(cut);
    let digest = tail
        .strip_prefix(MARK)
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .filter(|digest| digest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or(BadLine::NoHash)?;
    let head = link(previous, body);
    if head.as_str().as_bytes() != digest {
        return Err(BadLine::Hash);
    }
    let event: Event = serde_json::from_slice(line).map_err(|why| BadLine::NotAnEvent(why.to_string()))?;
    if event.seq != seq {
        return Err(BadLine::Sequence { expected: seq, found: event.seq });
    }
    Ok((event, head))
}
