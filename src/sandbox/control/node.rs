//! Node lifecycle: a node whose heartbeat stays away is not ready after 50 seconds, and its pods are sent away by taint.
//!
//! A kubelet renews its Lease every ten seconds, each node at its own phase. Nobody writes that: while a node is healthy its stored
//! Lease has no `renewTime`, and [`as_read`] works it out for whoever reads it; when the heartbeat is lost, the last one is
//! stored. So 40 to 50 seconds after the loss the node is `Unknown`, as with Kubernetes' `node-monitor-grace-period` of 50 s. A node
//! without a machine lives by what somebody posts in its status. Taints follow the `Ready` condition and the cordon. Where
//! no node is ready any more, none is tainted NoExecute: a control plane that sees nobody blames itself. Left out: the limited
//! rate of evictions in a zone, which matters for hundreds of nodes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::KUBERNETES;
use super::super::clock::Clock;
use super::super::state::Pool;
use super::super::store::{Change, Key, Store, Write};
use super::{Controller, Processes, Reconciled, at, every, instant, itself, on_node, one, read, stamp};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

/// How often a kubelet renews its Lease.
const RENEWS_EVERY: Duration = Duration::from_secs(10);
/// How long after the last heartbeat a node is not ready.
const GRACE: Duration = Duration::from_secs(50);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const LEASES: &str = "kube-node-lease";

/// The node lifecycle controller, which also gives each node its range of pod addresses and each machine an address.
pub struct Nodes {
    pods: Pool,
    machines: Pool,
    /// The first two nodes that were ready when a node was last heard of.
    ready: Mutex<Vec<String>>,
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let nodes = Resource::nodes();
        // Whether another node is ready decides about the taints of each.
        if change.key.is(&nodes) && self.others_are_concerned(store) {
            return every(store, &nodes, None).map(|node| Key::of(&nodes, node)).collect();
        }
        if change.key.is(&Resource::leases()) && change.key.namespace() == Some(LEASES) {
            return vec![Key::new(&nodes, None, change.key.name())];
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
        let lease = one(store, &Resource::leases(), Some(LEASES), key.name());
        let silent = lease.filter(|lease| instant(store, lease, "/spec/renewTime").is_some());
        if processes.heartbeat(key.name()) {
            return match (lease, silent) {
                (None, _) => vec![registered(node)].into(),
                (Some(_), Some(lease)) => vec![renewed(lease, None)].into(),
                (Some(_), None) => self.healthy(store, key, node, now).into(),
            };
        }
        if let (Some(lease), None) = (lease, silent) {
            let last = last_renewal(key.name(), now);
            return vec![renewed(lease, Some(store.clock().micro_time(last)))].into();
        }
        let last = heard(store, node, silent);
        if now < last.plus(GRACE) {
            let ready = read::condition(node, "Ready").map(|ready| read::text(ready, "/status"));
            let mut writes: Vec<Write> = tainted(store, key, node, ready, now).into_iter().collect();
            if ready.is_some_and(|ready| ready != "True") {
                writes.extend(unready(store, key, now));
            }
            return Reconciled { writes, wake: Some(last.plus(GRACE)) };
        }
        lost(store, key, node, last, now).into()
    }
}

impl Nodes {
    /// The controller of nodes whose pods and machines have these ranges of addresses.
    pub fn new(pods: Pool, machines: Pool) -> Self {
        Self { pods, machines, ready: Mutex::default() }
    }

    /// Whether for some node it is no longer so that another one is ready, or not so any more that none is.
    fn others_are_concerned(&self, store: &Store) -> bool {
        let ready = every(store, &Resource::nodes(), None).filter(|node| read::holds(node, "Ready"));
        let ready: Vec<String> = ready.take(2).map(|node| read::name(node).to_owned()).collect();
        let mut before = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned = *before != ready && before.len().min(ready.len()) < 2;
        *before = ready;
        concerned
    }

    /// The write that gives a node the next free /24.
    fn ranged(&self, store: &Store, key: &Key, node: &Value) -> Option<Write> {
        let start = u32::from(self.pods.network);
        let number = |range: &str| Some(numbered(range.split_once('/')?.0, start)? >> 8);
        let taken: BTreeSet<u32> = every(store, &Resource::nodes(), None)
            .filter_map(|node| number(read::text(node, "/spec/podCIDR")))
            .collect();
        let block = (0..blocks(self.pods)).find(|block| !taken.contains(block))?;
        let range = format!("{}/24", Ipv4Addr::from(start.wrapping_add(block << 8)));
        let mut object = node.clone();
        object["spec"]["podCIDR"] = json!(range);
        object["spec"]["podCIDRs"] = json!([range]);
        Some(Write::Update { key: key.clone(), object })
    }

    /// The lowest address that no machine has; the first is the agent's.
    fn free(&self, store: &Store) -> Option<String> {
        let start = u32::from(self.machines.network);
        let taken: BTreeSet<u32> = every(store, &Resource::nodes(), None)
            .flat_map(|node| read::list(node, "/status/addresses"))
            .filter_map(|address| numbered(read::text(address, "/address"), start))
            .collect();
        let size = 1_u32 << 32_u8.saturating_sub(self.machines.prefix).min(16);
        let host = (2..size.saturating_sub(1)).find(|host| !taken.contains(host))?;
        Some(Ipv4Addr::from(start.wrapping_add(host)).to_string())
    }

