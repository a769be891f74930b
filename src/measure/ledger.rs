//! The ledger's checkers: what was written against what was read back. Pure, n log n.
//!
//! A definite contradiction is needed for each finding: concurrent writes may stand in any order, and a write with no answer
//! may or may not be there. After Jepsen's set and register checkers, with epochs for the primary that acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::measured::{Checked, Records};
use crate::model::sample::{Found, Write, WriteSeen};
use crate::model::time::{At, Interval, Span};

/// What one reading showed. A write that had not completed before `begun` need not be there.
pub fn check(writes: &[Write], found: &[Found], begun: At) -> Checked {
    let mut copies: BTreeMap<u64, Vec<&Found>> = BTreeMap::new();
    for record in found {
        copies.entry(record.number).or_default().push(record);
    }
    let mut checked = Checked { dual_accepted: dual_accepted(writes), ..Checked::default() };
    let written: BTreeMap<u64, &Write> = writes.iter().map(|write| (write.number, write)).collect();
    for (number, write) in &written {
        let due = write.completed <= begun;
        match (write.seen, copies.contains_key(number)) {
            (WriteSeen::Ok { .. }, false) if due => checked.lost.push(*number),
            (WriteSeen::Unknown(_), false) if due => checked.unknown_missing.push(*number),
            (WriteSeen::Unknown(_), true) => checked.recovered.push(*number),
            (WriteSeen::Failed(_), true) => checked.unexpected.push(*number),
            (WriteSeen::Ok { .. } | WriteSeen::Unknown(_) | WriteSeen::Failed(_), _) => {}
        }
    }
    for (number, copies) in &copies {
        if !written.contains_key(number) {
            checked.unexpected.push(*number);
        }
        if copies.len() > 1 {
            checked.duplicate.push(*number);
        }
        if copies.iter().any(|copy| !copy.intact) {
            checked.corrupt.push(*number);
        }
        if let Some(WriteSeen::Ok { epoch }) = written.get(number).map(|write| write.seen)
            && copies.iter().any(|copy| copy.epoch != epoch)
        {
            checked.stale.push(*number);
        }
    }
    checked.unexpected.sort_unstable();
    checked.reordered = reordered(&written, found);
    checked
}

/// The loss in records: exact, and with those of which nobody knows.
pub fn records(checked: &Checked) -> Records {
    let (lost, unknown) = (checked.lost.len() as u64, checked.unknown_missing.len() as u64);
    Records { exactly: lost, at_most: lost + unknown }
}

/// Writes that were missing after the recovery and are back after the failback: nobody may believe them any more.
pub fn resurrected(first: &Checked, second: &[Found]) -> Vec<u64> {
    let there: BTreeSet<u64> = second.iter().map(|record| record.number).collect();
    let missing = first.lost.iter().chain(&first.unknown_missing);
    let mut back: Vec<u64> = missing.copied().filter(|number| there.contains(number)).collect();
    back.sort_unstable();
    back
}

/// The data loss in time: from the acknowledgement of the oldest lost write to the disruption; zero where nothing was lost.
pub fn lost_time(writes: &[Write], lost: &[u64], disruption: Interval) -> Span {
    let lost: BTreeSet<u64> = lost.iter().copied().collect();
    let gone = || writes.iter().filter(|write| lost.contains(&write.number));
    let sent = gone().map(|write| write.sent).min();
    let acknowledged = gone().map(|write| write.completed).min();
    match sent.zip(acknowledged) {
        None => Span::ZERO,
        Some((earliest, latest)) => Interval { earliest, latest }.until(&disruption),
    }
}

/// Acknowledged by an older epoch's primary, though a newer one had acknowledged before it was sent.
fn dual_accepted(writes: &[Write]) -> Vec<u64> {
    let epoch = |write: &Write| match write.seen {
        WriteSeen::Ok { epoch } => Some(epoch),
        WriteSeen::Failed(_) | WriteSeen::Unknown(_) => None,
    };
    let mut done: Vec<(At, u64)> =
        writes.iter().filter_map(|write| epoch(write).map(|epoch| (write.completed, epoch))).collect();
    done.sort_unstable();
    let mut sent: Vec<(At, u64, u64)> = writes
        .iter()
        .filter_map(|write| epoch(write).map(|epoch| (write.sent, write.number, epoch)))
        .collect();
    sent.sort_unstable();
    let mut done = done.into_iter().peekable();
    let mut newest = 0;
    let mut found: Vec<u64> = Vec::new();
    for (sent, number, epoch) in sent {
        while let Some((_, acknowledged)) = done.next_if(|(completed, _)| *completed < sent) {
            newest = newest.max(acknowledged);
        }
        if epoch < newest {
            found.push(number);
        }
    }
    found.sort_unstable();
    found
}

/// The fewest records to move so that no write stands before one that had completed when it was sent: all but the longest
/// subsequence that is in order. For intervals that subsequence's length is the size of a multiset: each record adds its
/// `sent`, and takes out the first one that is over its `completed` (patience sorting with ties over a range).
fn reordered(written: &BTreeMap<u64, &Write>, found: &[Found]) -> u64 {
    let mut seen = BTreeSet::new();
    let mut piles: BTreeMap<At, u64> = BTreeMap::new();
    let (mut total, mut longest) = (0_u64, 0_u64);
    for record in found.iter().filter(|record| seen.insert(record.number)) {
        let Some(write) = written.get(&record.number) else { continue };
        let completed = match write.seen {
            WriteSeen::Ok { .. } => write.completed,
            WriteSeen::Failed(_) | WriteSeen::Unknown(_) => At(i64::MAX),
        };
        total += 1;
        longest += 1;
        *piles.entry(write.sent).or_default() += 1;
        let over = piles.range((std::ops::Bound::Excluded(completed), std::ops::Bound::Unbounded)).next();
        if let Some(at) = over.map(|(at, _)| *at)
            && let Some(pile) = piles.get_mut(&at)
        {
            longest -= 1;
            *pile -= 1;
            if *pile == 0 {
                piles.remove(&at);
            }
        }
    }
    total - longest
}
