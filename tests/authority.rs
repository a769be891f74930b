//! Who may promote, and what counts as promoted (I5): a promotion beside a side that may take writes is held, and a step that can have
//! promoted nothing moves nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod laboratory;

use std::sync::{Arc, Mutex};

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::model::effect::Of;
use drillmaster::model::event::{Decision, Ended, Event, Outcome, What};
use drillmaster::world::{About, World};
use laboratory::{
    Death, Fate, Gate, Pen, Scripted, assert_no_two_accepted, assert_put_back, by_hand, drill,
    drill_of_three_regions, in_virtual_time, ledger_status, never_interrupted, nobody_watches, seconds,
    stores, write_everywhere,
};

/// The failover of the shop with fewer minutes, fewer probes and no people.
const FAILOVER: &str = include_str!("laboratory/failover.yaml");

/// A planned switchover with fewer minutes and probes.
const SWITCHOVER: &str = include_str!("laboratory/switchover.yaml");

/// A run to its end in a world that a test has changed, and its events.
async fn run(rehearsal: &Rehearsal, world: World, pen: Arc<Mutex<Pen>>) -> (Finished, Vec<Event>) {
    let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
    let finished = engine::run(world, plan, head, pen.clone(), nobody_watches(), never_interrupted()).await;
    let events = pen.lock().unwrap().memory.events().to_vec();
    (finished, events)
}

/// Whoever decides about a held step answers so after a minute.
fn decides(world: &mut World, decision: Decision) {
    world.people = Scripted::people(move |question| match question.about {
        About::Hold { .. } => Some((60, Some(decision.clone()))),
        About::Acknowledge | About::Declare | About::Task => None,
    });
}

/// A world in which a region's API server refuses everything from when a step has started.
fn refuses_from(world: World, pen: &Arc<Mutex<Pen>>, refuses: &'static str, from: &'static str) -> World {
    let pen = pen.clone();
    let started = move || {
        let started =
            |event: &Event| matches!(&event.what, What::StepStarted { step } if step.as_str() == from);
        pen.lock().unwrap().memory.events().iter().any(started)
    };
    Gate::new(move |region, _| if region == refuses && started() { Fate::Refused } else { Fate::Passes })
        .before(world)
}

fn held_because(events: &[Event], id: &str, because: &str) -> bool {
    let held = |what: &What| matches!(what, What::Held { step, why } if step.as_str() == id && why.contains(because));
    events.iter().any(|event| held(&event.what))
}

/// Whether a step did anything to the world.
fn did(events: &[Event], id: &str) -> bool {
    let intended = |what: &What| matches!(what, What::EffectIntended { step, .. } if step.as_str() == id);
    events.iter().any(|event| intended(&event.what))
}

/// Sends a request to a region's API server by hand.
async fn sends(rehearsal: &Rehearsal, region: &str, method: &str, path: &str, body: &str) {
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/merge-patch+json");
    let world = rehearsal.sandbox.world();
    let request = request.body(body.as_bytes().to_vec()).unwrap();
    world.regions[region].request::<serde_json::Value>(request).await.unwrap();
}

#[test]
fn a_promotion_is_held_where_somebody_reverted_the_fault_before_it() {
    const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/drillmaster-lose-east";
    const LEDGER: &str = "/apis/apps/v1/namespaces/shop/statefulsets/ledger";
    const OPEN: &str = r#"{"spec": {"ingress": [{}], "egress": [{}]}}"#;
    let look = "    detect:\n      - {id: look, wait: {duration: 2m}}\n    failover:\n";
    let isolate = FAILOVER.replace("    failover:\n", look);
    let scale = isolate.replace(
        "{isolate: {namespaces: [shop]}}",
        "{scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}}",
    );
    // Where east's API is down, the fault's probe tells that the fault is gone, and nobody that east steps back.
    for (text, (method, path, body), down, because) in [
        (&isolate, ("DELETE", POLICY, ""), false, "takes the writes, and no fault cuts it off"),
        (&isolate, ("PATCH", POLICY, OPEN), false, "takes the writes, and no fault cuts it off"),
        (&scale, ("PATCH", LEDGER, r#"{"spec": {"replicas": 1}}"#), false, "takes the writes, and no fault"),
        (&isolate, ("DELETE", POLICY, ""), true, "no fault cuts it off, and it cannot be asked"),
    ] {
        let inputs = drill(text);
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let pen = Pen::new(Death::Never);
            let mut world = rehearsal.sandbox.world();
            if down {
                world = refuses_from(world, &pen, "east", "promote-west");
            }
            decides(&mut world, Decision::Return);
            let reverts = async {
                seconds(60).await;
                sends(&rehearsal, "east", method, path, body).await;
            };
            let ((finished, events), ()) = tokio::join!(run(&rehearsal, world, pen), reverts);
            assert!(held_because(&events, "promote-west", because), "{because}: {events:#?}");
            assert!(!did(&events, "promote-west"));
            assert_eq!(ledger_status(&rehearsal, "west").await["role"], "replica", "{finished:?}");
            assert_eq!(ledger_status(&rehearsal, "east").await["role"], "primary", "{finished:?}");
        });
    }
}

