//! What people were asked and told in a drill in memory, and how long it took them.

use serde_json::{Value, json};

use drillmaster::model::target::{Overall, Verdict};

use super::drill::{Drill, S, objective, secs, step};

/// What each role was asked in the step `declare` and answered: role, when asked, and when it acknowledged and declared.
fn asked(people: &[(&str, f64, Option<f64>, Option<f64>)]) -> Vec<(f64, Value)> {
    let mut told = vec![(75.0, json!({"stepEnded": {"step": "declare", "outcome": "ok"}}))];
    for (role, at, acknowledged, declared) in people {
        let asked =
            |about: &str| json!({"asked": {"step": "declare", "role": role, "about": about, "text": ""}});
        let said = |said: &str| {
            json!({"said": {"step": "declare", "role": role, "who": role, "simulated": true, "said": said,
                            "text": ""}})
        };
        told.push((*at, asked("page")));
        told.extend(
            acknowledged.iter().flat_map(|at| [(*at, said("acknowledged")), (*at, asked("declaration"))]),
        );
        told.extend(declared.iter().map(|at| (*at, said("declared"))));
    }
    told
}

#[test]
fn each_question_is_its_roles_own_and_one_that_nobody_answers_counts_once_it_is_late() {
    let drill = |people: &[(&str, f64, Option<f64>, Option<f64>)]| Drill {
        declared: None,
        more: asked(people),
        objectives: vec![objective("response", None, None)],
        ..Drill::default()
    };
    let owner = ("owner", 61.0, Some(62.0), None);
    let director = ("director", 69.0, Some(72.0), Some(74.9));
    let took = |drill: &Drill, role: &str, kind: &str| {
        let (measured, _) = drill.judged();
        let mut of = measured.responses.iter().filter(|response| response.kind.as_str() == kind);
        of.find(|response| response.role.as_ref().unwrap().as_str() == role)
            .map(|response| secs(response.took.clone()))
    };
    let all = drill(&[owner, ("absent", 64.0, None, None), director]);
    assert_eq!(took(&all, "owner", "acknowledge"), Some((1.0, 1.0)));
    assert_eq!(took(&all, "director", "acknowledge"), Some((3.0, 3.0)));
    assert_eq!(took(&all, "director", "declare"), Some((13.9, 13.9)), "from the first page");
    assert_eq!(took(&all, "absent", "acknowledge"), Some((11.0, f64::INFINITY)), "until the step ended");
    assert_eq!(all.verdict().1, Verdict::Missed);
    let moot = drill(&[owner, ("absent", 72.0, None, None), director]);
    assert_eq!(took(&moot, "absent", "acknowledge"), None, "somebody declared before it was late");
    assert_eq!(moot.verdict().1, Verdict::Met);
    // Paged as the owner, and again as the director: each page has its own time.
    let twice = drill(&[("director", 61.0, Some(62.0), None), ("director", 67.0, Some(70.0), Some(74.0))]);
    let (measured, judged) = twice.judged();
    let pages: Vec<_> = measured.responses.iter().filter(|one| one.kind.as_str() == "acknowledge").collect();
    let lengths: Vec<_> = pages.iter().map(|one| secs(one.took.clone())).collect();
    assert_eq!((lengths, judged.overall), (vec![(1.0, 1.0), (3.0, 3.0)], Overall::Met));
    // What the paged one decides about the held step answers no page.
    let mut held = drill(&[("absent", 61.0, None, None)]);
    held.more.extend([
        (70.0, json!({"asked": {"step": "declare", "role": "absent", "about": "decision", "text": ""}})),
        (74.0, json!({"decided": {"step": "declare", "role": "absent", "who": "eve", "simulated": true, "decision": "done"}})),
    ]);
    assert_eq!(took(&held, "absent", "acknowledge"), Some((14.0, f64::INFINITY)));
    assert_eq!(held.verdict().1, Verdict::Missed);
}

#[test]
fn nobody_is_left_without_news_for_longer_than_was_promised_while_the_service_is_down() {
    let news = |told: &[f64], down: f64| {
        let told = told
            .iter()
            .map(|at| (*at, json!({"notified": {"step": "tell", "audience": "customers", "outcome": "ok"}})));
        let planned: fn(&mut Value) = |plan| {
            let tell = json!({"notify": {"audience": "customers", "text": "", "within": null}});
            plan["steps"].as_array_mut().unwrap().insert(3, step("tell", "verify", tell));
            plan["severity"]["update"] = json!("25s");
        };
        let (more, objectives) = (told.collect(), vec![objective("response", None, None)]);
        let down = vec![("outside", 60.0, down), ("west", 60.0, 90.0)];
        Drill { more, planned, objectives, down, ..Drill::default() }.verdict().1
    };
    assert_eq!(news(&[80.0, 100.0, 120.0], 130.0), Verdict::Met);
    assert_eq!(news(&[], 100.0), Verdict::Missed);
    assert_eq!(news(&[80.0], 100.0), Verdict::Met);
    assert_eq!(news(&[110.0], 100.0), Verdict::Missed, "late");
    assert_eq!(news(&[80.0], 600.0), Verdict::Missed, "it never came back");
}

