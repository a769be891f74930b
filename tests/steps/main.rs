//! What becomes of a run's steps: held ones and each answer, timeouts and what follows them, limits, guards, groups, and a bug of ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod escalated;
#[path = "../laboratory/mod.rs"]
mod laboratory;
mod seen;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use drillmaster::cli::exit;
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::guard;
use drillmaster::http::exchange;
use drillmaster::journal::Memory;
use drillmaster::measure::measure;
use drillmaster::model::event::{Decision, Ended, Event, Outcome, What};
use drillmaster::model::name::Vantage;
use drillmaster::model::plan::{Plan, Touched};
use drillmaster::model::target::{ObjectiveKind, Overall, Verdict};
use drillmaster::model::time::{At, Duration};
use drillmaster::undo::outstanding;
use drillmaster::verdict::judge;
use drillmaster::world::{About, Clock, World};
use laboratory::{
    Fate, Gate, Pen, Scripted, assert_put_back, at_the_database, drill, heal, in_virtual_time,
    never_interrupted, nobody_watches, seconds, stores, write,
};

const FAILOVER: &str = include_str!("../laboratory/failover.yaml");

/// A run that came to an end, with all that it wrote.
struct Course {
    finished: Finished,
    memory: Memory,
}

impl Course {
    fn events(&self) -> &[Event] {
        self.memory.events()
    }

    /// When a step started, and when and how it ended.
    fn step(&self, id: &str) -> Option<(At, Option<(At, Outcome)>)> {
        let started = self.events().iter().find_map(|event| match &event.what {
            What::StepStarted { step } if step.as_str() == id => Some(event.at),
            _ => None,
        })?;
        let ended = self.events().iter().find_map(|event| match &event.what {
            What::StepEnded { step, outcome } if step.as_str() == id => Some((event.at, outcome.clone())),
            _ => None,
        });
        Some((started, ended))
    }

    fn outcome(&self, id: &str) -> Option<Outcome> {
        self.step(id)?.1.map(|(_, outcome)| outcome)
    }

    /// Whole seconds that a step took.
    fn took(&self, id: &str) -> u64 {
        let (started, ended) = self.step(id).unwrap();
        ended.unwrap().0.since(started).as_secs()
    }

    fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.events().iter().filter(|event| wanted(&event.what)).count()
    }

    fn findings(&self) -> Vec<String> {
        let evidence = self.memory.evidence();
        let judged = judge(&evidence, &measure(&evidence));
        judged.findings.into_iter().map(|finding| finding.what).collect()
    }

    fn overall(&self) -> Overall {
        let evidence = self.memory.evidence();
        judge(&evidence, &measure(&evidence)).overall
    }

    fn exit_code(&self) -> u8 {
        exit::of_run(&self.finished, self.overall())
    }

    fn aborted(&self) -> &str {
        match &self.finished.how {
            Ended::Aborted { why } => why,
            how => panic!("{how:?}"),
        }
    }
}

/// Runs a drill whose plan and world a test has changed, and checks that all was put back or told.
fn run(text: &str, change: impl FnOnce(&mut Rehearsal, &mut World)) -> Course {
    let inputs = drill(text);
    in_virtual_time(async {
        let mut rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let before = stores(&rehearsal);
        let mut world = rehearsal.sandbox.world();
        change(&mut rehearsal, &mut world);
        let pen = Arc::new(Mutex::new(Memory::default()));
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let finished =
            engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
        assert_put_back(&rehearsal, &before, &finished, &format!("{finished:?}")).await;
        let events = pen.lock().unwrap().events().to_vec();
        assert_eq!(outstanding(&events).is_empty(), finished.outstanding.is_empty());
        drop(rehearsal);
        let memory = std::mem::take(&mut *pen.lock().unwrap());
        Course { finished, memory }
    })
}

fn unchanged(_: &mut Rehearsal, _: &mut World) {}

/// The drill with a stage before the failover.
fn with_stage(stage: &str) -> String {
    FAILOVER.replace("    failover:\n", &format!("{stage}    failover:\n"))
}

