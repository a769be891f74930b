//! What probes and ledgers saw, in counts and strips.

use std::collections::BTreeSet;

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
        sent: series.samples,
        ok: series.samples.saturating_sub(series.failures),
        failed: series.failures,
        gaps: series.gaps,
        strays: series.strays,
        failures: by_class(series),
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

fn by_class(series: &Series) -> Vec<Count> {
    series
        .by_class
        .iter()
        .map(|(failure, count)| Count { name: failure.to_string(), count: *count })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::model::time::At;

    #[test]
    fn what_was_sent_was_answered_or_failed_and_gaps_come_beside_it() {
        let window = Window { from: At(0), to: example::at(600.0) };
        let measured = example::measured();
        let probes = probes(&example::evidence(), &measured, window);
        assert!(!probes.is_empty());
        for (probe, series) in probes.iter().zip(&measured.series) {
            assert_eq!((probe.sent, probe.gaps), (series.samples, series.gaps), "{}", probe.id);
            assert_eq!(probe.ok + probe.failed, probe.sent, "{}", probe.id);
            let by_class: u64 = probe.failures.iter().map(|count| count.count).sum();
            assert_eq!(by_class, probe.failed, "{}", probe.id);
        }
    }
}
