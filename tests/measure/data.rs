//! Whole drills in memory: what was lost and by what, where write authority went, and what each reading of a store stands for.

use serde_json::{Value, json};

use drillmaster::model::event::Ended;
use drillmaster::model::target::Verdict;

use super::drill::{Drill, S, effect, objective, of, read, secs, step};

/// An effect that makes a side's database primary, or finds it so.
fn promote(id: u32, region: &str, pod: &str, was_so: bool) -> Value {
    let resource = json!({"group": "", "version": "v1", "plural": "pods", "kind": "Pod"});
    let at = json!({"region": region, "resource": resource, "namespace": "shop", "name": pod});
    let status = json!({"argv": ["status"], "done": {}});
    let exec = json!({"at": at, "container": null, "argv": ["promote"], "status": status, "reverse": null});
    let effect = json!({"id": id, "act": {"exec": exec}, "of": {"recovery": {"movesAuthority": true}}});
    let undo =
        if was_so { json!({"nothing": {"because": "it was so already"}}) } else { json!("irreversible") };
    json!({"effectIntended": {"step": "promote", "undo": undo, "effect": effect}})
}

fn ended(id: u32, outcome: Value) -> Value {
    json!({"effectEnded": {"effect": id, "outcome": outcome, "undo": null}})
}

#[test]
fn a_promotion_moves_something_unless_its_side_was_primary_before_any_try_of_it() {
    let damaged = |more: Vec<(f64, Value)>| {
        let objectives = vec![objective("integrity", None, Some("orders"))];
        Drill { more, objectives, ..Drill::default() }.judged().1.objectives[0].records.unwrap().exactly
    };
    let (ok, unknown, failed) =
        (json!("ok"), json!({"unknown": {"why": "x"}}), json!({"failed": {"why": "x"}}));
    let once = |was_so| vec![(35.0, promote(7, "west", "ledger-0", was_so)), (36.0, ended(7, ok.clone()))];
    assert_eq!(damaged(once(true)), 0, "whoever had it before");
    assert_eq!(damaged(once(false)), 119, "east acknowledged until it was lost at 60 s");
    let tried = |first: &Value, was_so| {
        let mut more = vec![(33.0, promote(6, "west", "ledger-0", false)), (34.0, ended(6, first.clone()))];
        more.extend(once(was_so));
        damaged(more)
    };
    assert_eq!(tried(&unknown, true), 119, "it had landed");
    assert_eq!(tried(&failed, false), 119, "retried");
    let mut elsewhere = read(1, 130, true);
    elsewhere["readBack"]["pod"] = json!("payments-0");
    let mut another = once(false);
    another.push((131.0, elsewhere));
    assert_eq!(damaged(another), 0, "another workload's");
    for (namespace, found) in [("billing", 0), ("shop", 119)] {
        let mut read = read(1, 130, true);
        read["readBack"]["pod"] = json!("ledger-0");
        read["readBack"]["namespace"] = json!(namespace);
        let mut moved = once(false);
        moved.push((131.0, read));
        assert_eq!(damaged(moved), found, "the ledger of {namespace} was read");
    }
    let never_again = vec![(33.0, promote(6, "west", "ledger-0", false)), (34.0, ended(6, unknown.clone()))];
    assert_eq!(damaged(never_again), 0, "nobody knows");
}

