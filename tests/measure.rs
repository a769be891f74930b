//! Whole drills in memory, from samples to verdicts: one for each rule that decides.

#![expect(clippy::unwrap_used, reason = "what a test sets up must work")]

#[path = "measure/course.rs"]
mod course;
#[path = "measure/data.rs"]
mod data;
#[path = "measure/drill.rs"]
mod drill;
#[path = "measure/outages.rs"]
mod outages;
#[path = "measure/people.rs"]
mod people;

use serde_json::{Value, json};

use drillmaster::measure::{Actual, measure};
use drillmaster::model::event::Ended;
use drillmaster::model::evidence::Evidence;
use drillmaster::model::target::{Overall, Verdict};
use drillmaster::model::time::At;
use drillmaster::verdict::{exit_code, judge};

use drill::{Drill, S, objective, of, rta, secs, step};

#[test]
fn impact_at_the_first_vantage_and_restoration_at_the_last_from_three_origins() {
    let drill = Drill { down: vec![("outside", 60.0, 90.0), ("west", 65.0, 100.0)], ..Drill::default() };
    let (measured, judged) = drill.judged();
    for (origin, truth) in [(&of(&measured).rta.fault, 40.0), (&of(&measured).rta.impact, 40.0)] {
        let (least, most) = secs(origin.clone());
        assert!(least <= truth && truth <= most && most - least <= 2.2, "{truth} in [{least}, {most}]");
    }
    let (least, most) = secs(of(&measured).rta.declaration.clone());
    assert!(least <= 30.0 && 30.0 <= most && most - least <= 0.2);
    assert_eq!(judged.overall, Overall::Met);
    assert!(judged.objectives[0].prewarned, "people acted in an announced drill");
    assert_eq!(exit_code(judged.overall), 0);
}

#[test]
fn only_an_upper_bound_within_the_target_is_met() {
    for (target, overall, verdict) in [
        ("42s", Overall::Met, Verdict::Met),
        ("40s", Overall::Indeterminate, Verdict::Indeterminate),
        ("38s", Overall::Missed, Verdict::Missed),
    ] {
        let drill = Drill { objectives: vec![rta(target, "impact")], ..Drill::default() };
        assert_eq!(drill.verdict(), (overall, verdict), "{target}");
    }
}

#[test]
fn a_fault_that_does_nothing_or_is_reverted_makes_the_run_invalid() {
    for shows in [None, Some((60.0, 70.0)), Some((90.0, 400.0))] {
        let drill = Drill { fault_shows: shows, ..Drill::default() };
        assert_eq!(drill.verdict(), (Overall::Invalid, Verdict::Void), "{shows:?}");
    }
    // Owed until the first recovery only, or once.
    for (until, to, valid) in
        [("recovery", 79.0, false), ("recovery", 82.0, true), ("once", 62.0, true), ("restored", 82.0, false)]
    {
        let drill = Drill { fault_shows: Some((60.0, to)), until, ..Drill::default() };
        assert_eq!(drill.verdict().0 == Overall::Met, valid, "{until} {to}");
    }
}

#[test]
fn a_target_missed_in_a_steady_run_stays_missed_and_a_run_that_was_not_steady_says_nothing() {
    let mut drill = Drill { fault_shows: None, objectives: vec![rta("1s", "impact")], ..Drill::default() };
    assert_eq!(drill.verdict(), (Overall::Missed, Verdict::Missed));
    drill.down.push(("west", 40.0, 45.0));
    assert_eq!(drill.verdict(), (Overall::Invalid, Verdict::Void));
}

#[test]
fn a_prober_that_is_blind_at_a_bound_is_inconclusive() {
    for blind in [(59.0, 61.5), (99.0, 101.0), (0.0, 500.0)] {
        let drill = Drill { blind: Some(blind), until: "once", ..Drill::default() };
        let (measured, judged) = drill.judged();
        assert!(!of(&measured).blind.is_empty());
        assert_ne!(judged.overall, Overall::Met, "{blind:?}");
        assert_ne!(judged.objectives[0].verdict, Verdict::Met, "{blind:?}");
    }
}

