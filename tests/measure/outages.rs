//! What is an outage of the drill, what ends it, and whether the fault was there: one drill for each way to be wrong about it.

use serde_json::{Value, json};

use drillmaster::measure::{Interrupted, Measured, Moment};
use drillmaster::model::event::Ended;
use drillmaster::model::target::{Overall, Verdict};
use drillmaster::model::time::{At, Interval};

use super::drill::{Drill, S, nanos, objective, of, rta, secs};

/// Without writes, and with a promise for the way back.
fn probes_alone() -> Drill {
    let objectives = vec![rta("60s", "impact"), objective("failback", Some("10s"), None)];
    Drill { with_ledger: false, objectives, ..Drill::default() }
}

fn verdicts(drill: &Drill) -> Vec<Verdict> {
    drill.judged().1.objectives.iter().map(|judgement| judgement.verdict).collect()
}

fn both(from: f64, to: f64) -> Vec<(&'static str, f64, f64)> {
    vec![("outside", from, to), ("west", from, to)]
}

fn invalid(drill: &Drill) -> String {
    drill.judged().1.invalid.unwrap_or_default()
}

#[test]
fn writes_that_ended_before_the_fault_are_lost_steady_state() {
    let drill = Drill { refused: vec![(50.0, 500.0)], ..Drill::default() };
    assert_eq!(drill.verdict(), (Overall::Invalid, Verdict::Void));
    assert!(invalid(&drill).contains("writes to orders from outside failed at 50s"), "{}", invalid(&drill));
    let over = Drill { refused: vec![(10.0, 20.0)], steady_since: 22.0, ..Drill::default() };
    assert_eq!(over.verdict(), (Overall::Met, Verdict::Met), "that was before the steady state");
    let just = Drill { steady_since: 20.0, ..over };
    assert_eq!(just.verdict(), (Overall::Met, Verdict::Met), "the first write since then was acknowledged");
}

#[test]
fn writes_that_hung_before_the_fault_are_lost_steady_state_before_they_time_out() {
    let hung = |from| Drill { hung: Some((from, 60.0)), ..Drill::default() };
    assert!(
        invalid(&hung(59.3)).contains("writes to orders from outside failed"),
        "{}",
        invalid(&hung(59.3))
    );
    assert_eq!(hung(59.7).verdict(), (Overall::Met, Verdict::Met), "the fault may be why it hung");
}

#[test]
fn what_came_back_too_shortly_before_the_way_back_lasted_at_most_until_it_was_back_after_what_failed_then() {
    let promised = |target| Drill {
        refused: vec![(294.0, 296.0), (302.0, 308.0)],
        objectives: vec![rta(target, "impact")],
        ..Drill::default()
    };
    let (measured, judged) = promised("60s").judged();
    assert_eq!(judged.objectives[0].verdict, Verdict::Met, "{}", judged.objectives[0].why);
    let took = of(&measured).interruptions.iter().find(|one| one.begin.earliest > At(290 * S)).unwrap();
    let (least, most) = secs(took.took.clone());
    assert!((1.5..=2.0).contains(&least) && (14.0..15.0).contains(&most), "[{least}, {most}]");
    assert_eq!(promised("41s").verdict().1, Verdict::Met);
}

#[test]
fn what_is_made_ready_before_the_fault_recovers_nothing() {
    let warmed = Drill { warmed: true, ..Drill::default() };
    assert_eq!(warmed.verdict(), (Overall::Met, Verdict::Met));
    let (measured, _) = warmed.judged();
    assert_eq!(of(&measured).timeline[&Moment::FailoverStarted].at.latest, At(80 * S));
    let reverted = Drill { fault_shows: Some((60.0, 70.0)), until: "recovery", ..warmed.clone() };
    assert_eq!(reverted.verdict(), (Overall::Invalid, Verdict::Void));
    let mut failed = warmed;
    failed.down.push(("west", 45.0, 50.0));
    assert_eq!(failed.verdict(), (Overall::Invalid, Verdict::Void), "steady state was lost at 45 s");
}