/// The drill with the traffic switched before the promotion: until then all can be taken back.
fn traffic_first() -> String {
    let promote =
        "      - {id: promote-west, recover: {promote: {workload: statefulset/ledger, namespace: shop}}}\n";
    let switch = "      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}\n";
    assert!(FAILOVER.contains(&format!("{promote}{switch}")));
    FAILOVER.replace(&format!("{promote}{switch}"), &format!("{switch}{promote}"))
}

/// West refuses the first `times` patches of a DNS record.
fn refuses_records(world: &mut World, times: u32) {
    let seen = AtomicU32::new(0);
    let gate = Gate::new(move |region, request| {
        let patches = request.method() == http::Method::PATCH
            && request.uri().path().contains("dnsendpoints")
            && !request.uri().query().is_some_and(|query| query.contains("dryRun"));
        let refused = region == "west" && patches && seen.fetch_add(1, Ordering::Relaxed) < times;
        if refused { Fate::Refused } else { Fate::Passes }
    });
    *world = gate.before(world.clone());
}

/// The on-call decides about every held step after a minute.
fn decides(decision: Decision) -> impl FnOnce(&mut Rehearsal, &mut World) {
    move |_, world| {
        let times = if decision == Decision::Retry { 1 } else { u32::MAX };
        refuses_records(world, times);
        world.people = Scripted::people(move |question| match question.about {
            About::Hold { .. } => Some((60, Some(decision.clone()))),
            About::Acknowledge | About::Declare | About::Task => None,
        });
    }
}

fn held(what: &What) -> bool {
    matches!(what, What::Held { .. })
}

#[test]
fn a_held_step_that_is_retried_goes_on_and_all_of_it_counts() {
    let course = run(FAILOVER, decides(Decision::Retry));
    assert_eq!(course.finished.how, Ended::Completed);
    assert_eq!(course.outcome("traffic-west"), Some(Outcome::Ok));
    assert!(course.took("traffic-west") >= 60, "{}", course.took("traffic-west"));
    assert_eq!(course.count(held), 1);
    assert!(course.findings().iter().any(|what| what.contains("traffic-west was held for a person once")));
}

#[test]
fn a_held_step_that_is_skipped_is_not_well_and_says_why() {
    let decision = Decision::Skip { reason: "the provider is down".to_owned() };
    let course = run(FAILOVER, decides(decision));
    assert_eq!(course.finished.how, Ended::Completed);
    let skipped = Outcome::Failed { why: "skipped: the provider is down".to_owned() };
    assert_eq!(course.outcome("traffic-west"), Some(skipped));
    let findings = course.findings();
    assert!(
        findings.iter().any(|what| what.contains("traffic-west was done or skipped by hand")),
        "{findings:?}"
    );
    assert_ne!(course.overall(), Overall::Met, "nobody reached the shop");
}

#[test]
fn a_held_step_that_was_done_by_hand_counts_as_done_and_is_told() {
    let course = run(FAILOVER, decides(Decision::Done));
    assert_eq!(course.outcome("traffic-west"), Some(Outcome::Ok));
    assert!(course.findings().iter().any(|what| what.contains("traffic-west was done or skipped by hand")));
}

#[test]
fn after_the_promotion_return_fails_back_at_once_and_before_it_all_is_taken_back() {
    let after = run(FAILOVER, decides(Decision::Return));
    assert_eq!(after.finished.how, Ended::Completed);
    assert!(after.step("traffic-west").unwrap().1.is_none(), "it never ended");
    assert_eq!(after.outcome("promote-east"), Some(Outcome::Ok), "the failback was gone through");
    assert_ne!(after.overall(), Overall::Met);

    let before = run(&traffic_first(), decides(Decision::Return));
    assert_eq!(before.aborted(), "turned back before anything was promoted");
    assert!(before.step("promote-west").is_none() && before.step("fence-east").is_none());
    assert_eq!(before.finished.outstanding, vec![]);
}

