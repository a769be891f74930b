//! What strips of samples say, by hand, and against a slow and simple truth.

use proptest::prelude::*;

use super::*;
use crate::model::sample::{Failure, Stages};

const MS: i64 = 1_000_000;

fn sample(sent: i64, completed: i64, seen: Seen) -> Sample {
    Sample {
        scheduled: At(sent * MS),
        sent: At(sent * MS),
        completed: At(completed * MS),
        seen,
        address: None,
        answered_by: None,
        stages: Stages::default(),
    }
}

/// One letter for each 100 ms: `.` ok after 10 ms, `x` refused after 10 ms, `t` a timeout after 1 s, `_` a gap.
fn strip(letters: &str) -> Vec<Sample> {
    let one = |(index, letter): (usize, char)| {
        let sent = i64::try_from(index).unwrap() * 100;
        match letter {
            '.' => sample(sent, sent + 10, Seen::Ok),
            'x' => sample(sent, sent + 10, Seen::Failed(Failure::Refused)),
            't' => sample(sent, sent + 1000, Seen::Failed(Failure::Timeout)),
            '_' => sample(sent, sent, Seen::Gap),
            's' => sample(sent, sent + 90, Seen::Ok),
            other => panic!("{other}"),
        }
    };
    letters.chars().enumerate().map(one).collect()
}

fn clause(success: &str, lasting_ms: u64) -> RestoredClause {
    RestoredClause {
        success: success.parse().unwrap(),
        lasting: Duration::from_millis(lasting_ms),
        load: None,
        p99: None,
    }
}

/// Where one sample is enough for a run that restores.
fn outages(samples: &[Sample], clause: &RestoredClause) -> Vec<Outage> {
    outages_by(samples, &Rules { fewest: 1, ..Rules::of(clause) })
}

fn ms(from: i64, to: i64) -> Interval {
    Interval { earliest: At(from * MS), latest: At(to * MS) }
}

#[test]
fn an_outage_begins_after_the_last_ok_was_sent_and_by_the_earliest_completed_failure() {
    let found = outages(&strip("...tx......."), &clause("100%", 300));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].begin, ms(200, 410), "the refusal completed before the timeout");
    assert_eq!(found[0].end, Some(ms(400, 510)));
    assert_eq!(found[0].failures, 2);
}

#[test]
fn one_stray_failure_is_no_outage_but_bounds_what_may_have_hidden() {
    let samples = strip("...t...x...");
    assert_eq!(outages(&samples, &clause("100%", 300)), []);
    assert_eq!(strays(&samples), [ms(200, 410), ms(600, 810)]);
}

#[test]
fn single_failures_that_come_too_often_are_an_outage() {
    let found = outages(&strip("....x.x.x.x.x.x............"), &clause("90%", 1000));
    assert_eq!((found.len(), found[0].begin, found[0].failures), (1, ms(300, 410), 5));
    assert_eq!(found[0].end, Some(ms(1200, 1310)), "the run may hold the last of them");
    let to_the_end = outages(&strip("....x.x.x.x.x.x.x.x.x.x.x.x"), &clause("90%", 1000));
    assert_eq!((to_the_end.len(), to_the_end[0].end), (1, None));
    let strays = "....x..x..................x.........x.........";
    assert_eq!(outages(&strip(strays), &clause("100%", 1000)), []);
    let slow = outages(&strip("....x.x.x.x.x.x.x.x.x.x.x.x"), &clause("99%", 200));
    assert_eq!(
        (slow.len(), slow[0].end),
        (1, None),
        "three samples in the clause's time are too few to call two strays"
    );
    let before = outages(&strip("....x..x...xxxxxx............"), &clause("100%", 1000));
    assert_eq!(before[0].begin, ms(1000, 1110), "strays before an outage are no part of it");
}