#[test]
fn a_person_who_is_asked_to_break_something_is_the_fault_of_a_drill_without_another() {
    let asked =
        (59.95, json!({"asked": {"step": "lose", "role": "on-call", "about": "task", "text": "cut it"}}));
    let by_hand = Drill {
        planned: |plan| plan["steps"][0]["action"] = json!({"task": {"role": "on-call", "text": "cut it"}}),
        more: vec![asked],
        ..Drill::default()
    };
    assert_eq!(by_hand.verdict(), (Overall::Met, Verdict::Met), "{}", invalid(&by_hand));
    let (measured, _) = by_hand.judged();
    assert_eq!(of(&measured).timeline[&Moment::FaultRequested].at, Interval::exactly(At(nanos(59.95))));
    let mut failed = by_hand;
    failed.down.push(("west", 45.0, 50.0));
    assert_eq!(failed.verdict(), (Overall::Invalid, Verdict::Void), "steady state was lost at 45 s");
}

#[test]
fn the_side_that_takes_over_must_hold_for_as_long_as_the_clause_asks() {
    let mut drill =
        Drill { down: both(60.0, 100.0), sides: vec![(105.0, 300.0, Some("east"))], ..probes_alone() };
    assert_eq!(verdicts(&drill)[0], Verdict::Missed, "west answered for 5 s, then east to the failback");
    drill.sides = vec![(111.0, 300.0, Some("east"))];
    assert_eq!(verdicts(&drill)[0], Verdict::Met);
    let unharmed = |until: f64| Drill {
        down: vec![],
        sides: vec![(0.0, 90.0, Some("east")), (until, 300.0, Some("east"))],
        ..probes_alone()
    };
    assert_eq!(verdicts(&unharmed(95.0))[0], Verdict::Inconclusive, "nothing failed, and nobody took over");
    assert_eq!(verdicts(&unharmed(101.0))[0], Verdict::Met);
}

#[test]
fn the_failback_is_over_only_where_another_side_answers_to_the_end() {
    assert_eq!(verdicts(&probes_alone())[1], Verdict::Met);
    let back = |sides| verdicts(&Drill { sides, ..probes_alone() })[1];
    assert_eq!(back(vec![(400.0, 420.0, None), (420.0, 500.0, Some("west"))]), Verdict::Inconclusive);
    assert_eq!(back(vec![(410.0, 500.0, Some("west"))]), Verdict::Inconclusive, "ten seconds of east");
    assert_eq!(back(vec![(400.0, 500.0, None)]), Verdict::Inconclusive);
    assert_eq!(back(vec![(495.0, 500.0, Some("west"))]), Verdict::Inconclusive);
}

#[test]
fn what_failed_shortly_before_the_way_back_is_no_part_of_it() {
    let mut drill = Drill { objectives: vec![objective("failback", Some("10s"), None)], ..Drill::default() };
    drill.down.extend([("outside", 294.0, 296.0), ("outside", 302.0, 308.0)]);
    let (measured, judged) = drill.judged();
    let (least, most) = secs(of(&measured).failback.outage.clone());
    assert!(least <= 6.0 && (6.0..8.5).contains(&most), "[{least}, {most}]");
    assert_eq!(judged.objectives[0].verdict, Verdict::Met, "{}", judged.objectives[0].why);
}

#[test]
fn whether_all_were_served_for_long_enough_between_two_failures_is_known_to_an_interval_only() {
    // Served by both for 10.01 s, which is long enough, and for 9.98 s, which is not.
    for (one_until, other_from, truth) in [(99.92, 109.93, 39.92), (100.01, 109.99, 60.0)] {
        let down = vec![("outside", 60.0, one_until), ("west", 60.0, 90.0), ("west", other_from, 120.0)];
        let (measured, _) = Drill { down, with_ledger: false, ..Drill::default() }.judged();
        let (least, most) = secs(of(&measured).rta.impact.clone());
        assert!(least <= truth && truth <= most, "{truth} is not in [{least}, {most}]");
    }
}