#[test]
fn a_workload_whose_authority_moved_has_a_second_side_again_once_one_follows_it() {
    let exposure = |more: Vec<(f64, Value)>, planned: fn(&mut Value)| {
        let objectives = vec![objective("exposure", Some("10m"), None)];
        Drill { more, planned, objectives, ..Drill::default() }.verdict().1
    };
    let moved = |pod: &str| vec![(81.0, promote(7, "west", pod, false)), (82.0, ended(7, json!("ok")))];
    let resync: fn(&mut Value) = |plan| {
        plan["steps"][4]["action"]["recover"]["recover"] =
            json!({"resync": {"workload": "statefulset/ledger", "namespace": "shop"}});
    };
    let nothing: fn(&mut Value) =
        |plan| plan["steps"][4]["action"]["recover"]["recover"] = json!({"fence": {}});
    assert_eq!(exposure(moved("ledger-0"), resync), Verdict::Met);
    assert_eq!(exposure(moved("payments-0"), resync), Verdict::Inconclusive, "another workload's");
    assert_eq!(exposure(moved("ledger-0"), nothing), Verdict::Inconclusive, "east follows nobody");
    assert_eq!(exposure(vec![], nothing), Verdict::Met, "nothing moved: the end of the failback");
    let stepped_down: fn(&mut Value) = |plan| {
        let demote = json!({"demote": {"workload": "statefulset/ledger", "namespace": "shop"}});
        let demote = json!({"recover": {"recover": demote, "region": "east", "movesAuthority": false}});
        plan["steps"].as_array_mut().unwrap().insert(2, step("down", "failover", demote));
        plan["steps"][5]["action"]["recover"]["recover"] = json!({"fence": {}});
    };
    let mut planned = moved("ledger-0");
    planned.push((80.5, json!({"stepEnded": {"step": "down", "outcome": "ok"}})));
    let took = |more: &[(f64, Value)], planned: fn(&mut Value)| {
        secs(of(&Drill { more: more.to_vec(), planned, ..Drill::default() }.judged().0).exposure.clone())
    };
    assert_eq!(took(&planned, stepped_down), (2.0, 2.0), "it follows from the beginning");
    let and_back: fn(&mut Value) = |plan| {
        let demote = json!({"demote": {"workload": "statefulset/ledger", "namespace": "shop"}});
        for (index, id, stage, region) in
            [(2, "down", "failover", "east"), (5, "west-down", "failback", "west")]
        {
            let recover = json!({"recover": {"recover": demote, "region": region, "movesAuthority": false}});
            plan["steps"].as_array_mut().unwrap().insert(index, step(id, stage, recover));
        }
    };
    planned.extend([
        (350.0, json!({"stepEnded": {"step": "west-down", "outcome": "ok"}})),
        (351.0, promote(8, "east", "ledger-0", false)),
        (352.0, ended(8, json!("ok"))),
    ]);
    assert_eq!(took(&planned, and_back), (2.0, 2.0), "west hands over what east has already");
}

#[test]
fn the_loss_counts_from_what_can_have_lost_the_writes() {
    let objectives = vec![objective("rpa", Some("5s"), Some("orders")), objective("mtpd", Some("72s"), None)];
    let proof = json!({"proof": {"step": "trip", "seen": {"earliest": 36 * S, "latest": 36 * S}, "shown": true, "detail": ""}});
    let two_faults = Drill {
        objectives: objectives.clone(),
        more: vec![(35.0, effect(8, "trip", json!("fault"))), (36.0, proof)],
        planned: |plan| {
            let proof = json!({"by": "objects", "within": "20s", "until": "once"});
            let fault = json!({"fault": {"fault": {"podKill": {}}, "region": "east", "proof": proof}});
            plan["steps"].as_array_mut().unwrap().insert(0, step("trip", "inject", fault));
        },
        ..Drill::default()
    };
    let (measured, judged) = two_faults.judged();
    let (least, most) = secs(measured.losses[0].rpa.clone());
    assert!(least <= 1.8 && 1.8 <= most && most - least <= 1.3, "[{least}, {most}]");
    assert_eq!(judged.objectives[1].verdict, Verdict::Met, "{}", judged.objectives[1].why);
    // Without a fault: from the failover, and not from a failure long after it.
    let no_fault = Drill {
        objectives,
        down: vec![("outside", 200.0, 205.0)],
        more: vec![(60.0, effect(8, "promote", json!({"recovery": {"movesAuthority": true}})))],
        planned: |plan| plan["steps"][0]["action"] = json!({"wait": {"duration": "1s"}}),
        ..Drill::default()
    };
    let (least, most) = secs(no_fault.judged().0.losses[0].rpa.clone());
    assert!(least <= 1.8 && 1.8 <= most && most - least <= 0.3, "[{least}, {most}]");
}

#[test]
fn a_reading_that_failed_stands_for_the_whole_one_before_it_only_where_something_may_be_lost_since() {
    let verdict = |more: Vec<(f64, Value)>| {
        let objectives = vec![objective("rpa", Some("5s"), Some("orders"))];
        Drill { objectives, more, ..Drill::default() }.verdict().1
    };
    assert_eq!(verdict(vec![(201.0, read(3, 200, false))]), Verdict::Met);
    let objectives = vec![objective("integrity", None, Some("orders"))];
    let half = |more| {
        Drill { objectives: objectives.clone(), corrupt: vec![10], more, ..Drill::default() }.verdict().1
    };
    assert_eq!(half(vec![(201.0, read(3, 200, false))]), Verdict::Missed, "damage counts whoever saw it");
    let acted = effect(8, "hold", json!({"recovery": {"movesAuthority": false}}));
    assert_eq!(verdict(vec![(150.0, acted), (201.0, read(3, 200, false))]), Verdict::Inconclusive);
}

