//! From samples to outages: the arithmetic of bounds (DESIGN section 5), pure and used by `measure` and by the calibration alike.
//!
//! An ok proves "up at some instant in [sent, completed]", a failure "down at some instant in it". So an outage began after
//! the last ok before it was sent, and no later than its earliest failure completed; it ended after the last failure before
//! the sustained run was sent, and no later than the run's first ok completed. Between two failures in a row the service is
//! taken as down. One failure between successes is no outage, whatever its kind: a stray, whose length [`strays`] bounds. Single
//! failures that come more often than the clause allows are one: a service that fails every second user is not up.
//! Rejected: ordering by completion, since a probe that times out completes long after it saw what it saw.

use serde::{Deserialize, Serialize};

use super::sample::{Sample, Seen};
use super::target::{RestoredClause, Share};
use super::time::{At, Duration, Interval, Span};

/// So many single failures in the clause's time are strays, whatever share of it they are: packets get lost.
const MOST_STRAYS: u64 = 2;

/// So many samples at least are looked at, however short the clause's time is for a slow probe.
const FEWEST: usize = 10;

/// A time during which a service did not serve, as one vantage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    pub begin: Interval,
    /// When the run of successes began that met the clause; `None` where none did.
    pub end: Option<Interval>,
    /// The first success after it began, sustained or not.
    pub first_success: Option<Interval>,
    /// A run of successes that was still too short when the samples ended.
    pub unconfirmed: Option<Interval>,
    pub failures: u64,
    /// How often it answered and failed again before `end`.
    pub flaps: u32,
    /// Samples are missing at the beginning, so its bound is not to be relied on.
    pub gap_at_begin: bool,
    /// Samples are missing at the end, or in the run that should show it.
    pub gap_at_end: bool,
}

impl Outage {
    /// How long it lasted; without an end, at least until `now`.
    pub fn span(&self, now: At) -> Span {
        match self.end {
            Some(end) => self.begin.until(&end),
            None => Span::at_least(now.since(self.begin.latest)),
        }
    }
}

/// The outages in one vantage's samples, in order.
pub fn outages(samples: &[Sample], clause: &RestoredClause) -> Vec<Outage> {
    outages_where(samples, clause, |_| true)
}

/// As [`outages`], where only a success that `counts` accepts can begin the run that restores.
pub fn outages_where(
    samples: &[Sample],
    clause: &RestoredClause,
    counts: impl Fn(&Sample) -> bool,
) -> Vec<Outage> {
    let series = Series::new(samples, clause);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((first, after)) = series.next_failures(from) {
        let (restored, unconfirmed) = series.restored(after, &counts);
        let until = restored.or(unconfirmed).unwrap_or(series.seen.len());
        found.push(series.outage(first, after, (restored, unconfirmed), until));
        from = match restored {
            Some(run) => series.after_run(run),
            None => series.seen.len(),
        };
    }
    found
}

/// The single failures between successes, each as the longest outage that it could have been.
pub fn strays(samples: &[Sample]) -> Vec<Interval> {
    let clause = RestoredClause { success: Share::ALL, lasting: Duration::ZERO, load: None, p99: None };
    let series = Series::new(samples, &clause);
    let alone = |trio: &&[&Sample]| match trio {
        [before, it, after] => is_ok(before) && !is_ok(it) && is_ok(after),
        _ => false,
    };
    let bounds = |trio: &[&Sample]| match trio {
        [before, _, after] => Some(Interval { earliest: before.sent, latest: after.completed }),
        _ => None,
    };
    series.seen.windows(3).filter(alone).filter_map(bounds).collect()
}

fn is_ok(sample: &Sample) -> bool {
    sample.seen == Seen::Ok
}

/// Samples by sent, with counts up to each of them, so that any run is judged in constant time.
struct Series<'a> {
    /// Without the gaps.
    seen: Vec<&'a Sample>,
    /// When a sample should have been sent and was not.
    gaps: Vec<At>,
    clause: &'a RestoredClause,
    /// Before the n-th sample: successes, and answers too slow for the clause.
    ok: Vec<u64>,
    slow: Vec<u64>,
    /// From each sample on, the first of the next two or more failures in a row.
    in_a_row: Vec<usize>,
}

