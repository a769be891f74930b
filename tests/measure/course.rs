//! Whole drills in memory: what is said of stages, phases, readings and probes that did not go as planned.

use serde_json::{Value, json};

use drillmaster::measure::Actual;
use drillmaster::model::event::Ended;
use drillmaster::model::plan::Stage;
use drillmaster::model::target::Verdict;
use drillmaster::model::time::Duration;

use super::drill::{Drill, objective, of, rta, step};

/// A failover whose second step is held until the run is given up at 200; nothing comes back.
fn given_up(down: Vec<(&'static str, f64, f64)>) -> Drill {
    fn held(plan: &mut Value) {
        plan["steps"].as_array_mut().unwrap().insert(
            3,
            step(
                "traffic",
                "failover",
                json!({"recover": {"recover": {"dnsSwitch": {}}, "region": "west", "movesAuthority": false}}),
            ),
        );
    }
    Drill {
        down,
        planned: held,
        fails_back: false,
        ends: Some(Ended::Aborted { why: "x".into() }),
        more: vec![
            (90.0, json!({"stepStarted": {"step": "traffic"}})),
            (200.0, json!({"abortRequested": {"why": "x", "by": "engine"}})),
        ],
        ..Drill::default()
    }
}

fn seconds(length: Option<Duration>) -> Option<f64> {
    length.map(|length| length.as_secs_f64())
}

#[test]
fn a_stage_of_which_a_step_never_ended_took_at_least_until_the_run_was_given_up() {
    let (measured, _) = given_up(vec![("outside", 60.0, 600.0), ("west", 60.0, 600.0)]).judged();
    let failover = measured.stages.iter().find(|one| one.stage == Stage::Failover).unwrap();
    let took = failover.took.unwrap();
    assert_eq!((took.least.as_secs_f64(), took.most), (120.0, None));
}

#[test]
fn the_phase_in_which_a_service_stayed_down_is_named_and_took_at_least_so_long() {
    let (measured, _) = given_up(vec![("outside", 60.0, 600.0), ("west", 60.0, 600.0)]).judged();
    let open: Vec<(&str, f64)> = of(&measured)
        .phases
        .iter()
        .filter_map(|phase| Some((phase.name.as_str(), phase.open?.least.as_secs_f64())))
        .collect();
    assert_eq!(open, [("recovery", 120.0)], "from the failover at 80 to the abort at 200");
    let undeclared = Drill { declared: None, ..given_up(vec![("outside", 60.0, 600.0)]) };
    let restored = Drill { ends: Some(Ended::Completed), ..undeclared };
    let (measured, _) = Drill { down: vec![("outside", 60.0, 90.0)], more: vec![], ..restored }.judged();
    assert!(of(&measured).phases.iter().all(|phase| phase.open.is_none()), "what is over is not open");
}

#[test]
fn a_reading_that_was_not_whole_says_nothing_of_what_it_did_not_show() {
    let (measured, _) = Drill { stable: false, ..Drill::default() }.judged();
    let records = measured.losses[0].records;
    assert_eq!((records.exactly, records.at_most), (0, 9));
}

#[test]
fn steps_at_once_count_to_their_stages_budget_as_their_longest() {
    fn at_once(plan: &mut Value) {
        let inside = |id: &str, budget: &str| {
            let mut one =
                step(id, "failover", json!({"notify": {"audience": "all", "text": "t", "within": null}}));
            one["budget"] = json!(budget);
            one
        };
        let steps = plan["steps"].as_array_mut().unwrap();
        steps[2]["budget"] = json!("1m");
        let both = json!({"parallel": {"steps": [inside("a", "3m"), inside("b", "2m")]}});
        steps.insert(3, step("both", "failover", both));
    }
    let (measured, _) = Drill { planned: at_once, ..Drill::default() }.judged();
    let failover = measured.stages.iter().find(|one| one.stage == Stage::Failover).unwrap();
    assert_eq!(seconds(failover.budget), Some(240.0));
}

#[test]
fn what_a_blind_vantage_saw_is_neither_sent_nor_answered() {
    let drill = Drill { control_fails: vec![("west", 50.0, 200.0)], ..Drill::default() };
    let (measured, _) = drill.judged();
    let west =
        measured.series.iter().find(|one| one.probe.as_str() == "checkout" && one.vantage.as_str() == "west");
    let west = west.unwrap();
    assert_eq!(west.samples + west.gaps, 5000, "a row is one or the other");
    assert!((1500..1530).contains(&west.gaps), "{}", west.gaps);
    assert_eq!(west.by_class.values().sum::<u64>(), west.failures);
    assert_eq!(west.failures, 0, "it failed only while it was blind");
}

#[test]
fn a_stage_that_somebody_left_for_the_way_back_took_until_then() {
    let given_up = given_up(vec![("outside", 60.0, 90.0), ("west", 60.0, 90.0)]);
    let returned =
        json!({"step": "traffic", "role": "r", "who": "ada", "simulated": true, "decision": "return"});
    let more =
        vec![(90.0, json!({"stepStarted": {"step": "traffic"}})), (120.0, json!({"decided": returned}))];
    let (measured, _) = Drill { more, fails_back: true, ends: Some(Ended::Completed), ..given_up }.judged();
    let failover = measured.stages.iter().find(|one| one.stage == Stage::Failover).unwrap();
    assert_eq!(failover.took.unwrap().least.as_secs_f64(), 40.0);
}

#[test]
fn a_declaration_that_was_asked_for_and_never_came_shows_nothing() {
    let drill = |more| Drill {
        declared: None,
        more,
        objectives: vec![rta("60s", "declaration")],
        ..Drill::default()
    };
    let asked = drill(vec![(61.0, json!({"stepStarted": {"step": "declare"}}))]);
    assert!(matches!(of(&asked.judged().0).rta.declaration, Actual::Unseen { .. }));
    assert_eq!(asked.verdict().1, Verdict::Inconclusive);
    assert_eq!(drill(vec![]).verdict().1, Verdict::NotExercised, "nobody was asked");
}

#[test]
fn an_exposure_that_is_too_long_by_now_is_missed_without_a_failback_as_well() {
    fn one_way(plan: &mut Value) {
        plan["steps"].as_array_mut().unwrap().retain(|step| step["stage"] != "failback");
        plan["pointOfNoReturn"] = json!("promote");
    }
    let drill = |target: &str| Drill {
        planned: one_way,
        fails_back: false,
        objectives: vec![objective("exposure", Some(target), None)],
        ..Drill::default()
    };
    assert_eq!(drill("5m").verdict().1, Verdict::Missed, "420 s of the run");
    assert_eq!(drill("20m").verdict().1, Verdict::NotExercised);
}