#[test]
fn a_reading_stands_for_nothing_that_may_have_been_lost_after_it() {
    let objectives = ["rpa", "integrity"].map(|kind| objective(kind, Some("5s"), Some("orders"))).to_vec();
    let at_rest = |more: &[(f64, Value)]| Drill {
        // No reading but the first, at 130 s.
        more: more.to_vec(),
        objectives: objectives.clone(),
        fails_back: false,
        planned: |plan| drop(plan["steps"].as_array_mut().unwrap().pop()),
        ..Drill::default()
    };
    let verdicts = |drill: Drill| {
        let (_, judged) = drill.judged();
        judged.objectives.iter().map(|one| one.verdict).collect::<Vec<_>>()
    };
    let (met, unshown) = (vec![Verdict::Met; 2], vec![Verdict::Inconclusive; 2]);
    assert_eq!(verdicts(at_rest(&[])), met);
    let acted = effect(8, "hold", json!({"recovery": {"movesAuthority": false}}));
    assert_eq!(verdicts(at_rest(&[(150.0, acted.clone())])), unshown, "something was done");
    let refused = Drill { refused: vec![(200.0, 201.0)], ..at_rest(&[]) };
    assert_eq!(verdicts(refused), unshown, "writes failed");
    let (measured, judged) = at_rest(&[(150.0, acted.clone())]).judged();
    assert!(secs(measured.losses[0].rpa.clone()).1.is_infinite(), "more may be lost");
    assert!(judged.objectives[0].why.contains("it was not read whole again"), "{}", judged.objectives[0].why);
    let too_much = Drill {
        objectives: vec![objective("rpa", Some("1s"), Some("orders"))],
        ..at_rest(&[(150.0, acted)])
    };
    assert_eq!(verdicts(too_much), [Verdict::Missed], "that much is lost, whatever came after");
    // Healing that ends a run which came to its end is no part of it; after an abort it may be all that lost something.
    let (aborted, healed) =
        (json!({"abortRequested": {"why": "x", "by": "engine"}}), json!({"healStarted": {"by": "engine"}}));
    let undone = json!({"undoStarted": {"effect": 0, "by": "engine"}});
    assert_eq!(verdicts(at_rest(&[(450.0, healed.clone()), (451.0, undone.clone())])), met);
    let mut given_up = at_rest(&[(450.0, aborted), (450.5, healed), (451.0, undone)]);
    given_up.ends = Some(Ended::Aborted { why: "x".into() });
    assert_eq!(verdicts(given_up), unshown);
}

#[test]
fn a_reading_on_the_way_back_that_lost_nothing_more_shows_that_nothing_was_lost_before_it() {
    let drill = |kept_by_failback: u64| Drill {
        kept_by_failback,
        more: vec![(150.0, effect(8, "hold", json!({"recovery": {"movesAuthority": false}})))],
        objectives: vec![
            objective("rpa", Some("5s"), Some("orders")),
            objective("failback", Some("10s"), Some("orders")),
        ],
        ..Drill::default()
    };
    let verdicts =
        |drill: Drill| drill.judged().1.objectives.iter().map(|one| one.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(drill(600)), [Verdict::Met; 2]);
    assert_eq!(verdicts(drill(595)), [Verdict::Inconclusive; 2], "nobody knows on which way it was lost");
}

#[test]
fn a_reading_counts_the_writes_that_had_ended_before_it_began() {
    let (measured, _) = Drill::default().judged();
    let counts = |index: usize| {
        let loss = &measured.losses[index];
        (loss.acknowledged, loss.refused, loss.unknown)
    };
    // Five writes a second, the first at 200 ms: at 130 s the last one was sent that very instant.
    assert_eq!(counts(0), (299 + 149, 201, 0));
    assert_eq!(counts(1), (299 + 1744, 201, 0));
}