impl<'a> Series<'a> {
    fn new(samples: &'a [Sample], clause: &'a RestoredClause) -> Self {
        let mut seen: Vec<&Sample> = samples.iter().filter(|sample| sample.seen != Seen::Gap).collect();
        seen.sort_by_key(|sample| (sample.sent, sample.scheduled, sample.completed));
        let mut gaps: Vec<At> =
            samples.iter().filter(|sample| sample.seen == Seen::Gap).map(|sample| sample.sent).collect();
        gaps.sort();
        let sums = |counted: &dyn Fn(&Sample) -> bool| {
            let mut sum = 0;
            let mut sums = vec![0];
            sums.extend(seen.iter().map(|sample| {
                sum += u64::from(counted(sample));
                sum
            }));
            sums
        };
        let slow = |sample: &Sample| {
            is_ok(sample) && clause.p99.is_some_and(|p99| sample.completed.since(sample.sent) > p99)
        };
        let (ok, slow) = (sums(&is_ok), sums(&slow));
        let mut in_a_row = vec![seen.len(); seen.len()];
        let mut next = seen.len();
        for index in (1..seen.len()).rev() {
            if !is_ok(seen[index - 1]) && !is_ok(seen[index]) {
                next = index - 1;
            }
            in_a_row[index - 1] = next;
        }
        Self { seen, gaps, clause, ok, slow, in_a_row }
    }

