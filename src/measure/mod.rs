//! Events and rows → measurements: a pure function of the evidence (I1), linear in it up to sorting.
//!
//! ```text
//! samples ─► view ─► outage (model) ─► service ─► phases ──┐
//! events ──► story ────────────────────┘   └─► proof ──────┼─► Measured
//! rows ────► ledger (checkers) ────────────────────────────┘
//! ```
//! Left out: load. The share of the peak under which a service must hold is not in the evidence of a drill; the report says so.

mod ending;
mod interruption;
pub mod latency;
pub mod ledger;
pub mod measured;
mod moves;
pub mod phases;
mod proof;
mod service;
mod story;
mod together;
mod view;

use std::collections::BTreeMap;

pub use measured::*;

use crate::model::event::{Ended, Event, Outcome, What};
use crate::model::evidence::Evidence;
use crate::model::name::Name;
use crate::model::outage::Outage;
use crate::model::plan::{Ledger, Plan};
use crate::model::sample::{Sample, WriteSeen};
use crate::model::time::{At, Duration, Interval};
use interruption::Written;
use service::{Impact, Windows};
use story::Story;
use view::{View, views, was_there_at};

/// Everything that a run's evidence says in numbers; of a journal without a beginning, only that.
pub fn measure(evidence: &Evidence) -> Measured {
    let Some(header) = evidence.header() else {
        let finding = finding("", "the journal has no beginning: nothing can be measured");
        return Measured { findings: vec![finding], elapsed: evidence.end(), ..Measured::default() };
    };
    let plan = header.plan;
    let story = Story::of(plan, evidence);
    let since = steady_since(&story);
    let windows = Windows::of(&story, since.0);
    let (views, excluded) = views(plan, evidence, windows);
    let of = |service: &Name| -> Vec<&View<'_>> {
        views.iter().filter(|view| !view.excluded && view.probe.service.as_ref() == Some(service)).collect()
    };
    let impacts: BTreeMap<&Name, Impact> = plan
        .services
        .iter()
        .map(|one| (&one.name, service::impact(&of(&one.name), &one.restored, windows)))
        .collect();
    let restored = impacts.values().filter_map(Impact::restored_at).reduce(|a, b| a.max(&b));
    let faults = proof::faults(&story, &views, restored);
    let effective = faults
        .iter()
        .filter_map(|fault| fault.effective.map(|at| (at, fault.source.clone())))
        .min_by_key(|(at, _)| at.earliest);
    let mut services: BTreeMap<Name, ServiceMeasured> = plan
        .services
        .iter()
        .filter_map(|one| {
            let impact = impacts.get(&one.name)?;
            let views = of(&one.name);
            let (mut measured, origins) =
                service::service(&story, one, &views, impact, windows, effective.clone());
            let within = (windows, origins);
            measured.interruptions =
                interruption::interruptions((plan, evidence), one, &views, &excluded, within);
            Some((one.name.clone(), measured))
        })
        .collect();
    let mut shown: Vec<Interval> = faults.iter().filter_map(|fault| fault.effective).collect();
    shown.sort_by_key(|at| at.earliest);
    let mut losses = losses(&story, evidence, &services, &shown, &excluded, windows.failback);
    outdate(&mut losses, evidence, &story, windows);
    for Read { loss, lost_by, .. } in &losses {
        let Some(measured) = services.get_mut(&loss.service) else { continue };
        // What was lost on the way back is known only against what was there before it.
        if loss.way_back
            && loss.is_read_whole
            && let Some(before) = stands_before(&losses, &loss.store)
        {
            let is_sure = !loss.is_outdated || loss.records.exactly > 0;
            measured.failback.lost = (is_sure && !before.is_outdated).then_some(loss.records);
        }
        let is_harmed = loss.records.exactly > 0 || !loss.found.corrupt.is_empty();
        if let Some(lost_by) = lost_by.filter(|_| is_harmed && !loss.way_back) {
            measured.mtpd = service::harm(measured, lost_by, windows.end);
        }
    }
    let impacted = impacts.values().filter_map(|impact| impact.impacted.as_ref()).map(|(at, _)| *at);
    let impact = impacted.min_by_key(|at| at.latest);
    let all_restored = impacts.values().all(|impact| !impact.is_never());
    let responses = story.responses(impact, restored.filter(|_| all_restored));
    Measured {
        steady: steady(since, &views, &written(plan, evidence, &excluded, windows), windows),
        findings: findings(evidence, &views, windows, plan),
        series: views.iter().map(View::series).collect(),
        stages: story.stages(),
        steps: story.steps(),
        announced: plan.announced,
        ended: story.ended.cloned(),
        elapsed: story.end,
        services,
        losses: losses.into_iter().map(|read| read.loss).collect(),
        faults,
        responses,
        excluded,
    }
}

