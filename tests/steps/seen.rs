//! What a run looks at while it goes on: its stores, its services, its steady state, its faults.

use super::*;

#[test]
fn a_store_that_never_reads_the_same_twice_passes_no_check() {
    let steady = run(&checked(), unchanged);
    assert!(
        matches!(steady.outcome("nothing-lost"), Some(Outcome::Ok)),
        "{:?}",
        steady.outcome("nothing-lost")
    );
    let course = run(&checked(), |rehearsal, world| {
        tokio::spawn(write_again_and_again(world.clone(), rehearsal.head.run.to_string()));
    });
    let unstable = Outcome::failed("it still changed when time was up");
    assert_eq!(course.outcome("nothing-lost"), Some(unstable));
}

/// The numbers of the readings, and when each began, before the failback.
fn readings(course: &Course) -> Vec<(u32, At)> {
    let failback = course.step("fence-east").map_or(At(i64::MAX), |(at, _)| at);
    let read = course.events().iter().filter_map(|event| match &event.what {
        What::ReadBack { pass, began, .. } if *began < failback => Some((*pass, *began)),
        _ => None,
    });
    read.collect()
}

#[test]
fn a_store_is_read_again_where_anything_may_have_lost_data_since_it_was_read() {
    let read = |more: &str| {
        let text =
            checked().replace("    failback:\n", &format!("{more}    failback:\n")).replace("1h", "3h");
        let allowed =
            if more.contains("copy") { "  allowIrreversible: [copy]\n  stages:\n" } else { "  stages:\n" };
        readings(&run(&text.replace("  stages:\n", allowed), unchanged)).len()
    };
    let copy = "{id: copy, recover: {restoreFromCopy: {workload: statefulset/ledger, namespace: shop}}}";
    assert_eq!(read(&format!("      - {copy}\n")), 2, "a later step of verify");
    assert_eq!(read(&format!("    operate:\n      - {copy}\n")), 2);
    assert_eq!(read("    operate:\n      - {id: life, wait: {duration: 2m}}\n"), 1, "nothing happened");
    let life = "    operate:\n      - {id: life, wait: {duration: 4m}}\n    failback:\n";
    let died = run(&checked().replace("    failback:\n", life).replace("1h", "3h"), |rehearsal, _| {
        let (_, west) = rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == "west").unwrap();
        let west = west.clone();
        tokio::spawn(async move {
            seconds(240).await;
            for verb in ["fence", "promote"] {
                at_the_database(&west, "ledger-0", verb).await;
                seconds(3).await;
            }
        });
    });
    assert_eq!(readings(&died).len(), 2, "a write was not acknowledged in between");
}

#[test]
fn readings_at_the_same_time_have_numbers_of_their_own() {
    let both = "    verify:\n      - id: both\n        parallel:\n          - {id: a, check: {ledger: {}}}\n          - {id: b, check: {ledger: {}}}\n";
    let course = run(&FAILOVER.replace("    failback:\n", &format!("{both}    failback:\n")), unchanged);
    let passes: Vec<u32> = readings(&course).iter().map(|(pass, _)| *pass).collect();
    assert_eq!(passes, [1, 2]);
    let evidence = course.memory.evidence();
    let twice: usize = measure(&evidence).losses.iter().map(|loss| loss.found.duplicate.len()).sum();
    assert_eq!(twice, 0);
}

#[test]
fn a_service_counts_as_restored_only_by_what_succeeded_after_the_last_step() {
    let course = run(FAILOVER, |rehearsal, _| {
        rehearsal.plan.services[0].restored.lasting = Duration::from_secs(20);
    });
    let waits = course.events().iter().filter_map(|event| match &event.what {
        What::Observed { what, sent, done, .. } if what == "restored" => Some(done.since(*sent)),
        _ => None,
    });
    let waits: Vec<Duration> = waits.collect();
    assert_eq!(waits.len(), 2, "after the failover, and after the failback");
    // The failback was seen by nobody: all had succeeded for long, which says nothing of what comes after it.
    assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(20)), "{waits:?}");
}

#[test]
fn a_run_that_is_never_steady_or_runs_into_a_limit_before_it_is_does_not_start() {
    let course = run(FAILOVER, |rehearsal, _| {
        rehearsal.plan.limits.max_duration = Duration::from_secs(3);
    });
    assert_refused(&course, "steady-state", "the run took longer than 3s");
    let course = run(FAILOVER, |rehearsal, _| {
        rehearsal.plan.ledgers[0].url = "http://nobody.shop.example/ledger".to_owned();
    });
    assert_refused(&course, "steady-state", "writes to orders");
    assert_eq!(course.overall(), Overall::Invalid);
}