#[test]
fn a_promotion_goes_on_where_the_lost_sides_api_is_down_and_the_probe_still_shows_the_fault() {
    let inputs = drill(FAILOVER);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::Never);
        let mut world = refuses_from(rehearsal.sandbox.world(), &pen, "east", "promote-west");
        decides(&mut world, Decision::Return);
        let (_, events) = run(&rehearsal, world, pen).await;
        assert!(!held_because(&events, "promote-west", ""));
        assert_eq!(ledger_status(&rehearsal, "west").await["role"], "primary");
    });
}

#[test]
fn a_promotion_beside_a_side_that_cannot_be_asked_and_that_no_fault_cuts_off_is_held() {
    let skip = Decision::Skip { reason: "not today".to_owned() };
    for (text, down, from, promotes, decision) in [
        (SWITCHOVER, "east", "east-steps-down", "promote-west", &skip),
        (SWITCHOVER, "east", "east-steps-down", "promote-west", &Decision::Done),
        (FAILOVER, "west", "west-steps-down", "promote-east", &skip),
        (FAILOVER, "west", "west-steps-down", "promote-east", &Decision::Done),
    ] {
        let inputs = drill(text);
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let (truth, pen) = (rehearsal.sandbox.truth(), Pen::new(Death::Never));
            let writers = write_everywhere(&rehearsal.sandbox.world());
            let mut world = refuses_from(rehearsal.sandbox.world(), &pen, down, from);
            decides(&mut world, decision.clone());
            let (_, events) = run(&rehearsal, world, pen).await;
            seconds(10).await;
            drop(writers);
            assert!(held_because(&events, promotes, "may take the writes"), "{promotes}, {decision:?}");
            assert!(!did(&events, promotes), "{promotes}, {decision:?}");
            assert_no_two_accepted(&truth.ledgers(), promotes);
        });
    }
}

#[test]
fn a_promotion_that_only_asked_moves_nothing_and_the_lost_side_goes_on() {
    let inputs = drill(FAILOVER);
    for decision in [Decision::Retry, Decision::Return] {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let (before, pen) = (stores(&rehearsal), Pen::new(Death::Never));
            let mut world = refuses_from(rehearsal.sandbox.world(), &pen, "west", "promote-west");
            decides(&mut world, decision.clone());
            let (finished, events) = run(&rehearsal, world, pen).await;
            assert!(held_because(&events, "promote-west", "") && !did(&events, "promote-west"));
            let turned = matches!(&finished.how, Ended::Aborted { why } if why == "turned back before anything was promoted");
            assert_eq!(turned, decision == Decision::Return, "{finished:?}");
            assert!(!did(&events, "fence-east"), "no failback is gone through");
            assert_put_back(&rehearsal, &before, &finished, &format!("{decision:?}")).await;
            assert_eq!(ledger_status(&rehearsal, "east").await["role"], "primary", "{finished:?}");
        });
    }
}