#[test]
fn what_never_comes_back_is_missed_and_what_comes_back_too_late_to_tell_is_inconclusive() {
    let mut drill = Drill { down: vec![("outside", 60.0, 600.0), ("west", 60.0, 600.0)], ..Drill::default() };
    assert_eq!(drill.verdict(), (Overall::Missed, Verdict::Missed));
    drill.down = vec![("outside", 60.0, 495.0), ("west", 60.0, 495.0)];
    assert_eq!(drill.verdict(), (Overall::Missed, Verdict::Missed), "the way back is no recovery");
    drill.down = vec![("outside", 60.0, 104.0), ("west", 60.0, 104.0)];
    let short = Drill { rows_until: 112.0, ..drill.clone() };
    assert_eq!(short.verdict().1, Verdict::Inconclusive, "it answered for less than its clause asks");
    let over = Drill { objectives: vec![rta("30s", "impact")], with_ledger: false, ..short };
    assert_eq!(over.verdict().1, Verdict::Missed, "whether it lasts or not, it took more than 42 s");
    drill.down = vec![("outside", 60.0, 600.0), ("west", 60.0, 90.0)];
    assert_eq!(drill.verdict(), (Overall::Inconclusive, Verdict::Inconclusive), "the vantages disagree");
}

#[test]
fn without_impact_the_recovery_time_is_at_most_what_could_hide() {
    let drill = Drill { down: vec![], ..Drill::default() };
    let (measured, judged) = drill.judged();
    assert_eq!(secs(of(&measured).rta.impact.clone()), (0.0, 1.1));
    assert_eq!(judged.overall, Overall::Met);
    let blind = Drill { down: vec![], blind: Some((70.0, 72.0)), ..Drill::default() };
    assert_eq!(blind.verdict(), (Overall::Inconclusive, Verdict::Inconclusive));
}

#[test]
fn a_vantage_whose_control_probe_fails_is_excluded_and_named() {
    let mut drill = Drill { control_fails: vec![("west", 50.0, 200.0)], ..Drill::default() };
    drill.down = vec![("outside", 60.0, 90.0), ("west", 50.0, 200.0)];
    let (measured, judged) = drill.judged();
    let (least, most) = secs(of(&measured).rta.impact.clone());
    assert!(least <= 30.0 && (30.0..33.0).contains(&most));
    assert_eq!(measured.excluded[0].vantage.as_str(), "west");
    assert!(judged.findings.iter().any(|finding| finding.what.contains("west is excluded")));
}

#[test]
fn an_origin_that_did_not_happen_is_not_applicable_and_never_negative() {
    for declared in [None, Some(120.0)] {
        let drill = Drill { declared, objectives: vec![rta("60s", "declaration")], ..Drill::default() };
        let (measured, judged) = drill.judged();
        assert!(matches!(of(&measured).rta.declaration, Actual::NotApplicable { .. }), "{declared:?}");
        assert_eq!(judged.objectives[0].verdict, Verdict::NotExercised);
        assert_eq!(judged.overall, Overall::Inconclusive, "nothing was judged, so nothing passes");
    }
}

#[test]
fn lost_writes_are_counted_exactly_and_dated_from_the_oldest() {
    let rpo = |target: &str| vec![objective("rpa", Some(target), Some("orders"))];
    let drill = Drill { objectives: rpo("5s"), ..Drill::default() };
    let (measured, judged) = drill.judged();
    let loss = &measured.losses[0];
    assert_eq!(loss.found.lost, (291..300).collect::<Vec<u64>>());
    assert_eq!((loss.records.exactly, loss.records.at_most), (9, 9));
    let (least, most) = secs(loss.rpa.clone());
    assert!(least <= 1.8 && 1.8 <= most && most - least <= 1.3, "[{least}, {most}]");
    assert_eq!(judged.overall, Overall::Met);
    assert_eq!(Drill { objectives: rpo("1s"), ..drill.clone() }.verdict().1, Verdict::Missed);
    let none = Drill { replicated: 300, objectives: rpo("0s"), ..drill.clone() };
    assert_eq!(none.verdict(), (Overall::Met, Verdict::Met));
    let unstable = Drill { stable: false, ..drill.clone() };
    assert_eq!(unstable.verdict(), (Overall::Inconclusive, Verdict::Inconclusive));
    let unwritten = Drill { with_ledger: false, ..drill.clone() };
    assert_eq!(unwritten.verdict(), (Overall::Inconclusive, Verdict::Inconclusive));
    // The first write is sent at 100.2 s, long after the disruption: that none is lost proves nothing.
    let late = Drill { written_from: 501, ..drill };
    assert_eq!(late.verdict(), (Overall::Inconclusive, Verdict::Inconclusive));
}

