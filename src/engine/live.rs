//! What the probes and writes say right now: the engine's own decisions wait on it. Results never come from here, they come from
//! the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::name::{Name, ProbeId, Region, Vantage};
use crate::model::outage::{holds, under_way_since};
use crate::model::sample::{Sample, Seen, Write, WriteSeen};
use crate::model::target::RestoredClause;
use crate::model::time::{At, Duration};

/// The present state of every probe at every vantage.
#[derive(Default)]
pub(super) struct Live {
    state: Mutex<State>,
    changed: Notify,
}

/// A probe at one vantage: since when it has been answering, or failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Track {
    Up { since: At },
    Down { since: At },
}

#[derive(Default)]
struct State {
    tracks: BTreeMap<ProbeId, BTreeMap<Vantage, Track>>,
    /// The sending of the newest sample of each, since samples may complete out of order.
    newest: BTreeMap<(ProbeId, Vantage), At>,
    /// The addresses that the newest answers came from, where they were successes.
    answers: BTreeMap<(ProbeId, Vantage), Option<IpAddr>>,
    /// When each side answered each of them last, where that is told.
    answered: BTreeMap<(ProbeId, Vantage, Region), At>,
    writes: BTreeMap<Name, Writes>,
    /// So much of the newest samples is kept, where anybody asks for them.
    kept: Option<Duration>,
    strips: BTreeMap<(ProbeId, Vantage), Strip>,
    written: BTreeMap<Name, Strip>,
}

/// The newest samples of one series, in the order of sending.
#[derive(Default)]
struct Strip {
    samples: BTreeMap<(At, At), Sample>,
}

impl Strip {
    /// Takes one in, and keeps what was sent within a time of the newest, with the last before that.
    fn take(&mut self, sample: Sample, kept: Duration) {
        self.samples.insert((sample.sent, sample.scheduled), sample);
        let since = self.samples.keys().next_back().map_or(At(i64::MIN), |(sent, _)| sent.minus(kept));
        while self.samples.keys().nth(1).is_some_and(|(sent, _)| *sent <= since) {
            self.samples.pop_first();
        }
    }

