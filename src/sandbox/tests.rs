//! The shipped regions as a whole, in virtual time.

mod ingress;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::spec::{Happening, Happens, Target};
use super::stand_in::get;
use super::{Sandbox, SandboxSpec};
use crate::model::time::At;
use crate::world::Net;

const CHECKOUT: &str = "http://checkout.shop.example/";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn shipped(name: &str) -> (SandboxSpec, BTreeMap<String, String>) {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let document: Value = serde_yaml::from_str(&text).unwrap();
    let spec: SandboxSpec = serde_json::from_value(document["spec"].clone()).unwrap();
    let paths = spec.regions.iter().flat_map(|region| region.manifests.clone());
    let texts =
        paths.map(|path| (path.clone(), std::fs::read_to_string(folder().join(&path)).unwrap())).collect();
    (spec, texts)
}

async fn shop(change: impl FnOnce(&mut SandboxSpec), seed: u64) -> Sandbox {
    let (mut spec, texts) = shipped("shop-two-regions.yaml");
    change(&mut spec);
    Sandbox::start(&spec, &texts, seed, 1_767_225_600_000_000_000, &[]).await.unwrap()
}

fn view(sandbox: &Sandbox, vantage: &str) -> std::sync::Arc<dyn Net> {
    sandbox.world().vantages[vantage].clone()
}

/// The status of a GET, or nothing where there was no answer within a second.
async fn ask(net: &dyn Net, url: &str) -> Option<u16> {
    timeout(Duration::from_secs(1), get(net, url)).await.ok()?.ok().map(|status| status.as_u16())
}

fn policies(sandbox: &Sandbox, region: &str) -> Api<NetworkPolicy> {
    Api::namespaced(sandbox.world().regions[region].clone(), "shop")
}

