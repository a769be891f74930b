//! One probe from one vantage: its samples, its silences made visible, its outages.

use std::collections::BTreeMap;

use super::measured::{Excluded, Series};
use super::service::Windows;
use crate::model::evidence::Evidence;
use crate::model::name::{Region, Vantage};
use crate::model::outage::{Outage, Rules, failures, strays, sustained, under_way_since};
use crate::model::plan::{Plan, Probe, Service};
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
    /// The same, where until the failback only the side that takes over can restore the service.
    pub recovery: Vec<Outage>,
    /// As `recovery`, if every answer of which nothing tells the side came from that one.
    pub at_best: Vec<Outage>,
    pub strays: Vec<Interval>,
    /// Its own control probe failed.
    pub excluded: bool,
    /// Before the failback the side that takes over served for as long as the clause asks; `true` where none has to.
    pub taken_over: bool,
    /// In the failback another side than the one that took over did, and to the end; `true` where none had to.
    pub taken_back: bool,
}

impl View<'_> {
    /// Where nothing is seen to fail, an outage may still hide between two successes.
    pub fn resolution(&self, within: Interval) -> Duration {
        let inside = |stray: &&Interval| stray.latest >= within.earliest && stray.earliest <= within.latest;
        let longest = self.strays.iter().filter(inside).map(Interval::width).max().unwrap_or_default();
        longest.max(self.probe.every.plus(self.probe.timeout))
    }

    /// Every time that it failed, be it once.
    pub fn failures(&self) -> Vec<Outage> {
        failures(&self.samples)
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

    /// When the last probe that says anything was sent.
    pub fn seen_until(&self) -> At {
        seen_until(&self.samples)
    }

    /// When it may have failed unseen next to two instants: from the last success before the one, to the first after the other.
    pub fn unseen_around(&self, within: Interval) -> Interval {
        let ok = |sample: &&Sample| sample.seen == Seen::Ok;
        let before = self.samples.iter().filter(ok).rfind(|ok| ok.completed <= within.earliest);
        let after = self.samples.iter().filter(ok).find(|ok| ok.sent >= within.latest);
        Interval {
            earliest: before.map_or(within.earliest, |ok| ok.sent),
            latest: after.map_or(within.latest, |ok| ok.completed),
        }
    }

    /// `probe checkout from west`.
    pub fn name(&self) -> String {
        format!("probe {} from {}", self.probe.id, self.vantage)
    }

    /// As it stands in the results.
    pub fn series(&self) -> Series {
        let (mut ok, mut gaps) = (0, 0);
        let mut by_class = BTreeMap::new();
        for sample in &self.samples {
            match sample.seen {
                Seen::Ok => ok += 1,
                Seen::Gap => gaps += 1,
                Seen::Failed(failure) => *by_class.entry(failure).or_default() += 1,
            }
        }
        let failures = by_class.values().sum();
        Series {
            probe: self.probe.id.clone(),
            vantage: self.vantage.clone(),
            service: self.probe.service.clone(),
            outages: self.outages.clone(),
            samples: ok + failures,
            failures,
            by_class,
            gaps,
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
    windows: Windows,
) -> (Vec<View<'a>>, Vec<Excluded>) {
    let mut blind: BTreeMap<&Vantage, Vec<Interval>> = BTreeMap::new();
    let until = last_sent(evidence);
    let mut views = Vec::new();
    for probe in &plan.probes {
        let service = probe.service.as_ref().and_then(|service| plan.service(service));
        for vantage in &probe.from {
            let key = (probe.id.clone(), vantage.clone());
            let samples = evidence.samples.get(&key).map_or(&[][..], Vec::as_slice);
            let mut samples = with_silences(samples, probe.every, until);
            if !probe.control {
                let blind = blind.entry(vantage).or_insert_with(|| blindness(plan, evidence, vantage));
                samples = without_sight(samples, blind);
            }
            views.push(view(plan, (probe, vantage), samples, service, windows));
        }
    }
    let excluded = excluded(&views);
    for view in &mut views {
        view.excluded = excluded.iter().any(|out| out.vantage == *view.vantage);
    }
    (views, excluded)
}

fn view<'a>(
    plan: &Plan,
    (probe, vantage): (&'a Probe, &'a Vantage),
    samples: Vec<Sample>,
    service: Option<&Service>,
    windows: Windows,
) -> View<'a> {
    let counted = since(&samples, windows.steady);
    let mut view = View {
        probe,
        vantage,
        outages: Vec::new(),
        recovery: Vec::new(),
        at_best: Vec::new(),
        strays: strays(counted),
        excluded: false,
        taken_over: true,
        taken_back: true,
        samples: Vec::new(),
    };
    match service {
        None => {
            view.outages = windows.outages(counted, &Rules { fewest: 5, ..Rules::of(&five_in_a_row(probe)) });
        }
        Some(service) => {
            let rules = Rules::of(&service.restored);
            view.outages = windows.outages(counted, &rules);
            (view.recovery, view.at_best) = (view.outages.clone(), view.outages.clone());
            if let Some(takes_over) = plan.restored_by(service) {
                take_sides(&mut view, counted, &rules, takes_over, windows);
            }
        }
    }
    // They are in order, and each ends before the next begins.
    let inside = |stray: &Interval| {
        let begun = view.outages.partition_point(|outage| outage.begin.latest <= stray.latest);
        let last = view.outages[..begun].last();
        last.is_some_and(|outage| outage.end.is_none_or(|end| stray.earliest < end.earliest))
    };
    view.strays.retain(|stray| !inside(stray));
    view.samples = samples;
    view
}

