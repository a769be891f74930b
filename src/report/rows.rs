//! What probes and ledgers saw, in counts and strips.

use std::collections::{BTreeMap, BTreeSet};

use super::chart::{Mark, Window, strip};
use super::view::{Count, Ledger, Probe};
use crate::measure::{Loss, Measured, Series};
use crate::model::event::Outcome;
use crate::model::evidence::Evidence;
use crate::model::sample::{Sample, Seen, Write, WriteSeen};

/// Every probe from every vantage.
pub fn probes(evidence: &Evidence, measured: &Measured, window: Window) -> Vec<Probe> {
    measured.series.iter().filter_map(|series| probe(evidence, measured, series, window)).collect()
}

fn probe(evidence: &Evidence, measured: &Measured, series: &Series, window: Window) -> Option<Probe> {
    let planned = evidence.header()?.plan.probes.iter().find(|probe| probe.id == series.probe)?;
    let key = (series.probe.clone(), series.vantage.clone());
    let samples = evidence.samples.get(&key).map(Vec::as_slice).unwrap_or_default();
    let excluded = measured.excluded.iter().find(|excluded| excluded.vantage == series.vantage);
    Some(Probe {
        id: series.probe.to_string(),
        vantage: series.vantage.to_string(),
        service: series.service.as_ref().map(ToString::to_string),
        every: planned.every.into(),
        timeout: planned.timeout.into(),
        sent: series.samples.saturating_sub(series.gaps),
        ok: series.samples.saturating_sub(series.failures + series.gaps),
        failed: series.failures,
        gaps: series.gaps,
        strays: series.strays,
        failures: failures(samples),
        excluded: excluded.map(|excluded| format!("control probe {}: {}", excluded.control, excluded.why)),
        strip: strip(window, samples.iter().map(|sample| (sample.sent, mark(sample)))),
    })
}

fn mark(sample: &Sample) -> Mark {
    match sample.seen {
        Seen::Ok => Mark::Ok,
        Seen::Gap => Mark::Gap,
        Seen::Failed(_) => Mark::Failed,
    }
}

/// Failures by their class.
fn failures(samples: &[Sample]) -> Vec<Count> {
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for sample in samples {
        if let Seen::Failed(failure) = sample.seen {
            *counts.entry(failure).or_default() += 1;
        }
    }
    counts.into_iter().map(|(failure, count)| Count { name: failure.to_string(), count }).collect()
}

/// Every reading of every store.
pub fn ledgers(evidence: &Evidence, measured: &Measured, window: Window) -> Vec<Ledger> {
    measured.losses.iter().map(|loss| ledger(evidence, loss, window)).collect()
}

fn ledger(evidence: &Evidence, loss: &Loss, window: Window) -> Ledger {
    let found = &loss.found;
    let of = |name: &str, numbers: &[u64]| Count { name: name.to_owned(), count: numbers.len() as u64 };
    let count = |name: &str, count: u64| Count { name: name.to_owned(), count };
    let lost: BTreeSet<u64> = found.lost.iter().copied().collect();
    let writes = evidence.writes.get(&loss.store).map(Vec::as_slice).unwrap_or_default();
    Ledger {
        store: loss.store.to_string(),
        service: loss.service.to_string(),
        pass: loss.pass,
        when: if loss.way_back { "after the failback" } else { "before the failback" },
        is_read_whole: loss.is_read_whole,
        is_outdated: loss.is_outdated,
        answered_by: loss.answered_by.to_string(),
        counts: vec![
            count("acknowledged", loss.acknowledged),
            count("refused", loss.refused),
            count("unknown", loss.unknown),
            of("lost", &found.lost),
            of("unknown and missing", &found.unknown_missing),
            of("recovered", &found.recovered),
            of("unexpected", &found.unexpected),
            of("duplicate", &found.duplicate),
            of("stale", &found.stale),
            count("reordered", found.reordered),
            of("corrupt", &found.corrupt),
            of("accepted by two", &found.dual_accepted),
            of("resurrected", &found.resurrected),
        ],
        records: loss.records,
        rpa: (&loss.rpa).into(),
        removed: match &loss.removed {
            None => "not removed: nobody tried".to_owned(),
            Some(Outcome::Ok) => "removed, and the removal looked at".to_owned(),
            Some(Outcome::Failed { why }) => format!("not removed: {why}"),
            Some(Outcome::Unknown { why }) => format!("perhaps not removed: {why}"),
        },
        strip: strip(window, writes.iter().map(|write| (write.sent, kept(write, &lost)))),
    }
}

fn kept(write: &Write, lost: &BTreeSet<u64>) -> Mark {
    match write.seen {
        WriteSeen::Ok { .. } if lost.contains(&write.number) => Mark::Failed,
        WriteSeen::Ok { .. } => Mark::Ok,
        WriteSeen::Failed(_) | WriteSeen::Unknown(_) => Mark::Gap,
    }
}
