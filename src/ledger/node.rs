//! A node as a pure state machine: it decides what to change, and applies changes; storing and shipping them is done elsewhere.
//!
//! The log is a list of entries at positions 1, 2, …, each with the epoch of the primary that took it. One epoch has one primary: the
//! sides take odd and even numbers, and every promotion and every restore of a copy begins the next one with an entry of its own. So
//! two logs that agree on the epoch at a position agree on everything up to it, and the common prefix is found from epochs alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::log::Log;
use super::wire::{PAGE, Page, Read, digest};
use crate::model::time::{At, Duration};

/// How many copies are kept.
const COPIES: usize = 4;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Takes writes, unless it is fenced.
    Primary,
    /// Follows the primary.
    Replica,
    /// Was shut off from writing and follows nobody.
    Fenced,
}

/// One numbered write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub run: String,
    pub number: u64,
    pub payload: String,
    /// SHA-256 of the payload as it was written.
    pub digest: String,
    /// Always true: nobody must take it for a customer's.
    pub synthetic: bool,
}

/// Records are shared between the log, its copies and its storage.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Record;

    pub fn serialize<S: Serializer>(record: &Arc<Record>, serializer: S) -> Result<S::Ok, S::Error> {
        record.as_ref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Record>, D::Error> {
        Record::deserialize(deserializer).map(Arc::new)
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    Record(#[serde(with = "shared")] Arc<Record>),
    /// A record that was removed; it keeps its place.
    Gone,
    /// A new primary, or an old one after a restore.
    Began,
    /// Everything of a run is removed.
    Remove {
        run: String,
    },
    /// The payloads of the records at these positions are damaged, both included.
    Corrupt {
        from: u64,
        to: u64,
    },
    /// All damage is taken back.
    Repair,
}

/// An entry with its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    pub epoch: u64,
    pub entry: Entry,
}

/// One durable change of a node: a line of its storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// The next entry, its own or its primary's.
    Append(Logged),
    /// Becomes primary of a new epoch; lifts a fence.
    Promote { epoch: u64 },
    /// Becomes a replica.
    Demote,
    /// Refuses writes until it is promoted.
    Fence,
    /// Becomes a replica that may drop what its primary does not have.
    Follow,
    /// Drops everything after a position, and keeps it aside.
    Drop { after: u64 },
    /// Takes a copy.
    Copy,
    /// Puts a copy back, as the beginning of a new epoch.
    Restore { copy: usize, epoch: u64 },
}

/// Why a node does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not primary")]
    NotPrimary,
    #[error("fenced")]
    Fenced,
    #[error("the payload does not have its digest, or the record is not one of ours")]
    BadRecord,
    #[error("it is primary: fence or demote it first")]
    StillPrimary,
    #[error(
        "there is no intact copy: with LEDGER_SNAPSHOT_EVERY the last {COPIES} are kept, so a longer period reaches further back"
    )]
    NoCopy,
}

/// The records as they were at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copied {
    log: Log,
    corrupt: BTreeSet<u64>,
}

/// One side of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    side: Role,
    role: Role,
    fenced: bool,
    epoch: u64,
    log: Log,
    /// Positions whose payload is damaged.
    corrupt: BTreeSet<u64>,
    may_drop: bool,
    /// What was dropped, for people.
    aside: Vec<Logged>,
    copies: Vec<Copied>,
    restores: u64,
}