#[test]
fn what_failed_just_before_the_way_back_and_what_failed_in_it_are_never_one() {
    let mut drill = Drill {
        objectives: vec![rta("60s", "impact"), objective("failback", Some("22s"), None)],
        ..Drill::default()
    };
    drill.down.extend([("outside", 299.0, 299.4), ("outside", 305.0, 325.0)]);
    assert_eq!(
        verdicts(&drill),
        [Verdict::Met, Verdict::Met],
        "six answers came between the first and the way back"
    );
    let (measured, _) = drill.judged();
    let (least, most) = secs(of(&measured).failback.outage.clone());
    assert!(least <= 20.0 && (20.0..22.0).contains(&most), "[{least}, {most}]");
}

#[test]
fn a_recovery_that_the_way_back_cut_short_took_at_most_until_everybody_was_back_after_it() {
    let promised = |target| Drill {
        down: vec![("outside", 297.0, 297.4), ("outside", 302.0, 307.0)],
        objectives: vec![rta(target, "impact")],
        with_ledger: false,
        ..Drill::default()
    };
    let (least, most) = secs(of(&promised("20s").judged().0).rta.impact.clone());
    assert!(least <= 0.4 && (10.0..12.0).contains(&most), "[{least}, {most}]");
    assert_eq!(promised("20s").verdict().1, Verdict::Met);
    assert_eq!(promised("5s").verdict().1, Verdict::Indeterminate);
    let measured = promised("20s").judged().0;
    let Some(mark) = of(&measured).timeline.get(&Moment::Restored) else { panic!("no mark says when") };
    let Interval { earliest, latest } = mark.at;
    assert!(earliest <= At(nanos(297.4)) && (At(307 * S)..At(309 * S)).contains(&latest), "{:?}", mark.at);
    assert_eq!(mark.source, "the way back, which may have cut it short");
    // What overlaps it at another vantage belongs to it.
    let mut both = promised("20s");
    both.down.extend([("west", 296.5, 297.5), ("west", 301.0, 320.0)]);
    let (least, most) = secs(of(&both.judged().0).rta.impact.clone());
    assert!(least <= 1.0 && (23.5..26.0).contains(&most), "[{least}, {most}]");
    assert_eq!(both.verdict().1, Verdict::Indeterminate);
    // Each was served for long enough, but not both of them at once: the one came back while the way back was about to take the other.
    let mut turns = promised("20s");
    turns.down = vec![("outside", 290.0, 299.0), ("west", 302.0, 312.0)];
    let (least, most) = secs(of(&turns.judged().0).rta.impact.clone());
    assert!(least <= 9.0 && (22.0..24.5).contains(&most), "[{least}, {most}]");
    let mark = of(&turns.judged().0).timeline.get(&Moment::Restored).map(|mark| mark.source.clone());
    assert_eq!(mark.as_deref(), Some("probe checkout from outside, if the way back cut nothing short"));
    let aborted = Drill {
        more: vec![(304.0, json!({"abortRequested": {"why": "x", "by": "engine"}}))],
        ends: Some(Ended::Aborted { why: "x".into() }),
        ..promised("20s")
    };
    assert_eq!(aborted.verdict().1, Verdict::Inconclusive, "it was back while healing only");
    let never = Drill { sides: vec![(0.0, 300.0, Some("east"))], ..promised("20s") };
    assert_eq!(never.verdict().1, Verdict::Inconclusive, "the way back is no recovery");
}

#[test]
fn what_hung_long_before_the_way_back_failed_before_it() {
    let hung = |from| Drill {
        down: both(from, 340.0),
        objectives: vec![rta("20s", "impact")],
        with_ledger: false,
        ..Drill::default()
    };
    assert_eq!(hung(299.2).verdict().1, Verdict::Missed, "it timed out on the way back");
    assert_eq!(hung(299.7).verdict().1, Verdict::Met, "the way back may be why it hung");
}

#[test]
fn what_a_clause_tolerates_of_one_vantage_is_a_part_of_no_outage() {
    let mut drill = Drill {
        down: vec![("outside", 60.0, 100.0), ("outside", 109.0, 111.0)],
        objectives: vec![rta("45s", "impact")],
        with_ledger: false,
        planned: |plan| plan["services"][0]["restored"]["success"] = json!("80%"),
        ..Drill::default()
    };
    let (least, most) = secs(of(&drill.judged().0).rta.impact.clone());
    assert!(least <= 40.0 && (40.0..42.0).contains(&most), "[{least}, {most}]");
    assert_eq!(drill.verdict().1, Verdict::Met, "90 % were answered in the ten seconds");
    drill.planned = |_| {};
    assert_eq!(drill.verdict().1, Verdict::Missed);
}