#[test]
fn a_promotion_that_a_person_only_said_was_done_moves_nothing_once_the_side_itself_can_say_so() {
    let inputs = drill(FAILOVER);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (before, clock) = (stores(&rehearsal), rehearsal.sandbox.world().clock);
        let early = move || clock.now().0 < 60_000_000_000;
        let gate = Gate::new(
            move |region, _| if region == "west" && early() { Fate::Refused } else { Fate::Passes },
        );
        let mut world = gate.before(rehearsal.sandbox.world());
        decides(&mut world, Decision::Done);
        let (finished, events) = run(&rehearsal, world, Pen::new(Death::Never)).await;
        assert!(held_because(&events, "promote-west", "") && !did(&events, "promote-west"));
        assert!(did(&events, "fence-east"), "the failback went as far as it could");
        assert_put_back(&rehearsal, &before, &finished, &format!("{finished:?}")).await;
        assert_eq!(ledger_status(&rehearsal, "east").await["role"], "primary", "{finished:?}");
    });
}

#[test]
fn only_a_side_whose_record_says_so_is_said_to_serve_the_writes() {
    let inputs = drill(FAILOVER);
    let (serves, perhaps) = ("it serves the writes now", "look before you unfence");
    for (refuses, said, unsaid) in [("west", perhaps, serves), ("nobody", serves, perhaps)] {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            let pen = Pen::new(Death::Never);
            let mut world = refuses_from(rehearsal.sandbox.world(), &pen, refuses, "traffic-west");
            // The switch of the traffic never ends, and so neither does the failover.
            world.people = Scripted::people(|_| None);
            let gate = Gate::new(|_, request| {
                if request.uri().path().contains("dnsendpoints") { Fate::Refused } else { Fate::Passes }
            });
            let (finished, events) = run(&rehearsal, gate.before(world), pen).await;
            assert!(did(&events, "promote-west"));
            let advised = |advice: &str| finished.outstanding.iter().any(|left| left.advice.contains(advice));
            assert!(advised(said) && !advised(unsaid), "{finished:?}");
            assert_eq!(ledger_status(&rehearsal, "east").await["role"], "fenced", "{finished:?}");
        });
    }
}

#[test]
fn what_an_api_server_says_is_told_in_its_own_words() {
    let scale = FAILOVER.replace(
        "{isolate: {namespaces: [shop]}}",
        "{scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}}",
    );
    let assert_words = |told: &str, words: &str| {
        assert!(told.contains(words), "{told}");
        assert!(!told.contains("ApiError") && !told.contains("Status {"), "{told}");
    };
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&drill(&scale), 7, 0).await.unwrap();
        let gate = Gate::new(|_, request| match *request.method() == http::Method::PATCH {
            true => Fate::AnsweredBadly,
            false => Fate::Passes,
        });
        let world = gate.before(rehearsal.sandbox.world());
        let (finished, _) = run(&rehearsal, world, Pen::new(Death::Never)).await;
        let Ended::Aborted { why } = &finished.how else { panic!("{finished:?}") };
        assert_words(why, "did not say what it did: etcdserver: request timed out");
    });
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&drill(FAILOVER), 7, 0).await.unwrap();
        let pen = Pen::new(Death::Never);
        let mut world = refuses_from(rehearsal.sandbox.world(), &pen, "east", "fence-east");
        world.people = Scripted::people(|_| None);
        let (finished, _) = run(&rehearsal, world, pen).await;
        let told: Vec<&str> = finished.outstanding.iter().map(|left| left.what.as_str()).collect();
        assert_words(
            &told.join("; "),
            "could not be fenced: `drillmaster ledger status` in east: pods/ledger-0 in shop: the API server would not run it: you may not",
        );
    });
}

#[test]
fn a_side_that_was_primary_before_the_run_was_not_promoted_by_it() {
    let text = FAILOVER.split("    failback:").next().unwrap();
    let text = text.replace("lost: east, takesOver: west", "lost: west, takesOver: east");
    let text = text
        .replace("      - {id: traffic-west, recover: {dnsSwitch: {record: checkout.shop.example}}}\n", "");
    let inputs = drill(&text.replace("checkout.east", "checkout.west"));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let before = stores(&rehearsal);
        let (finished, events) = run(&rehearsal, rehearsal.sandbox.world(), Pen::new(Death::Never)).await;
        assert!(did(&events, "promote-west"), "{events:#?}");
        assert_eq!((finished.how.clone(), finished.outstanding.clone()), (Ended::Completed, vec![]));
        assert_put_back(&rehearsal, &before, &finished, "nothing moved").await;
    });
}

