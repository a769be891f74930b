//! Node lifecycle: a node whose heartbeat stays away is not ready after 50 seconds, and its pods are sent away by taint.
//!
//! A kubelet renews its Lease every ten seconds, each node at its own phase. Nobody writes that: while a node is healthy its stored
//! Lease has no `renewTime`, and [`as_read`] works it out for whoever reads it; when the heartbeat is lost, the last one is
//! stored. So 40 to 50 seconds after the loss the node is `Unknown`, as with Kubernetes' `node-monitor-grace-period` of 50 s. Where
//! no node is ready any more, none is tainted NoExecute: a control plane that sees nobody blames itself. Left out: the limited
//! rate of evictions in a zone, which matters for hundreds of nodes.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::clock::Clock;
use super::super::state::Pool;
use super::super::store::{Change, ChangeKind, Key, Store, Write};
use super::{Controller, Processes, Reconciled, at, every, instant, itself, one, read, stamp};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

/// How often a kubelet renews its Lease.
const RENEWS_EVERY: Duration = Duration::from_secs(10);
/// How long after the last heartbeat a node is not ready.
const GRACE: Duration = Duration::from_secs(50);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const LEASES: &str = "kube-node-lease";

/// The node lifecycle controller, which also gives each node its range of pod addresses.
pub struct Nodes {
    pub pods: Pool,
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let nodes = Resource::nodes();
        let before = change.before.as_ref().map(|before| read::holds(before, "Ready"));
        // Whether any node is ready decides about the taints of all.
        let flipped =
            before != Some(read::holds(&change.object, "Ready")) || change.kind == ChangeKind::Deleted;
        if change.key.is(&nodes) && flipped {
            return every(store, &nodes, None).map(|node| Key::of(&nodes, node)).collect();
        }
        if change.key.is(&Resource::leases()) && change.key.namespace.as_deref() == Some(LEASES) {
            return vec![Key::new(&nodes, None, &change.key.name)];
        }
        itself(change, &nodes)
    }

    fn woken(&self, _: &Store, signal: &Key) -> Vec<Key> {
        if signal.is(&Resource::nodes()) { vec![signal.clone()] } else { vec![] }
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, processes: &dyn Processes) -> Reconciled {
        let Some(node) = at(store, key) else { return Reconciled::nothing() };
        if read::text(node, "/spec/podCIDR").is_empty() {
            return self.ranged(store, key, node).into_iter().collect::<Vec<_>>().into();
        }
        let Some(lease) = one(store, &Resource::leases(), Some(LEASES), &key.name) else {
            return vec![registered(node)].into();
        };
        let silent_since = instant(store, lease, "/spec/renewTime");
        match (processes.heartbeat(&key.name), silent_since) {
            (true, Some(_)) => vec![renewed(lease, None)].into(),
            (true, None) => healthy(store, key, node, now).into(),
            (false, None) => {
                let last = last_renewal(&key.name, now);
                vec![renewed(lease, Some(store.clock().micro_time(last)))].into()
            }
            (false, Some(last)) if now < last.plus(GRACE) => {
                Reconciled { writes: vec![], wake: Some(last.plus(GRACE)) }
            }
            (false, Some(last)) => lost(store, key, node, last, now).into(),
        }
    }
}

impl Nodes {
    /// The write that gives a node the next free /24.
    fn ranged(&self, store: &Store, key: &Key, node: &Value) -> Option<Write> {
        let start = u32::from(self.pods.network);
        let blocks = 1_u32 << 24_u8.saturating_sub(self.pods.prefix).min(16);
        let taken: Vec<&str> =
            every(store, &Resource::nodes(), None).map(|node| read::text(node, "/spec/podCIDR")).collect();
        let ranges =
            (0..blocks).map(|block| format!("{}/24", Ipv4Addr::from(start.wrapping_add(block << 8))));
        let range = ranges.into_iter().find(|range| !taken.contains(&range.as_str()))?;
        let mut object = node.clone();
        object["spec"]["podCIDR"] = json!(range);
        object["spec"]["podCIDRs"] = json!([range]);
        Some(Write::Update { key: key.clone(), object })
    }
}

/// What a reader sees of a stored object: the Lease of a healthy node with its latest renewal.
pub fn as_read(clock: &Clock, object: &mut Value, now: At) {
    let lease = read::text(object, "/kind") == "Lease" && read::namespace(object) == LEASES;
    if lease
        && object.pointer("/spec/renewTime").is_none()
        && object.get("spec").is_some_and(Value::is_object)
    {
        let last = last_renewal(read::name(object), now);
        object["spec"]["renewTime"] = json!(clock.micro_time(last));
    }
}

