//! Agents that a run makes for itself: there from before its first question until its last answer, and gone after it, whatever ends it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::io;
use std::sync::Arc;

use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::engine::{self, Finished};
use drillmaster::journal::Memory;
use drillmaster::model::effect::{Act, Of, Ref, Resource};
use drillmaster::model::event::{Ended, Event, Outcome, What};
use drillmaster::model::time::Duration;
use drillmaster::prober::agent::Agent;
use drillmaster::world::{Remote, Stream, World, watch};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use laboratory::{
    Death, Pen, drill, heal, in_virtual_time, never_interrupted, nobody_watches, run_in_until_death, seconds,
    stores,
};
use serde_json::{Value, json};

const FAILOVER: &str = include_str!("laboratory/failover.yaml");

const NAME: &str = "drillmaster-vantage-west";

/// An agent in a pod of west: it answers while the pod is ready.
struct InWest {
    pods: Api<Pod>,
    agent: Arc<Agent>,
    /// The nodes that may have it.
    nodes: Value,
}

impl Remote for InWest {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let pod = self.pods.get(NAME).await.map_err(io::Error::other)?;
            if self.nodes == forbidden() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "you may not"));
            }
            let ready = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            if !ready.into_iter().any(|one| one.type_ == "Ready" && one.status == "True") {
                return Err(io::Error::other("the pod is not ready"));
            }
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let agent = Arc::clone(&self.agent);
            tokio::spawn(async move { drop(agent.serve(Box::new(theirs)).await) });
            Ok(Box::new(ours) as Stream)
        })
    }

    fn makes(&self, _: Duration) -> Option<(Ref, Value)> {
        let at = Ref::new(&"west".into(), Resource::pods(), Some("default"), NAME);
        Some((at, pod(&self.nodes)))
    }
}

fn pod(nodes: &Value) -> Value {
    let container = json!({"name": "vantage", "image": "agent"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"containers": [container], "nodeSelector": nodes, "terminationGracePeriodSeconds": 7}})
}

/// A failover whose users are watched from west as well.
async fn rehearsal() -> Rehearsal {
    let watched = "service: checkout, every: 1s, timeout: 500ms, from: [outside, west],";
    let text = FAILOVER.replace("service: checkout, every: 1s, timeout: 500ms,", watched);
    assert_ne!(text, FAILOVER);
    Rehearsal::prepare(&drill(&text), 7, 0).await.unwrap()
}

/// The world of a rehearsal where west is seen by an agent that the run makes, on such nodes.
fn world(rehearsal: &Rehearsal, nodes: Value) -> World {
    let mut world = rehearsal.sandbox.world();
    let net = world.vantages.remove("west").unwrap();
    let client = world.regions["west"].clone();
    let agent = Arc::new(Agent::new("one".to_owned(), net, world.clock.clone()));
    let pods = Api::namespaced(client, "default");
    world.agents.insert("west".into(), Arc::new(InWest { pods, agent, nodes }));
    world
}

fn anywhere() -> Value {
    json!({})
}

/// Everywhere, but nobody may reach it.
fn forbidden() -> Value {
    json!({"kubernetes.io/os": "linux"})
}

fn nowhere() -> Value {
    json!({"is": "nowhere"})
}

async fn run(
    rehearsal: &Rehearsal,
    world: World,
    interrupted: watch::Receiver<bool>,
) -> (Finished, Vec<Event>) {
    let memory = Arc::new(std::sync::Mutex::new(Memory::default()));
    let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
    let finished = engine::run(world, plan, head, memory.clone(), nobody_watches(), interrupted).await;
    let events = memory.lock().unwrap().events().to_vec();
    (finished, events)
}

fn position(events: &[Event], is: impl Fn(&What) -> bool) -> usize {
    events.iter().position(|event| is(&event.what)).unwrap()
}

#[test]
fn an_agent_is_made_before_anything_is_measured_and_taken_away_after_all_is() {
    in_virtual_time(async {
        let rehearsal = rehearsal().await;
        let before = stores(&rehearsal);
        let (finished, events) = run(&rehearsal, world(&rehearsal, anywhere()), never_interrupted()).await;
        assert_eq!(finished, Finished { how: Ended::Completed, outstanding: vec![], journal: None });
        assert!(stores(&rehearsal) == before, "the run left something");
        let made = position(&events, |what| {
            matches!(what, What::EffectIntended { effect, .. }
                if effect.of == Of::Instrument && matches!(effect.act, Act::Create { .. }))
        });
        let effect = events[made].what.effect().unwrap();
        let gone = |what: &What| {
            matches!(what, What::UndoEnded { outcome: Outcome::Ok, .. }) && what.effect() == Some(effect)
        };
        let calibrated = position(&events, |what| matches!(what, What::Calibrated { .. }));
        let last_row = events.iter().rposition(|event| matches!(event.what, What::Rows { .. })).unwrap();
        assert!(made < calibrated && last_row < position(&events, gone), "{made} {calibrated} {last_row}");
        let reached = position(&events, |what| matches!(what, What::Reached { outcome: Outcome::Ok, .. }));
        let measures = position(&events, |what| matches!(what, What::Calibrated { vantage: Some(_), .. }));
        let known = position(&events, |what| matches!(what, What::ClockKnown { .. }));
        assert!(made < measures && measures < known && reached < known, "{measures} {reached} {known}");
        let What::ClockKnown { within, .. } = &events[known].what else { unreachable!() };
        // One clock, and a way that takes no time: what is left is how far clocks may drift apart between two exchanges.
        assert!((Duration::ZERO..Duration::from_millis(5)).contains(within), "{within}");
    });
}

