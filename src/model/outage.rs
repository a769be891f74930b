//! From samples to outages: the arithmetic of bounds (DESIGN section 5), pure and used by `measure`, the calibration and the steady state alike.
//!
//! An ok proves "up at some instant in [sent, completed]", a failure "down at some instant in it". So an outage began after
//! the last ok before it was sent, and no later than its earliest failure completed; it ended after the last failure before
//! the sustained run was sent, and no later than the run's first ok completed that was sent when one of those failures was known. So
//! either bound is known to a period and a timeout; to an answer's time more where probes overtake each other: until a single
//! last failure has timed out, nothing shows that the service was not down once more after the answers to later probes. Between
//! two failures in a row the service is taken as down, unless a run of samples meets the clause: what was up for as long as the clause asks,
//! and for less than two periods more, may not be seen to ([`restores_after`]), and is one outage then. One failure between successes is no outage, whatever its kind: a stray,
//! whose length [`strays`] bounds. Single failures that come more often than the clause allows are one: a service that fails
//! every second user is not up. Nor is one whose answers are slower than the clause's p99 allows. And single failures that run
//! into an outage, more than the clause allows from there on and with fewer answers from one to the next than make a run, are its
//! beginning: one endpoint of several fails before the others do. The fault and the way back are borders: what failed before one and
//! what failed after it are never one outage, and what was under way at it and failed counts to what follows.
//! Rejected: ordering by completion, since a probe that times out completes long after it saw what it saw.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::sample::{Sample, Seen};
use super::target::{RestoredClause, Share};
use super::time::{At, Duration, Interval, Span};

/// So many single failures in the clause's time are strays, whatever share of it they are: packets get lost.
const MOST_STRAYS: u64 = 2;

/// So many samples at least are looked at, and make a run that restores, however short the clause's time is for a slow probe.
const FEWEST: usize = 10;

/// One success is enough.
const ANY_SUCCESS: RestoredClause =
    RestoredClause { success: Share::ALL, lasting: Duration::ZERO, load: None, p99: None };

/// A time during which a service did not serve, as one vantage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    pub begin: Interval,
    /// When the run of successes began that met the clause; `None` where none did.
    pub end: Option<Interval>,
    /// The first success after it began, sustained or not.
    pub first_success: Option<Interval>,
    /// A run of successes that was still too short when the samples ended, or what is apart from it began.
    pub unconfirmed: Option<Interval>,
    /// That run ended with its side: what failed after it is another outage.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ends_with_its_side: bool,
    /// Behind so many of the instants that part outages it began.
    #[serde(skip)]
    pub side: usize,
    pub failures: u64,
    /// How often it answered and failed again before `end`.
    pub flaps: u32,
    /// Samples are missing at the beginning, so its bound is not to be relied on.
    pub gap_at_begin: bool,
    /// Samples are missing at the end, or in the run that should show it.
    pub gap_at_end: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(it: &bool) -> bool {
    !*it
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

/// By what samples are judged.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub clause: &'a RestoredClause,
    /// So many single failures in the clause's time are none.
    pub strays: u64,
    /// So many samples at least hold a run that restores, however short the clause's time is for a slow probe.
    pub fewest: usize,
    /// What failed before one of these instants, and what failed after it, are never one: a fault, the way back.
    pub apart: &'a [At],
    /// The successes that can restore. Another one ends no outage, and is no part of a run that does.
    pub counts: &'a dyn Fn(&Sample) -> bool,
}

impl<'a> Rules<'a> {
    /// Those of a clause, where every success counts.
    pub fn of(clause: &'a RestoredClause) -> Self {
        Self { clause, strays: MOST_STRAYS, fewest: FEWEST, apart: &[], counts: &|_| true }
    }
}

/// The outages in one vantage's samples, in order.
pub fn outages(samples: &[Sample], clause: &RestoredClause) -> Vec<Outage> {
    outages_by(samples, &Rules::of(clause))
}

/// As [`outages`], by other rules.
pub fn outages_by(samples: &[Sample], rules: &Rules<'_>) -> Vec<Outage> {
    let series = Series::new(samples, rules);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(failures) = series.next_failures(from) {
        let run = series.run_after(&failures);
        found.push(series.outage(&failures, run));
        from = match run {
            Run::Restores(run) => series.after_run(run),
            Run::Open { until, .. } => until,
            Run::None => series.seen.len(),
        };
    }
    found
}