#[test]
fn a_failback_that_ends_in_an_outage_is_missed_though_nobody_came_back() {
    let mut drill = Drill { never_taken_back: true, ..probes_alone() };
    drill.down.extend(both(350.0, 600.0));
    assert_eq!(verdicts(&drill)[1], Verdict::Missed);
    drill.down.truncate(2);
    drill.down.extend(both(350.0, 355.0));
    assert_eq!(verdicts(&drill)[1], Verdict::Inconclusive, "the users have service, but not where they were");
    drill.down.truncate(2);
    drill.down.extend(both(350.0, 370.0));
    assert_eq!(verdicts(&drill)[1], Verdict::Missed, "they had none for longer than promised");
}

#[test]
fn a_silence_after_the_restoration_passes_nothing() {
    let objectives = vec![rta("60s", "impact"), objective("failback", Some("10s"), None)];
    let silent =
        |from, to| Drill { blind: Some((from, to)), objectives: objectives.clone(), ..probes_alone() };
    assert_eq!(verdicts(&silent(150.0, 290.0)), [Verdict::Inconclusive; 2]);
    let (measured, judged) = silent(150.0, 290.0).judged();
    let what: Vec<_> = of(&measured).interruptions.iter().map(|one| one.what).collect();
    assert_eq!(what, [Interrupted::Silent; 4], "nobody saw it fail, from either vantage, on either way");
    let why = &judged.objectives[0].why;
    assert!(why.contains("nobody could see it all the time: probe "), "{why}");
    assert_eq!(verdicts(&silent(150.0, 161.0))[0], Verdict::Inconclusive, "longer than the clause's time");
    assert_eq!(verdicts(&silent(150.0, 152.0))[0], Verdict::Met);
}

#[test]
fn answers_slower_than_promised_are_no_service() {
    let slow =
        |from, to| Drill { down: vec![], slow: Some((from, to)), p99: Some("400ms"), ..probes_alone() };
    assert_eq!(verdicts(&slow(80.0, 500.0))[0], Verdict::Missed);
    let (measured, judged) = slow(80.0, 110.0).judged();
    let (least, most) = secs(of(&measured).rta.impact.clone());
    assert!(least <= 30.0 && 30.0 <= most && most - least <= 2.2, "[{least}, {most}]");
    assert_eq!(judged.objectives[0].verdict, Verdict::Met);
    for (from, to) in [(30.0, 59.0), (30.0, 500.0)] {
        assert!(invalid(&slow(from, to)).contains("steady state was lost"), "the fault did not slow it down");
    }
}

#[test]
fn what_fails_again_after_the_clause_was_met_is_an_outage_of_its_own() {
    let mut drill = probes_alone();
    drill.down.push(("outside", 120.0, 127.0));
    drill.down.extend([("west", 350.0, 357.0), ("west", 430.0, 437.0)]);
    let (measured, judged) = drill.judged();
    for (judgement, took) in judged.objectives.iter().zip([40.0, 7.0]) {
        assert_eq!(judgement.verdict, Verdict::Met, "{}", judgement.why);
        assert!(judgement.why.contains("it failed again for"), "{}", judgement.why);
        let (least, most) = secs(judgement.actual.clone().unwrap());
        assert!(least <= took && took <= most && most - least <= 2.2, "{took} in [{least}, {most}]");
    }
    assert_eq!(of(&measured).interruptions.len(), 2);
    // At another vantage, too: it was not there when the first outage ended.
    drill.down = vec![("outside", 60.0, 100.0), ("west", 120.0, 127.0)];
    let (measured, _) = drill.judged();
    assert!(secs(of(&measured).rta.impact.clone()).1 < 43.0);
    assert_eq!(of(&measured).interruptions.len(), 1);
    drill.down[1] = ("west", 105.0, 112.0);
    let (measured, _) = drill.judged();
    assert!(secs(of(&measured).rta.impact.clone()).0 > 50.0, "nobody was served everywhere for ten seconds");
}

