//! What kept a service from its users beside the outage that its recovery time counts: it failed again once it was restored, or it
//! answered while no write was acknowledged.
//!
//! Why beside: a recovery time ends where the service was first restored, and its probes read. A promise that holds for that alone is
//! not kept by a service that fails again for an hour, or that nobody can order from. So each of these is judged by the same target.

use super::measured::{Actual, Excluded, Interrupted, Interruption};
use super::service::{Restored, Windows, first_outage, on_the_way_back, on_the_way_there, restored};
use super::view::{
    View, blindness, is_silent, last_sent, seen_until, silences, with_silences, without_sight,
};
use crate::model::evidence::Evidence;
use crate::model::outage::{Outage, outages};
use crate::model::plan::{Ledger, Plan, Service};
use crate::model::sample::Sample;
use crate::model::time::{At, Duration, Interval, Span};

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
            let name = view.name();
            let one = |outage| {
                interruption((Interrupted::Recovered, &name), &outage, (stop, view.seen_until()), way_back)
            };
            found.extend(again.map(one));
        }
    }
    for view in views {
        let what = (Interrupted::Recovered, view.name());
        found.extend(unseen(&view.samples, &view.outages, (what.0, &what.1), service, windows));
    }
    for ledger in plan.ledgers.iter().filter(|ledger| ledger.service == service.name) {
        match excluded.iter().find(|out| out.vantage == ledger.from) {
            // What a blind vantage wrote says nothing of the service.
            Some(out) => {
                let why = format!("the vantage {} is excluded", out.vantage);
                found.extend(unknown(Interrupted::Writes, &source(ledger), windows, &why));
            }
            None => found.extend(of_writes((plan, evidence), service, ledger, windows)),
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

/// Where too little was sent, nobody knows either; elsewhere it may have failed for as long as nothing was.
fn unseen(
    samples: &[Sample],
    outages: &[Outage],
    what: (Interrupted, &str),
    service: &Service,
    windows: Windows,
) -> Vec<Interruption> {
    let (kind, source) = what;
    let there = (windows.from, windows.failback.min(windows.end));
    let back = (windows.failback < windows.end).then_some((windows.failback, windows.end));
    let silent = |within| is_silent(samples, within, service.restored.lasting);
    if silent(there) || back.is_some_and(silent) {
        return unknown(kind, source, windows, &format!("{source} were not sent all the time"));
    }
    let ways = [(false, Some(there)), (true, back)];
    let longest = ways.into_iter().filter_map(|(way_back, within)| {
        let silences = silences(samples, within?).into_iter();
        let outside = silences.filter(|one| !outages.iter().any(|outage| covers(outage, *one)));
        let longest = outside.max_by_key(Interval::width)?;
        let took = Actual::Took(Span { least: Duration::ZERO, most: Some(longest.width()) });
        let begin = Interval::exactly(longest.earliest);
        Some(Interruption { what: Interrupted::Silent, way_back, begin, took, source: source.to_owned() })
    });
    longest.collect()
}

/// Whether it surely failed all that time.
fn covers(outage: &Outage, silence: Interval) -> bool {
    outage.begin.latest <= silence.earliest && outage.end.is_none_or(|end| silence.latest <= end.earliest)
}

/// The writes of a ledger, as probes of the write path.
fn as_samples(plan: &Plan, evidence: &Evidence, ledger: &Ledger) -> Vec<Sample> {
    let writes = evidence.writes.get(&ledger.store).map_or(&[][..], Vec::as_slice);
    let samples: Vec<Sample> = writes.iter().map(|write| write.as_sample(ledger.period())).collect();
    let blind = blindness(plan, evidence, &ledger.from);
    without_sight(with_silences(&samples, ledger.period(), last_sent(evidence)), &blind)
}

/// When no write was acknowledged.
fn outages_of(samples: &[Sample], service: &Service) -> Vec<Outage> {
    outages(samples, &service.restored.of_writes())
}

/// The outages of a ledger's writes, with what names them.
pub(super) fn of_ledger(
    plan: &Plan,
    evidence: &Evidence,
    service: &Service,
    ledger: &Ledger,
) -> (String, Vec<Outage>) {
    (source(ledger), outages_of(&as_samples(plan, evidence, ledger), service))
}

fn of_writes(
    (plan, evidence): (&Plan, &Evidence),
    service: &Service,
    ledger: &Ledger,
    windows: Windows,
) -> Vec<Interruption> {
    let (samples, source) = (as_samples(plan, evidence, ledger), source(ledger));
    let what = (Interrupted::Writes, source.as_str());
    let outages: Vec<Outage> = outages_of(&samples, service)
        .into_iter()
        .filter(|outage| outage.begin.latest >= windows.from)
        .collect();
    let mut found = unseen(&samples, &outages, what, service, windows);
    let seen = seen_until(&samples);
    let one = |outage: &Outage, stop, back| interruption(what, outage, (stop, seen), back);
    let there = on_the_way_there(&outages, windows);
    found.extend(there.iter().map(|outage| one(outage, windows.stop, false)));
    let back = on_the_way_back(&outages, windows);
    found.extend(back.iter().map(|outage| one(outage, windows.end, true)));
    found
}

fn interruption(
    (what, source): (Interrupted, &str),
    outage: &Outage,
    (stop, seen): (At, At),
    way_back: bool,
) -> Interruption {
    let took = match restored(source, outage, stop, seen) {
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