/// Since when the services were steady, or why they were not.
fn steady_since(story: &Story<'_>) -> (Option<At>, Option<String>) {
    let told = story.first(|what| match what {
        What::Steady { since, outcome } => Some((*since, outcome)),
        _ => None,
    });
    let nothing_to_see = story.plan.probes.is_empty() && story.plan.ledgers.is_empty();
    match told {
        Some((_, (since, outcome))) => (Some(since), outcome.why().map(str::to_owned)),
        // Of a run whose journal was cut off before, nobody knows.
        None if nothing_to_see || story.ended.is_none() => (None, None),
        None => (None, Some("it was never reached".to_owned())),
    }
}

/// The outages of every ledger's writes, of a vantage that could see.
fn written<'a>(
    plan: &'a Plan,
    evidence: &Evidence,
    excluded: &[Excluded],
    windows: Windows,
) -> Vec<Written<'a>> {
    let seen = plan.ledgers.iter().filter(|ledger| excluded.iter().all(|out| out.vantage != ledger.from));
    seen.filter_map(|ledger| {
        let service = plan.service(&ledger.service)?;
        Some(Written::of((plan, evidence), service, ledger, windows))
    })
    .collect()
}

/// Steady state was lost where a service failed, or took no writes, after it was reached and surely before the first fault.
fn steady(
    (since, why): (Option<At>, Option<String>),
    views: &[View<'_>],
    written: &[Written<'_>],
    windows: Windows,
) -> Steady {
    let lost_in = |name: String, samples: &[Sample], outages: &[Outage]| {
        let was_there = was_there_at(samples, windows.from);
        Some((name, outages.iter().find(|outage| was_there(outage))?.begin.latest))
    };
    let measuring = views.iter().filter(|view| view.probe.service.is_some() && !view.excluded);
    let probed = measuring.filter_map(|view| lost_in(view.name(), &view.samples, &view.outages));
    let written = written.iter().filter_map(|one| lost_in(one.name(), &one.samples, &one.outages));
    let lost = probed
        .chain(written)
        .map(|(name, began)| format!("{name} failed at {} before the first fault", began.min(windows.from)));
    Steady { since, lost: why.or_else(|| since.and_then(|_| lost.min())) }
}

/// A reading, when it began, and the disruption that lost what it lost.
struct Read {
    loss: Loss,
    began: At,
    lost_by: Option<Interval>,
}

/// The reading of a store that stands for its recovery, if it is whole.
fn stands_before<'a>(losses: &'a [Read], store: &Name) -> Option<&'a Loss> {
    let stands = |loss: &&Loss| loss.store == *store && !loss.way_back && !loss.is_moot;
    losses.iter().map(|read| &read.loss).rfind(stands).filter(|loss| loss.is_read_whole)
}

/// Every reading of every store.
fn losses(
    story: &Story<'_>,
    evidence: &Evidence,
    services: &BTreeMap<Name, ServiceMeasured>,
    faults: &[Interval],
    excluded: &[Excluded],
    failback: At,
) -> Vec<Read> {
    let mut losses: Vec<Read> = Vec::new();
    let mut whole: BTreeMap<(&Name, bool), At> = BTreeMap::new();
    let removed: BTreeMap<&Name, &Outcome> = evidence
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::WritesRemoved { store, outcome } => Some((store, outcome)),
            _ => None,
        })
        .collect();
    // In the order in which they began: several may have been under way at once.
    let read = |event: &&Event| matches!(event.what, What::ReadBack { .. });
    let mut readings: Vec<&Event> = evidence.events.iter().filter(read).collect();
    readings.sort_by_key(|event| match &event.what {
        What::ReadBack { began, .. } => *began,
        _ => event.at,
    });
    for event in readings {
        let What::ReadBack { store, pass, began, answered_by, stable, outcome, .. } = &event.what else {
            continue;
        };
        let Some(ledger) = story.plan.ledgers.iter().find(|ledger| ledger.store == *store) else { continue };
        let trouble = match outcome.why() {
            Some(why) => Some(format!("the store could not be read back: {why}")),
            None if !stable => Some("the store still changed when it was read back".to_owned()),
            None => None,
        };
        let way_back = *began >= failback;
        let earlier = stands_before(&losses, store).filter(|_| way_back);
        let mut loss = loss(evidence, ledger, (*pass, *began), &moves::promotions(story, store), earlier);
        loss.way_back = way_back;
        let timeline = services.get(&ledger.service).map(|service| &service.timeline);
        loss.answered_by = answered_by.clone();
        loss.is_read_whole = trouble.is_none();
        if trouble.is_some() {
            // What was not seen in half a reading may be there, or lost.
            loss.found.lost.clear();
            loss.found.unknown_missing.clear();
            loss.records.exactly = 0;
        }
        loss.removed = removed.get(store).map(|outcome| (*outcome).clone());
        let blind = excluded.iter().find(|out| out.vantage == ledger.from);
        if loss.is_read_whole {
            whole.insert((store, way_back), *began);
        } else {
            let since = whole.get(&(store, way_back));
            loss.is_moot = since.is_some_and(|since| is_quiet(evidence, store, *since, after(*began)));
        }
        let trouble = trouble.or_else(|| blind.map(|out| format!("nobody saw the writes: {}", out.why)));
        let lost_by = disruption(evidence, &loss, earlier.is_some(), faults, timeline);
        loss.rpa = match (trouble, lost_by) {
            (Some(why), _) => Actual::unseen(why),
            (None, None) => Actual::unseen("nothing shows when the disruption was"),
            (None, Some(lost_by)) => rpa(evidence, ledger, &loss, earlier.is_some(), lost_by),
        };
        losses.retain(|read| read.loss.store != *store || read.loss.pass != *pass);
        losses.push(Read { loss, began: *began, lost_by });
    }
    losses
}