    fn at(&self, index: usize) -> Option<&'a Sample> {
        self.seen.get(index).copied()
    }

    fn is_ok(&self, index: usize) -> bool {
        self.at(index).is_some_and(is_ok)
    }

    fn between(sums: &[u64], from: usize, to: usize) -> u64 {
        let at = |index: usize| sums.get(index).copied().unwrap_or(0);
        at(to).saturating_sub(at(from))
    }

    /// The next failures that are an outage, two or more in a row or single ones too often: the first of them, and the first sample
    /// after those in a row.
    fn next_failures(&self, from: usize) -> Option<(usize, usize)> {
        let mut at = from;
        loop {
            let first = (at..self.seen.len()).find(|index| !self.is_ok(*index))?;
            let after = (first..self.seen.len()).find(|index| self.is_ok(*index)).unwrap_or(self.seen.len());
            if after - first >= 2 || !self.tolerates(first) {
                return Some((first, after));
            }
            at = after;
        }
    }

    /// Whether the single failures from here on, in the clause's time and before the next in a row, are few, or as many as the clause
    /// leaves room for. Where the samples end before that time does, the last such time that they show is looked at.
    fn tolerates(&self, first: usize) -> bool {
        let until = self.in_a_row.get(first).copied().unwrap_or(self.seen.len());
        let end = self.end_of(first).max(first + FEWEST).min(self.seen.len()).min(until);
        let last = self.seen.last().map_or(At(i64::MAX), |sample| sample.sent);
        let lasting = self.seen.partition_point(|sample| sample.sent.plus(self.clause.lasting) < last);
        let lasting = lasting.min(self.seen.len().saturating_sub(FEWEST));
        let first = if until == self.seen.len() { first.min(lasting) } else { first };
        let (total, ok) = ((end - first) as u64, Self::between(&self.ok, first, end));
        total - ok <= MOST_STRAYS || self.clause.success.reached(ok, total)
    }

    /// The first sample of the first run that meets the clause; or of one that the samples' end leaves open.
    fn restored(&self, from: usize, counts: &impl Fn(&Sample) -> bool) -> (Option<usize>, Option<usize>) {
        let last = self.seen.last().map_or(At(i64::MIN), |sample| sample.sent);
        for run in from..self.seen.len() {
            let Some(first) = self.at(run).filter(|sample| is_ok(sample) && counts(sample)) else { continue };
            let open = first.sent.plus(self.clause.lasting) > last;
            if self.meets(run) {
                return if open { (None, Some(run)) } else { (Some(run), None) };
            }
        }
        (None, None)
    }

    /// Whether the run that begins here meets the clause, as far as it goes.
    fn meets(&self, run: usize) -> bool {
        let end = self.end_of(run);
        let total = (end - run) as u64;
        self.clause.success.reached(Self::between(&self.ok, run, end), total)
            && Self::between(&self.slow, run, end) * 100 <= total
    }

    /// The first sample after the time that a run must last.
    fn end_of(&self, run: usize) -> usize {
        let Some(first) = self.at(run) else { return self.seen.len() };
        let end = first.sent.plus(self.clause.lasting);
        self.seen.partition_point(|sample| sample.sent <= end)
    }

    /// Where to look for the next outage: failures within the run are the clause's, unless they go on after it.
    fn after_run(&self, run: usize) -> usize {
        let mut next = self.end_of(run).max(run + 1);
        if !self.is_ok(next) {
            while next > run + 1 && !self.is_ok(next - 1) {
                next -= 1;
            }
        }
        next
    }

    fn outage(
        &self,
        first: usize,
        after: usize,
        (restored, unconfirmed): (Option<usize>, Option<usize>),
        until: usize,
    ) -> Outage {
        let (begin, gap_at_begin) = self.begin(first, after, until);
        let (end, gap_at_end) = restored.map_or((None, false), |run| {
            let end = self.end(run);
            (Some(end), self.gaps_in(end) > 0 || self.is_run_full_of_gaps(run))
        });
        let successes = (after..until).filter(|index| self.is_ok(*index));
        let flaps = successes.filter(|index| !self.is_ok(index.saturating_sub(1))).count();
        Outage {
            begin,
            end,
            first_success: self.at(after).map(|_| self.end(after)),
            unconfirmed: unconfirmed.map(|run| self.end(run)),
            failures: (until - first) as u64 - Self::between(&self.ok, first, until),
            flaps: u32::try_from(flaps).unwrap_or(u32::MAX),
            gap_at_begin,
            gap_at_end,
        }
    }

    /// An ok sent before the first failure bounds the begin only if it surely saw the time before the outage: it had completed
    /// when the last of the failures in a row was sent. (A slow one may have been answered after a short outage.)
    fn begin(&self, first: usize, after: usize, until: usize) -> (Interval, bool) {
        let last_sent = self.at(after.saturating_sub(1)).map_or(At(i64::MAX), |sample| sample.sent);
        let before = (0..first).rev().find(|index| {
            self.at(*index).is_some_and(|sample| is_ok(sample) && sample.completed <= last_sent)
        });
        let failed = (first..until).filter(|index| !self.is_ok(*index));
        let latest = failed.filter_map(|index| self.at(index)).map(|sample| sample.completed).min();
        let latest = latest.unwrap_or(At(0));
        let earliest = before
            .and_then(|index| self.at(index))
            .or(self.at(first))
            .map_or(latest, |sample| sample.sent)
            .min(latest);
        let begin = Interval { earliest, latest };
        let first_sent = self.at(first).map_or(latest, |sample| sample.sent);
        let bracket = Interval { earliest, latest: first_sent.max(earliest) };
        (begin, before.is_none() || self.gaps_in(bracket) > 0)
    }

    /// When the run that begins here began: after the last sample before it that was no proper answer. An ok bounds it only if it
    /// surely saw the time after the outage: it was sent when one of the failures before it had completed. (Another may have
    /// overtaken them, and been answered before a short outage.)
    fn end(&self, run: usize) -> Interval {
        let Some(first) = self.at(run) else { return Interval::exactly(At(0)) };
        let improper = |index: &usize| {
            !self.is_ok(*index) || Self::between(&self.slow, *index, index.saturating_add(1)) > 0
        };
        let before = (0..run).rev().find(improper).and_then(|index| self.at(index));
        let failures =
            (0..run).rev().take_while(|index| !self.is_ok(*index)).filter_map(|index| self.at(index));
        let known = failures.map(|sample| sample.completed).min().unwrap_or(first.sent);
        let after = (run..self.seen.len())
            .filter_map(|index| self.at(index))
            .find(|ok| is_ok(ok) && ok.sent >= known);
        Interval {
            earliest: before.map_or(first.sent, |sample| sample.sent),
            latest: after.unwrap_or(first).completed,
        }
    }

    fn gaps_in(&self, interval: Interval) -> usize {
        let after = self.gaps.partition_point(|gap| *gap <= interval.latest);
        after - self.gaps.partition_point(|gap| *gap < interval.earliest)
    }

    /// More than one in ten of a run's probes were not sent: too little was seen to call it sustained.
    fn is_run_full_of_gaps(&self, run: usize) -> bool {
        let Some(first) = self.at(run) else { return true };
        let window = Interval { earliest: first.sent, latest: first.sent.plus(self.clause.lasting) };
        self.gaps_in(window) * 10 > self.end_of(run) - run
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::sample::{Failure, Stages};

    const MS: i64 = 1_000_000;

    fn sample(sent: i64, completed: i64, seen: Seen) -> Sample {
        Sample {
            scheduled: At(sent * MS),
            sent: At(sent * MS),
            completed: At(completed * MS),
            seen,
            address: None,
            answered_by: None,
            stages: Stages::default(),
        }
    }

    /// One letter for each 100 ms: `.` ok after 10 ms, `x` refused after 10 ms, `t` a timeout after 1 s, `_` a gap.
    fn strip(letters: &str) -> Vec<Sample> {
        let one = |(index, letter): (usize, char)| {
            let sent = i64::try_from(index).unwrap() * 100;
            match letter {
                '.' => sample(sent, sent + 10, Seen::Ok),
                'x' => sample(sent, sent + 10, Seen::Failed(Failure::Refused)),
                't' => sample(sent, sent + 1000, Seen::Failed(Failure::Timeout)),
                '_' => sample(sent, sent, Seen::Gap),
                's' => sample(sent, sent + 90, Seen::Ok),
                other => panic!("{other}"),
            }
        };
        letters.chars().enumerate().map(one).collect()
    }

    fn clause(success: &str, lasting_ms: u64) -> RestoredClause {
        RestoredClause {
            success: success.parse().unwrap(),
            lasting: Duration::from_millis(lasting_ms),
            load: None,
            p99: None,
        }
    }

    fn ms(from: i64, to: i64) -> Interval {
        Interval { earliest: At(from * MS), latest: At(to * MS) }
    }

    #[test]
    fn an_outage_begins_after_the_last_ok_was_sent_and_by_the_earliest_completed_failure() {
        let found = outages(&strip("...tx......."), &clause("100%", 300));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].begin, ms(200, 410), "the refusal completed before the timeout");
        assert_eq!(found[0].end, Some(ms(400, 510)));
        assert_eq!(found[0].failures, 2);
    }

    #[test]
    fn one_stray_failure_is_no_outage_but_bounds_what_may_have_hidden() {
        let samples = strip("...t...x...");
        assert_eq!(outages(&samples, &clause("100%", 300)), []);
        assert_eq!(strays(&samples), [ms(200, 410), ms(600, 810)]);
    }

    #[test]
    fn single_failures_that_come_too_often_are_an_outage() {
        let found = outages(&strip("....x.x.x.x.x.x............"), &clause("90%", 1000));
        assert_eq!((found.len(), found[0].begin, found[0].failures), (1, ms(300, 410), 5));
        assert_eq!(found[0].end, Some(ms(1200, 1310)), "the run may hold the last of them");
        let to_the_end = outages(&strip("....x.x.x.x.x.x.x.x.x.x.x.x"), &clause("90%", 1000));
        assert_eq!((to_the_end.len(), to_the_end[0].end), (1, None));
        let strays = "....x..x..................x.........x.........";
        assert_eq!(outages(&strip(strays), &clause("100%", 1000)), []);
        let slow = outages(&strip("....x.x.x.x.x.x.x.x.x.x.x.x"), &clause("99%", 200));
        assert_eq!(
            (slow.len(), slow[0].end),
            (1, None),
            "three samples in the clause's time are too few to call two strays"
        );
        let before = outages(&strip("....x..x...xxxxxx............"), &clause("100%", 1000));
        assert_eq!(before[0].begin, ms(1000, 1110), "strays before an outage are no part of it");
    }

    #[test]
    fn a_failure_that_the_clause_tolerates_belongs_to_the_run() {
        let samples = strip("..xxx..x.......");
        let strict = outages(&samples, &clause("100%", 500));
        assert_eq!((strict[0].end, strict[0].flaps), (Some(ms(700, 810)), 1));
        let tolerant = outages(&samples, &clause("80%", 500));
        assert_eq!((tolerant[0].end, tolerant[0].flaps), (Some(ms(400, 510)), 0));
        assert_eq!((strict.len(), tolerant.len()), (1, 1));
    }

    #[test]
    fn a_run_that_the_samples_end_too_early_is_unconfirmed_and_no_end() {
        let found = outages(&strip("..xxx..."), &clause("100%", 500));
        assert_eq!((found[0].end, found[0].unconfirmed), (None, Some(ms(400, 510))));
        let found = outages(&strip("..xxx"), &clause("100%", 500));
        assert_eq!((found[0].end, found[0].unconfirmed), (None, None));
        assert_eq!(found[0].span(At(900 * MS)), Span::at_least(Duration::from_millis(690)));
    }

    #[test]
    fn gaps_at_a_bound_are_named_and_widen_it() {
        let found = outages(&strip("..__xx__....."), &clause("100%", 300));
        assert_eq!((found[0].begin, found[0].gap_at_begin), (ms(100, 410), true));
        assert_eq!((found[0].end, found[0].gap_at_end), (Some(ms(500, 810)), true));
        let found = outages(&strip("_....xx....__"), &clause("100%", 300));
        assert_eq!((found[0].gap_at_begin, found[0].gap_at_end), (false, false));
    }

    #[test]
    fn flapping_is_one_outage_with_its_flaps_counted() {
        let found = outages(&strip("..xx.xx.xx......"), &clause("100%", 300));
        assert_eq!((found.len(), found[0].flaps), (1, 2));
        assert_eq!(found[0].end, Some(ms(900, 1010)));
        assert_eq!(found[0].first_success, Some(ms(300, 410)));
    }

    #[test]
    fn two_outages_apart_are_two() {
        let found = outages(&strip("..xx......xxx......"), &clause("100%", 300));
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].begin, ms(900, 1010));
    }

    #[test]
    fn an_outage_that_begins_within_a_tolerant_run_and_goes_on_is_found_from_its_start() {
        let found = outages(&strip("..xx.........xxxxxxxxx............"), &clause("80%", 1000));
        assert_eq!((found.len(), found[1].begin), (2, ms(1200, 1310)));
    }

    #[test]
    fn slow_answers_hold_back_what_a_p99_promises() {
        let slow = RestoredClause { p99: Some(Duration::from_millis(50)), ..clause("100%", 300) };
        let found = outages(&strip("..xxsss......"), &slow);
        assert_eq!(found[0].end, Some(ms(600, 710)));
        assert_eq!(found[0].first_success, Some(ms(300, 490)));
    }

    #[test]
    fn only_the_side_that_takes_over_can_restore() {
        let mut samples = strip("..xxx........");
        for sample in samples.iter_mut().skip(8) {
            sample.answered_by = Some("west".into());
        }
        let west = |sample: &Sample| sample.answered_by == Some("west".into());
        let found = outages_where(&samples, &clause("100%", 300), west);
        assert_eq!(found[0].end.map(|end| end.latest), Some(At(810 * MS)));
    }

    /// A service that is down in `[begin, end)`, and a prober: the slow, simple truth.
    #[derive(Debug, Clone)]
    struct Truth {
        begin: i64,
        end: i64,
        period: i64,
        timeout: i64,
        phase: i64,
        /// How long until a request arrives, in each of a hundred samples in turn; the answer takes as long.
        latencies: Vec<i64>,
        /// Whether a request that arrives in the outage is refused or times out.
        refused: Vec<bool>,
        strays: Vec<usize>,
    }

    impl Truth {
        fn samples(&self) -> Vec<Sample> {
            let last = self.end + 12_000 + 4 * self.period;
            let count = usize::try_from((last - self.phase) / self.period).unwrap();
            (0..count).map(|index| self.one(index)).collect()
        }

        fn one(&self, index: usize) -> Sample {
            let sent = self.phase + i64::try_from(index).unwrap() * self.period;
            let latency = self.latencies[index % self.latencies.len()];
            let arrives = sent + latency;
            let far = |at: i64| (sent - at).abs() > 4 * self.period + self.timeout + 400;
            let stray = self.strays.contains(&(index % 100)) && far(self.begin) && far(self.end);
            if (self.begin..self.end).contains(&arrives) || stray {
                if self.refused[index % self.refused.len()] {
                    return sample(sent, arrives + latency, Seen::Failed(Failure::Refused));
                }
                return sample(sent, sent + self.timeout, Seen::Failed(Failure::Timeout));
            }
            sample(sent, arrives + latency, Seen::Ok)
        }
    }

    fn truths() -> impl Strategy<Value = Truth> {
        (10_i64..1500, 100_i64..4000, 1_i64..60_000, 0_i64..20_000).prop_flat_map(
            |(period, timeout, length, begin)| {
                let most = (timeout / 2).min(200);
                (
                    0..period,
                    prop::collection::vec(0..most, 1..40),
                    prop::collection::vec(any::<bool>(), 1..20),
                    prop::collection::vec((0_usize..50).prop_map(|index| index * 2), 0..3),
                )
                    .prop_map(move |(phase, latencies, refused, strays)| Truth {
                        begin: begin + 5 * period + 1000,
                        end: begin + 5 * period + 1000 + length,
                        period,
                        timeout,
                        phase,
                        latencies,
                        refused,
                        strays,
                    })
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_truth_lies_within_the_bounds_and_the_bounds_are_narrow(truth in truths()) {
            let samples = truth.samples();
            let found = outages(&samples, &clause("50%", 10_000));
            let length = Duration::from_millis(u64::try_from(truth.end - truth.begin).unwrap());
            let slowest = truth.latencies.iter().max().copied().unwrap_or(0);
            if found.is_empty() {
                let hidden = strays(&samples).iter().map(Interval::width).max().unwrap_or_default();
                let unseen = u64::try_from(truth.period + truth.timeout).unwrap();
                prop_assert!(length <= hidden.max(Duration::from_millis(unseen)), "{length} hidden in {hidden}");
                return Ok(());
            }
            prop_assert_eq!(found.len(), 1);
            let (begin, end) = (found[0].begin, found[0].end.unwrap());
            prop_assert!(begin.earliest <= begin.latest && end.earliest <= end.latest);
            prop_assert!(begin.contains(At(truth.begin * MS)), "begin {} not in {begin:?}", truth.begin);
            prop_assert!(end.contains(At(truth.end * MS)), "end {} not in {end:?}", truth.end);
            let span = found[0].span(At(0));
            prop_assert!(span.contains(length));
            // Where answers are faster than the period, nothing is wider than one period and one timeout.
            if 2 * slowest <= truth.period {
                let narrow = Duration::from_millis(u64::try_from(truth.period + truth.timeout).unwrap());
                prop_assert!(begin.width() <= narrow && end.width() <= narrow, "{begin:?} {end:?}");
                prop_assert!(span.width().unwrap() <= narrow.plus(narrow));
            }
        }

        #[test]
        fn the_order_in_which_samples_arrive_changes_nothing(truth in truths(), seed in any::<u64>()) {
            let samples = truth.samples();
            let mut late = samples.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut late);
            let clause = clause("50%", 10_000);
            prop_assert_eq!(outages(&samples, &clause), outages(&late, &clause));
            prop_assert_eq!(strays(&samples), strays(&late));
        }
    }
}
