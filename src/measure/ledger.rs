//! The ledger's checkers: what was written against what was read back. Pure, n log n.
//!
//! A definite contradiction is needed for each finding: concurrent writes may stand in any order, and a write with no answer
//! may or may not be there. After Jepsen's set and register checkers, with epochs for the primary that acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::measured::{Checked, Records};
use crate::model::sample::{Found, Write, WriteSeen};
use crate::model::time::{At, Interval, Span};

/// What one reading showed. A write that had not completed before `begun` need not be there.
pub fn check(writes: &[Write], found: &[Found], begun: At, promotions: &[Interval]) -> Checked {
    let mut copies: BTreeMap<u64, Vec<&Found>> = BTreeMap::new();
    for record in found {
        copies.entry(record.number).or_default().push(record);
    }
    let mut checked = Checked { dual_accepted: dual_accepted(writes, promotions), ..Checked::default() };
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

/// Which of several disruptions, in order, lost these writes: the first that came after the newest of them was sent. Where an earlier one
/// may have lost it as well, since its effect came slowly, at any time from then on; the last one where all were over by then, and the first
/// where nothing was lost.
pub fn disruption(writes: &[Write], lost: &[u64], disruptions: &[Interval]) -> Option<Interval> {
    let Some(newest) = of(writes, lost).map(|write| write.sent).max() else {
        return disruptions.first().copied();
    };
    let after = disruptions.iter().find(|one| one.latest >= newest).or(disruptions.last())?;
    let earlier = disruptions.first().is_some_and(|first| first.latest < newest);
    let earliest = if earlier { after.earliest.min(newest) } else { after.earliest };
    Some(Interval { earliest, ..*after })
}

/// The data loss in time: from the acknowledgement of the oldest lost write to the disruption. Where the newest lost one was acknowledged
/// after it (a store that is put back to a copy loses what it took after the fault as well), it ends between that and the end of the next
/// write; zero where nothing was lost.
pub fn lost_time(writes: &[Write], lost: &[u64], disruption: Interval) -> Span {
    let gone = || of(writes, lost);
    let oldest = gone().map(|write| write.sent).min().zip(gone().map(|write| write.completed).min());
    let newest = gone().map(|write| write.sent).max().zip(gone().map(|write| write.completed).max());
    let Some(((sent, completed), (newest, acknowledged))) = oldest.zip(newest) else { return Span::ZERO };
    let mut end = disruption.max(&Interval { earliest: newest, latest: acknowledged });
    if acknowledged > disruption.latest {
        let next = writes.iter().filter(|write| write.sent > newest).min_by_key(|write| write.sent);
        end.latest = next.map_or(end.latest, |write| write.completed.max(end.latest));
    }
    Interval { earliest: sent, latest: completed }.until(&end)
}

/// The writes of these numbers, which are in order.
fn of<'a>(writes: &'a [Write], numbers: &'a [u64]) -> impl Iterator<Item = &'a Write> {
    let numbers: BTreeSet<u64> = numbers.iter().copied().collect();
    writes.iter().filter(move |write| numbers.contains(&write.number))
}

/// Acknowledged by an older epoch's primary, though a newer one had acknowledged before it was sent, or had surely been promoted: each
/// of `promotions` reaches from the intent to make the other side primary to the end that was reported.
fn dual_accepted(writes: &[Write], promotions: &[Interval]) -> Vec<u64> {
    let epoch = |write: &Write| match write.seen {
        WriteSeen::Ok { epoch } => Some(epoch),
        WriteSeen::Failed(_) | WriteSeen::Unknown(_) => None,
    };
    let mut done: Vec<(At, u64)> =
        writes.iter().filter_map(|write| epoch(write).map(|epoch| (write.completed, epoch))).collect();
    done.sort_unstable();
    // From the end of a promotion on, every epoch that had acknowledged before it was asked for is over.
    let newest_before = |at: At| {
        done.iter().take_while(|(completed, _)| *completed < at).map(|(_, epoch)| *epoch).max().unwrap_or(0)
    };
    let begun = promotions.iter().map(|promoted| (promoted.latest, newest_before(promoted.earliest) + 1));
    let mut newer: Vec<(At, u64)> = done.iter().copied().chain(begun).collect();
    newer.sort_unstable();
    let mut sent: Vec<(At, u64, u64)> = writes
        .iter()
        .filter_map(|write| epoch(write).map(|epoch| (write.sent, write.number, epoch)))
        .collect();
    sent.sort_unstable();
    let mut newer = newer.into_iter().peekable();
    let mut newest = 0;
    let mut found: Vec<u64> = Vec::new();
    for (sent, number, epoch) in sent {
        while let Some((_, began)) = newer.next_if(|(at, _)| *at < sent) {
            newest = newest.max(began);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::sample::Failure;

    const LATER: At = At(i64::MAX);

    #[test]
    fn what_is_missing_and_of_unknown_end_may_be_lost() {
        let checked = Checked { lost: vec![1, 2], unknown_missing: vec![3], ..Checked::default() };
        assert_eq!(records(&checked), Records { exactly: 2, at_most: 3 });
    }

    /// Writes 20 ms apart that take 5 to 50 ms, so that they overlap; every ninth refused, every seventh of unknown end.
    fn writes(count: u64, seed: u64) -> Vec<Write> {
        let mut random = fastrand::Rng::with_seed(seed);
        let one = |number: u64| {
            let sent = At(i64::try_from(number).unwrap() * 20);
            let seen = match number {
                number if number.is_multiple_of(9) => WriteSeen::Failed(Failure::Refused),
                number if number.is_multiple_of(7) => WriteSeen::Unknown(Failure::Timeout),
                number => WriteSeen::Ok { epoch: if number > count / 2 + 2 { 2 } else { 1 } },
            };
            Write {
                number,
                scheduled: sent,
                sent,
                completed: At(sent.0 + random.i64(5..50)),
                seen,
                address: None,
            }
        };
        (1..=count).map(one).collect()
    }

    /// What a sound store holds of them: in the order of some instant within each write.
    fn sound(writes: &[Write], seed: u64) -> Vec<Found> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stored: Vec<(i64, Found)> = Vec::new();
        for write in writes {
            let epoch = match write.seen {
                WriteSeen::Ok { epoch } => epoch,
                WriteSeen::Unknown(_) if random.bool() => 1,
                WriteSeen::Unknown(_) | WriteSeen::Failed(_) => continue,
            };
            let at = random.i64(write.sent.0..=write.completed.0);
            stored.push((at, Found { number: write.number, epoch, intact: true }));
        }
        stored.sort_by_key(|(at, _)| *at);
        stored.into_iter().map(|(_, found)| found).collect()
    }

    fn acknowledged(writes: &[Write], number: u64) -> bool {
        matches!(writes[usize::try_from(number - 1).unwrap()].seen, WriteSeen::Ok { .. })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_sound_store_has_nothing_wrong_and_one_damage_is_found_alone(
            seed in any::<u64>(), pick in any::<prop::sample::Index>(), damages in 1..6_usize,
        ) {
            let writes = writes(120, seed);
            let found = sound(&writes, seed);
            let healthy = check(&writes, &found, LATER, &[]);
            let missing_unknown = healthy.unknown_missing.clone();
            let recovered = healthy.recovered.clone();
            let nothing = Checked { unknown_missing: missing_unknown, recovered, ..Checked::default() };
            prop_assert_eq!(&healthy, &nothing);
            let good: Vec<usize> =
                (0..found.len()).filter(|index| acknowledged(&writes, found[*index].number)).collect();
            let at = good[pick.index(good.len() - damages)];
            let hit: Vec<usize> = good.iter().copied().filter(|index| *index >= at).take(damages).collect();
            let mut numbers: Vec<u64> = hit.iter().map(|index| found[*index].number).collect();
            numbers.sort_unstable();
            let mut lost = found.clone();
            lost.retain(|record| !numbers.contains(&record.number));
            prop_assert_eq!(check(&writes, &lost, LATER, &[]), Checked { lost: numbers.clone(), ..nothing.clone() });
            let mut corrupt = found.clone();
            hit.iter().for_each(|index| corrupt[*index].intact = false);
            prop_assert_eq!(check(&writes, &corrupt, LATER, &[]), Checked { corrupt: numbers.clone(), ..nothing.clone() });
            let mut stale = found.clone();
            hit.iter().for_each(|index| stale[*index].epoch = 0);
            prop_assert_eq!(check(&writes, &stale, LATER, &[]), Checked { stale: numbers.clone(), ..nothing.clone() });
            let mut duplicate = found.clone();
            duplicate.extend(hit.iter().map(|index| found[*index].clone()));
            prop_assert_eq!(
                check(&writes, &duplicate, LATER, &[]), Checked { duplicate: numbers.clone(), ..nothing.clone() });
            let mut unexpected = found.clone();
            unexpected.push(Found { number: 9, epoch: 1, intact: true });
            unexpected.push(Found { number: 9999, epoch: 1, intact: true });
            let expected = Checked { unexpected: vec![9, 9999], ..nothing.clone() };
            let checked = check(&writes, &unexpected, LATER, &[]);
            prop_assert_eq!(Checked { reordered: 0, ..checked }, expected);
            // One record moved far away is one move, however many it then stands before.
            let mut moved = found.clone();
            let record = moved.remove(good[0]);
            moved.push(record);
            prop_assert_eq!(check(&writes, &moved, LATER, &[]), Checked { reordered: 1, ..nothing });
        }
    }

    #[test]
    fn a_write_that_an_old_primary_acknowledged_after_the_new_one_is_a_split_brain() {
        let mut writes = writes(120, 7);
        for write in writes.iter_mut().filter(|write| [100, 110].contains(&write.number)) {
            write.seen = WriteSeen::Ok { epoch: 1 };
        }
        assert_eq!(dual_accepted(&writes, &[]), [100, 110]);
        // Overlapping acknowledgements around the promotion prove nothing.
        let mut around = self::writes(120, 7);
        around.iter_mut().for_each(|write| write.completed = At(write.sent.0 + 40));
        assert_eq!(dual_accepted(&around, &[]), [0_u64; 0]);
    }

    #[test]
    fn what_the_old_primary_acknowledged_after_the_promotion_is_a_split_brain_too() {
        let mut writes = writes(120, 7);
        writes.iter_mut().for_each(|write| {
            if let WriteSeen::Ok { epoch } = &mut write.seen {
                *epoch = 1;
            }
        });
        let promoted = Interval::between(writes[79].sent, writes[89].sent);
        let after: Vec<u64> = (91..=120).filter(|number| acknowledged(&writes, *number)).collect();
        assert_eq!(dual_accepted(&writes, &[promoted]), after);
        let writes = self::writes(120, 7);
        let in_order = Interval::between(writes[60].sent, writes[61].sent);
        assert_eq!(dual_accepted(&writes, &[in_order]), [0_u64; 0]);
    }

    #[test]
    fn what_was_written_while_the_store_was_read_need_not_be_there() {
        let writes = writes(10, 1);
        let begun = writes[4].completed;
        let lost = check(&writes, &[], begun, &[]).lost;
        assert!(lost.iter().all(|number| writes[usize::try_from(number - 1).unwrap()].completed <= begun));
        assert!(!lost.is_empty() && !lost.contains(&10));
    }

    #[test]
    fn the_lost_time_counts_from_the_oldest_lost_acknowledgement_and_is_zero_without_loss() {
        let writes = writes(50, 3);
        let disruption = Interval::between(At(900), At(950));
        assert_eq!(lost_time(&writes, &[], disruption), Span::ZERO);
        let span = lost_time(&writes, &[41, 40], disruption);
        let first = &writes[39];
        assert_eq!(span.least, At(900).since(first.completed.min(writes[40].completed)));
        assert_eq!(span.most, Some(At(950).since(first.sent)));
        // What was acknowledged after the disruption and lost counts to its last acknowledgement.
        let (first, last) = (&writes[45], &writes[49]);
        let span = lost_time(&writes, &[46, 50], Interval::between(At(100), At(100)));
        assert_eq!(span.least, last.sent.since(first.completed));
        assert_eq!(span.most, Some(last.completed.since(first.sent)));
        // It may have been lost at any time until the next one ended.
        let span = lost_time(&writes, &[46, 48], Interval::between(At(100), At(100)));
        assert_eq!(span.most, Some(writes[48].completed.max(writes[47].completed).since(first.sent)));
    }

    #[test]
    fn a_disruption_that_was_over_when_a_write_was_sent_cannot_have_lost_it() {
        let writes = writes(50, 3);
        let at = |at: i64| Interval::exactly(At(at));
        let lost_by = |lost: &[u64], times: &[i64]| {
            let times: Vec<Interval> = times.iter().map(|time| at(*time)).collect();
            disruption(&writes, lost, &times)
        };
        assert_eq!(lost_by(&[40], &[]), None);
        assert_eq!(lost_by(&[], &[100, 900]), Some(at(100)));
        assert_eq!(lost_by(&[39, 40], &[810, 900]), Some(at(810)));
        let slowly = Interval::between(writes[39].sent, At(810));
        assert_eq!(lost_by(&[39, 40], &[100, 810, 900]), Some(slowly), "the first may have come slowly");
        assert_eq!(lost_by(&[50], &[100, 900]), Some(at(900)), "a copy was put back, say");
    }

    #[test]
    fn a_write_that_comes_back_after_it_was_lost_is_resurrected() {
        let writes = writes(30, 5);
        let found = sound(&writes, 5);
        let first: Vec<Found> = found.iter().filter(|record| record.number != 20).cloned().collect();
        let first = check(&writes, &first, LATER, &[]);
        assert_eq!(resurrected(&first, &found), [20]);
        assert_eq!(resurrected(&check(&writes, &found, LATER, &[]), &found), [0_u64; 0]);
    }
}