#[test]
fn the_way_back_is_an_outage_of_its_own() {
    let failback = |target: &str| vec![objective("failback", Some(target), None)];
    let mut drill = Drill { objectives: failback("10s"), ..Drill::default() };
    assert_eq!(drill.verdict(), (Overall::Met, Verdict::Met), "no failure: [0, period + timeout]");
    drill.down.push(("outside", 350.0, 355.0));
    let (measured, judged) = drill.judged();
    let (least, most) = secs(of(&measured).failback.outage.clone());
    assert!(least <= 5.0 && (5.0..7.5).contains(&most));
    assert_eq!(judged.objectives[0].verdict, Verdict::Met);
    let (_, most) = secs(of(&measured).rta.impact.clone());
    assert!(most < 43.0, "the failback is no part of the recovery time");
    drill.objectives = failback("2s");
    assert_eq!(drill.verdict(), (Overall::Missed, Verdict::Missed));
}

#[test]
fn people_are_judged_by_their_own_times_and_exposure_by_redundancy() {
    let mut drill = Drill { objectives: vec![objective("response", None, None)], ..Drill::default() };
    assert_eq!(drill.verdict(), (Overall::Met, Verdict::Met), "nine of fifteen seconds");
    drill.declared = Some(77.0);
    assert_eq!(drill.verdict(), (Overall::Missed, Verdict::Missed));
    drill.objectives = vec![objective("exposure", Some("330s"), None)];
    assert_eq!(drill.verdict(), (Overall::Met, Verdict::Met), "from 80 to 410");
    drill.objectives = vec![objective("mtpd", Some("70s"), None)];
    assert_eq!(
        drill.verdict(),
        (Overall::Indeterminate, Verdict::Indeterminate),
        "from 60 to 131, to a second"
    );
}

#[test]
fn a_run_that_did_not_come_to_its_end_passes_nothing() {
    for ends in [None, Some(Ended::Interrupted), Some(Ended::Aborted { why: "x".into() })] {
        let cut_off = ends.is_none();
        let drill = Drill { ends, ..Drill::default() };
        assert_eq!(drill.judged().1.overall, Overall::Inconclusive);
        let objective = drill.verdict().1;
        assert_eq!(objective, if cut_off { Verdict::Inconclusive } else { Verdict::Met });
    }
    let nothing = judge(&Evidence::default(), &measure(&Evidence::default()));
    assert_eq!(nothing.overall, Overall::Invalid);
}

#[test]
fn what_must_hold_under_load_is_not_met_without_any() {
    assert_eq!(Drill::default().verdict(), (Overall::Met, Verdict::Met));
    let loaded = Drill { load: Some("80%"), ..Drill::default() };
    assert_eq!(loaded.verdict(), (Overall::Inconclusive, Verdict::Inconclusive));
}

