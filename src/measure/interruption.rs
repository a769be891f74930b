//! What kept a service from its users beside the outage that its recovery time counts: it failed again once it was restored, or it
//! answered while no write was acknowledged.
//!
//! Why beside: a recovery time ends where the service was first restored, and its probes read. A promise that holds for that alone is
//! not kept by a service that fails again for an hour, or that nobody can order from. So each of these is judged by the same target.

use super::measured::{Actual, Excluded, Interrupted, Interruption};
use super::service::{Restored, Windows, first_outage, on_the_way_back, on_the_way_there, restored};
use super::view::{View, is_silent, last_sent, with_silences};
use crate::model::evidence::Evidence;
use crate::model::outage::{Outage, outages};
use crate::model::plan::{Ledger, Plan, Service};
use crate::model::sample::{Sample, Seen, Stages, Write, WriteSeen};
use crate::model::target::RestoredClause;
use crate::model::time::{At, Interval, Span};

/// Those of one service, its probes' before its writes'.
pub(super) fn interruptions(
    plan: &Plan,
    evidence: &Evidence,
    service: &Service,
    views: &[&View<'_>],
    excluded: &[Excluded],
    windows: Windows,
) -> Vec<Interruption> {
    let mut found: Vec<Interruption> = Vec::new();
    for (way_back, stop) in [(false, windows.stop), (true, windows.end)] {
        let seen = |view: &View<'_>| match way_back {
            false => on_the_way_there(&view.outages, windows),
            true => on_the_way_back(&view.outages, windows),
        };
        let first = first_outage(views.iter().map(|view| seen(view)).collect(), service.restored.lasting);
        for (view, first) in views.iter().zip(first) {
            let again = seen(view).into_iter().filter(|outage| !first.contains(outage));
            let one = |outage| interruption(Interrupted::Recovered, &outage, &view.name(), stop, way_back);
            found.extend(again.map(one));
        }
    }
    for view in views {
        found.extend(unseen(&view.samples, Interrupted::Recovered, &view.name(), service, windows));
    }
    for ledger in plan.ledgers.iter().filter(|ledger| ledger.service == service.name) {
        match excluded.iter().find(|out| out.vantage == ledger.from) {
            // What a blind vantage wrote says nothing of the service.
            Some(out) => {
                let why = format!("the vantage {} is excluded", out.vantage);
                found.extend(unknown(Interrupted::Writes, &source(ledger), windows, &why));
            }
            None => found.extend(of_writes(evidence, service, ledger, windows)),
        }
    }
    found
}

fn source(ledger: &Ledger) -> String {
    format!("writes to {} from {}", ledger.store, ledger.from)
}

/// Nobody knows how it went, on the way there and, if there was one, on the way back.
fn unknown(what: Interrupted, source: &str, windows: Windows, why: &str) -> Vec<Interruption> {
    let one = |way_back, from: At| Interruption {
        what,
        way_back,
        begin: Interval::exactly(from),
        took: Actual::unseen(why),
        source: source.to_owned(),
    };
    let back = (windows.failback < windows.end).then(|| one(true, windows.failback));
    [one(false, windows.from)].into_iter().chain(back).collect()
}

/// The same, where too little was sent.
fn unseen(
    samples: &[Sample],
    what: Interrupted,
    source: &str,
    service: &Service,
    windows: Windows,
) -> Vec<Interruption> {
    let there = (windows.from, windows.failback.min(windows.end));
    let silent = |within| is_silent(samples, within, service.restored.lasting);
    if silent(there) || windows.failback < windows.end && silent((windows.failback, windows.end)) {
        return unknown(what, source, windows, &format!("{source} were not sent all the time"));
    }
    Vec::new()
}

/// The writes of a ledger, as probes of the write path.
fn as_samples(evidence: &Evidence, ledger: &Ledger) -> Vec<Sample> {
    let half_period = ledger.period().nanos() / 2;
    let writes = evidence.writes.get(&ledger.store).map_or(&[][..], Vec::as_slice);
    let samples: Vec<Sample> = writes.iter().map(|write| as_sample(write, half_period)).collect();
    with_silences(&samples, ledger.period(), last_sent(evidence))
}

/// When no write was acknowledged.
fn outages_of(samples: &[Sample], service: &Service) -> Vec<Outage> {
    outages(samples, &RestoredClause { load: None, p99: None, ..service.restored.clone() })
}

/// The outages of a ledger's writes, with what names them.
pub(super) fn of_ledger(evidence: &Evidence, service: &Service, ledger: &Ledger) -> (String, Vec<Outage>) {
    (source(ledger), outages_of(&as_samples(evidence, ledger), service))
}

fn of_writes(evidence: &Evidence, service: &Service, ledger: &Ledger, windows: Windows) -> Vec<Interruption> {
    let (samples, source) = (as_samples(evidence, ledger), source(ledger));
    let mut found = unseen(&samples, Interrupted::Writes, &source, service, windows);
    let outages: Vec<Outage> = outages_of(&samples, service)
        .into_iter()
        .filter(|outage| outage.begin.latest >= windows.from)
        .collect();
    let one = |outage: &Outage, stop, back| interruption(Interrupted::Writes, outage, &source, stop, back);
    let there = on_the_way_there(&outages, windows);
    found.extend(there.iter().map(|outage| one(outage, windows.stop, false)));
    let back = on_the_way_back(&outages, windows);
    found.extend(back.iter().map(|outage| one(outage, windows.end, true)));
    found
}

/// A write as a probe of the write path: one that was not sent in time says nothing.
fn as_sample(write: &Write, half_period: i64) -> Sample {
    let seen = match write.seen {
        _ if write.sent.0.saturating_sub(write.scheduled.0) > half_period => Seen::Gap,
        WriteSeen::Ok { .. } => Seen::Ok,
        WriteSeen::Failed(failure) | WriteSeen::Unknown(failure) => Seen::Failed(failure),
    };
    Sample {
        scheduled: write.scheduled,
        sent: write.sent,
        completed: write.completed,
        seen,
        address: write.address,
        answered_by: None,
        stages: Stages::default(),
    }
}

fn interruption(what: Interrupted, outage: &Outage, source: &str, stop: At, way_back: bool) -> Interruption {
    let took = match restored(source, outage, stop) {
        _ if outage.gap_at_begin || outage.gap_at_end => {
            Actual::unseen(format!("{source} were not sent at a bound of the interruption"))
        }
        Restored::Unharmed => Actual::Took(Span::ZERO),
        Restored::At(end, _) => Actual::Took(outage.begin.until(&end)),
        Restored::Never(until) => Actual::Took(Span::at_least(until.since(outage.begin.latest))),
        Restored::Unsure(why) => Actual::unseen(why),
    };
    Interruption { what, way_back, begin: outage.begin, took, source: source.to_owned() }
}
