//! Least privilege: what `plan --rbac` names is enough to run a drill and to heal it, and each right of it that is missing is named.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod laboratory;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drillmaster::cli::inputs::{self, Inputs};
use drillmaster::cli::rehearsal::Rehearsal;
use drillmaster::cli::rights::{self, Denied, Rights};
use drillmaster::engine::{self, Shown};
use drillmaster::guard::rights::Right;
use drillmaster::journal::Memory;
use drillmaster::measure::measure;
use drillmaster::model::event::{Ended, Event, What};
use drillmaster::model::name::Region;
use drillmaster::model::target::Overall;
use drillmaster::verdict::judge;
use drillmaster::world::{World, watch};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use laboratory::{Fate, Gate, assert_put_back, in_virtual_time, stores};
use serde_json::{Value, json};

fn shipped(name: &str) -> Inputs {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("yaml");
    inputs::load(&file, &[]).unwrap()
}

/// A world whose API servers refuse whatever is not among these rights; and what was refused.
fn only(rights: &Rights, world: World) -> (World, Arc<Mutex<Vec<String>>>) {
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let (rights, told) = (rights.clone(), refused.clone());
    let gate = Gate::new(move |region, request| {
        let uri = request.uri();
        let needed =
            Right::of_request(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
        let given = &rights[&Region::from(region)];
        match needed.iter().find(|right| !given.contains(right)) {
            None => Fate::Passes,
            Some(right) => {
                told.lock().unwrap().push(format!("{region}: {right}"));
                Fate::Refused
            }
        }
    });
    (gate.before(world), refused)
}

#[test]
fn the_rights_of_the_plan_are_enough_to_run_a_drill() {
    for name in ["checkout-region-failover", "planned-switchover", "node-drain", "bad-configuration"] {
        let inputs = shipped(name);
        in_virtual_time(async {
            let rights = rights::needed(&inputs).await.unwrap();
            let rehearsal = Rehearsal::prepare(&inputs, 3, 0).await.unwrap();
            let (world, refused) = only(&rights, rehearsal.sandbox.world());
            let memory = Arc::new(Mutex::new(Memory::default()));
            let never = watch::channel(false).1;
            let (plan, head) = (rehearsal.plan, rehearsal.head);
            engine::run(world, plan, head, memory.clone(), Box::new(|_, _| {}), never).await;
            let evidence = memory.lock().unwrap().evidence();
            let overall = judge(&evidence, &measure(&evidence)).overall;
            assert_eq!((overall, refused.lock().unwrap().clone()), (Overall::Met, vec![]), "{name}");
        });
    }
}

#[test]
fn they_are_enough_to_heal_an_abort_at_any_effect() {
    let inputs = laboratory::drill(include_str!("laboratory/failover.yaml"));
    let rights = in_virtual_time(rights::needed(&inputs)).unwrap();
    for effects in 1..=8 {
        in_virtual_time(async {
            let rehearsal = Rehearsal::prepare(&inputs, 3, 0).await.unwrap();
            let before = stores(&rehearsal);
            let (world, refused) = only(&rights, rehearsal.sandbox.world());
            let (interrupt, interrupted) = watch::channel(false);
            let mut ended = 0;
            let watcher = Box::new(move |_, shown: Shown<'_>| {
                if let Shown::Event(Event { what: What::EffectEnded { .. }, .. }) = shown {
                    ended += 1;
                    interrupt.send(ended >= effects);
                }
            });
            let memory = Arc::new(Mutex::new(Memory::default()));
            let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
            let finished = engine::run(world, plan, head, memory, watcher, interrupted).await;
            let what = format!("interrupted after {effects}");
            assert_eq!(finished.how, Ended::Interrupted, "{what}");
            assert_eq!(refused.lock().unwrap().clone(), Vec::<String>::new(), "{what}");
            assert_put_back(&rehearsal, &before, &finished, &what).await;
        });
    }
}

#[test]
fn rights_are_asked_for_some_at_a_time_and_a_server_that_hangs_ends_the_asking() {
    let inputs = shipped("checkout-region-failover");
    in_virtual_time(async {
        let rights = rights::needed(&inputs).await.unwrap();
        let count = rights.values().map(|rights| rights.len()).sum::<usize>();
        let after = |reviewed_within: Option<u64>| {
            let service = tower::service_fn(move |_: Request<Body>| async move {
                match reviewed_within {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => std::future::pending().await,
                }
                let answer = json!({"status": {"allowed": true}}).to_string();
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.into_bytes())))
            });
            rights.keys().map(|region| (region.clone(), kube::Client::new(service, "default"))).collect()
        };
        let began = tokio::time::Instant::now();
        assert_eq!(rights::missing(&after(Some(1)), &rights).await, vec![]);
        assert!(began.elapsed() < Duration::from_secs(count as u64 / 2), "{count} in {:?}", began.elapsed());
        let unknown = rights::missing(&after(None), &rights).await;
        assert_eq!(unknown.len(), count);
        assert!(
            unknown.iter().all(|(_, _, why)| *why == Denied::Unasked("no answer within 10 s".to_owned())),
            "{unknown:?}"
        );
    });
}

/// A world whose API servers answer access reviews by these rights.
fn reviewing(rights: &Rights, mut world: World) -> World {
    for (region, client) in &mut world.regions {
        let given = rights[region].clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let given = given.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let asked: Value = serde_json::from_slice(&body).unwrap();
                let allowed = given.iter().any(|right| right.review() == asked);
                let answer = json!({"status": {"allowed": allowed, "reason": "no rule"}});
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        *client = kube::Client::new(service, "default");
    }
    world
}

#[test]
fn each_right_that_is_missing_is_named_with_its_region() {
    let inputs = shipped("checkout-region-failover");
    in_virtual_time(async {
        let rights = rights::needed(&inputs).await.unwrap();
        let rehearsal = Rehearsal::prepare(&inputs, 3, 0).await.unwrap();
        let world = || rehearsal.sandbox.world();
        assert_eq!(rights::missing(&reviewing(&rights, world()).regions, &rights).await, vec![]);
        let all: Vec<_> =
            rights.iter().flat_map(|(region, of)| of.iter().map(move |right| (region, right))).collect();
        assert!(all.len() > 15, "{all:?}");
        for (region, right) in all {
            let mut fewer = rights.clone();
            fewer.get_mut(region).unwrap().remove(right);
            let missing = rights::missing(&reviewing(&fewer, world()).regions, &rights).await;
            assert_eq!(missing, vec![(region.clone(), right.clone(), Denied::Refused("no rule".to_owned()))]);
        }
    });
}