#[test]
fn a_held_step_that_nobody_decides_about_ends_by_its_timeout() {
    let course = run(&traffic_first(), |_, world| {
        refuses_records(world, u32::MAX);
        world.people = Scripted::people(|_| None);
    });
    assert_eq!(
        course.aborted(),
        "step traffic-west: it took longer than 10m",
        "the failover's default is to abort"
    );
    assert_eq!(course.count(|what| matches!(what, What::TimedOut { .. })), 1);
}

/// A task in the detect stage for somebody who answers after `answers` seconds, with thirty seconds of time.
fn asks(on_timeout: &str) -> String {
    with_stage(&format!(
        "    detect:\n      - {{id: look, task: {{role: web-oncall, text: look}}, timeout: 30s, onTimeout: {on_timeout}}}\n"
    ))
}

fn answers(task: Option<u64>, hold: Option<(u64, Decision)>) -> impl FnOnce(&mut Rehearsal, &mut World) {
    move |_, world| {
        world.people = Scripted::people(move |question| match question.about {
            About::Task => task.map(|after| (after, None)),
            About::Hold { .. } => hold.clone().map(|(after, decision)| (after, Some(decision))),
            About::Acknowledge | About::Declare => None,
        });
    }
}

#[test]
fn a_step_over_its_time_becomes_a_finding_or_aborts_as_it_says() {
    let finding = run(&asks("finding"), answers(None, None));
    assert_eq!(finding.finished.how, Ended::Completed);
    assert_eq!(finding.outcome("look"), Some(Outcome::failed("it took longer than 30s")));
    assert_eq!(finding.took("look"), 30);
    assert!(finding.findings().iter().any(|what| what.contains("look went over its timeout")));

    let abort = run(&asks("abort"), answers(None, None));
    assert_eq!(abort.aborted(), "step look: it took longer than 30s");
    assert!(abort.step("promote-west").is_none());
    assert_eq!(abort.finished.outstanding, vec![], "nothing was promoted, so all is as before");
    assert_eq!(abort.exit_code(), exit::NOT_SHOWN);
}

#[test]
fn an_escalated_step_goes_by_the_decision_of_whoever_is_next() {
    let retry = run(&asks("escalate"), answers(Some(45), Some((5, Decision::Retry))));
    assert_eq!(
        (retry.outcome("look"), retry.took("look")),
        (Some(Outcome::Ok), 45),
        "it was given more time"
    );
    let skip = Decision::Skip { reason: "seen".to_owned() };
    let skip = run(&asks("escalate"), answers(None, Some((5, skip))));
    assert_eq!(skip.outcome("look"), Some(Outcome::Failed { why: "skipped: seen".to_owned() }));
    assert_eq!(skip.took("look"), 35);
    let done = run(&asks("escalate"), answers(None, Some((5, Decision::Done))));
    assert_eq!((done.outcome("look"), done.took("look")), (Some(Outcome::Ok), 35));
    let turned = run(&asks("escalate"), answers(None, Some((5, Decision::Return))));
    assert_eq!(turned.aborted(), "turned back before anything was promoted");
    let nobody = run(&asks("escalate"), answers(None, None));
    assert_eq!(nobody.aborted(), "step look: it took longer than 30s, and nobody could help");
}

#[test]
fn a_held_step_is_tried_again_when_whoever_it_was_escalated_to_says_so() {
    let text = FAILOVER.replace(
        "{id: promote-west, recover:",
        "{id: promote-west, timeout: 1m, onTimeout: escalate, recover:",
    );
    // Whoever owns the service is not there; who may declare last stands on the catalogue's ladder, and this drill declares nothing.
    let last = |role: &str| role == "crisis-director";
    for (tries, outcome) in [(1, Some(Outcome::Ok)), (2, Some(Outcome::Ok)), (u32::MAX, None)] {
        let course = run(&text, |_, world| {
            let refused = Mutex::new(0);
            let gate = Gate::new(move |region, request| {
                let promotes =
                    region == "west" && request.uri().query().is_some_and(|q| q.contains("command=promote"));
                let mut refused = refused.lock().unwrap();
                *refused += u32::from(promotes);
                if promotes && *refused <= tries { Fate::Refused } else { Fate::Passes }
            });
            *world = gate.before(world.clone());
            world.people = Scripted::people(move |question| match question.about {
                About::Hold { .. } => last(question.role.as_str()).then_some((5, Some(Decision::Retry))),
                About::Acknowledge | About::Declare | About::Task => None,
            });
        });
        let decided = |what: &What| matches!(what, What::Decided { role, .. } if last(role.as_str()));
        assert!(course.count(decided) > 0);
        assert_eq!(course.outcome("promote-west"), outcome, "{:?}", course.finished.how);
        if outcome.is_some() {
            assert_eq!(course.count(decided), tries as usize);
            assert_eq!(course.finished.how, Ended::Completed);
        } else {
            assert_eq!(course.aborted(), "step promote-west: it took longer than 1m, and nobody could help");
        }
    }
}

