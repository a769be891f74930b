//! The shipped regions as a whole, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::clock::Clock;
use super::spec::{Happening, Happens, Target};
use super::stand_in::get;
use super::{Sandbox, SandboxSpec};
use crate::model::name::{Name, Vantage};
use crate::model::time::At;
use crate::world::Net;

const CHECKOUT: &str = "http://checkout.shop.example/";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/sandbox")
}

fn shipped(name: &str) -> (SandboxSpec, BTreeMap<String, String>) {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let document: Value = serde_yaml::from_str(&text).unwrap();
    let spec: SandboxSpec = serde_json::from_value(document["spec"].clone()).unwrap();
    let paths = spec.regions.iter().flat_map(|region| region.manifests.clone());
    let texts = paths.map(|path| (path.clone(), std::fs::read_to_string(folder().join(&path)).unwrap())).collect();
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
    policies(sandbox, region).create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
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
                for host in [format!("{name}.shop.example"), format!("{name}.east.shop.example"), format!("{name}.west.shop.example")] {
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
