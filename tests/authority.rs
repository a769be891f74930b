//! Who may promote, and what counts as promoted (I5): a promotion beside a side that may take writes is held, and a step that can have
//! promoted nothing moves nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod laboratory;

use std::sync::{Arc, Mutex};

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::model::event::{Decision, Ended, Event, What};
use drillmaster::world::{About, World};
use laboratory::{
    Death, Fate, Gate, Pen, Scripted, assert_no_two_accepted, assert_put_back, drill, in_virtual_time,
    ledger_status, never_interrupted, nobody_watches, seconds, stores, write_everywhere,
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
    let look = "    detect:\n      - {id: look, wait: {duration: 2m}}\n    failover:\n";
    let isolate = FAILOVER.replace("    failover:\n", look);
    let scale = isolate.replace(
        "{isolate: {namespaces: [shop]}}",
        "{scale: {workload: statefulset/ledger, namespace: shop, replicas: 0}}",
    );
    // Where east's API is down, the fault's probe tells that the fault is gone, and nobody that east steps back.
    for (text, (method, path, body), down, because) in [
        (&isolate, ("DELETE", POLICY, ""), false, "takes the writes, and no fault cuts it off"),
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