/// Marks the whole readings after which more may have been lost that nobody looked for: something was done, or a write failed, before the
/// way back began, or the drill was through. What healing does at the end of a run that came to it is no part of the drill; after an abort
/// nobody knows what that was needed for. One that lost nothing more, though it was read later, shows that nothing was.
fn outdate(losses: &mut [Read], evidence: &Evidence, story: &Story<'_>, windows: Windows) {
    let is_through = matches!(story.ended, Some(Ended::Completed));
    let end = if is_through { windows.stop } else { windows.end };
    for index in 0..losses.len() {
        let Read { loss, began, .. } = &losses[index];
        let until = if loss.way_back { end } else { end.min(windows.failback) };
        let shows = |later: &Loss| {
            let is_same = later.store == loss.store && later.is_read_whole;
            is_same && (later.way_back == loss.way_back || later.records.at_most == 0)
        };
        let is_shown = losses[index + 1..].iter().any(|later| shows(&later.loss));
        // In a rehearsal a step takes no time: what was done at the very instant at which it began had been done, and what at the end is
        // what follows.
        let is_outdated =
            loss.is_read_whole && !is_shown && !is_quiet(evidence, &loss.store, after(*began), until);
        let loss = &mut losses[index].loss;
        loss.is_outdated = is_outdated;
        if let (true, Actual::Took(span)) = (is_outdated, &mut loss.rpa) {
            span.most = None;
        }
    }
}

/// Whether nothing was done and every write was acknowledged from one instant until just before another: nothing can have been lost.
fn is_quiet(evidence: &Evidence, store: &Name, from: At, until: At) -> bool {
    let within = |at: At| (from..until).contains(&at);
    let acted = evidence.events.iter().any(|event| event.what.acts() && within(event.at));
    let writes = evidence.writes.get(store).map_or(&[][..], Vec::as_slice);
    let mut meanwhile = writes.iter().filter(|write| within(write.sent));
    !acted && meanwhile.all(|write| matches!(write.seen, WriteSeen::Ok { .. }))
}

/// The next instant.
fn after(at: At) -> At {
    at.plus(Duration::from_nanos(1))
}

fn loss(
    evidence: &Evidence,
    ledger: &Ledger,
    (pass, begun): (u32, At),
    promotions: &[Interval],
    earlier: Option<&Loss>,
) -> Loss {
    let store = &ledger.store;
    let writes = evidence.writes.get(store).map_or(&[][..], Vec::as_slice);
    let found = evidence.reads.get(&(store.clone(), pass)).map_or(&[][..], Vec::as_slice);
    let mut checked = ledger::check(writes, found, begun, promotions);
    if let Some(earlier) = earlier {
        checked.resurrected = ledger::resurrected(&earlier.found, found);
        let before = |number: &u64| {
            earlier.found.lost.binary_search(number).is_ok()
                || earlier.found.unknown_missing.binary_search(number).is_ok()
        };
        checked.lost.retain(|number| !before(number));
        checked.unknown_missing.retain(|number| !before(number));
    }
    let mut loss = Loss {
        service: ledger.service.clone(),
        store: store.clone(),
        pass,
        way_back: false,
        answered_by: Name::default(),
        is_read_whole: false,
        is_moot: false,
        is_outdated: false,
        acknowledged: 0,
        refused: 0,
        unknown: 0,
        records: ledger::records(&checked),
        found: checked,
        rpa: Actual::Took(crate::model::time::Span::ZERO),
        removed: None,
    };
    // What ended while the store was read may be there or not: it is checked by no reading but the next.
    for write in writes.iter().filter(|write| write.completed <= begun) {
        match write.seen {
            WriteSeen::Ok { .. } => loss.acknowledged += 1,
            WriteSeen::Failed(_) => loss.refused += 1,
            WriteSeen::Unknown(_) => loss.unknown += 1,
        }
    }
    loss
}