async fn isolate(sandbox: &Sandbox, region: &str) {
    let policy = json!({"metadata": {"name": "isolate"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    policies(sandbox, region)
        .create(&PostParams::default(), &serde_json::from_value(policy).unwrap())
        .await
        .unwrap();
}

async fn join_again(sandbox: &Sandbox, region: &str) {
    policies(sandbox, region).delete("isolate", &Default::default()).await.unwrap();
}

async fn point(sandbox: &Sandbox, name: &str, address: &str) {
    use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("externaldns.k8s.io", "v1alpha1", "DNSEndpoint"));
    let api: Api<DynamicObject> =
        Api::namespaced_with(sandbox.world().regions["west"].clone(), "shop", &kind);
    let endpoints = json!([{"dnsName": format!("{name}.shop.example"), "recordType": "A", "recordTTL": 30, "targets": [address]}]);
    let patch = json!({"spec": {"endpoints": endpoints}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_shipped_regions_come_up_and_serve_every_name_from_every_vantage() {
    for spec in ["shop-two-regions.yaml", "shop-lagging-replica.yaml"] {
        let (spec, texts) = shipped(spec);
        let sandbox = Sandbox::start(&spec, &texts, 7, 0, &[]).await.unwrap();
        assert_eq!(sandbox.world().clock.now(), At(0));
        for vantage in ["outside", "east", "west"] {
            for name in ["checkout", "payments", "storefront"] {
                for host in [
                    format!("{name}.shop.example"),
                    format!("{name}.east.shop.example"),
                    format!("{name}.west.shop.example"),
                ] {
                    let answer = ask(&*view(&sandbox, vantage), &format!("http://{host}/")).await;
                    assert_eq!(answer, Some(200), "{vantage} asks {host}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_the_same_bytes_of_all_stores_and_another_does_not() {
    async fn bytes(seed: u64) -> String {
        let sandbox = shop(|_| {}, seed).await;
        sleep(Duration::from_secs(60)).await;
        isolate(&sandbox, "east").await;
        sleep(Duration::from_secs(60)).await;
        let mut all = String::new();
        for (_, state) in sandbox.regions() {
            state.read(|store| {
                for change in store.changes_after(0).unwrap() {
                    all.push_str(&format!("{} {} {}\n", change.version, change.key, change.object));
                }
            });
        }
        all
    }
    let (first, again, other) = (bytes(1).await, bytes(1).await, bytes(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test(start_paused = true)]
async fn the_way_of_a_region_failover_shows_at_every_vantage_and_the_truth_knows_it() {
    let sandbox = shop(|_| {}, 3).await;
    let truth = sandbox.truth();
    let outside = view(&sandbox, "outside");
    assert_eq!(ask(&*outside, CHECKOUT).await, Some(200));
    sleep(Duration::from_secs(10)).await;
    let clock = sandbox.world().clock;
    let lost = clock.now();
    isolate(&sandbox, "east").await;
    assert_eq!(ask(&*outside, CHECKOUT).await, None, "a policy is a black hole");
    assert_eq!(ask(&*outside, "http://checkout.west.shop.example/").await, Some(200));
    sleep(Duration::from_secs(20)).await;
    point(&sandbox, "checkout", "10.2.192.1").await;
    let switched = clock.now();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ask(&*outside, CHECKOUT).await, Some(200), "west answers once the cached answer has expired");
    let served = truth.served(&"outside".into(), "checkout.shop.example");
    let [(_, true), (down, false), (up, true)] = served.as_slice() else { panic!("{served:?}") };
    assert_eq!(*down, lost);
    assert!(*up >= switched.plus(crate::model::time::Duration::from_secs(5)), "{served:?}");
    join_again(&sandbox, "east").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&*outside, "http://checkout.east.shop.example/").await, Some(200));
}

/// Any request agrees with the truth: what was served all the while got an answer, what was not served all the while got none.
#[tokio::test(start_paused = true)]
async fn a_request_at_any_instant_gets_what_the_truth_says() {
    let (mut well, mut badly) = (0, 0);
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let crash = Target {
            region: "east".into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: None,
            name: "ledger-*".into(),
        };
        let at = crate::model::time::Duration::from_secs(random.u64(20..60));
        let sandbox =
            shop(|spec| spec.happenings = vec![Happening { at, what: Happens::Crash(crash) }], seed).await;
        let truth = sandbox.truth();
        let outside = view(&sandbox, "outside");
        let clock = sandbox.world().clock;
        let mut asked = Vec::new();
        for round in 0..120 {
            match round {
                50 => isolate(&sandbox, "east").await,
                70 => point(&sandbox, "checkout", "10.2.192.1").await,
                90 => join_again(&sandbox, "east").await,
                _ => sleep(Duration::from_millis(random.u64(1..2_000))).await,
            }
            let sent = clock.now();
            let answer = ask(&*outside, CHECKOUT).await;
            asked.push((sent, clock.now(), answer == Some(200)));
        }
        let served = truth.served(&"outside".into(), "checkout.shop.example");
        for (sent, done, answered) in asked {
            let before = served.iter().rev().find(|(at, _)| *at <= sent).unwrap();
            let within = served.iter().filter(|(at, _)| sent < *at && *at <= done);
            let states: Vec<bool> =
                std::iter::once(before).chain(within).map(|(_, serves)| *serves).collect();
            assert!(
                states.contains(&answered),
                "seed {seed}: {sent} to {done} gave {answered}, truth {served:?}"
            );
            if answered { well += 1 } else { badly += 1 }
        }
    }
    assert!(well > 300 && badly > 100, "{well} well, {badly} badly");
}

#[tokio::test(start_paused = true)]
async fn an_alert_arrives_at_its_instant_and_resolves() {
    let sandbox = shop(|_| {}, 5).await;
    let world = sandbox.world();
    sleep_until(Instant::now() + Duration::from_secs(50)).await;
    isolate(&sandbox, "east").await;
    // Checks run at 60 s, 75 s, 90 s with ten seconds each; firing at the end of the third, and ten seconds for the page.
    let arrives = async |name: &str, since| world.alerts.arrives(&name.into(), At(since)).await;
    let arrived = arrives("CheckoutDown", i64::MIN).await.unwrap();
    assert_eq!(arrived, At(110_000_000_000));
    assert_eq!(arrives("CheckoutDown", arrived.0).await.unwrap(), arrived, "while it fires");
    let later = timeout(Duration::from_secs(3600), arrives("CheckoutDown", arrived.0 + 1)).await;
    assert!(later.is_err(), "it fired before");
    assert!(arrives("Nothing", 0).await.is_err());
    join_again(&sandbox, "east").await;
    sleep(Duration::from_secs(60)).await;
    let again = timeout(Duration::from_secs(3600), arrives("CheckoutDown", i64::MIN)).await;
    assert!(again.is_err(), "resolved");
}

#[tokio::test(start_paused = true)]
async fn more_nodes_than_a_range_holds_pods_of_are_refused_with_the_range_that_does() {
    let nodes = |count: u32| -> Value {
        (0..count).map(|number| json!({"name": format!("n{number}"), "zone": "a"})).collect()
    };
    let start = async |range: &str, count: u32| {
        let region = json!({"name": "east", "addresses": range, "nodes": nodes(count)});
        let spec: SandboxSpec = serde_json::from_value(json!({"regions": [region]})).unwrap();
        Sandbox::start(&spec, &BTreeMap::new(), 7, 0, &[]).await.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(start("10.1.0.0/16", 128).await, Ok(()));
    let why = start("10.1.0.0/16", 129).await.unwrap_err();
    assert!(why.contains("`east` has 129 nodes, and 10.1.0.0/16 has room for the pods of 128"), "{why}");
    assert_eq!(start("10.0.0.0/15", 129).await, Ok(()));
}
