//! One service: impacted at its first vantage, restored at its last; its recovery time, failback and answer times.

use std::collections::BTreeMap;

use super::ending::{Restored, Source, later};
use super::measured::{Actual, Failback, Latency, Mark, Moment, Rta, ServiceMeasured};
use super::phases::phases;
use super::story::Story;
use super::together::{Join, first_outage, joined};
use super::view::View;
use crate::model::name::Name;
use crate::model::outage::{Outage, Rules, outages_by};
use crate::model::plan::{Service, Stage};
use crate::model::sample::{Sample, Seen};
use crate::model::target::{ObjectiveKind, RestoredClause};
use crate::model::time::{At, Duration, Interval, Span};

/// What the vantages of a service say together about one window of the run.
#[derive(Debug, Clone)]
pub(super) struct Impact {
    /// First failure of the first vantage, and which.
    pub impacted: Option<(Interval, String)>,
    pub first_success: Option<(Interval, String)>,
    pub restored: Restored,
    /// The longest that an outage can have been which the vantages that saw none did not see.
    pub resolution: Duration,
    /// With the times next to it in which one of those may have been without service as well.
    pub with_unseen: Option<Interval>,
    pub blind: Vec<String>,
    pub flaps: u32,
}

impl Impact {
    /// When it was restored, if it was.
    pub fn restored_at(&self) -> Option<Interval> {
        self.restored.at()
    }

    /// When it began, whoever suffered it.
    pub fn began(&self) -> Option<Interval> {
        let (at, _) = self.impacted.as_ref()?;
        let earliest = self.with_unseen.map_or(at.earliest, |unseen| unseen.earliest.min(at.earliest));
        Some(Interval { earliest, ..*at })
    }

    /// When it was over, whoever suffered it.
    fn over(&self) -> Option<Interval> {
        let at = self.restored_at()?;
        let latest = self.with_unseen.map_or(at.latest, |unseen| unseen.latest.max(at.latest));
        Some(Interval { latest, ..at })
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
        let unharmed = Actual::Took(Span { least: Duration::ZERO, most: Some(self.resolution) });
        let Some(origin) = origin.or(self.began()) else { return unharmed };
        match &self.restored {
            Restored::Unharmed => unharmed,
            Restored::At(..) => {
                let span = origin.until(&self.over().unwrap_or(origin));
                Actual::Took(Span { most: span.most.max(Some(self.resolution)), ..span })
            }
            Restored::Never(_) | Restored::Unsure(..) => self.restored.since(origin),
        }
    }
}

/// The instants from which a recovery time counts; one that did not happen is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origins {
    pub fault: Option<Interval>,
    pub impact: Option<Interval>,
    pub declaration: Option<Interval>,
    /// A step asked for a declaration.
    pub asked: bool,
    /// The fault was asked for.
    pub from: At,
    /// The journal ends before the run does.
    pub is_cut: bool,
}

impl Origins {
    /// How long it took from each, for something that began and ended so, where `since` tells the time from an instant. Whoever suffers it
    /// was hit then at the latest, and the fault had taken effect, whatever else was seen.
    pub fn rta(
        &self,
        began: Option<Interval>,
        end: Option<Interval>,
        since: impl Fn(Option<Interval>) -> Actual,
    ) -> Rta {
        let earlier = |a: Interval, b: Interval| Interval {
            earliest: a.earliest.min(b.earliest),
            latest: a.latest.min(b.latest),
        };
        Rta {
            fault: match self.fault {
                Some(proved) => since(Some(began.map_or(proved, |began| hit_by(proved, began, self.from)))),
                None if self.is_cut => {
                    Actual::unseen("the journal ends before a fault is seen to take effect")
                }
                None => Actual::NotApplicable { why: "no fault took effect".to_owned() },
            },
            impact: since(self.impact.into_iter().chain(began).reduce(earlier)),
            declaration: match (self.declaration, end) {
                (None, _) if self.asked => {
                    Actual::unseen("a step asked for a declaration, and nobody declared")
                }
                (None, _) => Actual::NotApplicable { why: "nobody declared a disaster".to_owned() },
                (Some(declared), Some(end)) if declared.earliest > end.latest => {
                    Actual::NotApplicable { why: "it was restored before anybody declared".to_owned() }
                }
                (Some(_), _) => since(self.declaration),
            },
        }
    }
}

