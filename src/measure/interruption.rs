//! What kept a service from its users beside the outage that its recovery time counts: it failed again once it was restored, or it
//! answered while no write was acknowledged.
//!
//! Why beside: a recovery time ends where the service was first restored, and its probes read. A promise that holds for that alone is
//! not kept by a service that fails again for an hour, or that nobody can order from. So each of these is judged by the same target.

use super::measured::{Actual, Excluded, Interrupted, Interruption};
use super::service::{Restored, Windows, during_the_way_back, of_the_fault, restored};
use super::view::{View, last_sent, with_silences};
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
    for view in views {
        let first = of_the_fault(&view.outages, windows);
        let again = |outage: &&Outage| {
            outage.begin.latest >= windows.from
                && outage.begin.latest < windows.failback
                && !first.contains(outage)
        };
        let source = view.name();
        found.extend(
            view.outages
                .iter()
                .filter(again)
                .map(|outage| interruption(Interrupted::Recovered, outage, &source, windows.stop, false)),
        );
    }
    for ledger in plan.ledgers.iter().filter(|ledger| ledger.service == service.name) {
        match excluded.iter().find(|out| out.vantage == ledger.from) {
            // What a blind vantage wrote says nothing of the service.
            Some(out) => {
                let why = format!("the vantage {} is excluded", out.vantage);
                found.extend(unseen(ledger, windows, &why));
            }
            None => found.extend(of_writes(evidence, service, ledger, windows)),
        }
    }
    found
}

fn source(ledger: &Ledger) -> String {
    format!("writes to {} from {}", ledger.store, ledger.from)
}

/// Nobody knows whether writes were taken, on the way there and, if there was one, on the way back.
fn unseen(ledger: &Ledger, windows: Windows, why: &str) -> Vec<Interruption> {
    let one = |way_back, from: At| Interruption {
        what: Interrupted::Writes,
        way_back,
        begin: Interval::exactly(from),
        took: Actual::unseen(why),
        source: source(ledger),
    };
    let back = (windows.failback < windows.end).then(|| one(true, windows.failback));
    [one(false, windows.from)].into_iter().chain(back).collect()
}

fn of_writes(evidence: &Evidence, service: &Service, ledger: &Ledger, windows: Windows) -> Vec<Interruption> {
    let clause = RestoredClause { load: None, p99: None, ..service.restored.clone() };
    let half_period = ledger.period().nanos() / 2;
    let writes = evidence.writes.get(&ledger.store).map_or(&[][..], Vec::as_slice);
    let samples: Vec<Sample> = writes.iter().map(|write| as_sample(write, half_period)).collect();
    let samples = with_silences(&samples, ledger.period(), last_sent(evidence));
    let source = source(ledger);
    let mut found = Vec::new();
    let silent = |from: At, until: At| {
        let inside = || samples.iter().filter(|one| from <= one.sent && one.sent < until);
        inside().filter(|one| one.seen == Seen::Gap).count() * 10 > inside().count()
    };
    let until = windows.failback.min(windows.end);
    if silent(windows.from, until) || windows.failback < windows.end && silent(windows.failback, windows.end)
    {
        found.extend(unseen(ledger, windows, "the writes were not sent all the time"));
    }
    for outage in outages(&samples, &clause) {
        let begin = outage.begin.latest;
        if begin >= windows.from && begin < windows.failback {
            found.push(interruption(Interrupted::Writes, &outage, &source, windows.stop, false));
        }
        if let Some(part) = during_the_way_back(&outage, windows).filter(|_| begin >= windows.from) {
            found.push(interruption(Interrupted::Writes, &part, &source, windows.end, true));
        }
    }
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