    /// Writes for a node that is there: ready, and no longer unreachable.
    fn healthy(&self, store: &Store, key: &Key, node: &Value, now: At) -> Vec<Write> {
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
        let mut status = with_conditions(node, conditions);
        if read::list(&status, "/addresses").is_empty() {
            let inside = self.free(store).map(|address| json!({"type": "InternalIP", "address": address}));
            let name = json!({"type": "Hostname", "address": key.name()});
            status["addresses"] = inside.into_iter().chain([name]).collect();
        }
        if status.get("nodeInfo").is_none() {
            status["nodeInfo"] = about(node);
        }
        let mut writes: Vec<Write> = super::status(key, node, status).into_iter().collect();
        writes.extend(tainted(store, key, node, Some("True"), now));
        writes
    }
}

/// How many nodes get a /24 out of a range.
pub fn blocks(pods: Pool) -> u32 {
    1 << 24_u8.saturating_sub(pods.prefix).min(16)
}

/// An address by its number in the range that starts at another.
fn numbered(address: &str, start: u32) -> Option<u32> {
    u32::from(address.parse::<Ipv4Addr>().ok()?).checked_sub(start)
}

/// What a node says of itself.
fn about(node: &Value) -> Value {
    let runtime = format!("sandbox://{}", env!("CARGO_PKG_VERSION"));
    json!({
        "architecture": "amd64", "operatingSystem": "linux", "osImage": "drillmaster sandbox", "kernelVersion": "none",
        "kubeletVersion": KUBERNETES, "kubeProxyVersion": "", "containerRuntimeVersion": runtime,
        "machineID": read::uid(node), "systemUUID": read::uid(node), "bootID": read::uid(node),
    })
}

/// What a reader sees of a stored object: the Lease of a healthy node with its latest renewal.
pub fn as_read(clock: &Clock, object: &mut Value, now: At) {
    let lease = read::text(object, "/kind") == "Lease" && read::namespace(object) == LEASES;
    if lease
        && read::at(object, "/spec/renewTime").is_none()
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
    let status = with_conditions(node, conditions);
    let mut writes: Vec<Write> = super::status(key, node, status).into_iter().collect();
    writes.extend(tainted(store, key, node, Some("Unknown"), now));
    writes.extend(unready(store, key, now));
    writes
}

/// When a node without a heartbeat was heard of last: by its Lease, by what it posted, or when it was made.
fn heard(store: &Store, node: &Value, lease: Option<&Value>) -> At {
    let renewed = lease.and_then(|lease| instant(store, lease, "/spec/renewTime"));
    let posted = read::condition(node, "Ready").and_then(|ready| instant(store, ready, "/lastHeartbeatTime"));
    let made = || instant(store, node, "/metadata/creationTimestamp");
    renewed.max(posted).or_else(made).unwrap_or_default()
}

/// Writes that make the pods of a node not ready.
fn unready(store: &Store, key: &Key, now: At) -> Vec<Write> {
    let shown = stamp(store, now);
    let mut writes = vec![];
    for pod in on_node(store, key.name()).filter(|pod| read::holds(pod, "Ready")) {
        let mut status = pod.get("status").cloned().unwrap_or_default();
        let conditions =
            read::with_condition(pod, "Ready", "False", "NodeNotReady", "Node is not ready", &shown);
        status["conditions"] = json!(conditions);
        writes.push(Write::Status { key: Key::of(&Resource::pods(), pod), status });
    }
    writes
}

fn with_conditions(node: &Value, conditions: Vec<Value>) -> Value {
    let mut status =
        node.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    status["conditions"] = json!(conditions);
    status
}

/// The write that leaves a node with just those taints of ours that its `Ready` condition and its cordon ask for; those that it has
/// already keep their time.
fn tainted(store: &Store, key: &Key, node: &Value, ready: Option<&str>, now: At) -> Option<Write> {
    let taint =
        |key: &str, effect: &str| json!({"key": key, "effect": effect, "timeAdded": stamp(store, now)});
    let somebody = || {
        every(store, &Resource::nodes(), None)
            .any(|other| read::name(other) != key.name() && read::holds(other, "Ready"))
    };
    let mut wanted = vec![];
    if read::flag(node, "/spec/unschedulable") {
        wanted.push(taint(UNSCHEDULABLE, "NoSchedule"));
    }
    if ready != Some("True") {
        let name = if ready == Some("Unknown") { UNREACHABLE } else { NOT_READY };
        wanted.push(taint(name, "NoSchedule"));
        if ready.is_some() && somebody() {
            wanted.push(taint(name, "NoExecute"));
        }
    }
    let all = read::list(node, "/spec/taints");
    let ours = |taint: &&Value| [UNREACHABLE, NOT_READY, UNSCHEDULABLE].contains(&read::text(taint, "/key"));
    let same = |one: &Value, other: &Value| {
        ["/key", "/effect"].iter().all(|field| read::text(one, field) == read::text(other, field))
    };
    let mut taints: Vec<Value> = all.iter().filter(|taint| !ours(taint)).cloned().collect();
    for taint in &wanted {
        let before = all.iter().filter(ours).find(|before| same(before, taint));
        taints.push(before.unwrap_or(taint).clone());
    }
    if taints == all {
        return None;
    }
    let mut object = node.clone();
    match object.get_mut("spec").and_then(Value::as_object_mut) {
        Some(spec) if taints.is_empty() => spec.remove("taints"),
        spec => spec.and_then(|spec| spec.insert("taints".into(), json!(taints))),
    };
    Some(Write::Update { key: key.clone(), object })
}