#[test]
fn an_answer_that_tells_no_side_excuses_only_what_it_could_change() {
    let mut drill = probes_alone();
    drill.down = both(60.0, 70.0);
    drill.down.extend(both(76.0, 600.0));
    drill.sides = vec![(70.0, 76.0, None)];
    assert_eq!(verdicts(&drill)[0], Verdict::Missed, "six seconds are too short, whoever answered");
    drill.down.truncate(2);
    drill.sides = vec![(70.0, 300.0, None)];
    assert_eq!(verdicts(&drill)[0], Verdict::Inconclusive);
}

#[test]
fn whom_the_way_back_finds_without_service_has_none_until_it_has() {
    let mut drill = Drill { down: both(60.0, 450.0), ..probes_alone() };
    drill.objectives = vec![rta("300s", "impact")];
    let (measured, judged) = drill.judged();
    let (least, most) = secs(of(&measured).rta.impact.clone());
    assert!((388.0..=390.0).contains(&least) && most.is_infinite(), "[{least}, {most}]");
    assert_eq!(judged.objectives[0].verdict, Verdict::Missed);
    // Who was served by another side meanwhile, though not by the one that had to take over, was not without service all the time.
    drill = Drill { down: both(60.0, 100.0), lost_side_answers: true, ..probes_alone() };
    drill.down.extend(both(290.0, 450.0));
    let (measured, _) = drill.judged();
    assert!((238.0..=240.0).contains(&secs(of(&measured).rta.impact.clone()).0));
}

#[test]
fn what_healing_breaks_is_no_outage_of_the_drill() {
    let aborted = Drill {
        down: both(250.0, 260.0),
        lost_side_answers: false,
        ends: Some(Ended::Aborted { why: "x".into() }),
        more: vec![(200.0, json!({"abortRequested": {"why": "x", "by": "engine"}}))],
        ..probes_alone()
    };
    let (measured, judged) = aborted.judged();
    assert_eq!(secs(of(&measured).rta.impact.clone()), (0.0, 1.1));
    assert_eq!(judged.overall, Overall::Inconclusive, "it was aborted");
}

#[test]
fn one_failure_of_the_proof_shows_the_fault_and_one_success_its_end() {
    let once = Drill { fault_shows: Some((61.0, 61.1)), until: "once", ..Drill::default() };
    assert_eq!(once.verdict(), (Overall::Met, Verdict::Met));
    for until in ["recovery", "restored"] {
        let drill = |from| Drill { until, opened: vec![(from, from + 0.1)], ..Drill::default() };
        assert_eq!(
            drill(81.0).verdict().0,
            if until == "recovery" { Overall::Met } else { Overall::Invalid }
        );
        assert_eq!(drill(70.0).verdict().0, Overall::Met, "it came and went while it could still come");
        let opened = Drill { fault_shows: Some((55.0, 400.0)), ..drill(70.0) };
        assert_eq!(opened.verdict().0, Overall::Met);
    }
    // It was opened for longer than the clause asks: that is what restored the service, and no flapping.
    let mut healed = Drill { opened: vec![(65.0, 78.0)], ..probes_alone() };
    healed.sides = vec![(64.0, 78.0, Some("west"))];
    healed.down = both(60.0, 65.0);
    healed.down.extend(both(78.0, 100.0));
    assert!(invalid(&healed).contains("was gone at 1m5s"), "{}", invalid(&healed));
    let reverted = Drill { until: "restored", opened: vec![(85.0, 85.2)], ..Drill::default() };
    assert!(invalid(&reverted).contains("was gone at 1m25s"), "{}", invalid(&reverted));
}

