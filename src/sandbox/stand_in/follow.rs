//! Carries a region's changes to the network and to the processes: woken by each change, at the instant of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Pods;
use super::processes::Start;
use crate::model::effect::Resource;
use crate::sandbox::control::kubelet::environment::environment;
use crate::sandbox::control::read;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Change, ChangeKind, Key, Store};

/// The kinds that the network knows, by group and plural.
const NETWORK: [(&str, &str, &str); 7] = [
    ("", "namespaces", "Namespace"),
    ("", "pods", "Pod"),
    ("", "services", "Service"),
    ("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    ("networking.k8s.io", "ingresses", "Ingress"),
    ("externaldns.k8s.io", "dnsendpoints", "DNSEndpoint"),
];

/// Follows a region for ever, from its first change on.
pub async fn follow(state: Arc<RegionState>, pods: Arc<Pods>) {
    let mut changed = state.changed();
    let mut seen = 0;
    loop {
        changed.get_and_update();
        let (news, version) = state.write(|store| {
            let (news, version) = (news(store, seen), store.version());
            store.followed(version);
            (news, version)
        });
        seen = version;
        for piece in news {
            take(&pods, piece);
        }
        // The state lives as long as this task, so its sender does too.
        if state.read(Store::version) == seen && changed.changed().await.is_err() {
            return;
        }
    }
}

/// A change with what a kubelet would have read for it.
struct News {
    change: Change,
    kind: &'static str,
    /// By container: its incarnation and its environment, for those that run.
    running: Vec<(Value, u64, BTreeMap<String, String>)>,
}

fn news(store: &Store, seen: u64) -> Vec<News> {
    let Ok(changes) = store.changes_after(seen) else {
        tracing::warn!("the network lost sight of changes: give the region a longer memory");
        return Vec::new();
    };
    let known = changes.filter_map(|change| {
        let found = NETWORK
            .iter()
            .find(|(group, plural, _)| change.key.group() == *group && change.key.plural() == *plural);
        found.map(|(_, _, kind)| (change.clone(), *kind))
    });
    known
        .map(|(change, kind)| {
            let running = if kind == "Pod" { running(store, &change.object) } else { Vec::new() };
            News { change, kind, running }
        })
        .collect()
}

fn running(store: &Store, pod: &Value) -> Vec<(Value, u64, BTreeMap<String, String>)> {
    let namespace = read::at(pod, "/metadata/namespace").and_then(Value::as_str);
    let find = |kind: &'static str, name: &str| {
        let resource = if kind == "Secret" {
            Resource::new("", "v1", "secrets", "Secret")
        } else {
            Resource::config_maps()
        };
        store.get(&Key::new(&resource, namespace, name)).map(Arc::as_ref)
    };
    let containers = read::at(pod, "/spec/containers").and_then(Value::as_array).into_iter().flatten();
    containers
        .filter_map(|container| {
            let status = status(pod, container["name"].as_str()?)?;
            read::at(status, "/state/running")?;
            let env = environment(pod, container, &find).unwrap_or_default();
            Some((container.clone(), status["restartCount"].as_u64().unwrap_or_default(), env))
        })
        .collect()
}

fn status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let statuses = read::at(pod, "/status/containerStatuses")?.as_array()?;
    statuses.iter().find(|status| status["name"] == container)
}

fn take(pods: &Pods, News { change, kind, running }: News) {
    let (network, region) = (pods.network(), pods.region());
    let Change { key, kind: what, object, .. } = change;
    if what == ChangeKind::Deleted {
        if kind == "Pod" {
            pods.remove(&object);
        }
        network.delete(
            &region,
            kind,
            &(key.namespace().unwrap_or_default().to_owned(), key.name().to_owned()),
        );
        return;
    }
    network.apply(&region, kind, &object);
    if kind != "Pod" {
        return;
    }
    let uid = read::at(&object, "/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let containers = read::at(&object, "/spec/containers").and_then(Value::as_array).into_iter().flatten();
    for name in containers.filter_map(|container| container["name"].as_str()) {
        match running.iter().find(|(container, _, _)| container["name"] == name) {
            Some((container, incarnation, env)) if !pods.knows(uid, name, *incarnation) => {
                let start = Start { pod: &object, container, incarnation: *incarnation, env: env.clone() };
                pods.start(&start);
            }
            Some(_) => {}
            None => pods.stop(uid, name),
        }
    }
    if read::at(&object, "/metadata/deletionTimestamp").is_some() {
        pods.terminate(&object);
    }
}
