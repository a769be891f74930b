//! The phases of an outage: shared boundaries, made monotone, so that the middles sum exactly (DESIGN section 2).

use std::collections::BTreeMap;

use super::measured::{Mark, Moment, Phase, PhaseTook};
use crate::model::time::{At, Duration, Interval};

/// The boundaries in order, and the name of the phase that ends with each.
const BOUNDARIES: [(Moment, &str); 7] = [
    (Moment::FaultEffective, ""),
    (Moment::Impacted, "onset"),
    (Moment::Detected, "detection"),
    (Moment::Declared, "decision"),
    (Moment::FailoverStarted, "mobilisation"),
    (Moment::Restored, "recovery"),
    (Moment::DataVerified, "verification"),
];

/// The phases between the moments that happened. A phase whose end did not happen is not exercised, and its time belongs to the
/// next one; the parts always sum to the whole.
pub fn phases(timeline: &BTreeMap<Moment, Mark>) -> Vec<Phase> {
    let mut found = Vec::new();
    let mut last: Option<(Moment, Interval)> = None;
    for (moment, name) in BOUNDARIES {
        let mark = timeline.get(&moment);
        let Some((from, begin)) = last else {
            last = mark.map(|mark| (moment, mark.at));
            continue;
        };
        let took = mark.map(|mark| {
            let end = begin.max(&mark.at);
            let middle = Duration::from_nanos(u64::try_from(middle(&end) - middle(&begin)).unwrap_or(0));
            PhaseTook { begin, end, span: begin.until(&end), middle }
        });
        found.push(Phase {
            name: name.into(),
            from,
            to: moment,
            took,
            prewarned: mark.is_some_and(|mark| mark.prewarned),
        });
        if let Some(took) = took {
            last = Some((moment, took.end));
        }
    }
    found
}

/// The middle of an interval, rounded down: differences of these sum exactly.
fn middle(interval: &Interval) -> i128 {
    let (At(earliest), At(latest)) = (interval.earliest, interval.latest);
    (i128::from(earliest) + i128::from(latest)).div_euclid(2)
}