#[test]
fn what_is_lost_on_the_way_back_is_judged_by_its_own_rpo() {
    let failback = |rpo: Option<&str>| {
        let mut objective = objective("failback", Some("10s"), Some("orders"));
        objective["rpo"] = json!(rpo);
        vec![objective]
    };
    // The oldest lost write was acknowledged at 119.2 s, and the way back began at 300 s: 180.8 s are lost.
    let drill = Drill { kept_by_failback: 595, ..Drill::default() };
    for (rpo, verdict) in [
        (None, Verdict::Missed),
        (Some("0s"), Verdict::Missed),
        (Some("180s"), Verdict::Missed),
        (Some("181s"), Verdict::Met),
    ] {
        let drill = Drill { objectives: failback(rpo), ..drill.clone() };
        assert_eq!(drill.verdict().1, verdict, "{rpo:?}");
        let (measured, judged) = drill.judged();
        assert_eq!(judged.objectives[0].records.unwrap().exactly, 5);
        assert!(judged.objectives[0].why.contains("5 acknowledged writes were lost on the way back"));
        assert_eq!(measured.losses[1].found.lost, (596..=600).collect::<Vec<u64>>());
    }
    let nothing = Drill { objectives: failback(Some("0s")), ..Drill::default() };
    assert_eq!(nothing.verdict().1, Verdict::Met);
    let half_read = Drill { stable: false, ..nothing.clone() };
    assert_eq!(half_read.verdict().1, Verdict::Inconclusive);
    let unwritten = Drill { with_ledger: false, ..nothing.clone() };
    assert_eq!(unwritten.verdict().1, Verdict::Inconclusive, "missing data never passes");
    let late = Drill { down: vec![("outside", 350.0, 370.0)], ..nothing };
    assert_eq!(late.verdict().1, Verdict::Missed);
}

#[test]
fn an_outage_that_an_abort_ended_is_without_end() {
    let aborted = |kind: &str, target: &str| Drill {
        down: vec![("outside", 60.0, 210.0), ("west", 60.0, 210.0)],
        ends: Some(Ended::Aborted { why: "x".into() }),
        objectives: vec![objective(kind, Some(target), None)],
        more: vec![(200.0, json!({"abortRequested": {"why": "x", "by": "engine"}}))],
        ..Drill::default()
    };
    for kind in ["rta", "mtpd"] {
        let (_, judged) = aborted(kind, "100s").judged();
        let (least, most) = secs(judged.objectives[0].actual.clone().unwrap());
        assert!((138.9..=140.0).contains(&least) && most == f64::INFINITY, "{kind} [{least}, {most}]");
        assert_eq!(judged.objectives[0].verdict, Verdict::Missed, "{kind}");
        assert_eq!(aborted(kind, "300s").verdict().1, Verdict::Inconclusive, "{kind}");
    }
}

#[test]
fn the_lost_sides_return_is_no_recovery_where_another_side_had_to_take_over() {
    let drill = Drill {
        down: vec![("outside", 60.0, 310.0), ("west", 60.0, 310.0)],
        lost_side_answers: true,
        objectives: vec![rta("10m", "impact"), objective("failback", Some("10m"), None)],
        with_ledger: false,
        ..Drill::default()
    };
    let (measured, judged) = drill.judged();
    let (least, most) = secs(of(&measured).rta.impact.clone());
    assert!((248.0..=250.0).contains(&least) && most.is_infinite(), "down until 310: [{least}, {most}]");
    assert_eq!(judged.objectives[0].verdict, Verdict::Inconclusive, "{}", judged.objectives[0].why);
    let (least, most) = secs(of(&measured).failback.outage.clone());
    assert!(
        least <= 10.0 && (10.0..12.2).contains(&most),
        "down for 10 s of the way back: [{least}, {most}]"
    );
}

#[test]
fn what_fails_again_on_the_recovery_side_keeps_no_promise_and_counts_for_the_way_back_where_it_lasts_so_long()
{
    let mut drill = Drill {
        objectives: vec![rta("60s", "impact"), objective("failback", Some("60s"), None)],
        with_ledger: false,
        ..Drill::default()
    };
    drill.down.push(("outside", 150.0, 200.0));
    let (measured, judged) = drill.judged();
    assert_eq!(judged.objectives[0].verdict, Verdict::Met, "{}", judged.objectives[0].why);
    assert!(judged.objectives[0].why.contains("it failed again for"), "{}", judged.objectives[0].why);
    let (least, most) = secs(of(&measured).interruptions[0].took.clone());
    assert!(least <= 50.0 && 50.0 <= most && most - least <= 2.2, "[{least}, {most}]");
    drill.down.push(("outside", 230.0, 240.0));
    let why = &drill.judged().1.objectives[0].why;
    assert!(why.contains("the worst of 2 times"), "{why}");
    drill.down.truncate(2);
    drill.down.push(("west", 150.0, 380.0));
    let (measured, judged) = drill.judged();
    assert!(of(&measured).rta.impact.span().unwrap().most.is_some_and(|most| most.as_secs_f64() < 43.0));
    assert_eq!(judged.objectives[0].verdict, Verdict::Missed, "{}", judged.objectives[0].why);
    assert_eq!(judged.objectives[1].verdict, Verdict::Missed, "80 s of the way back are over 60 s");
}