impl Node {
    /// An empty node of a side: `Primary` or `Replica`.
    pub fn new(side: Role) -> Node {
        Node {
            side,
            role: side,
            fenced: false,
            epoch: u64::from(side == Role::Primary),
            log: Log::default(),
            corrupt: BTreeSet::new(),
            may_drop: false,
            aside: Vec::new(),
            copies: Vec::new(),
            restores: 0,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// The highest epoch that it has seen.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last position; 0 where the log is empty.
    pub fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// The epoch of the entry at a position; 0 before the first, `None` after the last.
    pub fn epoch_at(&self, position: u64) -> Option<u64> {
        match position.checked_sub(1) {
            None => Some(0),
            Some(index) => self.log.get(usize::try_from(index).ok()?).map(|logged| logged.epoch),
        }
    }

    /// Whether it may drop what its primary does not have.
    pub fn may_drop(&self) -> bool {
        self.may_drop
    }

    /// What was dropped at resynchronisations.
    pub fn aside(&self) -> &[Logged] {
        &self.aside
    }

    /// How many records are damaged.
    pub fn corrupt(&self) -> usize {
        self.corrupt.len()
    }

    /// How many copies there are.
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// How often a copy was put back.
    pub fn restores(&self) -> u64 {
        self.restores
    }

    /// Whether it takes writes.
    ///
    /// # Errors
    /// Why not.
    pub fn may_write(&self) -> Result<(), Refused> {
        match (self.fenced, self.role) {
            (true, Role::Primary | Role::Replica | Role::Fenced) | (false, Role::Fenced) => {
                Err(Refused::Fenced)
            }
            (false, Role::Replica) => Err(Refused::NotPrimary),
            (false, Role::Primary) => Ok(()),
        }
    }

    fn mine(&self, entry: Entry) -> Change {
        Change::Append(Logged { epoch: self.epoch, entry })
    }

    /// Takes a write.
    ///
    /// # Errors
    /// Where it is not primary, or the record is none.
    pub fn write(&self, record: Record) -> Result<Change, Refused> {
        self.may_write()?;
        let plain = |text: &str, longest| {
            (1..=longest).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let ours = record.synthetic && plain(&record.run, 100) && plain(&record.payload, 400);
        if !ours || record.digest != digest(&record.payload) {
            return Err(Refused::BadRecord);
        }
        Ok(self.mine(Entry::Record(Arc::new(record))))
    }

    /// Removes what a run wrote.
    ///
    /// # Errors
    /// Where it is not primary.
    pub fn remove(&self, run: &str) -> Result<Change, Refused> {
        self.may_write()?;
        Ok(self.mine(Entry::Remove { run: run.chars().take(100).collect() }))
    }

    /// How many records a run has.
    pub fn count(&self, run: &str) -> u64 {
        self.records(0).filter(|(_, _, record)| record.run == run).count() as u64
    }

    /// Damages the payloads of the newest records, as a bad release would: it replicates.
    ///
    /// # Errors
    /// Where it is not primary.
    pub fn damage(&self, records: usize) -> Result<Change, Refused> {
        self.may_write()?;
        let mut left = records;
        let after_the_first = self.log.from(0).rev().position(|logged| {
            left -= usize::from(left > 0 && matches!(logged.entry, Entry::Record(_)));
            left == 0
        });
        let from = after_the_first.map_or(1, |newer| self.last() - newer as u64);
        Ok(self.mine(Entry::Corrupt { from, to: self.last() }))
    }

    /// Takes all damage back.
    ///
    /// # Errors
    /// Where it is not primary.
    pub fn repair(&self) -> Result<Change, Refused> {
        self.may_write()?;
        Ok(self.mine(Entry::Repair))
    }

    /// The next epoch of this side: the smallest that is larger than all seen, odd where the side began as primary.
    fn next_epoch(&self) -> u64 {
        let next = self.epoch + 1;
        next + u64::from((next % 2 == 1) != (self.side == Role::Primary))
    }

    /// Becomes primary, or nothing where it is that already.
    pub fn promote(&self) -> Option<Change> {
        (self.fenced || self.role != Role::Primary).then(|| Change::Promote { epoch: self.next_epoch() })
    }

    /// Becomes a replica that follows its peer from the common prefix; nothing where it does so already.
    ///
    /// # Errors
    /// Where it still takes writes.
    pub fn resync(&self) -> Result<Option<Change>, Refused> {
        if self.role == Role::Primary {
            return Err(Refused::StillPrimary);
        }
        Ok((self.role != Role::Replica || !self.may_drop).then_some(Change::Follow))
    }

    /// Puts the newest copy back that has no damage.
    ///
    /// # Errors
    /// Where it is not primary, or there is no such copy.
    pub fn restore(&self) -> Result<Change, Refused> {
        self.may_write()?;
        let copy = self.copies.iter().rposition(|copy| copy.corrupt.is_empty()).ok_or(Refused::NoCopy)?;
        Ok(Change::Restore { copy, epoch: self.next_epoch() })
    }

    /// Whether a copy is due before anything changes now, where the last change was then: worked out when it is needed, since between
    /// two changes every copy is the same.
    pub fn copy_due(&self, every: Duration, before: At, now: At) -> Option<Change> {
        let turn = |at: At| at.0.checked_div_euclid(every.nanos());
        (turn(before)? < turn(now)?).then_some(Change::Copy)
    }

    /// Carries a change out. Replaying all changes of a node gives the same node.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Append(logged) => self.append(logged),
            Change::Promote { epoch } => {
                self.role = Role::Primary;
                self.fenced = false;
                self.may_drop = false;
                self.append(Logged { epoch, entry: Entry::Began });
            }
            Change::Demote => self.role = Role::Replica,
            Change::Fence => {
                self.role = Role::Fenced;
                self.fenced = true;
                self.may_drop = false;
            }
            Change::Follow => {
                self.role = Role::Replica;
                self.may_drop = true;
            }
            Change::Drop { after } => {
                let kept = usize::try_from(after).unwrap_or(usize::MAX).min(self.log.len());
                self.aside.extend(self.log.split_off(kept));
                self.corrupt.clear();
                let log = std::mem::take(&mut self.log);
                for logged in log.from(0) {
                    self.append(logged.clone());
                }
            }
            Change::Copy => {
                if self.copies.len() == COPIES {
                    self.copies.remove(0);
                }
                self.copies.push(Copied { log: self.log.clone(), corrupt: self.corrupt.clone() });
            }
            Change::Restore { copy, epoch } => {
                if let Some(Copied { log, corrupt }) = self.copies.get(copy).cloned() {
                    (self.log, self.corrupt) = (log, corrupt);
                }
                self.restores += 1;
                self.append(Logged { epoch, entry: Entry::Began });
            }
        }
    }

    fn append(&mut self, logged: Logged) {
        self.epoch = self.epoch.max(logged.epoch);
        match &logged.entry {
            Entry::Record(_) | Entry::Gone | Entry::Began => {}
            Entry::Remove { run } => {
                let of_the_run =
                    |past: &Logged| matches!(&past.entry, Entry::Record(record) if record.run == *run);
                self.log.change(of_the_run, |index, past| {
                    past.entry = Entry::Gone;
                    self.corrupt.remove(&(index as u64 + 1));
                });
            }
            Entry::Corrupt { from, to } => {
                let records = self.records(from.saturating_sub(1)).map(|(position, ..)| position);
                self.corrupt.extend(records.take_while(|position| position <= to).collect::<Vec<_>>());
            }
            Entry::Repair => self.corrupt.clear(),
        }
        self.log.push(logged);
    }

    fn records(&self, after: u64) -> impl Iterator<Item = (u64, u64, &Arc<Record>)> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        self.log.from(skip).zip(after + 1..).filter_map(|(logged, position)| match &logged.entry {
            Entry::Record(record) => Some((position, logged.epoch, record)),
            Entry::Gone | Entry::Began | Entry::Remove { .. } | Entry::Corrupt { .. } | Entry::Repair => None,
        })
    }