#[test]
fn whoever_heals_after_a_run_that_died_takes_its_agent_away() {
    in_virtual_time(async {
        let all = {
            let rehearsal = rehearsal().await;
            let events = run(&rehearsal, world(&rehearsal, anywhere()), never_interrupted()).await.1;
            events.iter().filter(|event| !matches!(event.what, What::Rows { .. })).count()
        };
        let early = (4..8).map(Death::After);
        let between = [1, 2, 3, 5, 8].map(|polls| Death::Within(4, polls));
        let late = (all - 5..all).map(Death::Before);
        for death in
            early.chain(between).chain([Death::After(all / 3), Death::After(all * 2 / 3)]).chain(late)
        {
            let rehearsal = rehearsal().await;
            let living = world(&rehearsal, anywhere());
            let agents = living.agents.clone();
            let pen = Pen::new(death);
            assert_eq!(run_in_until_death(living, &rehearsal, &pen).await, None, "{death:?}");
            let world = World { agents, ..rehearsal.sandbox.world() };
            let finished = heal(world, &pen).await;
            let left = finished.outstanding.iter().any(|left| left.what.contains("vantage"));
            assert!(!left, "{death:?}: {finished:?}");
            let pods = stores(&rehearsal).into_keys().filter(|key| key.contains(NAME));
            assert_eq!(pods.count(), 0, "{death:?}");
        }
    });
}

#[test]
fn an_agent_that_does_not_answer_refuses_the_start_and_is_taken_away() {
    in_virtual_time(async {
        let rehearsal = rehearsal().await;
        let before = stores(&rehearsal);
        let world = world(&rehearsal, nowhere());
        let (finished, events) = run(&rehearsal, world, never_interrupted()).await;
        let Ended::Refused { guard, why } = finished.how else { unreachable!("{finished:?}") };
        assert_eq!(guard.as_str(), "vantages");
        assert_eq!(
            why,
            "the vantage west: its agent does not answer: no answer within 5m: the pod is not ready"
        );
        assert_eq!(finished.outstanding, vec![]);
        assert!(!events.iter().any(|event| matches!(event.what, What::Calibrated { .. })));
        assert!(stores(&rehearsal) == before, "the run left something");
    });
}

#[test]
fn an_interrupt_while_an_agent_is_waited_for_takes_it_away() {
    in_virtual_time(async {
        let rehearsal = rehearsal().await;
        let before = stores(&rehearsal);
        let (interrupt, interrupted) = watch::channel(false);
        tokio::spawn(async move {
            seconds(20).await;
            interrupt.send(true);
        });
        let (finished, _) = run(&rehearsal, world(&rehearsal, nowhere()), interrupted).await;
        assert_eq!(finished, Finished { how: Ended::Interrupted, outstanding: vec![], journal: None });
        assert!(stores(&rehearsal) == before, "the run left something");
    });
}

#[test]
fn the_agent_of_another_run_is_left_alone_and_refuses_the_start() {
    in_virtual_time(async {
        let rehearsal = rehearsal().await;
        let world = world(&rehearsal, anywhere());
        let pods: Api<Pod> = Api::namespaced(world.regions["west"].clone(), "default");
        let other: Pod = serde_json::from_value(pod(&anywhere())).unwrap();
        pods.create(&PostParams::default(), &other).await.unwrap();
        seconds(60).await;
        let before = stores(&rehearsal);
        let (finished, _) = run(&rehearsal, world, never_interrupted()).await;
        let Ended::Refused { guard, why } = &finished.how else { unreachable!("{finished:?}") };
        assert_eq!(guard.as_str(), "vantages");
        assert!(why.contains("already exists"), "{why}");
        assert_eq!(finished.outstanding, vec![]);
        assert!(stores(&rehearsal) == before, "the run touched another's pod");
    });
}

#[test]
fn an_agent_that_nobody_may_reach_refuses_the_start_at_once() {
    in_virtual_time(async {
        let rehearsal = rehearsal().await;
        let before = stores(&rehearsal);
        let world = world(&rehearsal, forbidden());
        let (clock, began) = (world.clock.clone(), world.clock.now());
        let (finished, _) = run(&rehearsal, world, never_interrupted()).await;
        let why = "the vantage west: its agent does not answer: you may not".to_owned();
        assert_eq!(finished.how, Ended::Refused { guard: "vantages".into(), why });
        assert!(clock.now().since(began) < Duration::from_secs(60), "it was asked again");
        assert!(stores(&rehearsal) == before, "the run left something");
    });
}