#[test]
fn a_limit_on_a_probe_aborts_before_the_promotion_and_after_it() {
    let limit = "limits: {maxDuration: 1h, namespaces: [shop], abortWhen: [{probe: checkout, failsFor: 5s}]}";
    let limited = |text: &str| text.replace("limits: {maxDuration: 1h, namespaces: [shop]}", limit);
    let before = with_stage("    detect:\n      - {id: hold-on, wait: {duration: 1m}}\n");
    let before = run(&limited(&before), unchanged);
    assert_eq!(before.aborted(), "probe checkout failed for 5s");
    assert!(before.step("promote-west").is_none());
    assert_eq!(before.finished.outstanding, vec![]);

    let after = run(&limited(FAILOVER), unchanged);
    assert_eq!(after.aborted(), "probe checkout failed for 5s");
    assert_eq!(after.outcome("promote-west"), Some(Outcome::Ok));
    assert_eq!(after.exit_code(), exit::NOT_HEALED, "{:?}", after.finished.outstanding);
}

#[test]
fn a_run_that_takes_too_long_is_aborted() {
    let text = with_stage("    detect:\n      - {id: hold-on, wait: {duration: 2m}, timeout: 3m}\n");
    let course = run(&text, |rehearsal, _| rehearsal.plan.limits.max_duration = Duration::from_secs(60));
    assert_eq!(course.aborted(), "the run took longer than 1m");
    assert_eq!(course.finished.outstanding, vec![]);
}

#[test]
fn parallel_steps_overlap_and_a_held_one_keeps_nobody_waiting() {
    let switch = "      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}\n";
    let group = "      - id: together
        parallel:
          - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}
          - {id: ten, wait: {duration: 10s}}
          - {id: twenty, wait: {duration: 20s}}
          - {id: fails, check: {probe: east-direct}}
";
    let course = run(&FAILOVER.replace(switch, group), decides(Decision::Retry));
    assert_eq!(course.finished.how, Ended::Completed);
    let start = |id: &str| course.step(id).unwrap().0;
    for id in ["traffic-west", "ten", "twenty", "fails"] {
        assert_eq!(start(id), start("together"), "{id}");
    }
    assert_eq!((course.took("ten"), course.took("twenty")), (10, 20));
    assert!(!course.outcome("fails").unwrap().is_ok(), "east is cut off");
    assert!(course.took("traffic-west") >= 60);
    assert_eq!(course.took("together"), course.took("traffic-west"), "a group ends with its last");
}

#[test]
fn what_stops_the_run_stops_its_whole_group_at_once() {
    let switch = "      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}\n";
    let group = "      - id: together
        parallel:
          - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}, timeout: 90s, onTimeout: abort}
          - {id: watch, wait: {duration: 4m}}
";
    let course =
        run(&FAILOVER.replace(switch, group).replace("1h", "3h"), |_, world| refuses_records(world, 9));
    assert_eq!(course.aborted(), "step traffic-west: it took longer than 1m30s");
    let aborted =
        course.events().iter().find(|event| matches!(event.what, What::AbortRequested { .. })).unwrap();
    assert_eq!(aborted.at.since(course.step("traffic-west").unwrap().0).as_secs(), 90);
}