#[test]
fn single_failures_that_run_into_an_outage_are_its_beginning() {
    let strict = clause("100%", 1000);
    let found = super::outages(&strip("....x.x.xxxx..................."), &strict);
    assert_eq!((found.len(), found[0].begin, found[0].failures), (1, ms(300, 410), 6));
    assert_eq!((found[0].first_success, found[0].flaps), (Some(ms(400, 510)), 2));
    assert_eq!(found[0].end, Some(ms(1100, 1210)));
    let nine = super::outages(&strip("....x.........xx............"), &clause("100%", 500));
    assert_eq!((nine.len(), nine[0].begin), (1, ms(300, 410)), "nine answers make no run");
    let kept = super::outages(&strip("....x........xx............"), &clause("80%", 500));
    assert_eq!(kept[0].begin, ms(1200, 1310), "the clause allows one in nine");
    let fault = Rules { apart: &[At(600 * MS)], ..Rules::of(&strict) };
    let before = outages_by(&strip("....x.x.xxxx..................."), &fault);
    assert_eq!(before[0].begin, ms(500, 610), "what failed before the fault is none of its doing");
    let once_each_side = strip("....x.x.....x..................");
    let few = |apart| outages_by(&once_each_side, &Rules { apart, fewest: 1, ..Rules::of(&strict) }).len();
    assert_eq!(
        (few(&[]), few(&[At(900 * MS)])),
        (1, 0),
        "three are too many; two before, and one after, are not"
    );
    let silent = super::outages(&strip("....x._.xxxx..................."), &strict);
    assert_eq!(silent[0].begin, ms(700, 810), "nobody knows what was between");
    let ten = super::outages(&strip("....x..........xx............"), &clause("100%", 500));
    assert_eq!((ten.len(), ten[0].begin), (1, ms(1400, 1510)), "ten do");
}

#[test]
fn single_failures_before_a_border_are_judged_by_the_clauses_whole_time_before_it() {
    let rules = |clause| Rules { apart: &[At(30_000 * MS)], ..Rules::of(clause) };
    let three = strip(&format!("{}x.........x.........x.........{}", ".".repeat(270), ".".repeat(100)));
    let within = clause("99%", 30_000);
    assert_eq!(outages_by(&three, &rules(&within)), vec![], "three of three hundred");
    let over = clause("99.5%", 30_000);
    assert_eq!(outages_by(&three, &rules(&over)).len(), 1);
}

#[test]
fn a_run_that_a_border_cuts_short_leaves_what_fails_behind_it_an_outage_of_its_own() {
    let strict = clause("99%", 5000);
    let rules = Rules { apart: &[At(8200 * MS)], ..Rules::of(&strict) };
    let strip_with = |ok: usize| {
        strip(&format!(
            "{}xx{}{}{}",
            ".".repeat(80 - ok),
            ".".repeat(ok + 8),
            "x".repeat(10),
            ".".repeat(100)
        ))
    };
    let found = outages_by(&strip_with(30), &rules);
    let [before, behind] = &found[..] else { panic!("{found:?}") };
    assert_eq!((before.end, before.unconfirmed), (None, Some(ms(5100, 5210))));
    assert!(before.ends_with_its_side && !behind.ends_with_its_side);
    assert_eq!((behind.begin, behind.end), (ms(8900, 9010), Some(ms(9900, 10_010))));
    let short = outages_by(&strip_with(1), &rules);
    let [before, behind] = &short[..] else { panic!("{short:?}") };
    assert_eq!((before.end, before.unconfirmed), (None, Some(ms(8000, 8110))), "one answer may be its end");
    assert_eq!((behind.begin, behind.end), (ms(8900, 9010), Some(ms(9900, 10_010))));
    assert_eq!(outages_by(&strip_with(0), &rules).len(), 1, "it went on at the border");
}

#[test]
fn what_failed_under_way_at_a_border_is_behind_it() {
    let three = format!("{}x.........x.........x....", ".".repeat(275));
    let fails = format!("{}{}{}", ".".repeat(5), "t".repeat(20), ".".repeat(400));
    let rules = |clause| Rules { apart: &[At(30_550 * MS)], ..Rules::of(clause) };
    // The first of the timeouts was sent 50 ms before the border.
    let mut samples = strip(&(three.clone() + &fails));
    let clause = clause("99%", 30_000);
    assert_eq!(samples[305].seen, Seen::Failed(Failure::Timeout));
    let found = outages_by(&samples, &rules(&clause));
    assert_eq!((found.len(), found[0].begin), (1, ms(30_400, 31_500)), "{found:?}");
    samples[305] = sample(30_500, 30_510, Seen::Ok);
    assert_eq!(outages_by(&samples, &rules(&clause))[0].begin, ms(30_500, 31_600));
    // What would have been answered long before is none of it, however late it timed out.
    let mut samples = strip(&format!("{}{}{}", ".".repeat(306), "t".repeat(20), ".".repeat(400)));
    for lost in [281, 286, 291, 296] {
        let sent = samples[lost].sent.0 / MS;
        samples[lost] = sample(sent, sent + 5000, Seen::Failed(Failure::Timeout));
    }
    let lenient = self::clause("98%", 30_000);
    let found = outages_by(&samples, &rules(&lenient));
    assert_eq!((found.len(), found[0].begin), (1, ms(30_500, 31_600)), "{found:?}");
}

