//! One line of the journal and its place in the hash chain.
//!
//! The hash covers the bytes of the line as they stand, not what they mean: a reader of any version checks the chain without
//! understanding the events (I11). It follows the line's other fields, so that it is cut off and checked without parsing.

use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256 as Hasher};

use crate::model::event::{Event, What};
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
    Sha256(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>().into())
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
    // A kind that this version writes and does not know could not be healed from.
    debug_assert!(
        serde_json::from_str::<Event>(&text).is_ok_and(|read| read == *event),
        "{text} is not read as it was"
    );
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
    if (seq == 0) != matches!(event.what, What::RunStarted { .. }) {
        return Err(BadLine::First);
    }
    Ok((event, head))
}

/// Reads a journal line by line and holds one line at a time.
#[derive(Debug)]
pub struct Chain<R> {
    from: R,
    line: Vec<u8>,
    /// Lines that hold so far.
    pub read: u64,
    /// Bytes of those lines.
    pub bytes: u64,
    /// The last good hash.
    pub head: Sha256,
}

/// What stands next in a journal.
#[derive(Debug)]
pub enum Next {
    Event(Box<Event>),
    Bad(BadLine),
    /// Bytes without an end of line: the writer was cut off while it wrote.
    Torn(Vec<u8>),
    End,
}

impl<R: BufRead> Chain<R> {
    /// A journal from its first byte.
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), read: 0, bytes: 0, head: GENESIS.into() }
    }

    /// The next event; after anything else there is no next one.
    ///
    /// # Errors
    /// Where the bytes cannot be read.
    pub fn next_event(&mut self) -> io::Result<Next> {
        let length = match bounded_line(&mut self.from, &mut self.line, LONGEST_LINE)? {
            Line::End => return Ok(Next::End),
            Line::Torn => return Ok(Next::Torn(std::mem::take(&mut self.line))),
            Line::TooLong => return Ok(Next::Bad(BadLine::TooLong)),
            Line::Whole => self.line.len() as u64 + 1,
        };
        Ok(match check(&self.head, self.read, &self.line) {
            Err(bad) => Next::Bad(bad),
            Ok((event, head)) => {
                self.head = head;
                self.read += 1;
                self.bytes += length;
                Next::Event(Box::new(event))
            }
        })
    }
}

/// How a line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Whole,
    Torn,
    TooLong,
    End,
}

/// Reads one line, without its end, into `line`; never more than `longest` bytes.
pub(super) fn bounded_line(from: &mut impl BufRead, line: &mut Vec<u8>, longest: usize) -> io::Result<Line> {
    line.clear();
    from.by_ref().take(longest as u64 + 1).read_until(b'\n', line)?;
    Ok(match line.last() {
        None => Line::End,
        Some(b'\n') => {
            line.pop();
            Line::Whole
        }
        Some(_) if line.len() > longest => Line::TooLong,
        Some(_) => Line::Torn,
    })
}
