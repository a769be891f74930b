//! Replica sets: as many pods as asked for, and which of them go first when there are too many.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::{Controller, Processes, Reconciled, adoption, at, instant, itself, read, stamp, template};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

/// The condition of a set, and of its deployment, whose pods are refused.
pub const FAILURE: &str = "ReplicaFailure";

/// The replica set controller.
pub struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let mut keys = itself(change, &Resource::replica_sets());
        keys.extend(adoption::claimants(store, change, &Resource::replica_sets(), &Resource::pods()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(set) = at(store, key).filter(|set| !read::terminating(set)) else {
            return Reconciled::nothing();
        };
        let kind = Resource::replica_sets();
        let members = match adoption::members(store, &kind, set, &Resource::pods(), |pod| !read::ended(pod)) {
            Ok(pods) => pods,
            Err(writes) => return writes.into(),
        };
        let (leaving, pods): (Vec<&Value>, Vec<&Value>) =
            members.into_iter().partition(|pod| read::terminating(pod));
        let wanted = usize::try_from(read::number(set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
        let mut writes = vec![];
        let mut refused = None;
        if pods.len() < wanted {
            let mut pod = template::pod(&kind, set, &[]);
            pod["metadata"]["generateName"] = json!(format!("{}-", read::name(set)));
            refused = store.refuses(&pod);
            let create = Write::Create { resource: Resource::pods(), object: pod };
            writes.extend(std::iter::repeat_n(create, wanted - pods.len()));
        } else {
            let surplus = worst_first(store, &pods).into_iter().take(pods.len() - wanted);
            writes.extend(surplus.map(|pod| Write::Delete { key: Key::of(&Resource::pods(), pod) }));
        }
        let seconds = read::number(set, "/spec/minReadySeconds").unwrap_or(0);
        let (available, wake) = available(store, &pods, seconds, now);
        let ready = pods.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let mut status = json!({
            "observedGeneration": read::number(set, "/metadata/generation").unwrap_or(0), "replicas": pods.len(),
            "terminatingReplicas": leaving.len(),
        });
        for (field, count) in
            [("fullyLabeledReplicas", pods.len()), ("readyReplicas", ready), ("availableReplicas", available)]
        {
            if count > 0 {
                status[field] = json!(count);
            }
        }
        if let Some(error) = refused {
            status["conditions"] = json!([failure(store, set, &error.to_string(), now)]);
        }
        writes.extend(super::status(key, set, status));
        Reconciled { writes, wake }
    }
}

/// The condition of a set whose pods are refused: as it was first, until a pod is made.
fn failure(store: &Store, set: &Value, why: &str, now: At) -> Value {
    let known = read::condition(set, FAILURE).cloned();
    known.unwrap_or_else(|| {
        json!({"type": FAILURE, "status": "True", "lastTransitionTime": stamp(store, now),
            "reason": "FailedCreate", "message": why})
    })
}

/// How many pods have been ready for so many seconds, and when the next one will have.
pub fn available(store: &Store, pods: &[&Value], seconds: i64, now: At) -> (usize, Option<At>) {
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let ready =
        pods.iter().filter_map(|pod| read::condition(pod, "Ready").filter(|_| read::holds(pod, "Ready")));
    let from: Vec<At> = ready
        .map(|condition| instant(store, condition, "/lastTransitionTime").unwrap_or(now).plus(wait))
        .collect();
    (from.iter().filter(|from| **from <= now).count(), from.iter().filter(|from| **from > now).min().copied())
}

/// Pods in the order in which a replica set gives them up: without a node, not running, not ready, cheap to delete, crowded
/// on their node, ready for the shortest time, often restarted, young.
pub fn worst_first<'a>(store: &Store, pods: &[&'a Value]) -> Vec<&'a Value> {
    let node = |pod: &'a Value| read::text(pod, "/spec/nodeName");
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    pods.iter().for_each(|pod| *held.entry(node(pod)).or_default() += 1);
    let mut pods = pods.to_vec();
    pods.sort_by_cached_key(|&pod| {
        let cost = read::annotation(pod, "controller.kubernetes.io/pod-deletion-cost").parse::<i64>();
        let restarts = read::list(pod, "/status/containerStatuses")
            .iter()
            .filter_map(|each| read::number(each, "/restartCount"));
        let since =
            read::condition(pod, "Ready").and_then(|ready| instant(store, ready, "/lastTransitionTime"));
        (
            !node(pod).is_empty(),
            read::text(pod, "/status/phase") == "Running",
            read::holds(pod, "Ready"),
            cost.unwrap_or_default(),
            std::cmp::Reverse(held.get(node(pod)).copied()),
            std::cmp::Reverse(since),
            std::cmp::Reverse(restarts.max().unwrap_or_default()),
            std::cmp::Reverse(instant(store, pod, "/metadata/creationTimestamp")),
            read::name(pod),
        )
    });
    pods
}