#[test]
fn a_proof_that_was_failing_before_the_fault_shows_nothing_of_it() {
    for until in ["once", "recovery", "restored"] {
        let failing = Drill { until, fault_shows: Some((55.0, 400.0)), ..Drill::default() };
        assert!(invalid(&failing).contains("had no effect that anything showed"), "{}", invalid(&failing));
        // Once it had succeeded again, its next failure is the fault's.
        let again = Drill { opened: vec![(58.0, 58.5)], ..failing };
        assert_eq!(again.verdict().0, Overall::Invalid, "it failed again before the fault was asked for");
        let later = Drill { opened: vec![(61.0, 61.5)], ..again };
        assert_eq!(later.verdict().0, Overall::Met);
        // Answers take 5 ms: what was sent 800 ms before and timed out after the request was failing already.
        let hung = Drill { until, fault_shows: Some((59.2, 400.0)), ..Drill::default() };
        assert!(invalid(&hung).contains("had no effect that anything showed"), "{}", invalid(&hung));
        let under_way = Drill { fault_shows: Some((59.7, 400.0)), ..hung };
        assert_eq!(under_way.verdict().0, Overall::Met);
    }
    let mut hung = Drill { down: both(59.2, 100.0), ..Drill::default() };
    assert!(invalid(&hung).contains("steady state was lost"), "{}", invalid(&hung));
    hung.down = both(59.7, 100.0);
    assert_eq!(hung.verdict().0, Overall::Met, "it may have been under way");
}

/// A fault that is proved by its objects, with these events.
fn by_objects(until: &'static str, told: &[(f64, Value)]) -> Drill {
    let more = [proof(true, 60.0, 61.0)].into_iter().chain(told.iter().cloned()).collect();
    Drill { by_objects: true, until, more, ..Drill::default() }
}

fn proof(shown: bool, from: f64, to: f64) -> (f64, Value) {
    let seen = json!({"earliest": nanos(from), "latest": nanos(to)});
    (to, json!({"proof": {"step": "lose", "shown": shown, "detail": "", "seen": seen}}))
}

fn unread(from: f64, to: f64) -> [(f64, Value); 2] {
    let looked = |done: f64, outcome: Value| {
        let observed =
            json!({"what": "proof:lose", "sent": nanos(from), "done": nanos(done), "outcome": outcome});
        (done, json!({"observed": observed}))
    };
    [looked(from + 5.0, json!({"unknown": {"why": "503"}})), looked(to, json!("ok"))]
}

#[test]
fn a_short_gap_of_its_objects_is_no_end_of_the_fault_and_an_unread_look_is_none() {
    assert_eq!(by_objects("restored", &[]).verdict().0, Overall::Met);
    let gap = |again: f64| [proof(false, 71.0, 76.0), proof(true, again - 5.0, again)];
    assert_eq!(by_objects("restored", &gap(81.0)).verdict().0, Overall::Met);
    assert_eq!(by_objects("restored", &gap(96.0)).verdict().0, Overall::Invalid, "longer than its 20 s");
    let at_the_end = [proof(false, 96.0, 101.0), proof(true, 101.0, 106.0)];
    assert_eq!(
        by_objects("restored", &at_the_end).verdict().0,
        Overall::Invalid,
        "its end restored the service"
    );
    assert_eq!(by_objects("restored", &unread(66.0, 80.0)).verdict().0, Overall::Met);
    let blind = by_objects("restored", &unread(66.0, 90.0));
    assert!(invalid(&blind).contains("nobody looked at the fault lose"), "{}", invalid(&blind));
    assert_eq!(
        by_objects("recovery", &unread(79.0, 120.0)).verdict().0,
        Overall::Met,
        "nothing was owed then"
    );
}

#[test]
fn the_fault_has_taken_effect_where_its_users_suffer_it() {
    let (at, later) = proof(true, 68.0, 69.0);
    let drill = Drill { by_objects: true, until: "once", more: vec![(at, later)], ..Drill::default() };
    let effective = |measured: &Measured| of(measured).timeline[&Moment::FaultEffective].at;
    let (measured, _) = drill.judged();
    assert!(effective(&measured).earliest >= At(60 * S) && effective(&measured).latest < At(62 * S));
    let (least, most) = secs(of(&measured).rta.fault.clone());
    assert!(least <= 40.0 && 40.0 <= most && most - least <= 2.2, "[{least}, {most}]");
}

#[test]
fn a_run_that_was_never_steady_says_nothing() {
    let objectives = vec![rta("1s", "impact")];
    let drill = Drill {
        steady: false,
        objectives,
        ends: Some(Ended::Aborted { why: "x".into() }),
        ..Drill::default()
    };
    assert_eq!(drill.verdict(), (Overall::Invalid, Verdict::Void));
}