/// How often a side was fenced by a reverter.
fn fences(events: &[Event]) -> usize {
    let fenced = |what: &What| matches!(what, What::EffectIntended { step, effect, .. } if effect.of == Of::Fence && step.as_str() == "engine");
    events.iter().filter(|event| fenced(&event.what)).count()
}

/// The databases as they are by now.
async fn roles<const N: usize>(rehearsal: &Rehearsal, regions: [&str; N]) -> [String; N] {
    let mut roles = regions.map(str::to_owned);
    for role in &mut roles {
        *role = ledger_status(rehearsal, role).await["role"].as_str().unwrap().to_owned();
    }
    roles
}

/// Runs a text of a drill to its end in a world that a test has changed.
fn rehearsed<T>(
    text: &str,
    change: impl FnOnce(&mut World, &Arc<Mutex<Pen>>),
    judge: impl AsyncFnOnce(&Rehearsal, Finished, Vec<Event>) -> T,
) -> T {
    let inputs = drill(text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let (mut world, pen) = (rehearsal.sandbox.world(), Pen::new(Death::Never));
        change(&mut world, &pen);
        let (finished, events) = run(&rehearsal, world, pen).await;
        judge(&rehearsal, finished, events).await
    })
}

const PROMOTE_WEST: &str =
    "      - {id: promote-west, recover: {promote: {workload: statefulset/ledger, namespace: shop}}}\n";
const PROMOTE_IN_PLACE: &str = "      - {id: in-place, recover: {promote: {region: east, workload: statefulset/ledger, namespace: shop}}}\n";

#[test]
fn the_side_promoted_last_has_the_writes_whatever_was_promoted_in_its_place_before() {
    let text = FAILOVER.replace(PROMOTE_WEST, &format!("{PROMOTE_IN_PLACE}{PROMOTE_WEST}"));
    let text = text.replace("maxDuration: 1h", "maxDuration: 2h");
    let (there, _) = text.split_once("    failback:\n").unwrap();
    // At the end of the run, and in the middle of one whose own fence nobody set.
    for (text, unfenced) in [(there.to_owned(), false), (text.clone(), true)] {
        rehearsed(
            &text,
            |world, _| {
                if unfenced {
                    decides(world, Decision::Skip { reason: "not today".to_owned() });
                    let first = Mutex::new(0);
                    *world = Gate::new(move |region, request| {
                        let fences =
                            request.uri().query().is_some_and(|query| query.contains("command=fence"));
                        let mut first = first.lock().unwrap();
                        *first += u32::from(fences && region == "east");
                        if fences && *first == 1 { Fate::Refused } else { Fate::Passes }
                    })
                    .before(world.clone());
                }
            },
            async |rehearsal, finished, events| {
                assert!(did(&events, "in-place") && did(&events, "promote-west"));
                if unfenced {
                    let east_back = |what: &What| matches!(what, What::StepEnded { step, outcome: Outcome::Ok } if step.as_str() == "east-back");
                    assert!(events.iter().any(|event| east_back(&event.what)), "{finished:?}");
                    assert!(held_because(&events, "fence-east", ""));
                } else {
                    assert_eq!(
                        roles(rehearsal, ["east", "west"]).await,
                        ["fenced", "primary"],
                        "{finished:?}"
                    );
                    let told = finished
                        .outstanding
                        .iter()
                        .any(|left| left.advice.contains("it serves the writes now"));
                    assert!(told, "{finished:?}");
                }
                assert_eq!(fences(&events), 1, "{finished:?}");
            },
        );
    }
}

#[test]
fn a_short_disturbance_of_the_standby_after_a_whole_failback_fences_nobody() {
    for (lasts, fate) in [(5, Fate::Unavailable), (3600, Fate::Refused)] {
        rehearsed(
            FAILOVER,
            |world, pen| {
                let (pen, clock) = (pen.clone(), world.clock.clone());
                let ended = move || {
                    let pen = pen.lock().unwrap();
                    let mut events = pen.memory.events().iter();
                    let healing = events.find(|event| matches!(event.what, What::HealStarted { .. }));
                    healing.is_some_and(|event| clock.now().since(event.at).as_secs() < lasts)
                };
                let down = move |region: &str, _: &_| {
                    if region == "west" && ended() { fate } else { Fate::Passes }
                };
                *world = Gate::new(down).before(world.clone());
            },
            async |rehearsal, finished, events| {
                assert!(did(&events, "promote-east"));
                assert_eq!(fences(&events), 0, "{finished:?}");
                assert_eq!(finished.outstanding.is_empty(), fate == Fate::Unavailable, "{finished:?}");
                assert_eq!(roles(rehearsal, ["east", "west"]).await, ["primary", "replica"]);
            },
        );
    }
}