/// When a fault took effect whose proof showed it then, and from which somebody suffered.
fn hit_by(proved: Interval, suffered: Interval, asked: At) -> Interval {
    if suffered.latest >= proved.latest {
        return proved;
    }
    Interval { earliest: suffered.earliest.min(proved.earliest).max(asked), latest: suffered.latest }
}

/// Which outages belong to the drill's fault, and which to its way back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// What was seen before it is none of the run's.
    pub steady: At,
    /// The first fault's intent; of a drill without one, the first recovery's.
    pub from: At,
    /// Life on the recovery side begins.
    pub operate: At,
    pub failback: At,
    /// The last event, or an abort: what came after is no recovery.
    pub stop: At,
    pub end: At,
}

impl Windows {
    /// From the events.
    pub fn of(story: &Story<'_>, steady: Option<At>) -> Self {
        let intent = story.first_fault().or(story.first_recovery()).map(|(at, _)| at);
        let from = intent.or(story.stage_started(Stage::Inject)).or(steady).unwrap_or(At(0));
        let failback = story.stage_started(Stage::Failback).unwrap_or(At(i64::MAX));
        let operate = story.stage_started(Stage::Operate).unwrap_or(failback).min(failback);
        let end = story.end;
        let stop = story.stopped.unwrap_or(end);
        Self { steady: steady.unwrap_or(At(i64::MIN)), from, operate, failback, stop, end }
    }

    /// What failed before one of these is no beginning of what failed after it.
    fn apart(&self) -> [At; 2] {
        [self.from, self.failback]
    }

    /// The outages in a series, by a clause's rules. What hung long before the failback failed before it, though it timed out later.
    pub fn outages(&self, samples: &[Sample], rules: &Rules<'_>) -> Vec<Outage> {
        let mut found = outages_by(samples, &Rules { apart: &self.apart(), ..*rules });
        for outage in found.iter_mut().filter(|outage| outage.side < self.apart().len()) {
            let before = self.failback.minus(Duration::from_millis(1));
            outage.begin.latest = outage.begin.latest.min(before).max(outage.begin.earliest);
        }
        found
    }
}

