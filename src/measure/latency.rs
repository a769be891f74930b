//! How long answers took, stage by stage: histograms that keep every value to three significant digits, whatever its size (G. Tene,
//! HdrHistogram). A percentile is the smallest value that is not exceeded by so many of the answers; failures have no place in it.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::model::sample::{Sample, Seen};
use crate::model::time::Duration;

/// The percentiles that are given.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// The stages of an answer, and the whole.
pub const STAGES: [&str; 6] = ["resolve", "connect", "tls", "first byte", "body", "whole"];

/// The place of the whole among them.
const WHOLE: usize = 5;

/// How long answers took.
#[derive(Debug, Default)]
pub struct Latencies([Stage; 6]);

/// Of one stage; made once there is something to keep.
#[derive(Debug, Default)]
struct Stage(Option<Histogram<u64>>);

/// What one stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Took {
    pub stage: &'static str,
    /// How many answers had it.
    pub count: u64,
    pub least: Duration,
    /// By [`PERCENTILES`].
    pub percentiles: Vec<Duration>,
    pub most: Duration,
}

/// How many answers took so long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// More than the bar before, and at most this.
    pub up_to: Duration,
    pub count: u64,
}

impl Latencies {
    /// Takes in an answer as expected; others say nothing of how long it takes.
    pub fn add(&mut self, sample: &Sample) {
        if sample.seen != Seen::Ok {
            return;
        }
        let of = &sample.stages;
        let whole = sample.completed.since(sample.sent).as_nanos();
        let whole = u64::try_from(whole).unwrap_or(u64::MAX);
        let took = [of.resolve, of.connect, of.tls, of.first_byte, of.body];
        for (stage, nanos) in self.0.iter_mut().zip(took) {
            // A stage that did not happen took no time.
            if nanos > 0 {
                stage.add(nanos);
            }
        }
        self.0[WHOLE].add(whole);
    }

    /// What each stage took that happened at all.
    pub fn took(&self) -> Vec<Took> {
        let each = STAGES.into_iter().zip(&self.0);
        each.filter_map(|(name, stage)| Some(took(name, stage.0.as_ref()?))).collect()
    }

    /// The whole as bars, each twice as long as the one before, from the first to the last that has any.
    pub fn bars(&self) -> Vec<Bar> {
        let Some(whole) = &self.0[WHOLE].0 else { return Vec::new() };
        let mut cells =
            whole.iter_recorded().map(|cell| (cell.value_iterated_to(), cell.count_at_value())).peekable();
        let mut bars = Vec::new();
        for up_to in (0..u64::BITS).map(|power| 1_u64 << power) {
            if cells.peek().is_none() {
                break;
            }
            let mut count = 0;
            while let Some((_, more)) = cells.next_if(|(value, _)| *value <= up_to) {
                count += more;
            }
            if count > 0 || !bars.is_empty() {
                bars.push(Bar { up_to: Duration::from_nanos(up_to), count });
            }
        }
        bars
    }
}

impl Stage {
    fn add(&mut self, nanos: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new(3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            // It grows with what it keeps; there is no length that it has no room for.
            let _ = histogram.record(nanos);
        }
    }
}

fn took(stage: &'static str, histogram: &Histogram<u64>) -> Took {
    Took {
        stage,
        count: histogram.len(),
        least: Duration::from_nanos(histogram.min()),
        percentiles: PERCENTILES
            .iter()
            .map(|percentile| Duration::from_nanos(histogram.value_at_percentile(*percentile)))
            .collect(),
        most: Duration::from_nanos(histogram.max()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::sample::{Failure, Stages};
    use crate::model::time::At;

    fn sample(nanos: u64, seen: Seen) -> Sample {
        Sample {
            scheduled: At(0),
            sent: At(5),
            completed: At(5).plus(Duration::from_nanos(nanos)),
            seen,
            address: None,
            answered_by: None,
            stages: Stages { connect: nanos / 2, ..Stages::default() },
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_exceeded_by_no_more_answers_than_it_says_and_is_right_to_a_thousandth(
            mut took in prop::collection::vec(2_u64..1 << 45, 1..200),
        ) {
            let mut latencies = Latencies::default();
            for nanos in &took {
                latencies.add(&sample(*nanos, Seen::Ok));
                latencies.add(&sample(*nanos * 3, Seen::Failed(Failure::Timeout)));
            }
            took.sort_unstable();
            let stages = latencies.took();
            prop_assert_eq!(stages.iter().map(|one| one.stage).collect::<Vec<_>>(), ["connect", "whole"]);
            let whole = &stages[1];
            prop_assert_eq!(whole.count, took.len() as u64);
            for (percentile, given) in PERCENTILES.iter().zip(&whole.percentiles) {
                let rank = ((percentile / 100.0 * took.len() as f64).ceil() as usize).clamp(1, took.len());
                let (truth, given) = (took[rank - 1] as f64, given.as_nanos() as f64);
                prop_assert!(given >= truth && given <= truth * 1.001 + 1.0, "{percentile}: {given} for {truth}");
            }
            let bars = latencies.bars();
            prop_assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), took.len() as u64);
            prop_assert!(bars.first().is_some_and(|bar| bar.count > 0) && bars.last().is_some_and(|bar| bar.count > 0));
        }
    }

    #[test]
    fn what_has_not_answered_took_nothing() {
        let mut latencies = Latencies::default();
        latencies.add(&sample(7, Seen::Gap));
        assert!(latencies.took().is_empty() && latencies.bars().is_empty());
    }
}