/// What lost what is lost. Since an earlier reading, the way back; else a fault, or where none took effect what came first of the impact and
/// the failover.
fn disruption(
    evidence: &Evidence,
    loss: &Loss,
    since_earlier: bool,
    faults: &[Interval],
    timeline: Option<&BTreeMap<Moment, Mark>>,
) -> Option<Interval> {
    let writes = evidence.writes.get(&loss.store).map_or(&[][..], Vec::as_slice);
    let at = |moment| timeline.and_then(|timeline| timeline.get(&moment)).map(|mark: &Mark| mark.at);
    if since_earlier {
        return at(Moment::FailbackStarted);
    }
    let first = [Moment::Impacted, Moment::FailoverStarted].into_iter().filter_map(at);
    let first = first.min_by_key(|at| at.earliest).or(at(Moment::FaultRequested));
    ledger::disruption(writes, &loss.found.lost, faults).or(first)
}

/// The data loss in time.
fn rpa(
    evidence: &Evidence,
    ledger: &Ledger,
    loss: &Loss,
    since_earlier: bool,
    disruption: Interval,
) -> Actual {
    let writes = evidence.writes.get(&loss.store).map_or(&[][..], Vec::as_slice);
    let before = |write: &&crate::model::sample::Write| {
        matches!(write.seen, WriteSeen::Ok { .. }) && write.completed < disruption.latest
    };
    let Some(last) = writes.iter().filter(before).map(|write| write.sent).max() else {
        return Actual::unseen("no write was acknowledged before the disruption");
    };
    let silent = disruption.earliest.since(last);
    if !since_earlier && silent > freshness(ledger) {
        return Actual::unseen(format!("no write was acknowledged in the {silent} before the disruption"));
    }
    Actual::Took(ledger::lost_time(writes, &loss.found.lost, disruption))
}

/// How old the last acknowledged write may be at the disruption: ten periods and a timeout.
fn freshness(ledger: &Ledger) -> Duration {
    Duration::from_nanos(10_000_000_000 / u64::from(ledger.writes_per_second.max(1))).plus(ledger.timeout)
}

fn findings(evidence: &Evidence, views: &[View<'_>], windows: Windows, plan: &Plan) -> Vec<Finding> {
    let mut found: Vec<Finding> = evidence.gaps.iter().map(|gap| finding("", gap)).collect();
    if !evidence.is_complete() {
        found.push(finding("", "the journal ends before the run does"));
    }
    for view in views.iter().filter(|view| view.probe.service.is_some()) {
        let relapse = |outage: &&crate::model::outage::Outage| {
            Interval::between(windows.operate, windows.failback).contains(outage.begin.latest)
        };
        for outage in
            view.outages.iter().filter(relapse).filter(|outage| outage.begin.latest < windows.failback)
        {
            let about = view.probe.service.as_ref().map_or("", Name::as_str);
            let what =
                format!("{} failed again at {}, on the recovery side", view.name(), outage.begin.latest);
            found.push(finding(about, what));
        }
    }
    for view in views.iter().filter(|view| !view.taken_back && !view.excluded) {
        let about = view.probe.service.as_ref().map_or("", Name::as_str);
        found.push(finding(
            about,
            format!("{} was not answered to the end by a side that is back", view.name()),
        ));
    }
    for service in &plan.services {
        let is_written = |store: &&Name| plan.ledgers.iter().any(|ledger| ledger.store == **store);
        let (written, unwritten): (Vec<&Name>, Vec<&Name>) = service.stores.iter().partition(is_written);
        // Where none is written to, its RPO says so.
        for store in unwritten.iter().filter(|_| !written.is_empty()) {
            let what = format!("no ledger writes to {store}: nothing shows what it lost");
            found.push(finding(service.name.as_str(), what));
        }
    }
    for service in plan.services.iter().filter(|service| service.restored.load.is_some()) {
        found.push(finding(service.name.as_str(), "the load under which it must hold was not measured"));
    }
    found
}

fn finding(about: &str, what: impl ToString) -> Finding {
    Finding { about: about.into(), what: what.to_string(), region: None }
}