#[test]
fn what_hangs_at_a_border_failed_before_it_where_later_ones_were_answered_before_it() {
    let text = format!("{}{}...{}{}", ".".repeat(250), "t".repeat(10), "t".repeat(15), ".".repeat(400));
    let samples = strip(&text);
    assert_eq!((&samples[262].seen, samples[262].sent), (&Seen::Ok, At(26_200 * MS)));
    let clause = clause("100%", 5_000);
    let found = outages_by(&samples, &Rules { apart: &[At(26_300 * MS)], ..Rules::of(&clause) });
    let sides: Vec<(usize, bool)> = found.iter().map(|one| (one.side, one.ends_with_its_side)).collect();
    assert_eq!(sides, [(0, true), (1, false)], "{found:?}");
}

#[test]
fn a_failure_that_the_clause_tolerates_belongs_to_the_run() {
    let samples = strip("..xxx..x.......");
    let strict = outages(&samples, &clause("100%", 500));
    assert_eq!((strict[0].end, strict[0].flaps), (Some(ms(700, 810)), 1));
    let tolerant = outages(&samples, &clause("80%", 500));
    assert_eq!((tolerant[0].end, tolerant[0].flaps), (Some(ms(400, 510)), 0));
    assert_eq!((strict.len(), tolerant.len()), (1, 1));
}

#[test]
fn a_run_that_the_samples_end_too_early_is_unconfirmed_and_no_end() {
    let found = outages(&strip("..xxx..."), &clause("100%", 500));
    assert_eq!((found[0].end, found[0].unconfirmed), (None, Some(ms(400, 510))));
    let found = outages(&strip("..xxx"), &clause("100%", 500));
    assert_eq!((found[0].end, found[0].unconfirmed), (None, None));
    assert_eq!(found[0].span(At(900 * MS)), Span::at_least(Duration::from_millis(690)));
}

#[test]
fn gaps_at_a_bound_are_named_and_widen_it() {
    let found = outages(&strip("..__xx__....."), &clause("100%", 300));
    assert_eq!((found[0].begin, found[0].gap_at_begin), (ms(100, 410), true));
    assert_eq!((found[0].end, found[0].gap_at_end), (Some(ms(500, 810)), true));
    let found = outages(&strip("_....xx....__"), &clause("100%", 300));
    assert_eq!((found[0].gap_at_begin, found[0].gap_at_end), (false, false));
}

#[test]
fn so_few_answers_restore_nothing_however_short_the_clauses_time_is() {
    let short = clause("100%", 50);
    let by_rules = |letters: &str| super::outages(&strip(letters), &short);
    let flapping = by_rules("..xxx.xx.x..........");
    assert_eq!((flapping.len(), flapping[0].end), (1, Some(ms(900, 1010))));
    let too_few = by_rules("..xxx.........");
    assert_eq!((too_few[0].end, too_few[0].unconfirmed), (None, Some(ms(400, 510))));
    assert_eq!(restores_after(&short, Duration::from_millis(100)), Duration::from_millis(1100));
    assert_eq!(
        restores_after(&clause("100%", 2000), Duration::from_millis(100)),
        Duration::from_millis(2200)
    );
}

#[test]
fn a_service_keeps_its_clause_where_its_share_and_its_p99_are_reached_without_a_gap_or_an_outage() {
    let share = clause("90%", 1000);
    assert!(holds(&strip("....x........................."), &share));
    assert!(!holds(&strip("....x....x....x....x....x....x"), &share), "one in five");
    assert!(!holds(&strip("....xx........................"), &share), "two in a row");
    assert!(!holds(&strip("....._........................"), &share));
    assert!(!holds(&strip("....x........................."), &clause("100%", 1000)));
    let slow = RestoredClause { p99: Some(Duration::from_millis(50)), ..share };
    assert!(!holds(&strip("sssssssssssssss"), &slow) && holds(&strip("sssssssssssssss"), &slow.of_writes()));
}

