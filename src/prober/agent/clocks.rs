//! The time of another clock in this one's, as intervals: what exchanges of the time between the two prove.
//!
//! Whoever asks the other clock at `asked` and has its reading `theirs` at `had`, by its own clock, knows that it was `theirs` at some
//! instant in [asked, had] (Cristian, Probabilistic clock synchronization, 1989). While the other clock goes on by `d`, this one goes on by
//! d ± [`DRIFT`]·d. So each exchange bounds every instant of the other clock, the tighter the nearer; what all of them say together is
//! their intersection. Where that is empty, a clock jumped or ran wilder than that, and nobody knows the time.

use std::collections::BTreeMap;

use crate::model::time::{At, Interval};

/// By so much of a time the two clocks may differ in how long it took: 1/1000. Clocks of machines are off by some ten parts in a million,
/// and are slowed or sped up by at most 500 by the kernel's discipline (`adjtimex(2)`), each of the two.
const DRIFT: i64 = 1000;

/// One exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// When the time was asked for, by this clock.
    pub asked: At,
    /// What the other clock showed.
    pub theirs: At,
    /// When that was known, by this clock.
    pub had: At,
}

/// What is known of another clock.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The least that this clock can be ahead, by the other's instants; without what another entry says as well.
    least: Bounds,
    /// The same of the most, negated.
    most: Bounds,
}

impl Clocks {
    /// Takes in an exchange.
    pub fn learn(&mut self, exchange: Exchange) {
        self.least.add(exchange.theirs, exchange.asked.0.saturating_sub(exchange.theirs.0));
        self.most.add(exchange.theirs, exchange.theirs.0.saturating_sub(exchange.had.0));
    }

    /// An instant of the other clock by this one; `None` where nothing is known, or the exchanges contradict each other.
    pub fn ours(&self, theirs: At) -> Option<Interval> {
        let earliest = theirs.0.checked_add(self.least.at(theirs)?)?;
        let latest = theirs.0.checked_sub(self.most.at(theirs)?)?;
        (earliest <= latest).then_some(Interval { earliest: At(earliest), latest: At(latest) })
    }
}

/// Lower bounds of an offset that changes slowly, each at its instant; those that others imply are left out. So at any instant the nearest on
/// either side tell the best.
#[derive(Debug, Default)]
struct Bounds(BTreeMap<At, i64>);

impl Bounds {
    fn add(&mut self, at: At, bound: i64) {
        if self.at(at).is_some_and(|known| known >= bound) {
            return;
        }
        let implied = |(other, known): (&At, &i64)| (*known <= after(bound, at, *other)).then_some(*other);
        while let Some(other) = self.0.range(..=at).next_back().and_then(implied) {
            self.0.remove(&other);
        }
        while let Some(other) = self.0.range(at..).next().and_then(implied) {
            self.0.remove(&other);
        }
        self.0.insert(at, bound);
    }

    fn at(&self, at: At) -> Option<i64> {
        let nearest = [self.0.range(..=at).next_back(), self.0.range(at..).next()];
        nearest.into_iter().flatten().map(|(from, bound)| after(*bound, *from, at)).max()
    }
}

/// What is left of a bound at another instant.
fn after(bound: i64, from: At, at: At) -> i64 {
    let apart = i64::try_from(at.0.abs_diff(from.0)).unwrap_or(i64::MAX);
    bound.saturating_sub(apart / DRIFT + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Another clock: ahead by an offset, and faster by parts in a million that change at an instant.
    fn theirs(ours: i64, ahead: i64, ppm: (i64, i64), change: i64) -> At {
        let (before, since) = (ours.min(change), (ours - change).max(0));
        At(ours + ahead + before * ppm.0 / 1_000_000 + since * ppm.1 / 1_000_000)
    }

    proptest! {
        #[test]
        fn the_truth_lies_in_what_exchanges_tell_however_clocks_run(
            ahead in -1_000_000 * SECOND..1_000_000 * SECOND,
            ppm in (-990_i64..990, -990_i64..990),
            change in 0..3600 * SECOND,
            exchanges in prop::collection::vec((0..3600 * SECOND, 0..SECOND, 0..SECOND), 1..40),
            instants in prop::collection::vec(0..3600 * SECOND, 1..40),
        ) {
            let mut clocks = Clocks::default();
            for (asked, there, back) in exchanges {
                let theirs = theirs(asked + there, ahead, ppm, change);
                clocks.learn(Exchange { asked: At(asked), theirs, had: At(asked + there + back) });
            }
            for instant in instants {
                let known = clocks.ours(theirs(instant, ahead, ppm, change)).expect("they do not contradict");
                prop_assert!(known.contains(At(instant)), "{instant} is not in {known:?}");
            }
        }

        #[test]
        fn what_is_left_out_says_nothing_that_the_others_do_not(
            exchanges in prop::collection::vec((0..600 * SECOND, 0..SECOND, 0..SECOND), 1..40),
            instants in prop::collection::vec(0..600 * SECOND, 1..20),
        ) {
            let all: Vec<Exchange> = exchanges
                .iter()
                .map(|(asked, there, back)| Exchange {
                    asked: At(*asked),
                    theirs: At(asked + there),
                    had: At(asked + there + back),
                })
                .collect();
            let mut clocks = Clocks::default();
            all.iter().for_each(|exchange| clocks.learn(*exchange));
            for instant in instants.into_iter().map(At) {
                let apart = |one: &Exchange| (instant.0 - one.theirs.0).abs() / DRIFT + 1;
                let least = all.iter().map(|one| one.asked.0 - one.theirs.0 - apart(one)).max();
                let most = all.iter().map(|one| one.had.0 - one.theirs.0 + apart(one)).min();
                let known = clocks.ours(instant).expect("they do not contradict");
                // Each bound that was implied by another may be off by its rounding.
                prop_assert!((known.earliest.0 - instant.0 - least.unwrap_or(0)).abs() <= 2);
                prop_assert!((known.latest.0 - instant.0 - most.unwrap_or(0)).abs() <= 2);
            }
        }
    }

    #[test]
    fn a_clock_that_jumped_is_no_clock() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.ours(At(0)), None, "nothing is known yet");
        clocks.learn(Exchange { asked: At(0), theirs: At(0), had: At(1000) });
        clocks.learn(Exchange { asked: At(SECOND), theirs: At(9 * SECOND), had: At(SECOND + 1000) });
        assert_eq!(clocks.ours(At(9 * SECOND)), None);
    }
}