#[test]
fn a_promotion_is_held_where_only_a_probe_of_something_else_still_fails() {
    const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/drillmaster-lose-east";
    const STOREFRONT: &str = "/apis/apps/v1/namespaces/shop/deployments/storefront";
    let look = "    detect:\n      - {id: look, wait: {duration: 2m}}\n    failover:\n";
    let text = FAILOVER.replace("    failover:\n", look);
    let text = text.replace("http://checkout.east.shop.example/", "http://storefront.east.shop.example/");
    let inputs = drill(&text);
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let pen = Pen::new(Death::Never);
        let mut world = refuses_from(rehearsal.sandbox.world(), &pen, "east", "promote-west");
        decides(&mut world, Decision::Return);
        let reverts = async {
            seconds(60).await;
            sends(&rehearsal, "east", "PATCH", STOREFRONT, r#"{"spec": {"replicas": 0}}"#).await;
            sends(&rehearsal, "east", "DELETE", POLICY, "").await;
        };
        let ((finished, events), ()) = tokio::join!(run(&rehearsal, world, pen), reverts);
        assert!(held_because(&events, "promote-west", "it cannot be asked"), "{finished:?}");
        assert_eq!(roles(&rehearsal, ["east", "west"]).await, ["primary", "replica"]);
    });
}

#[test]
fn a_side_that_took_over_by_itself_is_asked_before_its_fault_goes() {
    let (inject, failover) = FAILOVER.split_once("    failover:\n").unwrap();
    let look = "    detect:\n      - {id: look, wait: {duration: 4m}, timeout: 1m, onTimeout: abort}\n    failover:\n";
    let inputs = drill(&format!("{inject}{look}{failover}"));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let truth = rehearsal.sandbox.truth();
        let writers = write_everywhere(&rehearsal.sandbox.world());
        let by_itself = async {
            seconds(40).await;
            by_hand(&rehearsal, "west", "ledger-0", "promote").await;
        };
        let pen = Pen::new(Death::Never);
        let ((finished, events), ()) =
            tokio::join!(run(&rehearsal, rehearsal.sandbox.world(), pen), by_itself);
        seconds(10).await;
        drop(writers);
        assert!(!did(&events, "promote-west"));
        assert_eq!(roles(&rehearsal, ["east", "west"]).await, ["fenced", "primary"], "{finished:?}");
        assert!(
            finished.outstanding.iter().any(|left| left.what.contains("was given to west")),
            "{finished:?}"
        );
        assert!(stores(&rehearsal).keys().all(|key| !key.contains("networkpolicies")));
        assert_no_two_accepted(&truth.ledgers(), "by itself");
    });
}

#[test]
fn a_way_back_from_what_people_promoted_is_kept_when_the_run_ends() {
    let (before, failback) = SWITCHOVER.split_once("    failback:\n").unwrap();
    let (before, _) = before.split_once("    failover:\n").unwrap();
    let inputs = drill(&format!(
        "{before}    operate:\n      - {{id: people, wait: {{duration: 2m}}}}\n    failback:\n{failback}"
    ));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let people = async {
            seconds(40).await;
            assert_eq!(by_hand(&rehearsal, "east", "ledger-0", "demote").await["role"], "replica");
            assert_eq!(by_hand(&rehearsal, "west", "ledger-0", "promote").await["role"], "primary");
        };
        let pen = Pen::new(Death::Never);
        let ((finished, events), ()) = tokio::join!(run(&rehearsal, rehearsal.sandbox.world(), pen), people);
        assert!(did(&events, "promote-east"), "{finished:?}");
        assert_eq!(roles(&rehearsal, ["east", "west"]).await, ["primary", "replica"], "{finished:?}");
        assert!(finished.outstanding.is_empty(), "{finished:?}");
    });
}