#[test]
fn flapping_is_one_outage_with_its_flaps_counted() {
    let found = outages(&strip("..xx.xx.xx......"), &clause("100%", 300));
    assert_eq!((found.len(), found[0].flaps), (1, 2));
    assert_eq!(found[0].end, Some(ms(900, 1010)));
    assert_eq!(found[0].first_success, Some(ms(300, 410)));
}

#[test]
fn two_outages_apart_are_two() {
    let found = outages(&strip("..xx......xxx......"), &clause("100%", 300));
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].begin, ms(900, 1010));
}

#[test]
fn an_outage_that_begins_within_a_tolerant_run_and_goes_on_is_found_from_its_start() {
    let found = outages(&strip("..xx.........xxxxxxxxx............"), &clause("80%", 1000));
    assert_eq!((found.len(), found[1].begin), (2, ms(1200, 1310)));
}

#[test]
fn slow_answers_hold_back_what_a_p99_promises() {
    let slow = RestoredClause { p99: Some(Duration::from_millis(50)), ..clause("100%", 300) };
    let found = outages(&strip("..xxsss......"), &slow);
    assert_eq!(found[0].end, Some(ms(600, 710)));
    assert_eq!(found[0].first_success, Some(ms(300, 490)));
}

#[test]
fn only_the_side_that_takes_over_can_restore() {
    let mut samples = strip("..xxx........");
    for sample in samples.iter_mut().skip(8) {
        sample.answered_by = Some("west".into());
    }
    let west = |sample: &Sample| sample.answered_by == Some("west".into());
    let clause = clause("100%", 300);
    let by = Rules { counts: &west, fewest: 1, ..Rules::of(&clause) };
    assert_eq!(outages_by(&samples, &by)[0].end, Some(ms(700, 810)));
    assert!(sustained(&samples, &by));
    samples.iter_mut().skip(11).for_each(|sample| sample.answered_by = Some("east".into()));
    assert_eq!(outages_by(&samples, &by)[0].end, None, "it answered three times and then not again");
    assert!(!sustained(&samples, &by));
}

#[test]
fn answers_slower_than_promised_are_an_outage_though_nothing_fails() {
    let slow = RestoredClause { p99: Some(Duration::from_millis(50)), ..clause("100%", 1000) };
    let found = outages(&strip("....ssssssssssss............"), &slow);
    assert_eq!((found.len(), found[0].begin, found[0].failures), (1, ms(300, 490), 0));
    assert_eq!(found[0].end, Some(ms(1500, 1610)));
    let for_good = outages(&strip("....ssssssssssssssssssssssss"), &slow);
    assert_eq!((for_good.len(), for_good[0].end), (1, None));
    assert_eq!(outages(&strip("....s..s...................."), &slow), [], "a few are none");
}

#[test]
fn where_every_failure_counts_each_is_an_outage_until_the_next_success() {
    let found = failures(&strip("...x...xx..."));
    assert_eq!(found.iter().map(|one| one.begin).collect::<Vec<_>>(), [ms(200, 310), ms(600, 710)]);
    assert_eq!(found[1].end, Some(ms(800, 910)));
}

#[test]
fn an_end_after_a_single_timeout_that_probes_overtook_is_known_to_an_answer_more() {
    // Every 900 ms, awaited 1 s, answered after 300 ms; the last timeout, of 3.6 s, is known only at 4.6 s.
    let mut samples: Vec<_> = (0..30).map(|index| sample(index * 900, index * 900 + 300, Seen::Ok)).collect();
    for down in [2, 4] {
        samples[down] = sample(samples_at(down), samples_at(down) + 1000, Seen::Failed(Failure::Timeout));
    }
    let strict = clause("100%", 5000);
    let found = outages_by(&samples, &Rules { strays: 0, ..Rules::of(&strict) });
    let [outage] = &found[..] else { panic!("{found:?}") };
    // The answer of 4.5 s could have come before the service was down once more; that of 5.4 s could not.
    assert_eq!(outage.end, Some(ms(3600, 5700)));
}

fn samples_at(index: usize) -> i64 {
    i64::try_from(index).unwrap() * 900
}