/// Every time that the samples failed, be it once, until the next success.
pub fn failures(samples: &[Sample]) -> Vec<Outage> {
    outages_by(samples, &Rules { strays: 0, fewest: 1, ..Rules::of(&ANY_SUCCESS) })
}

/// Whether a run of successes that count met the clause.
pub fn sustained(samples: &[Sample], rules: &Rules<'_>) -> bool {
    let series = Series::new(samples, rules);
    (0..series.seen.len()).any(|run| matches!(series.run_from(run, series.seen.len()), Run::Restores(_)))
}

/// For how long a probe of this period must meet the clause until a run of it surely restores. Two periods longer than that run: its first
/// probe may be due a period after the beginning, and its last one a period before the end.
pub fn restores_after(clause: &RestoredClause, every: Duration) -> Duration {
    let fewest = (1..FEWEST).fold(Duration::ZERO, |sum, _| sum.plus(every));
    fewest.max(clause.lasting).plus(every).plus(every)
}

/// Whether a service kept the clause in all of these samples: no outage, none of them missing, and its share and its p99 over all of them.
pub fn holds(samples: &[Sample], clause: &RestoredClause) -> bool {
    let series = Series::new(samples, &Rules::of(clause));
    let all = series.seen.len();
    series.gaps.is_empty() && series.keeps(0, all) && series.next_failures(0).is_none()
}

/// The single failures between successes, each as the longest outage that it could have been.
pub fn strays(samples: &[Sample]) -> Vec<Interval> {
    let series = Series::new(samples, &Rules::of(&ANY_SUCCESS));
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

/// However fast answers are, so long may a busy machine take to send a request and to read its answer.
const BUSY: Duration = Duration::from_millis(500);

/// Since when a request was sent that could be under way at an instant: three times as long before it as the slowest of the last answers
/// took, and at least as long as a busy machine takes. One that was sent earlier would have been answered, had the service been well. Of
/// samples in the order of sending.
pub fn under_way_since<'a>(samples: impl DoubleEndedIterator<Item = &'a Sample>, at: At) -> At {
    let answered = samples.rev().filter(|sample| is_ok(sample) && sample.completed <= at);
    let slowest = answered.take(FEWEST).map(|sample| sample.completed.since(sample.sent)).max();
    slowest.map_or(At(i64::MIN), |slowest| at.minus(slowest.plus(slowest).plus(slowest).max(BUSY)))
}

fn is_ok(sample: &Sample) -> bool {
    sample.seen == Seen::Ok
}

/// The failures with which an outage begins.
struct Failures {
    /// The first of them, be it a single one that runs into the others.
    first: usize,
    /// The first sample after those in a row.
    after: usize,
}

/// A run of successes after failures, by its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It meets the clause.
    Restores(usize),
    /// It does as far as it goes: to the samples' end, or to that of its side.
    Open {
        run: usize,
        until: usize,
    },
    None,
}

/// Samples by sent, with counts up to each of them, so that any run is judged in constant time.
struct Series<'a> {
    /// Without the gaps.
    seen: Vec<&'a Sample>,
    /// When a sample should have been sent and was not.
    gaps: Vec<At>,
    rules: Rules<'a>,
    clause: &'a RestoredClause,
    /// Before the n-th sample: successes, those that count, and answers too slow for the clause.
    ok: Vec<u64>,
    counted: Vec<u64>,
    slow: Vec<u64>,
    /// From each sample on, the first of the next two or more failures in a row.
    in_a_row: Vec<usize>,
    /// The first samples behind each of the rules' instants, in order.
    borders: Vec<usize>,
}