#[test]
fn a_service_that_takes_no_writes_is_not_recovered_though_it_answers() {
    let promised = |target: &str| vec![rta(target, "impact"), objective("mtpd", Some(target), None)];
    let drill = Drill { down: vec![], objectives: promised("30s"), ..Drill::default() };
    let (measured, judged) = drill.judged();
    assert_eq!(secs(of(&measured).rta.impact.clone()), (0.0, 1.1));
    for judgement in &judged.objectives {
        assert_eq!(judgement.verdict, Verdict::Missed, "{}", judgement.why);
        assert!(judgement.why.contains("writes were back after"), "{}", judgement.why);
    }
    let (least, most) = secs(of(&measured).interruptions[0].took.clone());
    assert!(least <= 40.0 && 40.0 <= most && most - least <= 0.8, "[{least}, {most}]");
    let longer = Drill { objectives: promised("41s"), ..drill };
    assert_eq!(longer.verdict().1, Verdict::Met);
}

#[test]
fn a_step_that_was_skipped_restored_nothing() {
    let exposure = |decision: &str| {
        let decided = json!({"decided": {"step": "back", "role": "r", "who": "eve", "simulated": true,
                                         "decision": if decision == "skip" { json!({"skip": {"reason": "no time"}}) }
                                                     else { json!("done") }}});
        let objectives = vec![objective("exposure", Some("10m"), None)];
        Drill { objectives, more: vec![(409.0, decided)], ..Drill::default() }.verdict().1
    };
    assert_eq!(exposure("done"), Verdict::Met);
    assert_eq!(exposure("skip"), Verdict::Inconclusive);
}

#[test]
fn the_last_reading_before_the_way_back_counts_and_each_stands_for_itself() {
    let early = json!({"readBack": {"store": "orders", "pass": 7, "began": 65 * S, "answeredBy": "east",
                                    "stable": true, "outcome": "ok"}});
    let drill = Drill {
        objectives: vec![objective("rpa", Some("1s"), Some("orders")), objective("mtpd", Some("80s"), None)],
        more: vec![(66.0, early)],
        ..Drill::default()
    };
    let (measured, judged) = drill.judged();
    assert_eq!(measured.losses.len(), 3);
    assert_eq!(judged.objectives[0].records.unwrap().exactly, 9, "not of the empty reading 7");
    let verified = &of(&measured).timeline[&drillmaster::measure::Moment::DataVerified];
    assert_eq!(verified.at.latest, At(131 * S), "what was read before the recovery verifies nothing");
}

#[test]
fn a_probe_that_falls_silent_passes_nothing() {
    let silent = Drill {
        down: vec![("outside", 60.0, 60.2)],
        rows_until: 60.15,
        with_ledger: true,
        ..Drill::default()
    };
    assert_eq!(silent.verdict().1, Verdict::Inconclusive);
    let (_, judged) = Drill { proof_until: 62.0, ..Drill::default() }.judged();
    assert!(
        judged.invalid.is_some_and(|why| why.contains("nobody looked at the fault lose")),
        "the proof is owed"
    );
}

#[test]
fn data_that_is_damaged_while_the_service_answers_counts_from_the_fault_for_the_longest_tolerable_outage() {
    let objectives = vec![objective("mtpd", Some("60s"), None)];
    let unharmed = Drill { down: vec![], replicated: 600, objectives, written_from: 1, ..Drill::default() };
    let (measured, _) = unharmed.judged();
    assert_eq!(secs(of(&measured).mtpd.clone()), (0.0, 1.1));
    let (measured, judged) = Drill { replicated: 290, ..unharmed }.judged();
    let (least, most) = secs(of(&measured).mtpd.clone());
    assert!(
        least <= 71.0 && 71.0 <= most && most - least <= 1.2,
        "from the fault to data verified: [{least}, {most}]"
    );
    assert_eq!(judged.objectives[0].verdict, Verdict::Missed);
}

