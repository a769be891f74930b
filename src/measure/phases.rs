//! The phases of an outage: shared boundaries, made monotone, so that the middles sum exactly (DESIGN section 2).

use std::collections::BTreeMap;

use super::measured::{Mark, Moment, Phase, PhaseTook};
use crate::model::time::{At, Duration, Interval, Span};

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
/// next one; the parts always sum to the whole. The one that ends with `open` had begun when the service was last seen down, and its end
/// never came.
pub fn phases(timeline: &BTreeMap<Moment, Mark>, open: Option<(Moment, At)>) -> Vec<Phase> {
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
            open: open
                .filter(|(to, _)| *to == moment && took.is_none())
                .map(|(_, until)| Span::at_least(until.since(begin.latest))),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(marks: &[Option<(i64, i64)>]) -> BTreeMap<Moment, Mark> {
        let mark = |(a, width): (i64, i64)| Mark {
            at: Interval { earliest: At(a), latest: At(a + width) },
            source: String::new(),
            prewarned: false,
        };
        BOUNDARIES
            .iter()
            .zip(marks)
            .filter_map(|((moment, _), at)| at.map(|at| (*moment, mark(at))))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_middles_sum_exactly_and_the_whole_lies_within_the_sum(
            marks in prop::collection::vec(prop::option::weighted(0.8, (0_i64..1000, 0_i64..200)), 7),
        ) {
            let phases = phases(&timeline(&marks), None);
            let took: Vec<PhaseTook> = phases.iter().filter_map(|phase| phase.took).collect();
            let (Some(first), Some(last)) = (took.first(), took.last()) else { return Ok(()) };
            let sum: Duration = took.iter().map(|took| took.middle).fold(Duration::ZERO, Duration::plus);
            let whole = middle(&last.end) - middle(&first.begin);
            prop_assert_eq!(i128::from(sum.nanos()), whole);
            let span = first.begin.until(&last.end);
            let least = took.iter().map(|took| took.span.least).fold(Duration::ZERO, Duration::plus);
            let most = took.iter().filter_map(|took| took.span.most).fold(Duration::ZERO, Duration::plus);
            prop_assert!(least <= span.least && span.most.unwrap() <= most);
            for pair in took.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].begin, "the boundary is shared");
                prop_assert!(pair[0].begin.earliest <= pair[0].end.earliest);
            }
        }
    }

    #[test]
    fn a_stage_that_the_drill_lacks_is_not_exercised_and_not_zero() {
        let timeline = timeline(&[Some((0, 2)), Some((5, 2)), None, Some((50, 0)), Some((60, 0))]);
        let phases = phases(&timeline, Some((Moment::Restored, At(100))));
        let names: Vec<(&str, bool)> =
            phases.iter().map(|phase| (phase.name.as_str(), phase.took.is_some())).collect();
        let expected = [
            ("onset", true),
            ("detection", false),
            ("decision", true),
            ("mobilisation", true),
            ("recovery", false),
            ("verification", false),
        ];
        assert_eq!(names, expected);
        let open: Vec<Option<Span>> = phases.iter().map(|phase| phase.open).collect();
        let at_least = Some(Span::at_least(Duration::from_nanos(40)));
        assert_eq!(open, [None, None, None, None, at_least, None], "the recovery had begun, and never ended");
    }
}