#[test]
fn a_coarse_probe_that_saw_nothing_may_have_missed_an_outage_of_its_own() {
    let drill = |down: Vec<(&'static str, f64, f64)>, target: &str| Drill {
        down,
        sparse: Some(15.0),
        objectives: vec![rta(target, "impact")],
        ..probes_alone()
    };
    // It was answered at 46 s, 61 s, 76 s, 91 s and 106 s; the others failed until 100 s.
    let (measured, judged) = drill(both(60.0, 100.0), "45s").judged();
    let (least, most) = secs(of(&measured).rta.impact.clone());
    assert!((38.0..40.0).contains(&least) && (60.0..60.1).contains(&most), "[{least}, {most}]");
    assert_eq!(judged.objectives[0].verdict, Verdict::Indeterminate);
    assert_eq!(drill(both(60.0, 100.0), "61s").verdict().1, Verdict::Met);
    assert_eq!(drill(both(60.0, 100.0), "38s").verdict().1, Verdict::Missed);
    let (measured, _) = drill(vec![], "60s").judged();
    assert_eq!(secs(of(&measured).rta.impact.clone()), (0.0, 16.0));
}

#[test]
fn what_a_vantage_saw_around_a_failure_of_its_control_probe_counts_for_nothing() {
    let blinked = |at: f64| vec![("outside", at, at + 0.1)];
    // Two requests of the blind vantage fail, one a little before its control probe and one after.
    let calm = Drill { down: vec![("outside", 149.91, 150.05)], ..probes_alone() };
    let seen = |drill: &Drill| of(&drill.judged().0).timeline.contains_key(&Moment::Impacted);
    assert!(seen(&calm));
    let blind = Drill { control_fails: blinked(150.0), ..calm };
    assert!(!seen(&blind), "no false outage");
    assert_eq!(blind.verdict().1, Verdict::Inconclusive, "no false health");
    let excluded = blind.judged().0.excluded;
    assert_eq!(excluded, [], "one failure is no reason to count nothing at all of it");
    let elsewhere = Drill { control_fails: blinked(150.0), ..probes_alone() };
    assert_eq!(elsewhere.verdict().1, Verdict::Met, "the outage was over");
    let at_a_bound = Drill { control_fails: blinked(60.0), ..probes_alone() };
    assert_eq!(at_a_bound.verdict().1, Verdict::Inconclusive);
    // Nor does its failure show a fault.
    let proof = Drill { fault_shows: Some((61.0, 61.1)), until: "once", ..probes_alone() };
    assert_eq!(invalid(&proof), "");
    let blind = Drill { control_fails: blinked(61.0), ..proof };
    assert!(invalid(&blind).contains("had no effect"), "{}", invalid(&blind));
}

#[test]
fn a_silence_is_an_interruption_of_at_most_its_own_length() {
    let silent = |target: &str, to: f64| Drill {
        down: both(60.0, 63.0),
        sides: vec![(63.0, 80.0, Some("west"))],
        blind: Some((150.0, to)),
        objectives: vec![rta(target, "impact")],
        ..probes_alone()
    };
    assert_eq!(silent("5s", 157.0).verdict().1, Verdict::Indeterminate, "seven seconds may be too long");
    assert_eq!(silent("8s", 157.0).verdict().1, Verdict::Met);
    assert_eq!(silent("5s", 154.0).verdict().1, Verdict::Met);
    let (measured, judged) = silent("5s", 157.0).judged();
    let (least, most) = secs(of(&measured).interruptions[0].took.clone());
    assert!(least == 0.0 && (7.0..7.3).contains(&most), "[{least}, {most}]");
    let why = &judged.objectives[0].why;
    assert!(why.contains("nobody could see it for"), "{why}");
}

#[test]
fn what_may_have_begun_only_when_the_drill_was_stopped_is_no_outage_of_the_fault() {
    let aborted = |from: f64| Drill {
        down: both(from, 260.0),
        lost_side_answers: false,
        ends: Some(Ended::Aborted { why: "x".into() }),
        more: vec![(200.0, json!({"abortRequested": {"why": "x", "by": "engine"}}))],
        objectives: vec![rta("60s", "fault")],
        ..probes_alone()
    };
    assert_eq!(aborted(199.95).verdict().1, Verdict::Inconclusive, "the last success was sent before");
    assert_eq!(aborted(198.0).verdict().1, Verdict::Missed, "it failed before");
}