#[test]
fn what_was_lost_is_known_only_where_writes_went_on_until_the_disruption() {
    let objectives = vec![objective("rpa", Some("5s"), Some("orders")), rta("60s", "impact")];
    let verdicts = |drill: Drill| {
        let (_, judged) = Drill { objectives: objectives.clone(), ..drill }.judged();
        [judged.objectives[0].verdict, judged.objectives[1].verdict]
    };
    assert_eq!(verdicts(Drill::default()), [Verdict::Met; 2]);
    let before = Drill { unwritten: Some((20.0, 60.0)), ..Drill::default() };
    assert_eq!(verdicts(before)[0], Verdict::Inconclusive);
    let during = Drill { unwritten: Some((70.0, 130.0)), ..Drill::default() };
    assert_eq!(verdicts(during)[1], Verdict::Inconclusive, "nobody knows whether writes were taken");
    let blind = Drill { control_fails: vec![("outside", 50.0, 200.0)], ..Drill::default() };
    assert!(verdicts(blind).iter().all(|verdict| *verdict != Verdict::Met));
}

#[test]
fn only_answers_of_the_side_that_takes_over_show_that_it_did() {
    let objectives = vec![rta("60s", "impact"), objective("failback", Some("60s"), None)];
    let verdicts = |drill: Drill| {
        let (_, judged) = Drill { objectives: objectives.clone(), with_ledger: false, ..drill }.judged();
        [judged.objectives[0].verdict, judged.objectives[1].verdict]
    };
    assert_eq!(verdicts(Drill::default()), [Verdict::Met; 2]);
    let nothing_moved = Drill { down: vec![], lost_side_answers: true, ..Drill::default() };
    assert_eq!(verdicts(nothing_moved), [Verdict::Inconclusive, Verdict::Met]);
    let untold = Drill { sides_are_told: false, ..Drill::default() };
    assert_eq!(verdicts(untold)[0], Verdict::Inconclusive, "what nobody can tell is no other side");
    let stayed = Drill { never_taken_back: true, ..Drill::default() };
    assert_eq!(verdicts(stayed), [Verdict::Met, Verdict::Inconclusive]);
}

#[test]
fn what_was_seen_before_the_steady_state_is_no_part_of_the_run() {
    let mut drill = Drill { steady_since: 1.0, ..Drill::default() };
    drill.down.push(("outside", 50.0, 51.0));
    assert_eq!(drill.verdict(), (Overall::Invalid, Verdict::Void), "steady state was lost");
    drill.steady_since = 51.5;
    assert_eq!(drill.verdict(), (Overall::Met, Verdict::Met));
}

#[test]
fn damage_counts_once_and_is_no_verified_data_and_an_outage_more_shortens_nothing() {
    let corrupt = Drill {
        corrupt: vec![10, 20, 30],
        objectives: vec![objective("integrity", None, Some("orders")), objective("mtpd", Some("300s"), None)],
        ..Drill::default()
    };
    let (measured, judged) = corrupt.judged();
    assert_eq!(judged.objectives[0].records.unwrap().exactly, 3, "in two readings");
    let verified = of(&measured).timeline.get(&drillmaster::measure::Moment::DataVerified);
    assert_eq!(verified, None, "what was damaged is not verified");
    assert_eq!(
        judged.objectives[1].verdict,
        Verdict::Missed,
        "damaged for 440 s: {}",
        judged.objectives[1].why
    );
    let restarted = Drill { down: vec![("outside", 100.0, 101.0)], ..Drill::default() };
    let (measured, _) = restarted.judged();
    let (least, _) = secs(of(&measured).mtpd.clone());
    assert!(least >= 69.0, "9 writes were lost at 60 s, and verified at 131 s: {least}");
}