/// A service that is down in `[begin, end)`, and a prober: the slow, simple truth.
#[derive(Debug, Clone)]
struct Truth {
    begin: i64,
    end: i64,
    period: i64,
    timeout: i64,
    phase: i64,
    /// How long until a request arrives, in each of a hundred samples in turn; the answer takes as long.
    latencies: Vec<i64>,
    /// Whether a request that arrives in the outage is refused or times out.
    refused: Vec<bool>,
    strays: Vec<usize>,
}

impl Truth {
    fn samples(&self) -> Vec<Sample> {
        let last = self.end + 12_000 + 4 * self.period;
        let count = usize::try_from((last - self.phase) / self.period).unwrap();
        (0..count).map(|index| self.one(index)).collect()
    }

    fn one(&self, index: usize) -> Sample {
        let sent = self.phase + i64::try_from(index).unwrap() * self.period;
        let latency = self.latencies[index % self.latencies.len()];
        let arrives = sent + latency;
        let far = |at: i64| (sent - at).abs() > 4 * self.period + self.timeout + 400;
        let stray = self.strays.contains(&(index % 100)) && far(self.begin) && far(self.end);
        if (self.begin..self.end).contains(&arrives) || stray {
            if self.refused[index % self.refused.len()] {
                return sample(sent, arrives + latency, Seen::Failed(Failure::Refused));
            }
            return sample(sent, sent + self.timeout, Seen::Failed(Failure::Timeout));
        }
        sample(sent, arrives + latency, Seen::Ok)
    }
}

fn truths() -> impl Strategy<Value = Truth> {
    (10_i64..1500, 100_i64..4000, 1_i64..60_000, 0_i64..20_000).prop_flat_map(
        |(period, timeout, length, begin)| {
            let most = (timeout / 2).min(200);
            (
                0..period,
                prop::collection::vec(0..most, 1..40),
                prop::collection::vec(any::<bool>(), 1..20),
                prop::collection::vec((0_usize..50).prop_map(|index| index * 2), 0..3),
            )
                .prop_map(move |(phase, latencies, refused, strays)| Truth {
                    begin: begin + 5 * period + 1000,
                    end: begin + 5 * period + 1000 + length,
                    period,
                    timeout,
                    phase,
                    latencies,
                    refused,
                    strays,
                })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_truth_lies_within_the_bounds_and_the_bounds_are_narrow(truth in truths()) {
        let samples = truth.samples();
        let found = outages(&samples, &clause("50%", 10_000));
        let length = Duration::from_millis(u64::try_from(truth.end - truth.begin).unwrap());
        let slowest = truth.latencies.iter().max().copied().unwrap_or(0);
        if found.is_empty() {
            let hidden = strays(&samples).iter().map(Interval::width).max().unwrap_or_default();
            let unseen = u64::try_from(truth.period + truth.timeout).unwrap();
            prop_assert!(length <= hidden.max(Duration::from_millis(unseen)), "{length} hidden in {hidden}");
            return Ok(());
        }
        prop_assert_eq!(found.len(), 1);
        let (begin, end) = (found[0].begin, found[0].end.unwrap());
        prop_assert!(begin.earliest <= begin.latest && end.earliest <= end.latest);
        prop_assert!(begin.contains(At(truth.begin * MS)), "begin {} not in {begin:?}", truth.begin);
        prop_assert!(end.contains(At(truth.end * MS)), "end {} not in {end:?}", truth.end);
        let span = found[0].span(At(0));
        prop_assert!(span.contains(length));
        // Where answers are faster than the period, nothing is wider than one period and one timeout.
        if 2 * slowest <= truth.period {
            let narrow = Duration::from_millis(u64::try_from(truth.period + truth.timeout).unwrap());
            prop_assert!(begin.width() <= narrow && end.width() <= narrow, "{begin:?} {end:?}");
            prop_assert!(span.width().unwrap() <= narrow.plus(narrow));
        }
    }

    #[test]
    fn the_order_in_which_samples_arrive_changes_nothing(truth in truths(), seed in any::<u64>()) {
        let samples = truth.samples();
        let mut late = samples.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut late);
        let clause = clause("50%", 10_000);
        prop_assert_eq!(outages(&samples, &clause), outages(&late, &clause));
        prop_assert_eq!(strays(&samples), strays(&late));
    }
}