#[test]
fn whoever_says_that_a_task_is_done_began_to_work_on_it_at_some_time_before() {
    fn look(plan: &mut Value, engage: &str) {
        let task = json!({"task": {"role": "owner", "text": ""}});
        plan["steps"].as_array_mut().unwrap().insert(1, step("look", "detect", task));
        plan["severity"]["engage"] = json!(engage);
    }
    let task = |done: Option<f64>, planned: fn(&mut Value)| {
        let asked = json!({"asked": {"step": "look", "role": "owner", "about": "task", "text": ""}});
        let said = json!({"said": {"step": "look", "role": "owner", "who": "ada", "simulated": true, "said": "done", "text": ""}});
        let mut more = vec![(61.0, asked), (75.0, json!({"stepEnded": {"step": "look", "outcome": "ok"}}))];
        more.extend(done.map(|at| (at, said)));
        let objectives = vec![objective("response", None, None)];
        Drill { declared: None, more, objectives, planned, ..Drill::default() }.verdict().1
    };
    assert_eq!(task(Some(71.0), |plan| look(plan, "10s")), Verdict::Met);
    assert_eq!(task(Some(71.0), |plan| look(plan, "9s")), Verdict::Indeterminate);
    assert_eq!(task(None, |plan| look(plan, "9s")), Verdict::Inconclusive, "nobody said");
}

#[test]
fn a_notice_counts_from_the_impact_or_else_from_the_first_that_the_team_could_know() {
    let told = |drill: Drill| {
        let (measured, judged) = drill.judged();
        let notice = measured.responses.iter().find(|one| one.kind.as_str() == "notify").unwrap();
        assert!(judged.objectives[0].why.contains(&format!("counted from {}", notice.since)));
        (secs(notice.took.clone()), notice.since.clone(), judged.objectives[0].verdict)
    };
    let notice = |at: f64| {
        let notified = json!({"notified": {"step": "tell", "audience": "customers", "outcome": "ok"}});
        [(at, json!({"stepStarted": {"step": "tell"}})), (at, notified)]
    };
    let calm = |more: Vec<(f64, Value)>| Drill {
        down: vec![],
        declared: None,
        more: more.into_iter().chain(notice(120.0)).collect(),
        objectives: vec![objective("response", None, None)],
        planned: |plan| {
            let tell = json!({"notify": {"audience": "customers", "text": "", "within": "45s"}});
            plan["steps"].as_array_mut().unwrap().insert(3, step("tell", "failover", tell));
            plan["severity"] = Value::Null;
        },
        ..Drill::default()
    };
    let page = json!({"asked": {"step": "declare", "role": "owner", "about": "page", "text": ""}});
    let alert = json!({"alerted": {"step": "alert", "alert": "Down", "arrived": {"earliest": 80 * S, "latest": 80 * S}}});
    let (took, since, verdict) = told(calm(vec![(70.0, page.clone()), (80.0, alert.clone())]));
    assert_eq!((took, since.as_str(), verdict), ((50.0, 50.0), "the first page", Verdict::Missed));
    let (took, since, verdict) = told(calm(vec![(80.0, alert)]));
    assert_eq!((took, since.as_str(), verdict), ((40.0, 40.0), "the first alert", Verdict::Met));
    let (took, since, _) = told(calm(vec![(125.0, page)]));
    assert_eq!((since.as_str(), took.0 > 60.0), ("the first step of the stage inject", true), "{took:?}");
    let hit = Drill { down: vec![("outside", 90.0, 100.0)], ..calm(vec![]) };
    let (took, since, verdict) = told(hit);
    assert_eq!((since.as_str(), verdict), ("the impact", Verdict::Met), "{took:?}");
    let mut alone = calm(vec![]);
    alone.planned = |plan| {
        let tell = json!({"notify": {"audience": "customers", "text": "", "within": "45s"}});
        plan["steps"] = json!([step("tell", "failover", tell)]);
    };
    assert_eq!(alone.verdict().1, Verdict::NotExercised, "nothing came before it");
}
