//! The way home: users come back before what served them goes, and only to a side that serves them, whatever was done in which order.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::journal::Memory;
use drillmaster::measure::measure;
use drillmaster::model::effect::EffectId;
use drillmaster::model::event::{Event, Outcome, What};
use drillmaster::model::target::{ObjectiveKind, Verdict};
use drillmaster::model::time::At;
use drillmaster::verdict::judge;
use laboratory::{
    Death, Fate, Gate, Pen, drill, drill_of_three_regions, heal, in_virtual_time, never_interrupted,
    nobody_watches, run_until_death, seconds, stores, written,
};

const FAILOVER: &str = include_str!("laboratory/failover.yaml");

const TRAFFIC: &str = "      - {id: traffic-west, recover: {dnsSwitch: {record: payments.shop.example}}}\n";
const MORE: &str = "      - {id: more-west, recover: {scale: {workload: deployment/payments, namespace: shop, replicas: 4}}}\n";
const EMPTY: &str = "      - {id: empty-east, recover: {scale: {region: east, workload: deployment/payments, namespace: shop, replicas: 0}}}\n";

/// How long a resolver keeps the record of the payments, and ExternalDNS takes to publish a change.
const TTL_SECONDS: u64 = 60;
const SYNC_SECONDS: u64 = 5;

/// The payments go to west by these steps, and stay there for some minutes.
fn payments(failover: &str) -> String {
    let text = FAILOVER.replace("http://checkout.", "http://payments.");
    let (before, rest) = text.split_once("  workload:\n").unwrap();
    let (_, rest) = rest.split_once("  steadyState:").unwrap();
    let (inject, _) = rest.split_once("    failover:\n").unwrap();
    format!(
        "{before}  steadyState:{inject}    failover:\n{failover}    operate:\n      - {{id: hold, wait: {{duration: 3m}}}}\n"
    )
}

/// The same without a fault.
fn planned(failover: &str) -> String {
    let text = payments(failover);
    let (before, rest) = text.split_once("    inject:\n").unwrap();
    let (_, after) = rest.split_once("    failover:\n").unwrap();
    format!("{before}    failover:\n{after}")
}

struct Course {
    finished: Finished,
    memory: Memory,
}

impl Course {
    fn at(&self, wanted: impl Fn(&What) -> bool) -> Option<At> {
        self.memory.events().iter().find(|event| wanted(&event.what)).map(|event| event.at)
    }

    fn undo_of(&self, step: &str) -> EffectId {
        let of = |what: &What| match what {
            What::EffectIntended { step: of, effect, .. } if of.as_str() == step => Some(effect.id),
            _ => None,
        };
        self.memory.events().iter().find_map(|event| of(&event.what)).unwrap()
    }

    fn began_to_undo(&self, step: &str) -> Option<At> {
        let id = self.undo_of(step);
        self.at(|what| matches!(what, What::UndoStarted { effect, .. } if *effect == id))
    }

    fn undone(&self, step: &str) -> Option<At> {
        let id = self.undo_of(step);
        self.at(|what| matches!(what, What::UndoEnded { effect, outcome: Outcome::Ok, .. } if *effect == id))
    }

    fn healthy(&self) -> Option<At> {
        self.at(|what| matches!(what, What::Observed { what, outcome: Outcome::Ok, .. } if what == "healthy:east"))
    }
}

fn run(text: &str, hand: impl AsyncFn(&Rehearsal)) -> Course {
    run_behind(text, Gate::new(|_, _| Fate::Passes), hand)
}

fn run_behind(text: &str, gate: Gate, hand: impl AsyncFn(&Rehearsal)) -> Course {
    let inputs = drill(text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (plan, head, pen) = (rehearsal.plan.clone(), rehearsal.head.clone(), Pen::new(Death::Never));
        let world = gate.before(rehearsal.sandbox.world());
        let running = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted());
        let (finished, ()) = tokio::join!(running, hand(&rehearsal));
        drop(rehearsal);
        let memory = std::mem::take(&mut pen.lock().unwrap().memory);
        Course { finished, memory }
    })
}

#[test]
fn the_standby_shrinks_only_when_no_resolver_leads_its_users_there_any_more() {
    for steps in [[MORE, TRAFFIC], [TRAFFIC, MORE]] {
        let course = run(&payments(&steps.concat()), async |_| {});
        assert_eq!(course.finished.outstanding, vec![]);
        let (back, shrinks) =
            (course.undone("traffic-west").unwrap(), course.began_to_undo("more-west").unwrap());
        assert!(shrinks >= back, "{steps:?}: the standby went first");
        let waited = shrinks.since(back).as_secs();
        assert!((TTL_SECONDS..=TTL_SECONDS + 3 * SYNC_SECONDS).contains(&waited), "{steps:?}: {waited} s");
    }
}

