//! One service: impacted at its first vantage, restored at its last; its recovery time, failback and answer times.

use std::collections::BTreeMap;

use super::measured::{Actual, Failback, Latency, Mark, Moment, Rta, ServiceMeasured};
use super::phases::phases;
use super::story::Story;
use super::view::View;
use crate::model::name::Name;
use crate::model::outage::Outage;
use crate::model::plan::{Service, Stage};
use crate::model::sample::Seen;
use crate::model::time::{At, Duration, Interval, Span};

/// What the vantages of a service say together about one window of the run.
#[derive(Debug, Clone)]
pub(super) struct Impact {
    /// First failure of the first vantage, and which.
    pub impacted: Option<(Interval, String)>,
    pub first_success: Option<(Interval, String)>,
    pub restored: Restored,
    /// Where no probe failed: the longest that an outage can have been.
    pub resolution: Duration,
    pub blind: Vec<String>,
    pub flaps: u32,
}

/// How an impact ended.
#[derive(Debug, Clone)]
pub(super) enum Restored {
    /// There was none.
    Unharmed,
    At(Interval, String),
    /// At least until here.
    Never(At),
    Unsure(String),
}

impl Impact {
    /// When it was restored, if it was.
    pub fn restored_at(&self) -> Option<Interval> {
        match &self.restored {
            Restored::At(at, _) => Some(*at),
            Restored::Unharmed | Restored::Never(_) | Restored::Unsure(_) => None,
        }
    }

    /// Whether it was impacted and not seen restored.
    pub fn is_never(&self) -> bool {
        self.impacted.is_some() && self.restored_at().is_none()
    }

    /// How long from an origin until it was restored.
    fn since(&self, origin: Option<Interval>) -> Actual {
        if let Some(why) = self.blind.first() {
            return Actual::unseen(why);
        }
        let Some(origin) = origin.or(self.impacted.as_ref().map(|(at, _)| *at)) else {
            return Actual::Took(Span { least: Duration::ZERO, most: Some(self.resolution) });
        };
        match &self.restored {
            Restored::Unharmed => Actual::Took(Span { least: Duration::ZERO, most: Some(self.resolution) }),
            Restored::At(at, _) => Actual::Took(origin.until(at)),
            Restored::Never(until) => Actual::Took(Span::at_least(until.since(origin.latest))),
            Restored::Unsure(why) => Actual::unseen(why),
        }
    }
}

/// Which outages belong to the drill's fault, and which to its way back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// The first fault's or recovery's intent.
    pub from: At,
    /// A second outage counts as a part of the first one only before this: life on the recovery side.
    pub operate: At,
    pub failback: At,
    /// The last event, or an abort: what came after is no recovery.
    pub stop: At,
    pub end: At,
}

impl Windows {
    /// From the events.
    pub fn of(story: &Story<'_>, steady: Option<At>) -> Self {
        let intents = story.first_fault().into_iter().chain(story.first_recovery()).map(|(at, _)| at);
        let from = intents.min().or(story.stage_started(Stage::Inject)).or(steady).unwrap_or(At(0));
        let failback = story.stage_started(Stage::Failback).unwrap_or(At(i64::MAX));
        let operate = story.stage_started(Stage::Operate).unwrap_or(failback).min(failback);
        let end = story.end;
        Self { from, operate, failback, stop: story.stopped.unwrap_or(end), end }
    }
}