/// The latest instant at which a healthy node renewed its Lease.
fn last_renewal(node: &str, now: At) -> At {
    let every = RENEWS_EVERY.nanos();
    let phase = i64::try_from(read::hash(node) % 10_000).unwrap_or_default() * 1_000_000;
    At(now.0 - (now.0 - phase).rem_euclid(every))
}

/// The Lease of a node that has just joined.
fn registered(node: &Value) -> Write {
    let object = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": read::name(node), "namespace": LEASES, "ownerReferences":
            [{"apiVersion": "v1", "kind": "Node", "name": read::name(node), "uid": read::uid(node)}]},
        "spec": {"holderIdentity": read::name(node), "leaseDurationSeconds": 40},
    });
    Write::Create { resource: Resource::leases(), object }
}

fn renewed(lease: &Value, time: Option<String>) -> Write {
    let mut object = lease.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        match time {
            Some(time) => spec.insert("renewTime".into(), json!(time)),
            None => spec.remove("renewTime"),
        };
    }
    Write::Update { key: Key::of(&Resource::leases(), lease), object }
}

/// Writes for a node that is there: ready, and no longer unreachable.
fn healthy(store: &Store, key: &Key, node: &Value, now: At) -> Vec<Write> {
    let shown = stamp(store, now);
    let mut conditions = read::list(node, "/status/conditions").to_vec();
    for (kind, reason, message) in [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ] {
        read::set_condition(&mut conditions, kind, "False", reason, message, &shown);
    }
    read::set_condition(
        &mut conditions,
        "Ready",
        "True",
        "KubeletReady",
        "kubelet is posting ready status",
        &shown,
    );
    let mut writes: Vec<Write> = with_conditions(key, node, conditions).into_iter().collect();
    writes.extend(tainted(key, node, &[]));
    writes
}

/// Writes for a node of which nothing was heard for too long.
fn lost(store: &Store, key: &Key, node: &Value, last: At, now: At) -> Vec<Write> {
    let shown = stamp(store, now);
    let mut conditions = read::list(node, "/status/conditions").to_vec();
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
        let message = "Kubelet stopped posting node status.";
        read::set_condition(&mut conditions, kind, "Unknown", "NodeStatusUnknown", message, &shown);
        for condition in conditions.iter_mut().filter(|condition| read::text(condition, "/type") == kind) {
            condition["lastHeartbeatTime"] = json!(store.clock().time(last));
        }
    }
    let mut writes: Vec<Write> = with_conditions(key, node, conditions).into_iter().collect();
    let somebody = every(store, &Resource::nodes(), None)
        .any(|other| read::name(other) != key.name && read::holds(other, "Ready"));
    let mut taints = vec![json!({"key": UNREACHABLE, "effect": "NoSchedule", "timeAdded": shown})];
    if somebody {
        taints.push(json!({"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": shown}));
    }
    writes.extend(tainted(key, node, &taints));
    let pods =
        every(store, &Resource::pods(), None).filter(|pod| read::text(pod, "/spec/nodeName") == key.name);
    for pod in pods.filter(|pod| read::holds(pod, "Ready")) {
        let mut status = pod.get("status").cloned().unwrap_or_default();
        let conditions =
            read::with_condition(pod, "Ready", "False", "NodeNotReady", "Node is not ready", &shown);
        status["conditions"] = json!(conditions);
        writes.push(Write::Status { key: Key::of(&Resource::pods(), pod), status });
    }
    writes
}

fn with_conditions(key: &Key, node: &Value, conditions: Vec<Value>) -> Option<Write> {
    let mut status =
        node.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    status["conditions"] = json!(conditions);
    super::status(key, node, status)
}

/// The write that leaves a node with just these taints of ours; those that it has already keep their time.
fn tainted(key: &Key, node: &Value, wanted: &[Value]) -> Option<Write> {
    let all = read::list(node, "/spec/taints");
    let ours = |taint: &&Value| read::text(taint, "/key") == UNREACHABLE;
    let same = |one: &Value, other: &Value| read::text(one, "/effect") == read::text(other, "/effect");
    let mut taints: Vec<Value> = all.iter().filter(|taint| !ours(taint)).cloned().collect();
    for taint in wanted {
        let before = all.iter().filter(ours).find(|before| same(before, taint));
        taints.push(before.unwrap_or(taint).clone());
    }
    if taints == all {
        return None;
    }
    let mut object = node.clone();
    object["spec"]["taints"] = json!(taints);
    Some(Write::Update { key: key.clone(), object })
}
