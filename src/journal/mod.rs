//! The evidence folder: events in a hash chain, rows bound to it, and their reading back.
//!
//! ```text
//! Writer, Memory ─► journal.jsonl   {"seq":…,"at":…,"what":{…},"hash":"…"}   hash = SHA-256(previous hash ‖ line before `,"hash"`)
//!                   probes/*.csv, ledger/*.csv   bound in blocks by `rows` events
//! read, verify ◄──  inputs/*                     digests in `runStarted`
//! ```
//! An event is on disk before anything is done or shown (I6); a journal that was cut off while it was written stays readable.
//! Rejected: a database (nobody could read the evidence with `less` in ten years), rows as events (a long drill has millions).
pub mod chain;
pub mod memory;
pub mod reader;
mod rows;
pub mod verify;
pub mod writer;

pub use chain::sha256;
pub use memory::Memory;
pub use reader::{ReadError, read, read_events};
pub use rows::open;
pub use verify::{Verified, verify};
pub use writer::{JournalError, Writer};

/// The journal's file in the evidence folder.
pub const JOURNAL: &str = "journal.jsonl";
/// Where a torn last line is kept.
pub const TORN: &str = "journal.torn";