#[test]
fn whoever_heals_after_a_death_waits_for_the_resolvers_too() {
    let inputs = drill(&payments(&[MORE, TRAFFIC].concat()));
    let whole = run(&payments(&[MORE, TRAFFIC].concat()), async |_| {});
    let id = whole.undo_of("traffic-west");
    let events = whole.memory.events().iter().filter(|event| !matches!(event.what, What::Rows { .. }));
    let back = events
        .clone()
        .position(|event| matches!(&event.what, What::UndoEnded { effect, .. } if *effect == id));
    let published = events.clone().position(
        |event| matches!(&event.what, What::Observed { what, .. } if what.starts_with("published:")),
    );
    for (death, dead_for) in [(back.unwrap(), 0), (published.unwrap(), 0), (published.unwrap(), 20)] {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let before = written(&rehearsal);
            let pen = Pen::new(Death::After(death));
            assert_eq!(run_until_death(&rehearsal, &pen).await, None);
            seconds(dead_for).await;
            let healed = heal(rehearsal.sandbox.world(), &pen).await;
            assert_eq!(healed.outstanding, vec![]);
            assert_eq!(written(&rehearsal), before);
            let memory = std::mem::take(&mut pen.lock().unwrap().memory);
            let course = Course { finished: healed, memory };
            let (back, shrinks) = (course.undone("traffic-west").unwrap(), course.began_to_undo("more-west"));
            let waited = shrinks.unwrap().since(back).as_secs();
            assert!((TTL_SECONDS..=TTL_SECONDS + 30).contains(&waited), "{death}, {dead_for}: {waited} s");
        });
    }
}

#[test]
fn while_users_cannot_be_led_back_the_standby_stays() {
    let refuses = Gate::new({
        let mut patches = 0;
        move |region, request| {
            let dry = request.uri().query().is_some_and(|query| query.contains("dryRun"));
            let record = request.uri().path().contains("dnsendpoints/payments");
            let patches_it = region == "west" && record && !dry && request.method() == http::Method::PATCH;
            patches += u32::from(patches_it);
            if patches_it && patches > 1 { Fate::Refused } else { Fate::Passes }
        }
    });
    let course = run_behind(&payments(&[MORE, TRAFFIC].concat()), refuses, async |_| {});
    assert_eq!((course.undone("traffic-west"), course.began_to_undo("more-west")), (None, None));
    let told: Vec<&str> = course.finished.outstanding.iter().map(|left| left.advice.as_str()).collect();
    assert!(
        told.iter().any(|advice| advice.contains("what step traffic-west changed was not put back")),
        "{told:?}"
    );
}

#[test]
fn what_the_run_took_from_the_lost_side_is_back_and_well_before_its_users_are() {
    for text in [
        payments(&[TRAFFIC, EMPTY].concat()),
        payments(&[EMPTY, TRAFFIC].concat()),
        planned(&[TRAFFIC, EMPTY].concat()),
        planned(&[EMPTY, TRAFFIC].concat()),
    ] {
        let course = run(&text, async |_| {});
        assert_eq!(course.finished.outstanding, vec![], "{text}");
        let [back, healthy, users] =
            [course.undone("empty-east"), course.healthy(), course.began_to_undo("traffic-west")]
                .map(Option::unwrap);
        assert!(back < healthy && healthy <= users, "{text}: {back:?}, {healthy:?}, {users:?}");
    }
}