/// What happened to a service between the fault and the failback.
pub(super) fn impact(views: &[&View<'_>], clause: &RestoredClause, windows: Windows) -> Impact {
    let within = Interval::between(windows.from, windows.failback.min(windows.end));
    let stop = windows.stop.min(windows.failback);
    let by = |outages: for<'a> fn(&'a View<'_>) -> &'a [Outage]| {
        let seen = views.iter().map(|view| on_the_way_there(outages(view), windows)).collect();
        first(views, seen, clause, (within, stop))
    };
    let mut impact = by(|view| &view.recovery);
    // Nobody knows where it makes a difference which side it was that did not tell.
    let at_best = by(|view| &view.at_best).restored;
    if impact.restored != at_best {
        let untold = views.iter().find(|view| view.recovery != view.at_best);
        let name = untold.map(|view| view.name()).unwrap_or_default();
        let why = format!("{name} does not tell which side answered");
        impact.restored = Restored::Unsure(why, at_best.surely_until());
    } else {
        impact = cut_short(impact, views, clause, windows);
    }
    if let Restored::Never(until) = &mut impact.restored {
        // The way back is no recovery; whom it finds without service has none for as long as that lasts.
        let seen = views.iter().map(|view| on_the_way_there(&view.outages, windows)).collect();
        for (view, outages) in views.iter().zip(first_outage(seen, clause, Join::Maybe)) {
            let source = Source { name: "", seen_until: view.seen_until() };
            let lasted = |outage: &Outage| source.lasted_until(outage, windows.stop);
            *until = outages.iter().map(lasted).fold(*until, At::max);
        }
    }
    let never =
        views.iter().find(|view| !view.taken_over).filter(|_| matches!(impact.restored, Restored::Unharmed));
    if let Some(view) = never {
        impact.blind.push(format!(
            "{} was never answered for long enough by the side that should have taken over",
            view.name()
        ));
    }
    impact
}

/// What happened where the failback may have cut a recovery short, one vantage's or that of all of them together: then it was over at the
/// latest as if what failed on the way back were a part of it.
fn cut_short(ended: Impact, views: &[&View<'_>], clause: &RestoredClause, windows: Windows) -> Impact {
    let may_be_cut = match &ended.restored {
        Restored::At(at, _) => {
            at.latest.plus(clause.lasting) > windows.failback && windows.failback < windows.end
        }
        Restored::Unsure(..) => true,
        Restored::Unharmed | Restored::Never(_) => false,
    };
    if !may_be_cut {
        return ended;
    }
    let seen = views.iter().map(|view| joined(&view.recovery, windows.from)).collect();
    let within = Interval::between(windows.from, windows.end);
    let whole = first(views, seen, clause, (within, windows.stop));
    if whole.restored == ended.restored {
        return ended;
    }
    // Where the side that takes over never did, the way back is no recovery.
    let taken_over = views.iter().all(|view| view.taken_over);
    let by = whole.over().filter(|_| taken_over && whole.blind.is_empty());
    let restored = match (ended.restored, by) {
        (Restored::At(at, by_whom), None) => {
            let why = format!(
                "{by_whom} saw it restored, but not all were served for long enough before the failback"
            );
            Restored::Unsure(why, Some(at.earliest))
        }
        (restored, None) => restored,
        (restored, Some(over)) => restored.with_the_way_back(over),
    };
    Impact { restored, with_unseen: whole.with_unseen.or(ended.with_unseen), ..ended }
}

/// The outages of one vantage from the fault to the failback, or to whatever stopped the drill.
pub(super) fn on_the_way_there(outages: &[Outage], windows: Windows) -> Vec<Outage> {
    let counts = |outage: &&Outage| {
        windows.from <= outage.begin.latest
            && outage.begin.latest < windows.failback
            && outage.begin.earliest < windows.stop
    };
    outages.iter().filter(counts).cloned().collect()
}

/// Those of one vantage in the failback; one that was there already counts from the failback's beginning.
pub(super) fn on_the_way_back(outages: &[Outage], windows: Windows) -> Vec<Outage> {
    outages.iter().filter_map(|outage| during_the_way_back(outage, windows)).collect()
}

/// The first outage, and how it ended: no sooner than what surely belongs to it, no later than what may.
fn first(
    views: &[&View<'_>],
    seen: Vec<Vec<Outage>>,
    clause: &RestoredClause,
    (within, stop): (Interval, At),
) -> Impact {
    let of = |seen, join| together(views, first_outage(seen, clause, join), within, stop);
    let surely = of(seen.clone(), Join::Surely).restored;
    let mut whole = of(seen, Join::Maybe);
    if let Restored::At(soonest, _) = surely {
        whole.restored = whole.restored.no_sooner_than(soonest.earliest);
    }
    whole
}

/// What happened to it during the failback.
fn way_back(views: &[&View<'_>], clause: &RestoredClause, windows: Windows) -> Impact {
    let within = Interval::between(windows.failback, windows.end);
    let seen = views.iter().map(|view| on_the_way_back(&view.outages, windows)).collect();
    first(views, seen, clause, (within, windows.end))
}

/// The part of an outage that lies in the failback.
fn during_the_way_back(outage: &Outage, windows: Windows) -> Option<Outage> {
    let began = windows.failback;
    if outage.ends_with_its_side {
        return None;
    }
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

/// One outage, out of the parts that each vantage saw.
fn together(views: &[&View<'_>], parts: Vec<Vec<Outage>>, within: Interval, stop: At) -> Impact {
    let mut impact = Impact {
        impacted: None,
        first_success: None,
        restored: Restored::Unharmed,
        resolution: Duration::ZERO,
        with_unseen: None,
        blind: Vec::new(),
        flaps: 0,
    };
    if views.is_empty() {
        impact.blind.push("no vantage that can see measures it".to_owned());
    }
    let mut unharmed = Vec::new();
    for (view, outages) in views.iter().zip(parts) {
        let Some((first, last)) = outages.first().zip(outages.last()) else {
            unharmed.push(view);
            impact.resolution = impact.resolution.max(view.resolution(within));
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
        let source = Source { name: &view.name(), seen_until: view.seen_until() };
        impact.restored = later(impact.restored, source.end_of(last, stop));
    }
    if let (Some((begin, _)), Some(end)) = (&impact.impacted, impact.restored_at()) {
        let seen = Interval::between(begin.earliest, end.latest);
        let hull = |a: Interval, b: Interval| Interval {
            earliest: a.earliest.min(b.earliest),
            latest: a.latest.max(b.latest),
        };
        impact.with_unseen = unharmed.iter().map(|view| view.unseen_around(seen)).reduce(hull);
    }
    impact
}

fn earlier(known: Option<(Interval, String)>, new: (Interval, String)) -> (Interval, String) {
    let Some((at, source)) = known else { return new };
    let first = Interval { earliest: at.earliest.min(new.0.earliest), latest: at.latest.min(new.0.latest) };
    (first, if new.0.latest < at.latest { new.1 } else { source })
}

/// A service's whole measurement, but for its interruptions, and from where those count; `fault` is when the first fault took effect.
pub(super) fn service(
    story: &Story<'_>,
    service: &Service,
    views: &[&View<'_>],
    impact: &Impact,
    windows: Windows,
    fault: Option<(Interval, String)>,
) -> (ServiceMeasured, Origins) {
    // Whose users suffer it already has taken effect, whatever its proof sees later.
    let fault = fault.map(|(effective, source)| match &impact.impacted {
        Some((impacted, by)) if impacted.latest < effective.latest => {
            (hit_by(effective, *impacted, windows.from), by.clone())
        }
        Some(_) | None => (effective, source),
    });
    let timeline = timeline(story, impact, fault);
    let at = |moment: Moment| timeline.get(&moment).map(|mark| mark.at);
    let origins = Origins {
        fault: at(Moment::FaultEffective),
        impact: impact.began(),
        declaration: at(Moment::Declared),
        asked: story.asked_to_declare(),
        from: windows.from,
        is_cut: story.ended.is_none(),
    };
    let impacted = impact.impacted.as_ref().map(|(at, _)| *at);
    let measured = ServiceMeasured {
        rta: origins.rta(impacted, impact.restored_at(), |origin| impact.since(origin)),
        phases: phases(&timeline, open_phase(story, impact, &timeline)),
        failback: failback(story, views, &service.restored, windows),
        interruptions: Vec::new(),
        mtpd: mtpd(story, impact, at(Moment::DataVerified)),
        exposure: exposure(story, &service.name, at(Moment::FailoverStarted), at(Moment::RedundancyRestored)),
        latency: latencies(&service.name, views, impact, windows),
        blind: impact.blind.clone(),
        flaps: impact.flaps,
        timeline,
    };
    (measured, origins)
}

/// The phase in which the service stayed down, by the moment that would have ended it, and until when.
fn open_phase(story: &Story<'_>, impact: &Impact, timeline: &BTreeMap<Moment, Mark>) -> Option<(Moment, At)> {
    let Restored::Never(until) = impact.restored else { return None };
    let reached = |moment| timeline.contains_key(&moment);
    let begun = |stage| story.stage_started(stage).is_some();
    let phases = [
        (Moment::Restored, reached(Moment::FailoverStarted)),
        (Moment::FailoverStarted, reached(Moment::Declared)),
        (Moment::Declared, begun(Stage::Declare)),
        (Moment::Detected, begun(Stage::Detect)),
    ];
    let open = phases.into_iter().find(|(end, begun)| *begun && !reached(*end));
    open.map(|(end, _)| (end, until))
}

fn timeline(story: &Story<'_>, impact: &Impact, fault: Option<(Interval, String)>) -> BTreeMap<Moment, Mark> {
    let mut marks = story.moments();
    let mut add = |moment, told: Option<(Interval, String)>| {
        marks.extend(told.map(|(at, source)| (moment, at, source)));
    };
    add(Moment::FaultEffective, fault);
    let by = impact.impacted.as_ref().map(|(_, source)| source.clone());
    add(Moment::Impacted, impact.began().zip(by));
    add(Moment::FirstSuccess, impact.first_success.clone());
    if let (Restored::At(_, source), Some(at)) = (&impact.restored, impact.over()) {
        add(Moment::Restored, Some((at, source.clone())));
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

fn failback(story: &Story<'_>, views: &[&View<'_>], clause: &RestoredClause, windows: Windows) -> Failback {
    if windows.failback == At(i64::MAX) {
        let is_planned = story.steps_in(Stage::Failback).next().is_some();
        let outage = match is_planned {
            true => Actual::unseen("the run did not come to its failback"),
            false => Actual::not_exercised("the drill has no failback"),
        };
        return Failback { outage, begin: None, end: None, lost: None };
    }
    let mut back = way_back(views, clause, windows);
    let away = views.iter().find(|view| !view.taken_back);
    if let (Some(view), Restored::Unharmed) = (away, &back.restored) {
        back.blind.push(format!("{} was not answered to the end by a side that is back", view.name()));
    }
    // An outage after which nobody came back is over for the users, but the failback is not.
    let outage = match back.since(None) {
        Actual::Took(span) if away.is_some() => Actual::Took(Span::at_least(span.least)),
        outage => outage,
    };
    Failback {
        outage,
        begin: back.impacted.as_ref().map(|(at, _)| *at),
        end: back.restored_at().filter(|_| away.is_none()),
        lost: None,
    }
}

fn mtpd(story: &Story<'_>, impact: &Impact, verified: Option<Interval>) -> Actual {
    let verifies = story.steps_in(Stage::Verify).next().is_some();
    let Some(impacted) = impact.began() else {
        return match verified {
            None if verifies => Actual::unseen("the data was not verified"),
            Some(_) | None => impact.since(None),
        };
    };
    let whole = impact.since(None);
    match (impact.over(), verified) {
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

fn exposure(
    story: &Story<'_>,
    service: &Name,
    started: Option<Interval>,
    redundant: Option<Interval>,
) -> Actual {
    match (started, redundant) {
        (None, _) => Actual::NotApplicable { why: "no failover was started".to_owned() },
        (Some(started), Some(redundant)) => Actual::Took(started.until(&redundant)),
        (Some(started), None) => {
            let so_far = Span::at_least(story.end.since(started.latest));
            let has_failback = story.steps_in(Stage::Failback).next().is_some();
            // Where something was moved, a promise that is broken by now is broken without a failback, too.
            let target = story.plan.target(service, ObjectiveKind::Exposure);
            let moves = story.plan.point_of_no_return.is_some();
            if has_failback || moves && target.is_some_and(|target| so_far.least > target) {
                Actual::Took(so_far)
            } else {
                Actual::not_exercised("the drill has no failback: redundancy was not restored")
            }
        }
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