#[test]
fn a_recovery_that_opens_what_cut_a_side_off_fences_that_side_first() {
    let open = "    operate:
      - id: open-east
        recover:
          patch:
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            plural: networkpolicies
            region: east
            namespace: shop
            name: drillmaster-lose-east
            merge: {spec: {ingress: [{}], egress: [{}]}}
    failback:
";
    let inputs =
        drill(&FAILOVER.replace("    failback:\n", open).replace("maxDuration: 1h", "maxDuration: 2h"));
    in_virtual_time(async {
        let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
        let truth = rehearsal.sandbox.truth();
        let writers = write_everywhere(&rehearsal.sandbox.world());
        let (finished, events) = run(&rehearsal, rehearsal.sandbox.world(), Pen::new(Death::Never)).await;
        drop(writers);
        assert!(did(&events, "open-east"), "{finished:?}");
        assert_eq!(fences(&events), 1);
        assert_no_two_accepted(&truth.ledgers(), "opened");
    });
}

#[test]
fn a_side_that_was_scaled_away_is_not_started_beside_the_one_that_took_over() {
    let start = "    failback:
      - id: start-east
        recover: {scale: {region: east, workload: statefulset/ledger, namespace: shop, replicas: 1}}
";
    let text = FAILOVER.replace("    failback:\n", start).replace("maxDuration: 1h", "maxDuration: 2h");
    let text = text.replace(
        "{isolate: {namespaces: [shop]}}",
        "{scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}}",
    );
    rehearsed(
        &text,
        |world, _| decides(world, Decision::Skip { reason: "not today".to_owned() }),
        async |rehearsal, finished, events| {
            assert!(held_because(&events, "start-east", "could not be fenced"), "{finished:?}");
            assert!(!did(&events, "start-east"));
            assert_eq!(ledger_status(rehearsal, "west").await["role"], "primary");
            let pods = stores(rehearsal).into_keys().filter(|key| key.contains("east pods/ledger-0"));
            assert_eq!(pods.count(), 0);
            assert!(
                finished.outstanding.iter().any(|left| left.advice.contains("where it has no pods")),
                "{finished:?}"
            );
        },
    );
}

#[test]
fn a_promotion_in_its_place_leaves_all_as_it_was() {
    let (inject, _) = FAILOVER.split_once("    failover:\n").unwrap();
    let fence = "      - {id: fence-east, recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}}\n";
    let text = format!("{inject}    failover:\n{fence}{PROMOTE_IN_PLACE}");
    rehearsed(
        &text,
        |_, _| {},
        async |rehearsal, finished, events| {
            assert!(did(&events, "fence-east") && did(&events, "in-place"));
            assert_eq!(finished.outstanding, vec![]);
            assert_eq!(roles(rehearsal, ["east", "west"]).await, ["primary", "replica"]);
        },
    );
}

#[test]
fn a_promotion_looks_at_every_region_of_the_world_and_one_without_the_workload_is_no_side() {
    const SOUTH: &str = "/apis/apps/v1/namespaces/shop/statefulsets/ledger";
    let text = FAILOVER.replace("sandbox: shop-two-regions", "sandbox: three-regions");
    let text = text.replace("catalogue: shop\n", "catalogue: orders\n").replace("checkout", "orders");
    let text = text.replace("orders-postgres", "orders-ledger");
    let (there, _) = text.split_once("    failback:\n").unwrap();
    for there_is_a_third in [true, false] {
        let inputs = drill_of_three_regions(there);
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 7, 0).await.unwrap();
            if !there_is_a_third {
                sends(&rehearsal, "south", "DELETE", SOUTH, "").await;
                seconds(120).await;
            }
            let mut world = rehearsal.sandbox.world();
            decides(&mut world, Decision::Return);
            let (finished, events) = run(&rehearsal, world, Pen::new(Death::Never)).await;
            let held = held_because(&events, "promote-west", "south: pods/ledger-0 in shop takes the writes");
            assert_eq!(held, there_is_a_third, "{finished:?}");
            assert_eq!(did(&events, "promote-west"), !there_is_a_third, "{finished:?}");
        });
    }
}
