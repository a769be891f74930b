//! One probe from one vantage: its samples, its silences made visible, its outages.

use std::collections::BTreeMap;

use super::measured::{Excluded, Series};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, Vantage};
use crate::model::outage::{Outage, outages, outages_where, strays};
use crate::model::plan::{Plan, Probe};
use crate::model::sample::{Sample, Seen, Stages};
use crate::model::target::{RestoredClause, Share};
use crate::model::time::{At, Duration, Interval};

/// A hole longer than this many periods is as bad as one of this many.
const MOST_MISSING: i64 = 1000;

/// What one vantage of one probe saw.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub probe: &'a Probe,
    pub vantage: &'a Vantage,
    pub samples: Vec<Sample>,
    /// As its users saw them.
    pub outages: Vec<Outage>,
    /// The same, where until the failback only the side that takes over can restore the service, and the failback itself cannot.
    pub recovery: Vec<Outage>,
    pub strays: Vec<Interval>,
    /// Its own control probe failed.
    pub excluded: bool,
    /// Before the failback it had an answer of which nothing tells the side.
    pub untold: bool,
    /// Before the failback the side that takes over answered; `true` where none has to.
    pub taken_over: bool,
    /// After the failback began another side than the one that took over answered; `true` where none had to.
    pub taken_back: bool,
}

impl View<'_> {
    /// Where nothing is seen to fail, an outage may still hide between two successes.
    pub fn resolution(&self, within: Interval) -> Duration {
        let inside = |stray: &&Interval| stray.latest >= within.earliest && stray.earliest <= within.latest;
        let longest = self.strays.iter().filter(inside).map(Interval::width).max().unwrap_or_default();
        longest.max(self.probe.every.plus(self.probe.timeout))
    }

    /// Whether probes were not sent within a time, or none were at all.
    pub fn is_blind(&self, within: Interval) -> bool {
        let mut inside = self.samples.iter().filter(|sample| within.contains(sample.sent)).peekable();
        inside.peek().is_none() || inside.any(|sample| sample.seen == Seen::Gap)
    }

    /// The longest time within a window in which nothing was sent.
    pub fn longest_silence(&self, within: Interval) -> Duration {
        let mut last = within.earliest;
        let mut longest = Duration::ZERO;
        for sample in self.samples.iter().filter(|sample| sample.seen != Seen::Gap) {
            if sample.sent > within.latest {
                break;
            }
            longest = longest.max(sample.sent.since(last));
            last = last.max(sample.sent);
        }
        longest.max(within.latest.since(last))
    }

    /// `probe checkout from west`.
    pub fn name(&self) -> String {
        format!("probe {} from {}", self.probe.id, self.vantage)
    }

    /// As it stands in the results.
    pub fn series(&self) -> Series {
        let count = |wanted: &dyn Fn(&Seen) -> bool| {
            self.samples.iter().filter(|sample| wanted(&sample.seen)).count() as u64
        };
        Series {
            probe: self.probe.id.clone(),
            vantage: self.vantage.clone(),
            service: self.probe.service.clone(),
            outages: self.outages.clone(),
            samples: count(&|seen| *seen != Seen::Gap),
            failures: count(&|seen| matches!(seen, Seen::Failed(_))),
            gaps: count(&|seen| *seen == Seen::Gap),
            strays: self.strays.len() as u64,
        }
    }
}