/// The drill whose fault is proved by its objects.
fn proved_by_objects() -> String {
    let (before, after) = FAILOVER.split_once("proof: {").unwrap();
    let (_, after) = after.split_once('}').unwrap();
    let waits = "    detect:\n      - {id: hold-on, wait: {duration: 1m}}\n    failover:\n";
    format!("{before}proof: {{objectsWithin: 30s, until: restored}}{after}").replace("    failover:\n", waits)
}

/// What is written down of the fault's objects: whether they showed it, from when to when, or that they could not be read.
fn told_of_the_proof(course: &Course) -> Vec<(Option<bool>, u64)> {
    let told = course.events().iter().filter_map(|event| match &event.what {
        What::Proof { seen, shown, .. } => Some((Some(*shown), seen.width().as_secs())),
        What::Observed { what, sent, done, .. } if what == "proof:lose-east" => {
            Some((None, done.since(*sent).as_secs()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn objects_that_cannot_be_read_end_no_fault_and_what_changed_did_so_since_the_last_look() {
    const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/drillmaster-lose-east";
    let unread = run(&proved_by_objects(), |_, world| {
        let clock = world.clock.clone();
        let gate = Gate::new(move |_, request| {
            let reads =
                request.method() == http::Method::GET && request.uri().path().contains("networkpolic");
            let now = clock.now().since(At(0)).as_secs();
            if reads && (30..45).contains(&now) { Fate::Refused } else { Fate::Passes }
        });
        *world = gate.before(world.clone());
    });
    assert_eq!(told_of_the_proof(&unread), [(Some(true), 0), (None, 5), (None, 20)]);
    assert_ne!(unread.overall(), Overall::Invalid);
    let reverted = run(&proved_by_objects(), |_, world| {
        let east = world.regions["east"].clone();
        tokio::spawn(async move {
            seconds(40).await;
            let delete = http::Request::delete(POLICY).body(Vec::new()).unwrap();
            east.request_text(delete).await.unwrap();
        });
    });
    assert_eq!(told_of_the_proof(&reverted), [(Some(true), 0), (Some(false), 5)]);
    assert_eq!(reverted.overall(), Overall::Invalid);
}

#[test]
fn a_run_that_was_stopped_before_anybody_was_impacted_meets_nothing() {
    // The record of the payments is lost, and whoever checks out does not notice, so far.
    let (drill, _) = FAILOVER.split_once("    failover:\n").unwrap();
    let text = drill.replace(", takesOver: west", "").replace("http://checkout.east.", "http://payments.");
    let text = text
        .replace("{isolate: {namespaces: [shop]}}", "{dnsFailure: {record: payments.shop.example}}")
        .replace("failsWithin: 20s, until: restored", "failsWithin: 2m, until: once");
    for (on_timeout, stopped) in [("abort", true), ("finding", false)] {
        let look = format!(
            "    detect:\n      - {{id: look, task: {{role: web-oncall, text: look}}, timeout: 30s, onTimeout: {on_timeout}}}\n"
        );
        let course = run(&format!("{text}{look}"), answers(None, None));
        assert_eq!(matches!(course.finished.how, Ended::Aborted { .. }), stopped, "{:?}", course.finished);
        let evidence = course.memory.evidence();
        let judged = judge(&evidence, &measure(&evidence));
        let rta = judged.objectives.iter().find(|one| one.objective.kind == ObjectiveKind::Rta).unwrap();
        assert_eq!(rta.verdict == Verdict::Met, !stopped, "{rta:?}");
        assert_eq!(rta.why.contains("the run was aborted"), stopped, "{rta:?}");
        let met = judged.objectives.iter().any(|one| one.verdict == Verdict::Met);
        assert_eq!(met, !stopped, "{judged:?}");
    }
}

#[test]
fn a_way_there_and_back_that_nothing_failed_on_is_met_at_any_period() {
    // Answered at once: what it says comes before the answer that was asked for at the same instant.
    let control = "    - {id: control, control: true, every: 500ms, timeout: 500ms, http: {url: \"http://control.example/\"}}\n";
    for every in ["500ms", "600ms", "700ms", "1100ms", "1200ms"] {
        let text = include_str!("../laboratory/switchover.yaml")
            .replace("every: 1s, timeout: 500ms", &format!("every: {every}, timeout: 500ms"));
        let ledger = text.lines().find(|line| line.contains("ledger: {service")).unwrap();
        let text = text.replace("  workload:\n", control).replace(&format!("{ledger}\n"), "");
        assert!(text.contains(every) && !text.contains("writesPerSecond"));
        let course = run(&text, unchanged);
        let evidence = course.memory.evidence();
        let measured = measure(&evidence);
        let service = measured.services.values().next().unwrap();
        for actual in [&service.rta.impact, &service.failback.outage] {
            assert!(actual.span().is_some(), "{every}: {actual:?}");
        }
    }
}