/// What happened to a service between the fault and the failback.
pub(super) fn impact(views: &[&View<'_>], windows: Windows) -> Impact {
    let within = Interval::between(windows.from, windows.failback.min(windows.end));
    let stop = windows.stop.min(windows.failback);
    let mut impact = together(views, |view| of_the_fault(&view.recovery, windows), within, stop);
    let untold =
        views.iter().find(|view| view.untold).filter(|_| matches!(impact.restored, Restored::Never(_)));
    if let Some(view) = untold {
        impact.restored = Restored::Unsure(format!("{} does not tell which side answered", view.name()));
    }
    let never =
        views.iter().find(|view| !view.taken_over).filter(|_| matches!(impact.restored, Restored::Unharmed));
    if let Some(view) = never {
        impact
            .blind
            .push(format!("{} was never answered by the side that should have taken over", view.name()));
    }
    impact
}

/// The outages that the fault made: the first one, and those that follow it before life on the recovery side begins.
pub(super) fn of_the_fault(outages: &[Outage], windows: Windows) -> Vec<Outage> {
    let mut picked: Vec<Outage> = Vec::new();
    for outage in outages {
        let begin = outage.begin.latest;
        let counts = begin >= windows.from && begin < windows.failback;
        if counts && (picked.is_empty() || outage.begin.earliest < windows.operate) {
            picked.push(outage.clone());
        }
    }
    picked
}

/// What happened to it during the failback; an outage that was there already counts from the failback's beginning.
fn way_back(views: &[&View<'_>], windows: Windows) -> Impact {
    let within = Interval::between(windows.failback, windows.end);
    let pick = |view: &View<'_>| {
        view.outages.iter().filter_map(|outage| during_the_way_back(outage, windows)).collect()
    };
    together(views, pick, within, windows.end)
}

/// The part of an outage that lies in the failback.
pub(super) fn during_the_way_back(outage: &Outage, windows: Windows) -> Option<Outage> {
    let began = windows.failback;
    if outage.begin.latest >= began {
        return Some(outage.clone());
    }
    let after = |at: Interval| at.max(&Interval::exactly(began));
    (began < windows.end && outage.end.is_none_or(|end| end.latest > began)).then(|| Outage {
        begin: Interval::exactly(began),
        end: outage.end.map(after),
        first_success: outage.first_success.map(after),
        unconfirmed: outage.unconfirmed.map(after),
        gap_at_begin: false,
        ..outage.clone()
    })
}

fn together(
    views: &[&View<'_>],
    pick: impl Fn(&View<'_>) -> Vec<Outage>,
    within: Interval,
    stop: At,
) -> Impact {
    let mut impact = Impact {
        impacted: None,
        first_success: None,
        restored: Restored::Unharmed,
        resolution: Duration::ZERO,
        blind: Vec::new(),
        flaps: 0,
    };
    if views.is_empty() {
        impact.blind.push("no vantage that can see measures it".to_owned());
    }
    for view in views {
        let outages = pick(view);
        impact.resolution = impact.resolution.max(view.resolution(within));
        let Some((first, last)) = outages.first().zip(outages.last()) else {
            if view.is_blind(within) {
                impact.blind.push(format!("{} was not sent all the time", view.name()));
            }
            continue;
        };
        if first.gap_at_begin {
            impact.blind.push(format!("{} was not sent when the outage began", view.name()));
        }
        if last.gap_at_end {
            impact.blind.push(format!("{} was not sent when the outage ended", view.name()));
        }
        impact.flaps += outages.iter().map(|outage| outage.flaps).sum::<u32>();
        impact.flaps += u32::try_from(outages.len() - 1).unwrap_or(u32::MAX);
        impact.impacted = Some(earlier(impact.impacted, (first.begin, view.name())));
        if let Some(success) = first.first_success {
            impact.first_success = Some(earlier(impact.first_success, (success, view.name())));
        }
        impact.restored = later(impact.restored, restored(&view.name(), last, stop), stop);
    }
    impact
}

fn earlier(known: Option<(Interval, String)>, new: (Interval, String)) -> (Interval, String) {
    let Some((at, source)) = known else { return new };
    let first = Interval { earliest: at.earliest.min(new.0.earliest), latest: at.latest.min(new.0.latest) };
    (first, if new.0.latest < at.latest { new.1 } else { source })
}

/// How an outage ended, as one source saw it.
pub(super) fn restored(source: &str, outage: &Outage, stop: At) -> Restored {
    match (outage.end, outage.unconfirmed) {
        (Some(end), _) if end.latest <= stop => Restored::At(end, source.to_owned()),
        (None, Some(at)) if at.latest <= stop => {
            Restored::Unsure(format!("{source} succeeded again, but not for long enough to be sure"))
        }
        (Some(_) | None, _) => Restored::Never(stop),
    }
}

/// Restored at the last vantage; what one saw end and another did not is disagreement, and inconclusive.
fn later(known: Restored, new: Restored, stop: At) -> Restored {
    match (known, new) {
        (Restored::Unharmed, other) | (other, Restored::Unharmed) => other,
        (Restored::At(a, from_a), Restored::At(b, from_b)) => {
            Restored::At(a.max(&b), if b.latest > a.latest { from_b } else { from_a })
        }
        (Restored::Never(_), Restored::Never(_)) => Restored::Never(stop),
        (Restored::Unsure(why), _) | (_, Restored::Unsure(why)) => Restored::Unsure(why),
        (Restored::At(_, from), Restored::Never(_)) | (Restored::Never(_), Restored::At(_, from)) => {
            Restored::Unsure(format!("the vantages disagree to the end: only {from} saw it restored"))
        }
    }
}

/// A service's whole measurement; `fault` is when the first fault took effect.
pub(super) fn service(
    story: &Story<'_>,
    service: &Service,
    views: &[&View<'_>],
    impact: &Impact,
    windows: Windows,
    fault: Option<(Interval, String)>,
) -> ServiceMeasured {
    let timeline = timeline(story, impact, fault.clone());
    let at = |moment: Moment| timeline.get(&moment).map(|mark| mark.at);
    let declaration = match (at(Moment::Declared), impact.restored_at()) {
        (None, _) => Actual::NotApplicable { why: "nobody declared a disaster".to_owned() },
        (Some(declared), Some(restored)) if declared.earliest > restored.latest => {
            Actual::NotApplicable { why: "it was restored before anybody declared".to_owned() }
        }
        (Some(declared), _) => impact.since(Some(declared)),
    };
    let from_fault = match &fault {
        Some((effective, _)) => impact.since(Some(*effective)),
        None => Actual::NotApplicable { why: "no fault took effect".to_owned() },
    };
    ServiceMeasured {
        rta: Rta { fault: from_fault, impact: impact.since(None), declaration },
        phases: phases(&timeline),
        failback: failback(views, windows),
        interruptions: Vec::new(),
        mtpd: mtpd(story, impact, at(Moment::DataVerified)),
        exposure: exposure(story, at(Moment::FailoverStarted), at(Moment::RedundancyRestored)),
        latency: latencies(&service.name, views, impact, windows),
        blind: impact.blind.clone(),
        flaps: impact.flaps,
        timeline,
    }
}

fn timeline(story: &Story<'_>, impact: &Impact, fault: Option<(Interval, String)>) -> BTreeMap<Moment, Mark> {
    let mut marks = story.moments();
    let mut add = |moment, told: Option<(Interval, String)>| {
        marks.extend(told.map(|(at, source)| (moment, at, source)));
    };
    add(Moment::FaultEffective, fault);
    add(Moment::Impacted, impact.impacted.clone());
    add(Moment::FirstSuccess, impact.first_success.clone());
    if let Restored::At(at, source) = &impact.restored {
        add(Moment::Restored, Some((*at, source.clone())));
    }
    let by_people = |moment: Moment, source: &str| match moment {
        Moment::Acknowledged | Moment::Declared => true,
        Moment::Detected => !source.starts_with("event"),
        Moment::FaultRequested
        | Moment::FaultEffective
        | Moment::Impacted
        | Moment::FailoverStarted
        | Moment::FirstSuccess
        | Moment::Restored
        | Moment::DataVerified
        | Moment::FaultRemoved
        | Moment::FailbackStarted
        | Moment::FailbackDone
        | Moment::RedundancyRestored
        | Moment::Closed => false,
    };
    marks
        .into_iter()
        .map(|(moment, at, source)| {
            let prewarned = story.plan.announced && by_people(moment, &source);
            (moment, Mark { at, source, prewarned })
        })
        .collect()
}

fn failback(views: &[&View<'_>], windows: Windows) -> Failback {
    if windows.failback == At(i64::MAX) {
        let outage = Actual::not_exercised("the drill has no failback, or did not come to it");
        return Failback { outage, begin: None, end: None, lost: None };
    }
    let mut back = way_back(views, windows);
    if !views.is_empty() && views.iter().all(|view| !view.taken_back) {
        back.blind.push("only the side that had taken over answered to the end".to_owned());
    }
    Failback {
        outage: back.since(None),
        begin: back.impacted.as_ref().map(|(at, _)| *at),
        end: back.restored_at(),
        lost: None,
    }
}

fn mtpd(story: &Story<'_>, impact: &Impact, verified: Option<Interval>) -> Actual {
    let verifies = story.steps_in(Stage::Verify).next().is_some();
    let Some((impacted, _)) = &impact.impacted else {
        return match verified {
            None if verifies => Actual::Unseen { why: "the data was not verified".to_owned() },
            Some(_) | None => impact.since(None),
        };
    };
    let whole = impact.since(None);
    match (impact.restored_at(), verified) {
        (Some(_), None) if !verifies => Actual::not_exercised("the drill does not verify the data"),
        (Some(_), None) => Actual::Took(Span::at_least(story.end.since(impacted.latest))),
        (Some(restored), Some(verified)) if whole.span().is_some() => {
            Actual::Took(impacted.until(&restored.max(&verified)))
        }
        (Some(_) | None, _) => whole,
    }
}

/// The longest tolerable outage of a service whose data was lost or damaged: from what did it until the data was verified, or without an
/// end where it never was, if that is longer than what its probes saw.
pub(super) fn harm(service: &ServiceMeasured, harmed: Interval, end: At) -> Actual {
    let verified = service.timeline.get(&Moment::DataVerified).map(|mark| mark.at);
    let until_verified =
        verified.map_or_else(|| Span::at_least(end.since(harmed.latest)), |at| harmed.until(&at));
    match &service.mtpd {
        Actual::Took(measured) if measured.least >= until_verified.least => service.mtpd.clone(),
        Actual::Unseen { .. } => service.mtpd.clone(),
        Actual::Took(_) | Actual::NotApplicable { .. } | Actual::NotExercised { .. } => {
            Actual::Took(until_verified)
        }
    }
}

fn exposure(story: &Story<'_>, started: Option<Interval>, redundant: Option<Interval>) -> Actual {
    match (started, redundant) {
        (None, _) => Actual::NotApplicable { why: "no failover was started".to_owned() },
        (Some(started), Some(redundant)) => Actual::Took(started.until(&redundant)),
        (Some(_), None) if story.steps_in(Stage::Failback).next().is_none() => {
            Actual::not_exercised("the drill has no failback: redundancy was not restored")
        }
        (Some(started), None) => Actual::Took(Span::at_least(story.end.since(started.latest))),
    }
}

fn latencies(_service: &Name, views: &[&View<'_>], impact: &Impact, windows: Windows) -> Vec<Latency> {
    let begun = impact.impacted.as_ref().map_or(windows.from, |(at, _)| at.earliest);
    let over = impact.restored_at().map_or(windows.failback.min(windows.end), |at| at.earliest);
    let over = if impact.impacted.is_some() { over } else { begun };
    [
        ("before", At(i64::MIN), begun),
        ("during", begun, over),
        ("after", over, windows.failback.min(windows.end)),
    ]
    .into_iter()
    .map(|(phase, from, to)| latency(phase, views, from, to))
    .collect()
}

fn latency(phase: &str, views: &[&View<'_>], from: At, to: At) -> Latency {
    let samples = views.iter().flat_map(|view| &view.samples);
    let inside = samples.filter(|sample| sample.seen == Seen::Ok && from <= sample.sent && sample.sent < to);
    let mut took: Vec<Duration> = inside.map(|sample| sample.completed.since(sample.sent)).collect();
    took.sort_unstable();
    // Nearest rank: the smallest answer time that so many of a hundred do not exceed.
    let rank = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Latency { phase: phase.into(), answers: took.len() as u64, p50: rank(50), p99: rank(99) }
}