/// Where a side has to take over, it counts who answered.
fn take_sides(
    view: &mut View<'_>,
    samples: &[Sample],
    rules: &Rules<'_>,
    takes_over: &Region,
    windows: Windows,
) {
    let by_it = |sample: &Sample| sample.answered_by.as_ref() == Some(takes_over);
    let way_back = |sample: &Sample| sample.sent >= windows.failback;
    let told = |sample: &Sample| way_back(sample) || by_it(sample);
    let at_best = |sample: &Sample| told(sample) || sample.answered_by.is_none();
    view.recovery = windows.outages(samples, &Rules { counts: &told, ..*rules });
    view.at_best = windows.outages(samples, &Rules { counts: &at_best, ..*rules });
    let (there, back) =
        samples.split_at(samples.partition_point(|sample| sample.scheduled < windows.failback));
    view.taken_over = sustained(there, &Rules { counts: &by_it, ..*rules });
    if windows.failback < windows.end {
        let back = &back[..back.partition_point(|sample| sample.scheduled < windows.stop)];
        let away =
            |sample: &Sample| sample.seen == Seen::Ok && (by_it(sample) || sample.answered_by.is_none());
        let home = back.iter().rposition(away).map_or(0, |last| last + 1);
        view.taken_back = sustained(&back[home..], rules);
    }
}

/// Whether an outage surely was there at an instant: what it began with would have been answered before that by a service that was well.
pub(super) fn was_there_at(samples: &[Sample], at: At) -> impl Fn(&Outage) -> bool {
    let under_way = under_way_since(samples.iter().filter(|sample| sample.seen != Seen::Gap), at);
    move |outage| {
        let from = samples.partition_point(|sample| sample.sent <= outage.begin.earliest);
        let first = samples[from..].iter().find(|sample| matches!(sample.seen, Seen::Failed(_)));
        outage.begin.latest < at || first.is_some_and(|first| first.sent < under_way)
    }
}

/// The samples from the steady state on, with the success that came last before it, since that bounds what begins right after.
pub(super) fn since(samples: &[Sample], steady: At) -> &[Sample] {
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
fn five_in_a_row(probe: &Probe) -> RestoredClause {
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

/// When the last of these that says anything was sent; they are in the order of sending.
pub(super) fn seen_until(samples: &[Sample]) -> At {
    samples.iter().rfind(|sample| sample.seen != Seen::Gap).map_or(At(i64::MIN), |sample| sample.sent)
}

/// When a vantage may have been unable to see: around each failure of a control probe of its own, from the success before it to the next.
pub(super) fn blindness(plan: &Plan, evidence: &Evidence, vantage: &Vantage) -> Vec<Interval> {
    let controls = plan.probes.iter().filter(|probe| probe.control && probe.from.contains(vantage));
    let samples = controls.filter_map(|probe| evidence.samples.get(&(probe.id.clone(), vantage.clone())));
    let failed = samples.flat_map(|samples| failures(samples));
    let latest = |outage: &Outage| outage.end.map_or(At(i64::MAX), |end| end.latest);
    let mut blind: Vec<Interval> =
        failed.map(|outage| Interval { earliest: outage.begin.earliest, latest: latest(&outage) }).collect();
    blind.sort_by_key(|one| one.earliest);
    blind.dedup_by(|later, earlier| {
        let touches = later.earliest <= earlier.latest;
        if touches {
            earlier.latest = earlier.latest.max(later.latest);
        }
        touches
    });
    blind
}

/// What was under way while its vantage may have been blind says nothing: it is no more than a gap. `blind` is in order and apart.
pub(super) fn without_sight(mut samples: Vec<Sample>, blind: &[Interval]) -> Vec<Sample> {
    for sample in &mut samples {
        let last = blind[..blind.partition_point(|one| one.earliest <= sample.completed)].last();
        if last.is_some_and(|one| one.latest >= sample.sent) {
            sample.seen = Seen::Gap;
        }
    }
    samples
}

/// The times within a window in which nothing was sent that says anything, from the answer before each to the one after it.
pub(super) fn silences(samples: &[Sample], (from, until): (At, At)) -> Vec<Interval> {
    let mut found = Vec::new();
    let (mut before, mut silent) = (from, false);
    for sample in samples.iter().filter(|sample| sample.sent < until) {
        match sample.seen {
            Seen::Gap => silent |= sample.sent >= from,
            Seen::Ok | Seen::Failed(_) => {
                if silent {
                    found.push(Interval::between(before, sample.completed.min(until)));
                }
                (before, silent) = (sample.sent.max(from), false);
            }
        }
    }
    if silent {
        found.push(Interval::between(before, until));
    }
    found
}

/// Too little was sent in a time to say what happened in it: of ten probes one was not, or none for as long as the clause asks.
pub(super) fn is_silent(samples: &[Sample], (from, until): (At, At), lasting: Duration) -> bool {
    let inside = || samples.iter().filter(|one| from <= one.sent && one.sent < until);
    let gaps = inside().filter(|one| one.seen == Seen::Gap).count();
    let mut silent_since = None;
    let is_long = inside().any(|one| {
        silent_since = (one.seen == Seen::Gap).then(|| silent_since.unwrap_or(one.sent));
        silent_since.is_some_and(|since| one.sent.since(since) > lasting)
    });
    gaps * 10 > inside().count() || is_long
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
    // By an agent's clock a sample may have been sent before an earlier one: its earliest instant counts, as well as that is known.
    whole.sort_by_key(|sample| sample.sent);
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