/// A merge patch of the payments in east, by somebody during the hold.
async fn scaled(rehearsal: &Rehearsal, replicas: u32) {
    seconds(150).await;
    let path = "/apis/apps/v1/namespaces/shop/deployments/payments";
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    let patch = format!(r#"{{"spec": {{"replicas": {replicas}}}}}"#);
    let request = request.body(patch.into_bytes()).unwrap();
    rehearsal.sandbox.world().regions["east"].request::<serde_json::Value>(request).await.unwrap();
}

#[test]
fn an_autoscaler_that_shrank_the_empty_side_keeps_nobody_away() {
    let course = run(&payments(TRAFFIC), async |rehearsal| scaled(rehearsal, 1).await);
    assert_eq!(course.finished.outstanding, vec![]);
    assert!(course.undone("traffic-west").is_some());
    let course = run(&payments(TRAFFIC), async |rehearsal| scaled(rehearsal, 0).await);
    assert!(
        course.finished.outstanding.iter().any(|left| left.advice.contains("wants 0 replicas and had 2"))
    );
    assert_eq!(course.undone("traffic-west"), None);
}

/// The storefront goes to west, and the payments stay where they are.
const ONE_OF_TWO: &str = r#"apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {name: storefront-moves}
spec:
  purpose: The storefront moves to west, and the payments stay.
  type: full
  sandbox: shop-two-regions
  catalogue: shop
  regions: {lost: east, takesOver: west}
  services: [storefront, payments]
  probes:
    - {id: storefront, service: storefront, every: 1s, timeout: 500ms, http: {url: "http://storefront.shop.example/"}}
    - {id: payments, service: payments, every: 500ms, timeout: 400ms, http: {url: "http://payments.shop.example/"}}
    - {id: east-direct, every: 1s, timeout: 500ms, http: {url: "http://storefront.east.shop.example/"}}
  steadyState: {for: 5s}
  limits: {maxDuration: 3h, namespaces: [shop]}
  stages:
    inject:
      - id: lose-storefront
        fault: {scale: {workload: deployment/storefront, namespace: shop, replicas: 0}}
        proof: {probe: east-direct, failsWithin: 1m, until: restored}
    failover:
      - {id: traffic-west, recover: {dnsSwitch: {record: storefront.shop.example}}}
    failback:
      - {id: storefront-back, removeFault: lose-storefront}
      - {id: traffic-east, recover: {dnsSwitch: {region: east, record: storefront.shop.example}}}
"#;

#[test]
fn a_service_that_stays_home_is_neither_waited_for_elsewhere_nor_judged_by_it() {
    let course = run(ONE_OF_TWO, async |_| {});
    assert_eq!(course.finished.outstanding, vec![]);
    let restored = course.memory.events().iter().filter_map(|event| match &event.what {
        What::Observed { what, outcome, .. } if what == "restored" => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(restored.collect::<Vec<_>>(), vec![Outcome::Ok, Outcome::Ok]);
    let evidence = course.memory.evidence();
    let judged = judge(&evidence, &measure(&evidence));
    let verdict = |service: &str, kind| {
        let objectives = judged.objectives.iter();
        let mut of = objectives.filter(|one| one.objective.service.as_str() == service);
        let one = of.find(|one| one.objective.kind == kind).unwrap();
        (one.verdict, one.why.clone())
    };
    assert_eq!(verdict("payments", ObjectiveKind::Rta).0, Verdict::Met, "{:?}", judged.objectives);
    assert_eq!(verdict("payments", ObjectiveKind::Failback).0, Verdict::Met, "{:?}", judged.objectives);
    assert_eq!(verdict("storefront", ObjectiveKind::Rta).0, Verdict::Missed, "its record lives ten minutes");
}

#[test]
fn only_a_service_that_no_step_moves_may_stay() {
    let moved = |text: &str| {
        let inputs = drill(text);
        in_virtual_time(async {
            let plan = Rehearsal::prepare(&inputs, 7, 0).await.unwrap().plan;
            let moved = plan.services.into_iter().filter(|service| service.moved);
            moved.map(|service| service.name.to_string()).collect::<Vec<_>>()
        })
    };
    assert_eq!(moved(ONE_OF_TWO), ["storefront"]);
    assert_eq!(moved(FAILOVER), ["checkout"], "its store is promoted, and its record switched");
    let both = ONE_OF_TWO.replace(
        "    failback:\n",
        "      - {id: payments-west, recover: {dnsSwitch: {record: Payments.shop.example.}}}\n    failback:\n",
    );
    assert_eq!(moved(&both), ["storefront", "payments"]);
    let patched = ONE_OF_TWO.replace(
        "    failback:\n",
        "      - {id: route-west, recover: {patch: {apiVersion: v1, kind: ConfigMap, namespace: shop, name: payments-config, merge: {data: {ROUTE: west}}}}}\n    failback:\n",
    );
    assert_eq!(moved(&patched), ["storefront", "payments"], "nobody knows what a patch is for");
    let by_itself = ONE_OF_TWO.replace(
        "dnsSwitch: {record: storefront.shop.example}",
        "scale: {workload: deployment/storefront, namespace: shop, replicas: 4}",
    );
    let by_itself = by_itself.replace(
        "      - {id: traffic-east, recover: {dnsSwitch: {region: east, record: storefront.shop.example}}}\n",
        "",
    );
    assert_eq!(moved(&by_itself), ["storefront", "payments"], "something else moves them");
}

/// Whether any event says that something of the run is still there.
fn kept(finished: &Finished) -> Vec<&str> {
    let what = finished.outstanding.iter().map(|left| left.what.as_str());
    what.filter(|what| what.contains("what the run wrote")).collect()
}

/// How many records of a run each side holds.
fn held(rehearsal: &Rehearsal, run: &str) -> Vec<(String, usize)> {
    let ledgers = rehearsal.sandbox.truth().ledgers();
    let of_run = |ledger: &drillmaster::sandbox::truth::LedgerTruth| {
        ledger.present.iter().filter(|taken| taken.run == run).count()
    };
    ledgers.iter().map(|ledger| (ledger.region.to_string(), of_run(ledger))).collect()
}

fn starts(events: &[Event], id: &str) -> usize {
    let mut events = events.iter().filter(|event| !matches!(event.what, What::Rows { .. }));
    events.position(|event| matches!(&event.what, What::StepStarted { step } if step.as_str() == id)).unwrap()
}

#[test]
fn what_a_dead_run_wrote_is_removed_by_its_healing_and_named_where_it_cannot_be() {
    let inputs = drill(FAILOVER);
    let events = run(FAILOVER, async |_| {}).memory.events().to_vec();
    for (step, nobody) in [("promote-west", false), ("resync-east", false), ("promote-east", true)] {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let (run, pen) = (rehearsal.head.run.to_string(), Pen::new(Death::After(starts(&events, step))));
            rehearsal.sandbox.truth();
            assert_eq!(run_until_death(&rehearsal, &pen).await, None);
            assert!(held(&rehearsal, &run).iter().any(|(_, records)| *records > 0), "it wrote nothing");
            let healed = heal(rehearsal.sandbox.world(), &pen).await;
            let still: Vec<_> = held(&rehearsal, &run);
            let removed = |what: &What| matches!(what, What::WritesRemoved { outcome: Outcome::Ok, .. });
            let proved = pen.lock().unwrap().memory.events().iter().any(|event| removed(&event.what));
            assert_eq!(proved, !nobody, "{step}: {still:?}, {healed:?}");
            match step {
                "promote-west" => {
                    assert_eq!(healed.outstanding, vec![]);
                    // The other side follows.
                    seconds(60).await;
                    let still = held(&rehearsal, &run);
                    assert!(still.iter().all(|(_, records)| *records == 0), "{still:?}");
                }
                "resync-east" => assert_eq!(
                    kept(&healed),
                    ["statefulset/ledger in shop in east may keep what the run wrote"]
                ),
                _ => assert!(kept(&healed)[0].contains("not shown to be removed"), "{healed:?}"),
            }
        });
    }
}

#[test]
fn a_run_without_a_failback_names_the_side_that_keeps_what_it_wrote() {
    let (there, _) = FAILOVER.split_once("    failback:\n").unwrap();
    let course = run(there, async |_| {});
    assert_eq!(kept(&course.finished), ["statefulset/ledger in shop in east may keep what the run wrote"]);
}

#[test]
fn a_record_is_found_in_a_region_that_the_drill_does_not_name() {
    let text = r#"apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {name: lost-record}
spec:
  purpose: The record of the orders is lost, and put right.
  type: full
  sandbox: three-regions
  catalogue: orders
  regions: {lost: east}
  services: [orders]
  probes:
    - {id: orders, service: orders, every: 1s, timeout: 500ms, http: {url: "http://orders.shop.example/"}}
  steadyState: {for: 5s}
  limits: {maxDuration: 1h, namespaces: [shop]}
  stages:
    inject:
      - id: lose-record
        fault: {dnsFailure: {record: orders.shop.example}}
        proof: {probe: orders, failsWithin: 2m, until: once}
"#;
    let inputs = drill_of_three_regions(text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let [touched] = rehearsal.plan.blast_radius.as_slice() else { unreachable!() };
        assert_eq!((touched.region.as_str(), touched.plural.as_str()), ("west", "dnsendpoints"));
        let (before, pen) = (stores(&rehearsal), Pen::new(Death::Never));
        let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
        let world = rehearsal.sandbox.world();
        let finished =
            engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
        assert_eq!(finished.outstanding, vec![]);
        assert!(stores(&rehearsal) == before, "not as before");
        let events = pen.lock().unwrap().memory.events().to_vec();
        let lost = |what: &What| matches!(what, What::StepEnded { step, outcome: Outcome::Ok } if step.as_str() == "lose-record");
        assert!(events.iter().any(|event| lost(&event.what)), "it took no effect");
    });
}