    /// In words: `12 of 150 failed (timeout)`.
    fn seen(&self) -> String {
        let all = self.samples.len();
        let failures = self.samples.values().filter_map(|sample| match sample.seen {
            Seen::Failed(failure) => Some(failure),
            Seen::Ok | Seen::Gap => None,
        });
        let classes: BTreeSet<String> = failures.clone().map(|failure| failure.to_string()).collect();
        let gaps = self.samples.values().filter(|sample| sample.seen == Seen::Gap).count();
        match (failures.count(), gaps) {
            (0, 0) => format!("all of {all} were answered, but too slowly or not for long enough"),
            (0, gaps) => format!("{gaps} of {all} were not sent in time"),
            (failed, _) => {
                format!("{failed} of {all} failed ({})", classes.into_iter().collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Whether its service has kept the clause for a time, was asked before it, and leaves nothing unanswered now for longer than
    /// answers take. Asked are two questions at least of those that its period makes: one may be due, and one just sent.
    fn holds(&self, clause: &RestoredClause, every: Duration, (since, now): (At, At)) -> bool {
        let before = self.samples.range(..=(since, At(i64::MAX))).next_back();
        let Some((first, _)) = before else { return false };
        let samples = || self.samples.range(first..).map(|(_, sample)| sample);
        let newest = samples().next_back().map_or(At(i64::MIN), |sample| sample.sent);
        if newest.plus(every).plus(every) < under_way_since(samples(), now) {
            return false;
        }
        // Asked at each sample, it is mostly two failures in a row that say no: the newest tell soonest.
        let mut failed = false;
        for sample in samples().rev() {
            match sample.seen {
                Seen::Gap => return false,
                Seen::Failed(_) if failed => return false,
                Seen::Failed(_) => failed = true,
                Seen::Ok => failed = false,
            }
        }
        holds(&samples().cloned().collect::<Vec<_>>(), clause)
    }
}

/// The writes to a store.
struct Writes {
    newest: u64,
    /// When the newest was due, and when it was sent.
    scheduled: At,
    sent: At,
    /// Who ended the newest.
    address: Option<IpAddr>,
    /// Since when they have been acknowledged or not.
    track: Track,
    /// When the last that was not acknowledged was sent.
    unacknowledged: Option<At>,
    /// Whether any was acknowledged, or has an unknown end.
    may_be_stored: bool,
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a sample in; returns whether the probe answers now, where that is new.
    pub(super) fn sample(&self, probe: &ProbeId, vantage: &Vantage, sample: &Sample) -> Option<bool> {
        let turned = {
            let mut state = self.state();
            if let Some(kept) = state.kept {
                let strip = state.strips.entry((probe.clone(), vantage.clone())).or_default();
                strip.take(sample.clone(), kept);
            }
            if !state.tracks.get(probe).is_some_and(|tracks| tracks.contains_key(vantage)) {
                state.newest.insert((probe.clone(), vantage.clone()), sample.sent);
            } else if let Some(newest) = state.newest.get_mut(&(probe.clone(), vantage.clone())) {
                if sample.sent < *newest {
                    return None;
                }
                *newest = sample.sent;
            }
            if let (Seen::Ok, Some(side)) = (&sample.seen, &sample.answered_by) {
                state.answered.insert((probe.clone(), vantage.clone(), side.clone()), sample.sent);
            }
            let tracks = state.tracks.entry(probe.clone()).or_default();
            let before = tracks.get(vantage).copied();
            let after = match (&sample.seen, before) {
                (Seen::Ok, Some(up @ Track::Up { .. })) => up,
                (Seen::Ok, _) => Track::Up { since: sample.sent },
                (Seen::Failed(_) | Seen::Gap, Some(down @ Track::Down { .. })) => down,
                (Seen::Failed(_) | Seen::Gap, _) => Track::Down { since: sample.sent },
            };
            tracks.insert(vantage.clone(), after);
            let key = (probe.clone(), vantage.clone());
            match after {
                Track::Up { .. } => state.answers.insert(key, sample.address),
                Track::Down { .. } => state.answers.remove(&key),
            };
            // A question that was not sent is no failure to whoever watches.
            (before != Some(after) && sample.seen != Seen::Gap).then_some(matches!(after, Track::Up { .. }))
        };
        self.changed.notify_waiters();
        turned
    }

    /// Takes a write in, of which one is due each `period`.
    pub(super) fn write(&self, store: &Name, write: &Write, period: Duration) {
        {
            let mut state = self.state();
            if let Some(kept) = state.kept {
                state.written.entry(store.clone()).or_default().take(write.as_sample(period), kept);
            }
            let acknowledged = matches!(write.seen, WriteSeen::Ok { .. });
            let fresh = |since| if acknowledged { Track::Up { since } } else { Track::Down { since } };
            let writes = state.writes.entry(store.clone()).or_insert(Writes {
                newest: write.number,
                scheduled: write.scheduled,
                sent: write.sent,
                address: write.address,
                track: fresh(write.sent),
                unacknowledged: None,
                may_be_stored: false,
            });
            writes.may_be_stored |= !matches!(write.seen, WriteSeen::Failed(_));
            if write.number >= writes.newest {
                (writes.newest, writes.scheduled) = (write.number, write.scheduled);
                (writes.sent, writes.address) = (write.sent, write.address);
                if acknowledged != matches!(writes.track, Track::Up { .. }) {
                    writes.track = fresh(write.sent);
                }
            }
            if !acknowledged {
                writes.unacknowledged = writes.unacknowledged.max(Some(write.sent));
            }
        }
        self.changed.notify_waiters();
    }

    /// The number of the last write to a store that was due at an instant, one each period; any number where none has ended yet.
    pub(super) fn due(&self, store: &Name, period: Duration, now: At) -> u64 {
        let due = |writes: &Writes| {
            let since = now.since(writes.scheduled).as_nanos() / period.as_nanos().max(1);
            writes.newest.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        };
        self.state().writes.get(store).map_or(u64::MAX, due)
    }

    /// When the last write to a store that was not acknowledged was sent.
    pub(super) fn unacknowledged(&self, store: &Name) -> Option<At> {
        self.state().writes.get(store)?.unacknowledged
    }

    /// Whether writes to a store were seen, and every one of them was surely not stored.
    pub(super) fn stored_nothing(&self, store: &Name) -> bool {
        self.state().writes.get(store).is_some_and(|writes| !writes.may_be_stored)
    }

    /// Keeps the newest samples and writes of so long a time from now on; none where nobody asks any more.
    pub(super) fn keep(&self, kept: Option<Duration>) {
        let mut state = self.state();
        state.kept = kept;
        if kept.is_none() {
            (state.strips, state.written) = Default::default();
        }
    }

    /// Whether a probe has kept a clause from one instant until another, which is now, at all of its vantages, by what is kept.
    pub(super) fn holds(
        &self,
        (probe, every): (&ProbeId, Duration),
        from: &[Vantage],
        clause: &RestoredClause,
        within: (At, At),
    ) -> bool {
        let state = self.state();
        let strip = |vantage: &Vantage| state.strips.get(&(probe.clone(), vantage.clone()));
        let holds = |strip: &Strip| strip.holds(clause, every, within);
        from.iter().all(|vantage| strip(vantage).is_some_and(holds))
    }

    /// Whether the writes to a store have.
    pub(super) fn writes_hold(
        &self,
        (store, every): (&Name, Duration),
        clause: &RestoredClause,
        within: (At, At),
    ) -> bool {
        self.state().written.get(store).is_some_and(|strip| strip.holds(clause, every, within))
    }

    /// What was seen of a probe at each of its vantages within the time that is kept, for whoever asks why its service is not steady.
    pub(super) fn seen_of(&self, probe: &ProbeId, vantages: &[Vantage]) -> String {
        let state = self.state();
        let of = |vantage: &Vantage| {
            let seen = state.strips.get(&(probe.clone(), vantage.clone())).map(Strip::seen);
            format!("from {vantage} {}", seen.unwrap_or_else(|| "nothing came".to_owned()))
        };
        vantages.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// The same of the writes to a store.
    pub(super) fn seen_of_writes(&self, store: &Name) -> String {
        self.state().written.get(store).map_or_else(|| "nothing came".to_owned(), Strip::seen)
    }

    /// Whether the newest write of a store was sent at an instant or after it, and has ended.
    pub(super) fn written_since(&self, store: &Name, instant: At) -> bool {
        self.state().writes.get(store).is_some_and(|writes| writes.sent >= instant)
    }

    /// Whether the newest write of a store was acknowledged by none of `theirs`; nobody knows before the first.
    pub(super) fn acknowledged_by_none(&self, store: &Name, theirs: impl Fn(Option<IpAddr>) -> bool) -> bool {
        let acknowledged = |writes: &Writes| matches!(writes.track, Track::Up { .. });
        self.state().writes.get(store).is_some_and(|writes| !(acknowledged(writes) && theirs(writes.address)))
    }

    /// The addresses that a probe succeeds from now, at whichever vantages it does.
    pub(super) fn answers_from(&self, probe: &ProbeId) -> Vec<Option<IpAddr>> {
        self.state().answers.iter().filter(|((of, _), _)| of == probe).map(|(_, from)| *from).collect()
    }

    /// Whether a probe has been answering at all of `vantages` for a time.
    pub(super) fn succeeded_for(&self, probe: &ProbeId, vantages: usize, lasting: Duration, now: At) -> bool {
        let state = self.state();
        let Some(tracks) = state.tracks.get(probe) else { return false };
        tracks.len() == vantages
            && tracks
                .values()
                .all(|track| matches!(track, Track::Up { since } if now.since(*since) >= lasting))
    }

    /// Whether no answer of a probe came from another side than a right one for a time. (One that does not tell may be of any.)
    pub(super) fn answered_by(
        &self,
        probe: &ProbeId,
        right: impl Fn(&Region) -> bool,
        lasting: Duration,
        now: At,
    ) -> bool {
        let state = self.state();
        let mut wrong = state.answered.iter().filter(|((of, _, side), _)| of == probe && !right(side));
        wrong.all(|(_, last)| now.since(*last) >= lasting)
    }

    /// Whether a probe has been failing at any vantage for a time.
    pub(super) fn failed_for(&self, probe: &ProbeId, lasting: Duration, now: At) -> bool {
        self.state().tracks.get(probe).is_some_and(|tracks| {
            tracks
                .values()
                .any(|track| matches!(track, Track::Down { since } if now.since(*since) >= lasting))
        })
    }

    /// Whether the newest answer of a probe is a failure, at all of `vantages`.
    pub(super) fn fails_everywhere(&self, probe: &ProbeId, vantages: usize) -> bool {
        let state = self.state();
        state.tracks.get(probe).is_some_and(|tracks| {
            tracks.len() == vantages && tracks.values().all(|track| matches!(track, Track::Down { .. }))
        })
    }

    /// Whether the newest answer of a probe, sent at an instant or after it, is a failure, at any vantage. (The first failure may have
    /// been under way before it.)
    pub(super) fn failing_since(&self, probe: &ProbeId, instant: At) -> bool {
        let state = self.state();
        let newest = |vantage: &Vantage| state.newest.get(&(probe.clone(), vantage.clone()));
        state.tracks.get(probe).is_some_and(|tracks| {
            tracks.iter().any(|(vantage, track)| {
                matches!(track, Track::Down { .. }) && newest(vantage).is_some_and(|sent| *sent >= instant)
            })
        })
    }

    /// Waits until `met` holds; asked anew at each sample.
    pub(super) async fn until(&self, met: impl Fn(&Live) -> bool) {
        loop {
            let changed = self.changed.notified();
            if met(self) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::{Failure, Stages};

    fn sample(at: i64, seen: Seen) -> Sample {
        Sample {
            scheduled: At(at),
            sent: At(at),
            completed: At(at + 1),
            seen,
            address: None,
            answered_by: None,
            stages: Stages::default(),
        }
    }

    #[test]
    fn writes_count_from_the_first_acknowledgement_after_one_that_was_not() {
        let live = Live::default();
        let store = Name::from("orders");
        let write = |number: u64, seen| {
            let at = At(i64::try_from(number).unwrap());
            let write = Write { number, scheduled: at, sent: at, completed: at, seen, address: None };
            live.write(&store, &write, Duration::from_nanos(2));
        };
        let clause = RestoredClause::default();
        let hold =
            |since, now| live.writes_hold((&store, Duration::from_nanos(2)), &clause, (At(since), At(now)));
        live.keep(Some(Duration::from_nanos(9)));
        assert!(!hold(9, 9), "nothing was written");
        write(1, WriteSeen::Ok { epoch: 1 });
        write(3, WriteSeen::Failed(Failure::Refused));
        write(2, WriteSeen::Ok { epoch: 1 });
        assert!(!hold(9, 9));
        write(5, WriteSeen::Ok { epoch: 2 });
        write(6, WriteSeen::Ok { epoch: 2 });
        assert!(hold(5, 6) && !hold(4, 6));
        let busy = 500_000_000;
        assert!(hold(5, 10 + busy) && !hold(5, 11 + busy), "a third should have been answered by then");
        assert_eq!(live.unacknowledged(&store), Some(At(3)));
        let due = |store: &str, now: i64| live.due(&store.into(), Duration::from_nanos(2), At(now));
        assert_eq!((due("orders", 6), due("orders", 11), due("payments", 11)), (6, 8, u64::MAX));
    }

    #[test]
    fn a_probe_keeps_a_clause_by_its_share_and_by_how_fast_it_answers_at_every_vantage() {
        let live = Live::default();
        let (probe, vantage) = (ProbeId::from("p"), Vantage::from("outside"));
        live.keep(Some(Duration::from_nanos(100)));
        for at in 0..300 {
            let seen = if at % 50 == 7 { Seen::Failed(Failure::Timeout) } else { Seen::Ok };
            live.sample(&probe, &vantage, &sample(at, seen));
        }
        let clause = |success: &str, p99| RestoredClause {
            success: success.parse().unwrap(),
            p99: Some(Duration::from_nanos(p99)),
            ..RestoredClause::default()
        };
        let every = Duration::from_nanos(1);
        let holds = |clause: &RestoredClause, from: &[Vantage], since| {
            live.holds((&probe, every), from, clause, (At(since), At(300)))
        };
        let here = [vantage.clone()];
        assert!(holds(&clause("97%", 1), &here, 199) && !holds(&clause("99%", 1), &here, 199));
        assert!(!holds(&clause("97%", 0), &here, 199), "each answer is too slow");
        assert!(!holds(&clause("97%", 1), &[vantage.clone(), "west".into()], 199));
        assert!(!holds(&clause("97%", 1), &here, 150), "that is not kept");
        live.keep(None);
        assert!(!holds(&clause("97%", 1), &here, 199));
    }

    #[test]
    fn a_question_that_was_not_sent_is_no_turn_to_whoever_watches_and_no_answer_to_the_engine() {
        let live = Live::default();
        let (probe, vantage) = (ProbeId::from("p"), Vantage::from("outside"));
        let told = [Seen::Ok, Seen::Gap, Seen::Ok, Seen::Gap, Seen::Failed(Failure::Timeout), Seen::Ok];
        let told = (0..).zip(told).map(|(at, seen)| live.sample(&probe, &vantage, &sample(at, seen)));
        assert_eq!(told.collect::<Vec<_>>(), [Some(true), None, Some(true), None, None, Some(true)]);
    }

    #[test]
    fn a_write_is_nobodys_where_it_failed_or_somebody_else_acknowledged_it() {
        let (live, store) = (Live::default(), Name::from("orders"));
        let [east, west] = ["10.1.0.1", "10.2.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let write = |number: u64, seen, address| {
            let at = At(i64::try_from(number).unwrap());
            let write = Write { number, scheduled: at, sent: at, completed: at, seen, address };
            live.write(&store, &write, Duration::from_nanos(1));
        };
        let not_by_east = || live.acknowledged_by_none(&store, |by| by.is_none_or(|by| by == east));
        assert!(!not_by_east() && !live.stored_nothing(&store), "nothing is known");
        write(0, WriteSeen::Failed(Failure::Timeout), Some(east));
        assert!(live.stored_nothing(&store));
        write(1, WriteSeen::Ok { epoch: 1 }, Some(east));
        assert!(!not_by_east() && live.written_since(&store, At(1)) && !live.written_since(&store, At(2)));
        assert!(!live.stored_nothing(&store));
        write(2, WriteSeen::Failed(Failure::Timeout), Some(east));
        assert!(not_by_east() && live.written_since(&store, At(2)));
        write(3, WriteSeen::Ok { epoch: 1 }, None);
        assert!(!not_by_east(), "nobody knows who acknowledged it");
        write(4, WriteSeen::Ok { epoch: 2 }, Some(west));
        assert!(not_by_east());
    }

    #[test]
    fn a_side_answers_alone_since_the_last_answer_of_another() {
        let live = Live::default();
        let (probe, vantage) = (ProbeId::from("p"), Vantage::from("outside"));
        let alone = |lasting| {
            live.answered_by(&probe, |side| side.as_str() == "west", Duration::from_nanos(lasting), At(20))
        };
        for (at, side) in [(5, Some("west")), (10, Some("east")), (12, Some("west")), (15, None)] {
            let sample = Sample { answered_by: side.map(Region::from), ..sample(at, Seen::Ok) };
            live.sample(&probe, &vantage, &sample);
        }
        assert!(alone(10) && !alone(11), "one that does not tell may be west");
    }

    #[test]
    fn an_old_answer_that_comes_late_changes_nothing() {
        let live = Live::default();
        let (probe, vantage) = (ProbeId::from("p"), Vantage::from("outside"));
        live.sample(&probe, &vantage, &sample(10, Seen::Ok));
        live.sample(&probe, &vantage, &sample(5, Seen::Failed(Failure::Timeout)));
        assert!(live.succeeded_for(&probe, 1, Duration::ZERO, At(10)));
        assert!(
            !live.succeeded_for(&probe, 2, Duration::ZERO, At(10)),
            "a vantage that says nothing is no success"
        );
        assert!(!live.fails_everywhere(&probe, 1));
        assert_eq!(live.answers_from(&probe), vec![None]);
        live.sample(&probe, &vantage, &sample(11, Seen::Gap));
        assert_eq!(live.answers_from(&probe), vec![]);
        assert!(live.fails_everywhere(&probe, 1));
        assert!(!live.fails_everywhere(&probe, 2), "a vantage that says nothing may see it answer");
        assert!(live.failing_since(&probe, At(11)) && !live.failing_since(&probe, At(12)));
        live.sample(&probe, &vantage, &sample(12, Seen::Gap));
        assert!(live.failing_since(&probe, At(12)), "it fails now, though it began to before");
    }
}
