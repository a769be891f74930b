//! A small cluster in virtual time, with processes that do as they are told.
//!
//! Each test feeds the store as the API would, lets the driver run to an instant, and looks at the objects.

mod ingress;
mod nodes;
mod pods;
mod scale;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::{Driver, settle};
use super::placement::ZONE;
use super::{Addresses, Processes, all, at, every, read};
use crate::model::effect::Resource;
use crate::model::name::Region;
use crate::model::time::{At, Duration};
use crate::sandbox::clock::Clock;
use crate::sandbox::state::{Pool, RegionState, Settings};
use crate::sandbox::store::{Deletion, Key, Part};

/// Processes that do as the test says; all is well at first.
#[derive(Default)]
pub struct Told {
    unwell: Mutex<BTreeSet<String>>,
    exits: Mutex<BTreeMap<String, i32>>,
    dead: Mutex<BTreeSet<String>>,
}

impl Processes for Told {
    fn answers(&self, pod: &Value, _: &str, _: &Value) -> bool {
        let image = read::text(pod, "/spec/containers/0/image");
        let unwell = self.unwell.lock().unwrap();
        !unwell.contains(read::name(pod)) && !unwell.contains(image)
    }

    fn exited(&self, pod_uid: &str, _: &str) -> Option<i32> {
        self.exits.lock().unwrap().get(pod_uid).copied()
    }

    fn heartbeat(&self, node: &str) -> bool {
        !self.dead.lock().unwrap().contains(node)
    }
}

/// A cluster of six nodes in three zones: `a1`, `a2`, `b1`, …
pub struct Cluster {
    pub state: Arc<RegionState>,
    pub driver: Driver,
    pub told: Told,
}

pub fn at_s(seconds: u64) -> At {
    At(0).plus(Duration::from_secs(seconds))
}

impl Cluster {
    pub fn new() -> Self {
        Self::of(&["a1", "a2", "b1", "b2", "c1", "c2"])
    }

    pub fn of(nodes: &[&str]) -> Self {
        let pool = |third: u8, prefix: u8| Pool { network: Ipv4Addr::new(10, 1, third, 0), prefix };
        let state = RegionState::new(Settings {
            name: Region::from("east"),
            seed: 7,
            clock: Clock::new(Instant::now(), 1_767_225_600_000_000_000),
            services: pool(254, 24),
            remembered_changes: 100,
        });
        let addresses =
            Addresses { pods: pool(0, 17), load_balancers: pool(255, 24), machines: pool(253, 24) };
        let mut cluster = Self { state, driver: Driver::new(all(addresses)), told: Told::default() };
        cluster.create(&Resource::namespaces(), json!({"metadata": {"name": "shop"}}));
        for name in nodes {
            cluster.create(
                &Resource::nodes(),
                json!({"metadata": {"name": name, "labels": {ZONE: &name[..1]}}, "spec": {}}),
            );
        }
        cluster.settle();
        cluster
    }

    pub fn settle(&mut self) {
        settle(&mut self.driver, &self.state, &self.told);
    }

    /// Lets the time pass until an instant since the start.
    pub async fn until(&mut self, seconds: u64) {
        self.until_at(at_s(seconds)).await;
    }

    pub async fn until_at(&mut self, end: At) {
        self.settle();
        while let Some(next) = self.driver.next().filter(|next| *next <= end) {
            tokio::time::sleep_until(self.state.clock.instant(next)).await;
            self.settle();
        }
        tokio::time::sleep_until(self.state.clock.instant(end)).await;
        self.settle();
    }

    pub fn create(&mut self, resource: &Resource, object: Value) {
        let mut object = object;
        if resource.plural != "nodes" && resource.plural != "namespaces" {
            object["metadata"]["namespace"] = json!("shop");
        }
        self.state.write(|store| store.create(resource, object)).unwrap();
    }

    pub fn get(&self, resource: &Resource, name: &str) -> Value {
        let key = self.key(resource, name);
        self.state.read(|store| at(store, &key).cloned()).unwrap_or_default()
    }

    pub fn key(&self, resource: &Resource, name: &str) -> Key {
        Key::new(resource, (resource.plural != "nodes").then_some("shop"), name)
    }

    pub fn change(&mut self, resource: &Resource, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(resource, name);
        edit(&mut object);
        let key = self.key(resource, name);
        self.state.write(|store| store.update(&key, object, Part::AllButStatus)).unwrap();
    }

    pub fn delete(&mut self, resource: &Resource, name: &str, deletion: &Deletion) {
        let key = self.key(resource, name);
        self.state.write(|store| store.delete(&key, deletion)).unwrap();
    }

    pub fn list(&self, resource: &Resource) -> Vec<Value> {
        self.state.read(|store| every(store, resource, Some("shop")).cloned().collect())
    }

    pub fn pods(&self) -> Vec<Value> {
        self.list(&Resource::pods())
    }

    /// How many pods are ready and not being deleted.
    pub fn ready(&self) -> usize {
        self.pods().iter().filter(|pod| read::holds(pod, "Ready") && !read::terminating(pod)).count()
    }

    /// Where the pods are that nobody deletes, sorted.
    pub fn nodes(&self) -> Vec<String> {
        let pods = self.pods();
        let mut nodes: Vec<String> = pods
            .iter()
            .filter(|pod| !read::terminating(pod))
            .map(|pod| read::text(pod, "/spec/nodeName").to_owned())
            .collect();
        nodes.sort();
        nodes
    }

    /// A pod's process answers its probes from now on, or not.
    pub fn health(&mut self, pod: &str, well: bool) {
        let mut unwell = self.told.unwell.lock().unwrap();
        if well {
            unwell.remove(pod)
        } else {
            unwell.insert(pod.to_owned())
        };
        drop(unwell);
        let key = self.key(&Resource::pods(), pod);
        self.driver.signal(&self.state, &key);
        self.settle();
    }

    /// A node has a heartbeat from now on, or not.
    pub fn power(&mut self, node: &str, on: bool) {
        let mut dead = self.told.dead.lock().unwrap();
        if on {
            dead.remove(node)
        } else {
            dead.insert(node.to_owned())
        };
        drop(dead);
        self.driver.signal(&self.state, &self.key(&Resource::nodes(), node));
        self.settle();
    }

    /// A pod's process has exited, or runs again.
    pub fn exit(&mut self, pod: &Value, code: Option<i32>) {
        let mut exits = self.told.exits.lock().unwrap();
        match code {
            Some(code) => exits.insert(read::uid(pod).to_owned(), code),
            None => exits.remove(read::uid(pod)),
        };
        drop(exits);
        self.driver.signal(&self.state, &self.key(&Resource::pods(), read::name(pod)));
        self.settle();
    }

    pub fn unsettled(&self) -> &[String] {
        self.driver.unsettled()
    }
}

pub fn deployment(replicas: u32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "web", "image": "shop/web:1", "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}},
        ]}},
    }})
}

pub fn stateful_set(replicas: u32) -> Value {
    json!({"metadata": {"name": "ledger"}, "spec": {
        "replicas": replicas, "serviceName": "ledger", "selector": {"matchLabels": {"app": "ledger"}},
        "template": {"metadata": {"labels": {"app": "ledger"}}, "spec": {"containers": [
            {"name": "ledger", "image": "drillmaster:1", "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}},
        ]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
    }})
}

pub fn service(app: &str) -> Value {
    json!({"metadata": {"name": app}, "spec": {"type": "LoadBalancer", "selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]}})
}
