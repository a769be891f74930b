//! One probe from one vantage: its samples, its silences made visible, its outages.

use std::collections::BTreeMap;

use super::measured::{Excluded, Series};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, Vantage};
use crate::model::outage::{Outage, outages, outages_where, strays};
use crate::model::plan::{Plan, Probe};
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
    pub outages: Vec<Outage>,
    pub strays: Vec<Interval>,
    /// Its own control probe failed.
    pub excluded: bool,
}

impl View<'_> {
    /// Where nothing is seen to fail, an outage may still hide between two successes.
    pub fn resolution(&self, within: Interval) -> Duration {
        let inside = |stray: &&Interval| stray.latest >= within.earliest && stray.earliest <= within.latest;
        let longest = self.strays.iter().filter(inside).map(Interval::width).max().unwrap_or_default();
        longest.max(self.probe.every.plus(self.probe.timeout))
    }

    /// Whether probes were not sent within a time, or none were at all.
    pub fn is_blind(&self, within: Interval) -> bool {
        let mut inside = self.samples.iter().filter(|sample| within.contains(sample.sent)).peekable();
        inside.peek().is_none() || inside.any(|sample| sample.seen == Seen::Gap)
    }

    /// `probe checkout from west`.
    pub fn name(&self) -> String {
        format!("probe {} from {}", self.probe.id, self.vantage)
    }

    /// As it stands in the results.
    pub fn series(&self) -> Series {
        let count = |wanted: &dyn Fn(&Seen) -> bool| {
            self.samples.iter().filter(|sample| wanted(&sample.seen)).count() as u64
        };
        Series {
            probe: self.probe.id.clone(),
            vantage: self.vantage.clone(),
            service: self.probe.service.clone(),
            outages: self.outages.clone(),
            samples: count(&|seen| *seen != Seen::Gap),
            failures: count(&|seen| matches!(seen, Seen::Failed(_))),
            gaps: count(&|seen| *seen == Seen::Gap),
            strays: self.strays.len() as u64,
        }
    }
}

/// Every vantage of every probe of the plan, with those excluded that could not see. Until `failback`, only the side that takes
/// over can restore a service.
pub(super) fn views<'a>(plan: &'a Plan, evidence: &Evidence, failback: At) -> (Vec<View<'a>>, Vec<Excluded>) {
    let clauses: BTreeMap<&Name, &RestoredClause> =
        plan.services.iter().map(|service| (&service.name, &service.restored)).collect();
    let mut views = Vec::new();
    for probe in &plan.probes {
        for vantage in &probe.from {
            let key = (probe.id.clone(), vantage.clone());
            let samples = with_silences(evidence.samples.get(&key).map_or(&[], Vec::as_slice), probe.every);
            let outages = match probe.service.as_ref().and_then(|service| clauses.get(service)) {
                Some(clause) => outages_where(&samples, clause, |sample| {
                    sample.sent >= failback
                        || plan.takes_over.is_none()
                        || sample.answered_by == plan.takes_over
                }),
                None => outages(&samples, &twice(probe)),
            };
            let strays = strays(&samples);
            views.push(View { probe, vantage, samples, outages, strays, excluded: false });
        }
    }
    let excluded = excluded(&views);
    for view in &mut views {
        view.excluded = excluded.iter().any(|out| out.vantage == *view.vantage);
    }
    (views, excluded)
}

/// A probe without a service's clause is back when it succeeds twice in a row.
fn twice(probe: &Probe) -> RestoredClause {
    RestoredClause { success: Share::ALL, lasting: probe.every, load: None, p99: None }
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

/// Adds a gap for each probe that should have been sent and of which nothing is there.
fn with_silences(samples: &[Sample], every: Duration) -> Vec<Sample> {
    let period = every.nanos().max(1);
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.scheduled);
    let mut whole = Vec::with_capacity(sorted.len());
    let mut last: Option<At> = None;
    for sample in sorted {
        let missing =
            last.map_or(0, |last| (sample.scheduled.0.saturating_sub(last.0) + period / 2) / period - 1);
        let step = last.map_or(0, |last| sample.scheduled.0.saturating_sub(last.0)) / (missing.max(0) + 1);
        for index in 1..=missing.min(MOST_MISSING) {
            let at =
                last.map_or(sample.scheduled, |last| At(last.0.saturating_add(step.saturating_mul(index))));
            whole.push(gap(at));
        }
        last = Some(sample.scheduled);
        whole.push(sample.clone());
    }
    whole
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
