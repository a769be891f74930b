//! What the probes and writes say right now: the engine's own decisions wait on it. Results never come from here, they come from
//! the rows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::name::{Name, ProbeId, Region, Vantage};
use crate::model::sample::{Sample, Seen, Write, WriteSeen};
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
    /// When each side answered each of them last, where that is told.
    answered: BTreeMap<(ProbeId, Vantage, Region), At>,
    /// The newest write of each store, and since when writes have been acknowledged or not.
    writes: BTreeMap<Name, (u64, Track)>,
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a sample in; returns whether the probe answers now, where that is new.
    pub(super) fn sample(&self, probe: &ProbeId, vantage: &Vantage, sample: &Sample) -> Option<bool> {
        let turned = {
            let mut state = self.state();
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
            (before != Some(after)).then_some(matches!(after, Track::Up { .. }))
        };
        self.changed.notify_waiters();
        turned
    }

    /// Takes a write in.
    pub(super) fn write(&self, store: &Name, write: &Write) {
        {
            let mut state = self.state();
            let acknowledged = matches!(write.seen, WriteSeen::Ok { .. });
            let fresh = |since| if acknowledged { Track::Up { since } } else { Track::Down { since } };
            let (newest, track) =
                state.writes.entry(store.clone()).or_insert((write.number, fresh(write.sent)));
            if write.number >= *newest {
                *newest = write.number;
                if acknowledged != matches!(track, Track::Up { .. }) {
                    *track = fresh(write.sent);
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// The highest number that a ledger's client has written.
    pub(super) fn highest_write(&self, store: &Name) -> u64 {
        self.state().writes.get(store).map_or(0, |(number, _)| *number)
    }

    /// Whether the writes to a store have been acknowledged for a time.
    pub(super) fn written_for(&self, store: &Name, lasting: Duration, now: At) -> bool {
        let up = |track: &Track| matches!(track, Track::Up { since } if now.since(*since) >= lasting);
        self.state().writes.get(store).is_some_and(|(_, track)| up(track))
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
            live.write(
                &store,
                &Write { number, scheduled: at, sent: at, completed: at, seen, address: None },
            );
        };
        assert!(!live.written_for(&store, Duration::ZERO, At(9)), "nothing was written");
        write(1, WriteSeen::Ok { epoch: 1 });
        write(3, WriteSeen::Failed(Failure::Refused));
        write(2, WriteSeen::Ok { epoch: 1 });
        assert!(!live.written_for(&store, Duration::ZERO, At(9)));
        write(5, WriteSeen::Ok { epoch: 2 });
        write(6, WriteSeen::Ok { epoch: 2 });
        assert!(live.written_for(&store, Duration::from_nanos(4), At(9)));
        assert!(!live.written_for(&store, Duration::from_nanos(5), At(9)));
        assert_eq!(live.highest_write(&store), 6);
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
        live.sample(&probe, &vantage, &sample(11, Seen::Gap));
        assert!(live.fails_everywhere(&probe, 1));
        assert!(!live.fails_everywhere(&probe, 2), "a vantage that says nothing may see it answer");
        assert!(live.failing_since(&probe, At(11)) && !live.failing_since(&probe, At(12)));
        live.sample(&probe, &vantage, &sample(12, Seen::Gap));
        assert!(live.failing_since(&probe, At(12)), "it fails now, though it began to before");
    }
}
