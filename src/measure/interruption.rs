//! What kept a service from its users beside the outage that its recovery time counts: it failed again once it was restored, or it
//! answered while no write was acknowledged.
//!
//! Why beside: a recovery time ends where the service was first restored, and its probes read. A promise that holds for that alone is
//! not kept by a service that fails again for an hour, or that nobody can order from. So each of these is judged by the same target.
//!
//! From where it counts: one that began before the service was served by all, its writes too, for as long as its clause asks is part of what
//! the fault did, and counts from the origin that the promise names, as the recovery time does. Any later one, and each on the way back, has
//! an origin of its own: its beginning. So has a silence, of which nobody knows whether it was one at all.

use super::ending::{Restored, Source};
use super::measured::{Actual, Excluded, Interrupted, Interruption};
use super::service::{Origins, Windows, on_the_way_back, on_the_way_there};
use super::together::{Join, first_outage, served_from};
use super::view::{
    View, blindness, is_silent, last_sent, seen_until, silences, since, with_silences, without_sight,
};
use crate::model::evidence::Evidence;
use crate::model::outage::{Outage, Rules};
use crate::model::plan::{Ledger, Plan, Service};
use crate::model::sample::Sample;
use crate::model::time::{At, Duration, Interval, Span};

/// A ledger's writes, as a probe saw the write path.
pub(super) struct Written<'a> {
    ledger: &'a Ledger,
    pub samples: Vec<Sample>,
    /// When no write was acknowledged.
    pub outages: Vec<Outage>,
}

impl<'a> Written<'a> {
    /// All of them since the steady state.
    pub fn of(
        (plan, evidence): (&Plan, &Evidence),
        service: &Service,
        ledger: &'a Ledger,
        windows: Windows,
    ) -> Self {
        let samples = as_samples(plan, evidence, ledger);
        let clause = service.restored.of_writes();
        let outages = windows.outages(since(&samples, windows.steady), &Rules::of(&clause));
        Self { ledger, samples, outages }
    }

    /// `writes to orders from outside`.
    pub fn name(&self) -> String {
        source(self.ledger)
    }
}