#[test]
fn a_procedures_steps_run_one_after_the_other_under_its_step() {
    let procedure = "---
apiVersion: drillmaster.dev/v1alpha1
kind: Procedure
metadata: {name: look-twice}
spec:
  steps:
    - {id: first, wait: {duration: 3s}}
    - {id: second, wait: {duration: 4s}}
";
    let text = with_stage("    detect:\n      - {id: looking, procedure: look-twice}\n") + procedure;
    let course = run(&text, unchanged);
    assert_eq!(course.finished.how, Ended::Completed);
    assert_eq!((course.took("first"), course.took("second"), course.took("looking")), (3, 4, 7));
    assert_eq!(course.step("first").unwrap().1.unwrap().0, course.step("second").unwrap().0);
}

/// A clock that moves once a second: no instrument can measure a quarter of one with it.
struct Coarse(Arc<dyn Clock>);

impl Clock for Coarse {
    fn now(&self) -> At {
        At(self.0.now().0 / 1_000_000_000 * 1_000_000_000)
    }

    fn wall_unix_ns(&self) -> i64 {
        self.0.wall_unix_ns()
    }
}

/// Nothing was done by a run that was refused.
fn assert_refused(course: &Course, by: &str, why: &str) {
    let Ended::Refused { guard, why: said } = &course.finished.how else {
        panic!("{:?}", course.finished.how)
    };
    assert_eq!(guard.as_str(), by);
    assert!(said.contains(why), "{said}");
    assert_eq!(
        course.count(|what| matches!(what, What::EffectIntended { .. } | What::StepStarted { .. })),
        0
    );
    assert_eq!(course.exit_code(), exit::REFUSED);
}

#[test]
fn an_instrument_that_measures_wrongly_starts_no_run() {
    let course = run(FAILOVER, |_, world| world.clock = Arc::new(Coarse(world.clock.clone())));
    assert_refused(&course, "calibration", "pause");
}

#[test]
fn a_world_that_lacks_a_region_or_a_vantage_starts_no_run() {
    let course = run(FAILOVER, |_, world| drop(world.regions.remove("west")));
    assert_refused(&course, "regions", "no region west: it has east");
    let course = run(FAILOVER, |_, world| drop(world.vantages.remove("outside")));
    assert_refused(&course, "vantages", "no vantage outside");
}

#[test]
fn a_plan_that_touches_what_lies_out_of_its_scope_starts_no_run() {
    let course = run(FAILOVER, |rehearsal, _| rehearsal.plan.namespaces.clear());
    assert_refused(&course, "scope", "the plan touches");
}

#[test]
fn a_bug_of_ours_in_the_middle_of_a_run_is_healed_and_told() {
    let text =
        with_stage("    detect:\n      - {id: look, task: {role: web-oncall, text: look}, timeout: 1m}\n");
    let course = run(&text, |_, world| {
        world.people = Scripted::people(|_| panic!("planted"));
    });
    assert_eq!(course.finished.how, Ended::Crashed { why: "a bug in drillmaster: planted".to_owned() });
    assert_eq!(course.finished.outstanding, vec![], "nothing was promoted, so all is as before");
    assert_eq!(course.exit_code(), exit::BUG);
    assert!(matches!(course.events().last().unwrap().what, What::RunEnded { how: Ended::Crashed { .. } }));
}

#[test]
fn a_bug_of_ours_while_healing_leaves_a_list_and_the_next_heal_mends_it() {
    let inputs = drill(&with_stage(
        "    detect:\n      - {id: look, task: {role: web-oncall, text: look}, timeout: 1m}\n",
    ));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let before = stores(&rehearsal);
        let gate = Gate::new(|_, request| {
            assert_ne!(request.method(), http::Method::DELETE, "planted");
            Fate::Passes
        });
        let mut world = gate.before(rehearsal.sandbox.world());
        world.people = Scripted::people(|_| panic!("planted"));
        let pen = Pen::new(laboratory::Death::Never);
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let finished =
            engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
        assert!(matches!(finished.how, Ended::Crashed { .. }), "{finished:?}");
        assert_eq!(exit::of_run(&finished, Overall::Inconclusive), exit::NOT_HEALED);
        assert!(finished.outstanding[0].what.contains("lose-east"), "{finished:?}");
        let healed = heal(rehearsal.sandbox.world(), &pen).await;
        assert_eq!(healed.outstanding, vec![]);
        assert_put_back(&rehearsal, &before, &healed, "healed").await;
    });
}