impl<'a> Series<'a> {
    fn new(samples: &'a [Sample], rules: &Rules<'a>) -> Self {
        let clause = rules.clause;
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
        let counted = sums(&|sample| is_ok(sample) && (rules.counts)(sample));
        let mut in_a_row = vec![seen.len(); seen.len()];
        let mut next = seen.len();
        for index in (1..seen.len()).rev() {
            if !is_ok(seen[index - 1]) && !is_ok(seen[index]) {
                next = index - 1;
            }
            in_a_row[index - 1] = next;
        }
        // What was under way at such an instant, and failed, may have failed by what happened there; not where later ones were answered before.
        let border = |at: &At| {
            let since = under_way_since(seen.iter().copied(), *at);
            let failed = |sample: &Sample| !is_ok(sample) && sample.completed >= *at && sample.sent >= since;
            let behind = |index: &usize| seen.get(*index).is_some_and(|one| one.sent >= *at || failed(one));
            let answered = seen.iter().rposition(|sample| is_ok(sample) && sample.completed < *at);
            (answered.map_or(0, |last| last + 1)..seen.len()).find(behind).unwrap_or(seen.len())
        };
        let mut borders: Vec<usize> = rules.apart.iter().map(border).collect();
        borders.sort_unstable();
        Self { rules: *rules, clause, ok, counted, slow, in_a_row, borders, seen, gaps }
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

    fn is_slow(&self, index: usize) -> bool {
        Self::between(&self.slow, index, index.saturating_add(1)) > 0
    }

    /// A success that counts, and fast enough.
    fn is_proper(&self, index: usize) -> bool {
        Self::between(&self.counted, index, index.saturating_add(1)) > 0 && !self.is_slow(index)
    }

    /// The next failures that are an outage, two or more in a row or single ones too often, or the next answers that are too slow.
    fn next_failures(&self, from: usize) -> Option<Failures> {
        let mut at = from;
        let mut singles: Vec<usize> = Vec::new();
        loop {
            let first = (at..self.seen.len()).find(|index| !self.is_ok(*index) || self.is_slow(*index))?;
            let after = self.after_row(first);
            let begins = if self.is_ok(first) {
                self.drags(first)
            } else {
                after - first >= 2 || !self.tolerates(first)
            };
            if begins {
                return Some(Failures { first: self.joined(&singles, first), after });
            }
            if !self.is_ok(first) {
                singles.push(first);
            }
            at = after;
        }
    }

    /// The first sample after the failures in a row that begin here, or after the one that is slow.
    fn after_row(&self, first: usize) -> usize {
        let ok = (first..self.seen.len()).find(|index| self.is_ok(*index));
        ok.unwrap_or(self.seen.len()).max(first + 1)
    }

    /// The first of the single failures that run into an outage; of `singles` in order, and the outage itself.
    fn joined(&self, singles: &[usize], outage: usize) -> usize {
        let mut begins = outage;
        for single in singles.iter().rev().copied() {
            let (Some(one), Some(next)) = (self.at(single), self.at(begins)) else { break };
            let between = Interval { earliest: one.sent, latest: next.sent };
            let answers = Self::between(&self.ok, single, outage);
            let is_apart = !self.side(outage).contains(&single)
                || begins - single > self.rules.fewest
                || self.gaps_in(between) > 0;
            if is_apart || self.clause.success.reached(answers, (outage - single) as u64) {
                break;
            }
            begins = single;
        }
        begins
    }

    /// The samples with which one can be an outage.
    fn side(&self, index: usize) -> Range<usize> {
        let behind = self.borders.partition_point(|border| *border <= index);
        let start = behind.checked_sub(1).and_then(|last| self.borders.get(last)).copied().unwrap_or(0);
        start..self.borders.get(behind).copied().unwrap_or(self.seen.len())
    }

    /// Whether the slow answers from here on, in the clause's time, are more than its p99 leaves room for.
    fn drags(&self, first: usize) -> bool {
        let side = self.side(first);
        let looked_at = self.clauses_time(first, side.start..side.end);
        let slow = Self::between(&self.slow, looked_at.start, looked_at.end);
        slow > self.rules.strays && slow * 100 > looked_at.len() as u64
    }

    /// The samples of the clause's time from here on; where those within end before it does, of the last such time that they show.
    fn clauses_time(&self, first: usize, within: Range<usize>) -> Range<usize> {
        let last = within.end.checked_sub(1).and_then(|last| self.at(last));
        let last = last.map_or(At(i64::MAX), |sample| sample.sent);
        let lasting = self.seen.partition_point(|sample| sample.sent.plus(self.clause.lasting) < last);
        let latest = lasting.min(within.end.saturating_sub(FEWEST));
        let first = first.min(latest).max(within.start);
        first..self.end_of(first).max(first + FEWEST).min(within.end)
    }

    /// Whether the single failures from here on, in the clause's time and before the next in a row, are few, or as many as the clause
    /// leaves room for.
    fn tolerates(&self, first: usize) -> bool {
        let side = self.side(first);
        let until = self.in_a_row.get(first).copied().unwrap_or(self.seen.len()).min(side.end);
        let looked_at = self.clauses_time(first, side.start..until);
        let (total, ok) = (looked_at.len() as u64, Self::between(&self.ok, looked_at.start, looked_at.end));
        total - ok <= self.rules.strays || self.clause.success.reached(ok, total)
    }

    /// The first run after failures that meets the clause, or that does as far as it goes.
    fn run_after(&self, failures: &Failures) -> Run {
        let side = self.side(failures.after.saturating_sub(1));
        let mut runs = (failures.after..self.seen.len()).map(|run| self.run_from(run, side.end));
        runs.find(|run| *run != Run::None).unwrap_or(Run::None)
    }

    /// The run that begins with a sample, whose side ends there.
    fn run_from(&self, run: usize, side_ends: usize) -> Run {
        let counts = Self::between(&self.counted, run, run + 1) > 0;
        let Some(first) = self.at(run).filter(|_| counts) else { return Run::None };
        let end = self.end_of(run);
        if self.keeps(run, end) {
            let last = self.seen.last().map_or(At(i64::MIN), |sample| sample.sent);
            let whole = run.saturating_add(self.rules.fewest) <= self.seen.len();
            let open = first.sent.plus(self.clause.lasting) > last || !whole;
            return if open { Run::Open { run, until: self.seen.len() } } else { Run::Restores(run) };
        }
        let is_cut = run < side_ends && side_ends < end;
        if is_cut && self.keeps(run, side_ends) {
            return Run::Open { run, until: side_ends };
        }
        Run::None
    }

    /// Whether so many of the samples from one to another are successes that count, and so few of them slow, as the clause asks.
    fn keeps(&self, from: usize, to: usize) -> bool {
        let total = (to - from) as u64;
        self.clause.success.reached(Self::between(&self.counted, from, to), total)
            && Self::between(&self.slow, from, to) * 100 <= total
    }

    /// The first sample after the time that a run must last, and after the fewest that it must hold.
    fn end_of(&self, run: usize) -> usize {
        let Some(first) = self.at(run) else { return self.seen.len() };
        let end = first.sent.plus(self.clause.lasting);
        let timely = self.seen.partition_point(|sample| sample.sent <= end);
        timely.max(run.saturating_add(self.rules.fewest)).min(self.seen.len())
    }

    /// Where to look for the next outage: failures within the run are the clause's, unless they go on after it.
    fn after_run(&self, run: usize) -> usize {
        let mut next = self.end_of(run).max(run + 1);
        let fails = |index: usize| !self.is_ok(index) || self.is_slow(index);
        if fails(next) {
            while next > run + 1 && fails(next - 1) {
                next -= 1;
            }
        }
        next
    }

    fn outage(&self, failures: &Failures, run: Run) -> Outage {
        let first = failures.first;
        let (restored, unconfirmed) = match run {
            Run::Restores(run) => (Some(run), None),
            Run::Open { run, .. } => (None, Some(run)),
            Run::None => (None, None),
        };
        let until = restored.or(unconfirmed).unwrap_or(self.seen.len());
        let after = self.after_row(first);
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
            ends_with_its_side: matches!(run, Run::Open { until, .. } if until < self.seen.len()),
            side: self.borders.partition_point(|border| *border <= first),
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
        // Where it began with slow answers, those show it too.
        let slowly = self.is_ok(first);
        let failed = (first..until).filter(|index| !self.is_ok(*index) || slowly && self.is_slow(*index));
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
        let before = (0..run).rev().find(|index| !self.is_proper(*index)).and_then(|index| self.at(index));
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
        let end = self.end_of(run);
        let last = self.at(end.saturating_sub(1)).unwrap_or(first);
        let latest = first.sent.plus(self.clause.lasting).max(last.sent);
        self.gaps_in(Interval { earliest: first.sent, latest }) * 10 > end - run
    }
}

#[cfg(test)]
mod tests;