/// Those of one service, its probes' before its writes'.
pub(super) fn interruptions(
    (plan, evidence): (&Plan, &Evidence),
    service: &Service,
    views: &[&View<'_>],
    excluded: &[Excluded],
    (windows, origins): (Windows, Origins),
) -> Vec<Interruption> {
    let clause = &service.restored;
    let of_it = |ledger: &&Ledger| ledger.service == service.name;
    let is_blind = |ledger: &Ledger| excluded.iter().find(|out| out.vantage == ledger.from);
    let seen = plan.ledgers.iter().filter(of_it).filter(|ledger| is_blind(ledger).is_none());
    let mut written: Vec<Written<'_>> =
        seen.map(|ledger| Written::of((plan, evidence), service, ledger, windows)).collect();
    for one in &mut written {
        one.outages.retain(|outage| outage.begin.latest >= windows.from);
    }
    let all = views.iter().map(|view| &view.recovery).chain(written.iter().map(|one| &one.outages));
    let first = first_outage(all.map(|seen| on_the_way_there(seen, windows)).collect(), clause, Join::Maybe);
    let count = Count { windows, origins, first, lasting: clause.lasting };
    let mut found: Vec<Interruption> = Vec::new();
    for way_back in [false, true] {
        let seen = |view: &View<'_>| count.of_way(&view.outages, way_back);
        let first = first_outage(views.iter().map(|view| seen(view)).collect(), clause, Join::Maybe);
        for (index, (view, first)) in views.iter().zip(first).enumerate() {
            let again = seen(view).into_iter().filter(|outage| !first.contains(outage));
            let source = Source { name: &view.name(), seen_until: view.seen_until() };
            let seen = Seen { what: Interrupted::Recovered, index, source, all: &view.outages };
            found.extend(again.map(|outage| count.interruption(&seen, &outage, way_back)));
        }
    }
    for view in views {
        found.extend(unseen(&view.samples, &view.outages, &view.name(), service, windows));
    }
    // What a blind vantage wrote says nothing of the service.
    for (ledger, out) in plan.ledgers.iter().filter(of_it).filter_map(|one| Some((one, is_blind(one)?))) {
        let why = format!("the vantage {} is excluded", out.vantage);
        found.extend(unknown(&source(ledger), windows, &why));
    }
    let counted = written.iter().zip(views.len()..);
    found.extend(counted.flat_map(|(one, index)| of_writes((one, index), service, &count)));
    found
}

fn source(ledger: &Ledger) -> String {
    format!("writes to {} from {}", ledger.store, ledger.from)
}

/// Nobody knows how it went, on the way there and, if there was one, on the way back.
fn unknown(source: &str, windows: Windows, why: &str) -> Vec<Interruption> {
    let one = |way_back, from: At| Interruption {
        what: Interrupted::Silent,
        way_back,
        begin: Interval::exactly(from),
        took: Actual::unseen(why),
        rta: None,
        source: source.to_owned(),
    };
    let back = (windows.failback < windows.end).then(|| one(true, windows.failback));
    [one(false, windows.from)].into_iter().chain(back).collect()
}

/// Where too little was sent, nobody knows either; elsewhere it may have failed for as long as nothing was.
fn unseen(
    samples: &[Sample],
    outages: &[Outage],
    source: &str,
    service: &Service,
    windows: Windows,
) -> Vec<Interruption> {
    let there = (windows.from, windows.failback.min(windows.end));
    let back = (windows.failback < windows.end).then_some((windows.failback, windows.end));
    let silent = |within| is_silent(samples, within, service.restored.lasting);
    if silent(there) || back.is_some_and(silent) {
        return unknown(source, windows, &format!("{source}: not all of what was due was sent"));
    }
    let ways = [(false, Some(there)), (true, back)];
    let longest = ways.into_iter().filter_map(|(way_back, within)| {
        let silences = silences(samples, within?).into_iter();
        let outside = silences.filter(|one| !outages.iter().any(|outage| covers(outage, *one)));
        let longest = outside.max_by_key(Interval::width)?;
        let took = Actual::Took(Span { least: Duration::ZERO, most: Some(longest.width()) });
        let begin = Interval::exactly(longest.earliest);
        let (what, source) = (Interrupted::Silent, source.to_owned());
        Some(Interruption { what, way_back, begin, took, rta: None, source })
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

fn of_writes((written, index): (&Written<'_>, usize), service: &Service, count: &Count) -> Vec<Interruption> {
    let Written { samples, outages, .. } = written;
    let name = written.name();
    let mut found = unseen(samples, outages, &name, service, count.windows);
    let source = Source { name: &name, seen_until: seen_until(samples) };
    let seen = Seen { what: Interrupted::Writes, index, source, all: outages };
    for way_back in [false, true] {
        found.extend(
            count.of_way(outages, way_back).iter().map(|outage| count.interruption(&seen, outage, way_back)),
        );
    }
    found
}

/// Who saw something interrupted.
struct Seen<'a> {
    what: Interrupted,
    /// Its place among all of the service's.
    index: usize,
    source: Source<'a>,
    /// All outages that it saw.
    all: &'a [Outage],
}

/// From where interruptions count.
struct Count {
    windows: Windows,
    origins: Origins,
    /// What each saw of the first outage, its writes' included.
    first: Vec<Vec<Outage>>,
    lasting: Duration,
}

impl Count {
    /// The outages of one way.
    fn of_way(&self, outages: &[Outage], way_back: bool) -> Vec<Outage> {
        match way_back {
            false => on_the_way_there(outages, self.windows),
            true => on_the_way_back(outages, self.windows),
        }
    }

    /// Whether an outage is a part of what the fault did: of the first one, or begun before all others were served for as long as the clause
    /// asks.
    fn is_of_the_fault(&self, index: usize, outage: &Outage) -> bool {
        self.first.iter().enumerate().any(|(who, first)| match who == index {
            true => first.contains(outage),
            false => first.iter().any(|one| outage.begin.earliest <= served_from(one, self.lasting)),
        })
    }

    fn interruption(&self, seen: &Seen<'_>, outage: &Outage, way_back: bool) -> Interruption {
        let Seen { what, source, all, .. } = seen;
        let name = source.name;
        let stop = if way_back { self.windows.end } else { self.windows.stop };
        let mut ended = source.end_of(outage, stop);
        if let (Restored::Unsure(..), Some(over)) = (&ended, over_by(outage, all))
            && over.latest <= stop
        {
            ended = ended.with_the_way_back(over);
        }
        let since = |origin: Option<Interval>| match outage.gap_at_begin || outage.gap_at_end {
            true => Actual::unseen(format!("{name}: nothing was sent at a bound of the interruption")),
            false => ended.since(origin.unwrap_or(outage.begin)),
        };
        let is_of_the_fault = !way_back && self.is_of_the_fault(seen.index, outage);
        let rta = is_of_the_fault.then(|| self.origins.rta(Some(outage.begin), ended.at(), since));
        let took = since(None);
        Interruption { what: *what, way_back, begin: outage.begin, took, rta, source: name.to_owned() }
    }
}

/// When what failed until its side ended, or shortly before, was over at the latest: with what failed right after it, as one outage.
fn over_by(outage: &Outage, all: &[Outage]) -> Option<Interval> {
    let next = all.partition_point(|one| one.begin.latest <= outage.begin.latest);
    let next = all.get(next).filter(|_| outage.ends_with_its_side)?;
    next.end.filter(|_| !next.gap_at_end)
}