#[test]
fn who_promises_a_longer_recovery_is_waited_for_as_long() {
    for (promised, waited) in [(60, "15m"), (1200, "20m")] {
        let course = run(FAILOVER, |rehearsal, world| {
            for objective in &mut rehearsal.plan.objectives {
                objective.target = objective.target.map(|_| Duration::from_secs(promised));
            }
            decides(Decision::Skip { reason: "nobody can".to_owned() })(rehearsal, world);
        });
        let late = format!("not all services were restored within {waited}");
        let told = course.count(|what| {
            matches!(what, What::Observed { what, outcome, .. } if what == "restored" && outcome.why() == Some(late.as_str()))
        });
        assert_eq!(told, 1, "{waited}");
    }
}

#[test]
fn a_side_that_cannot_step_down_says_why_before_its_command_is_cut() {
    let resync = "      - {id: resync-east, recover: {resync: {region: east, workload: statefulset/ledger, namespace: shop}}}\n";
    assert!(FAILOVER.contains(resync));
    let course = run(&FAILOVER.replace(resync, ""), unchanged);
    let why = |what: &What| matches!(what, What::Held { step, why } if step.as_str() == "west-steps-down" && why.contains("it stays primary"));
    assert!(course.count(why) > 0, "{:?}", course.outcome("west-steps-down"));
}

/// The drill with a check of what was written, after the failover.
fn checked() -> String {
    let check = "    verify:\n      - {id: nothing-lost, check: {ledger: {}}, timeout: 5m}\n";
    FAILOVER.replace("    failback:\n", &format!("{check}    failback:\n"))
}

/// Somebody writes the run's own first record to the side that takes over, for ever.
async fn write_again_and_again(world: World, run: String) {
    let outside = Vantage::from("outside");
    let net = world.vantages[&outside].clone();
    loop {
        let ask = write(&run, &outside, "west", 1);
        drop(exchange(net.as_ref(), world.clock.as_ref(), &ask, Some(Duration::from_millis(500))).await);
        seconds(1).await;
    }
}

#[test]
fn the_guard_of_the_scope_looks_at_what_a_fence_touches_and_at_the_clusters_own_objects() {
    let inputs = drill(FAILOVER);
    let plan = in_virtual_time(async { Rehearsal::prepare(&inputs, 7, 0).await.unwrap().plan });
    let scope = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        plan.blast_radius.clear();
        change(&mut plan);
        let asked = guard::check(&plan, &guard::Facts::default());
        asked.into_iter().find(|(name, _)| name.as_str() == "scope").unwrap().1
    };
    let touched = |plural: &str| Touched {
        step: "lose-east".into(),
        region: "east".into(),
        namespace: None,
        plural: plural.into(),
        names: vec!["x".into()],
    };
    assert_eq!(scope(&|_| {}), Outcome::Ok);
    assert_eq!(scope(&|plan| plan.blast_radius.push(touched("nodes"))), Outcome::Ok, "faults name them");
    let cluster_wide = scope(&|plan| plan.blast_radius.push(touched("clusterroles")));
    assert!(cluster_wide.why().is_some_and(|why| why.contains("touches clusterroles")), "{cluster_wide:?}");
    let fenced = scope(&|plan| plan.namespaces.clear());
    assert!(fenced.why().is_some_and(|why| why.contains("in shop")), "{fenced:?}");
    for side in [0, 1] {
        let elsewhere = scope(&|plan| {
            plan.authorities[0].sides[side].fence.at.namespace = Some("elsewhere".into());
        });
        assert!(elsewhere.why().is_some_and(|why| why.contains("in elsewhere")), "{side}: {elsewhere:?}");
    }
}