    /// A page of a run's records.
    pub fn page(&self, run: &str, after: u64, limit: usize) -> Page {
        let limit = limit.clamp(1, PAGE);
        let shown = |position, record: &Arc<Record>| {
            if self.corrupt.contains(&position) { Arc::new(damaged(record)) } else { record.clone() }
        };
        let records: Vec<Read> = self
            .records(after)
            .filter(|(_, _, record)| record.run == run)
            .take(limit)
            .map(|(position, epoch, record)| Read { position, epoch, record: shown(position, record) })
            .collect();
        let next = records.last().filter(|_| records.len() == limit).map(|read| read.position);
        Page { records, next, pod: None, namespace: None }
    }

    /// The entries after a position, as far as one answer goes.
    pub fn entries(&self, after: u64) -> impl Iterator<Item = &Logged> {
        self.log.from(usize::try_from(after).unwrap_or(usize::MAX)).take(PAGE)
    }

    /// The first position of each epoch.
    pub fn epochs(&self) -> Vec<(u64, u64)> {
        let mut epochs: Vec<(u64, u64)> = Vec::new();
        for (logged, position) in self.log.from(0).zip(1..) {
            if epochs.last().is_none_or(|(epoch, _)| *epoch != logged.epoch) {
                epochs.push((logged.epoch, position));
            }
        }
        epochs
    }

    /// The position to follow another log from: the last up to which both are the same; or the beginning, where this one
    /// removed records after it, which it then must get again.
    pub fn follow_from(&self, epochs: &[(u64, u64)], last: u64) -> u64 {
        let common = self.common(epochs, last);
        let skip = usize::try_from(common).unwrap_or(usize::MAX);
        let removed = self.log.from(skip).any(|logged| matches!(logged.entry, Entry::Remove { .. }));
        if removed { 0 } else { common }
    }

    /// The last position up to which this log and another are the same.
    fn common(&self, epochs: &[(u64, u64)], last: u64) -> u64 {
        let theirs = |position: u64| {
            epochs.iter().rev().find(|(_, first)| *first <= position).map(|(epoch, _)| *epoch)
        };
        (1..=last.min(self.last()))
            .rev()
            .find(|position| self.epoch_at(*position) == theirs(*position))
            .unwrap_or(0)
    }
}

/// A record with each character of its payload changed.
fn damaged(record: &Record) -> Record {
    let flipped = |character: char| char::from_u32(u32::from(character) ^ 1).unwrap_or(character);
    Record { payload: record.payload.chars().map(flipped).collect(), ..record.clone() }
}

#[cfg(test)]
mod tests;