#[test]
fn a_failback_that_lost_what_it_may_lose_is_met_only_once_it_is_done() {
    let skipped = json!({"decided": {"step": "back", "role": "r", "who": "eve", "simulated": true,
                                     "decision": {"skip": {"reason": "no time"}}}});
    let mut allowed = objective("failback", Some("10s"), Some("orders"));
    allowed["rpo"] = json!("181s");
    let done = Drill { kept_by_failback: 595, objectives: vec![allowed], ..Drill::default() };
    assert_eq!(done.verdict().1, Verdict::Met);
    assert_eq!(Drill { more: vec![(409.0, skipped)], ..done }.verdict().1, Verdict::Inconclusive);
}

#[test]
fn a_check_that_failed_or_was_never_made_passes_nothing() {
    let run = |outcome: Option<Value>| {
        let ended = |outcome| (135.0, json!({"stepEnded": {"step": "pay", "outcome": outcome}}));
        let objectives = vec![rta("60s", "impact"), objective("mtpd", Some("300s"), None)];
        let planned: fn(&mut Value) = |plan| {
            plan["steps"]
                .as_array_mut()
                .unwrap()
                .insert(3, step("pay", "verify", json!({"check": {"probe": "west"}})))
        };
        let more = outcome.map(ended).into_iter().collect();
        let (_, judged) = Drill { objectives, more, planned, ..Drill::default() }.judged();
        (judged.overall, judged.objectives[0].verdict, judged.objectives[1].verdict)
    };
    assert_eq!(run(Some(json!("ok"))), (Overall::Met, Verdict::Met, Verdict::Met));
    let failed = run(Some(json!({"failed": {"why": "it did not answer"}})));
    assert_eq!((failed.0, failed.1), (Overall::Missed, Verdict::Met), "never verified: 440 s");
    assert_ne!(run(None).0, Overall::Met);
    let only_rta = |plan: &mut Value| {
        plan["steps"]
            .as_array_mut()
            .unwrap()
            .insert(3, step("pay", "verify", json!({"check": {"probe": "west"}})));
    };
    assert_eq!(
        Drill { planned: only_rta, ..Drill::default() }.verdict(),
        (Overall::Inconclusive, Verdict::Met)
    );
}

#[test]
fn a_recovery_that_took_too_long_is_too_long_though_nothing_is_verified() {
    let mtpd = |target: &str| Drill {
        objectives: vec![objective("mtpd", Some(target), None)],
        stable: false,
        with_ledger: false,
        ..Drill::default()
    };
    assert_eq!(mtpd("30s").verdict().1, Verdict::Missed);
    assert_eq!(mtpd("60s").verdict().1, Verdict::NotExercised);
}

#[test]
fn a_run_that_did_not_come_to_its_planned_way_back_did_not_see_it() {
    let failback = |planned: bool| Drill {
        fails_back: false,
        ends: Some(Ended::Aborted { why: "x".into() }),
        objectives: vec![objective("failback", Some("10s"), None)],
        planned: if planned { |_| {} } else { |plan| drop(plan["steps"].as_array_mut().unwrap().pop()) },
        ..Drill::default()
    };
    let (measured, judged) = failback(true).judged();
    assert!(matches!(of(&measured).failback.outage, Actual::Unseen { .. }));
    assert_eq!(judged.objectives[0].verdict, Verdict::Inconclusive);
    let (measured, judged) = failback(false).judged();
    assert!(matches!(of(&measured).failback.outage, Actual::NotExercised { .. }));
    assert_eq!(judged.objectives[0].verdict, Verdict::NotExercised);
}

#[test]
fn one_lost_write_was_lost_and_two_were() {
    let why = |replicated: u64| {
        let objectives = vec![objective("rpa", Some("5s"), Some("orders"))];
        Drill { replicated, objectives, ..Drill::default() }.judged().1.objectives[0].why.clone()
    };
    assert!(why(298).ends_with("; 1 acknowledged write was lost"), "{}", why(298));
    assert!(why(297).ends_with("; 2 acknowledged writes were lost"), "{}", why(297));
}