/// A run that was killed: its journal goes on to 450 s, what its probes saw is bound until here.
fn killed(bound_until: f64) -> Drill {
    Drill { ends: None, rows_until: bound_until, proof_until: bound_until, ..probes_alone() }
}

#[test]
fn what_a_cut_journal_does_not_hold_is_no_miss_and_makes_no_run_invalid() {
    for until in [20.0, 59.0, 61.5, 70.0, 90.0] {
        let drill = Drill { down: both(60.0, 600.0), fault_shows: Some((60.0, 400.0)), ..killed(until) };
        assert_eq!(invalid(&drill), "", "bound until {until}");
        assert_eq!(drill.verdict(), (Overall::Inconclusive, Verdict::Inconclusive), "bound until {until}");
    }
    let missed = Drill { down: both(60.0, 600.0), ..killed(150.0) };
    assert_eq!(missed.verdict(), (Overall::Missed, Verdict::Missed), "that was seen");
    let (least, most) = secs(of(&missed.judged().0).rta.impact.clone());
    assert!((88.0..=90.0).contains(&least) && most.is_infinite(), "[{least}, {most}]");
    let shows_nothing = |until| Drill { fault_shows: None, ..killed(until) };
    assert_eq!(invalid(&shows_nothing(79.0)), "", "its 20 s were not over");
    assert!(invalid(&shows_nothing(90.0)).contains("had no effect"));
    assert_eq!(invalid(&Drill { steady: false, ..killed(20.0) }), "", "it may have come to it");
}

#[test]
fn what_belongs_to_the_fault_counts_from_where_the_promise_does_and_what_comes_later_from_its_own_beginning()
{
    let promised = |target: &str, origin: &str| vec![rta(target, origin)];
    let judged = |drill: Drill| {
        let (_, judged) = drill.judged();
        (judged.objectives[0].verdict, judged.objectives[0].why.clone())
    };
    // No write was acknowledged from 60 s to 100 s, and the disaster was declared at 70 s.
    let declared = |target| Drill { objectives: promised(target, "declaration"), ..Drill::default() };
    let (verdict, why) = judged(declared("35s"));
    assert_eq!(verdict, Verdict::Met, "{why}");
    assert!(why.contains("counted from the declaration, writes were back after"), "{why}");
    assert_eq!(judged(declared("29s")).0, Verdict::Missed);
    let never = |declared| Drill {
        declared,
        refused: vec![(60.0, 600.0)],
        objectives: promised("60s", "declaration"),
        ..Drill::default()
    };
    assert_eq!(judged(never(Some(70.0))).0, Verdict::Missed);
    assert_eq!(judged(never(None)).0, Verdict::Inconclusive, "nobody declared, and writes never came back");
    // The service failed until 130 s; writes, which were back at 100 s, failed again from 115 s to 170 s.
    let switched = |target, origin| Drill {
        down: both(60.0, 130.0),
        refused: vec![(115.0, 170.0)],
        objectives: promised(target, origin),
        ..Drill::default()
    };
    for origin in ["fault", "impact"] {
        let (verdict, why) = judged(switched("100s", origin));
        assert_eq!(verdict, Verdict::Missed, "nobody could order for 110 s: {why}");
        assert_eq!(judged(switched("112s", origin)).0, Verdict::Met, "{origin}");
    }
    // Restored at 100 s for longer than its clause asks, and writes failed again from 150 s to 200 s.
    let again = |target, origin| Drill {
        refused: vec![(150.0, 200.0)],
        objectives: promised(target, origin),
        ..Drill::default()
    };
    for origin in ["fault", "declaration"] {
        let (verdict, why) = judged(again("52s", origin));
        assert_eq!(verdict, Verdict::Met, "{why}");
        assert!(why.contains("no write was acknowledged for"), "{why}");
        assert_eq!(judged(again("48s", origin)).0, Verdict::Missed, "{origin}");
    }
}