/// Every vantage of every probe of the plan, with those excluded that could not see.
///
/// What was seen before the steady state was reached is no outage of the run.
pub(super) fn views<'a>(
    plan: &'a Plan,
    evidence: &Evidence,
    steady: At,
    failback: At,
) -> (Vec<View<'a>>, Vec<Excluded>) {
    let clauses: BTreeMap<&Name, &RestoredClause> =
        plan.services.iter().map(|service| (&service.name, &service.restored)).collect();
    let until = last_sent(evidence);
    let recovers = |sample: &Sample| sample.sent < failback && sample.answered_by == plan.takes_over;
    let mut views = Vec::new();
    for probe in &plan.probes {
        for vantage in &probe.from {
            let key = (probe.id.clone(), vantage.clone());
            let samples = evidence.samples.get(&key).map_or(&[][..], Vec::as_slice);
            let samples = with_silences(samples, probe.every, until);
            let counted = since(&samples, steady);
            let (outages, recovery) = match probe.service.as_ref().and_then(|service| clauses.get(service)) {
                Some(clause) => {
                    let seen = outages(counted, clause);
                    let recovery = match plan.takes_over {
                        Some(_) => outages_where(counted, clause, recovers),
                        None => seen.clone(),
                    };
                    (seen, recovery)
                }
                None => (outages(counted, &sustained(probe)), Vec::new()),
            };
            let strays = strays(counted);
            let ok = || counted.iter().filter(|sample| sample.seen == Seen::Ok);
            let (before, after) =
                (|| ok().filter(|one| one.sent < failback), || ok().filter(|one| one.sent >= failback));
            let by_it = |sample: &Sample| sample.answered_by == plan.takes_over;
            let somebody = plan.takes_over.is_some();
            let (untold, taken_over, taken_back) = (
                somebody && before().any(|sample| sample.answered_by.is_none()),
                !somebody || before().any(by_it),
                !somebody || after().any(|sample| !by_it(sample)),
            );
            views.push(View {
                probe,
                vantage,
                outages,
                recovery,
                strays,
                excluded: false,
                untold,
                taken_over,
                taken_back,
                samples,
            });
        }
    }
    let excluded = excluded(&views);
    for view in &mut views {
        view.excluded = excluded.iter().any(|out| out.vantage == *view.vantage);
    }
    (views, excluded)
}

/// The samples from the steady state on, with the success that came last before it, since that bounds what begins right after.
fn since(samples: &[Sample], steady: At) -> &[Sample] {
    let first = samples.partition_point(|sample| sample.scheduled < steady);
    let before = samples[..first].last().is_some_and(|sample| sample.seen == Seen::Ok);
    &samples[first - usize::from(before)..]
}

/// When the last of all probes and writes was sent: until then each of them should have been.
pub(super) fn last_sent(evidence: &Evidence) -> At {
    let samples = evidence.samples.values().filter_map(|samples| samples.last().map(|last| last.scheduled));
    let writes = evidence.writes.values().filter_map(|writes| writes.last().map(|last| last.scheduled));
    samples.chain(writes).max().unwrap_or_default()
}

/// A probe without a service's clause is back when it succeeds five times in a row, and fails when it fails twice of five.
fn sustained(probe: &Probe) -> RestoredClause {
    let lasting = (1..4).fold(probe.every, |sum, _| sum.plus(probe.every));
    RestoredClause { success: Share::ALL, lasting, load: None, p99: None }
}

fn excluded(views: &[View<'_>]) -> Vec<Excluded> {
    let blind = views.iter().filter(|view| view.probe.control && !view.outages.is_empty());
    blind
        .map(|view| Excluded {
            vantage: view.vantage.clone(),
            control: view.probe.id.clone(),
            why: format!(
                "its control probe {} failed {} times: what it saw is not counted",
                view.probe.id,
                view.outages.iter().map(|outage| outage.failures).sum::<u64>(),
            ),
        })
        .collect()
}

/// Adds a gap for each probe that should have been sent and of which nothing is there, between samples and after the last one.
pub(super) fn with_silences(samples: &[Sample], every: Duration, until: At) -> Vec<Sample> {
    let period = every.nanos().max(1);
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.scheduled);
    let mut whole = Vec::with_capacity(sorted.len());
    let mut last: Option<At> = None;
    for sample in sorted {
        silence(&mut whole, last, sample.scheduled, period);
        last = Some(sample.scheduled);
        whole.push(sample.clone());
    }
    // The last of each probe comes within one period of the last of all.
    silence(&mut whole, last, until, period);
    whole
}

/// The gaps between two instants of sending.
fn silence(whole: &mut Vec<Sample>, last: Option<At>, next: At, period: i64) {
    let Some(last) = last else { return };
    let between = next.0.saturating_sub(last.0);
    let missing = (between.saturating_add(period / 2) / period - 1).max(0);
    let step = between / (missing + 1);
    for index in 1..=missing.min(MOST_MISSING) {
        whole.push(gap(At(last.0.saturating_add(step.saturating_mul(index)))));
    }
}

fn gap(at: At) -> Sample {
    Sample {
        scheduled: at,
        sent: at,
        completed: at,
        seen: Seen::Gap,
        address: None,
        answered_by: None,
        stages: Stages::default(),
    }
}
