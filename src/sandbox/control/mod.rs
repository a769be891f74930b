//! The controllers of one simulated region: what makes its objects true, with Kubernetes' own default times.
//!
//! ```text
//!  change ─► concerns ─► queue ─► reconcile(store, key, now, processes) ─► writes ─► store ─► change …
//!  timer  ──────────────► │                                           └─► wake: the next instant that matters
//!  health signal ► woken ─┘
//!
//! deployment ─► replica_set ─┐                 ┌─► kubelet ─► endpoints
//! stateful_set, daemon_set ──┼─► pod ─► scheduler    ▲   └─► disruption (budgets)
//! job ───────────────────────┘             node ─► taints (evictions)     garbage, namespace, service, ingress, claims
//! ```
//! Each controller is one file: a function of the store, one object's key and the time. None polls, so that an idle virtual hour costs
//! nothing; a healthy heartbeat is worked out when somebody reads it ([`node::as_read`]). Rejected: kube-rs's `Controller`, whose order is not
//! the same in every run. Left out: preemption, CronJob. What they note about
//! their writes is worked out from those, when somebody reads it ([`super::events`]).
//!
//! How to add one: a file with a type that implements [`Controller`], and its line in [`all`].

pub mod adoption;
pub mod claims;
pub mod company;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod driver;
pub mod endpoints;
pub mod garbage;
pub mod ingress;
pub mod job;
pub mod kubelet;
pub mod namespace;
pub mod node;
pub mod placement;
pub mod read;
pub mod replica_set;
pub mod revisions;
pub mod rollout;
pub mod room;
pub mod scheduler;
pub mod service;
pub mod stateful_set;
pub mod taints;
pub mod template;
pub mod volumes;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use super::state::Pool;
use super::store::{Change, Key, Mark, Store, Write};
use crate::model::effect::Resource;
use crate::model::time::At;
pub use driver::{drive, settle};

/// What runs in the pods and on the nodes, as a kubelet asks it.
///
/// Every method is called with the region's store locked: answer from memory, and never read the store. Whoever implements it
/// signals each change of an answer through the sender of the wakes that [`drive`] was given: the key of the pod for
/// `answers` and `exited`, the key of the node for `heartbeat`.
///
/// A container's process is one incarnation, by pod uid, container name and the `restartCount` of its status: it runs from
/// the change that shows `state.running` until it exits or the change that shows it no longer; the deletion of the pod
/// (`metadata.deletionTimestamp`) is its SIGTERM.
pub trait Processes: Send + Sync {
    /// Whether a container answers a probe (`readinessProbe`, … of its spec) well, now.
    fn answers(&self, pod: &Value, container: &str, probe: &Value) -> bool;

    /// The exit code of the container's latest incarnation, once it ended by itself.
    fn exited(&self, pod_uid: &str, container: &str) -> Option<i32>;

    /// Whether the node has a machine that runs and reaches its API server.
    fn heartbeat(&self, node: &str) -> bool;
}

/// One small part of Kubernetes.
pub trait Controller: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Whom a change makes look again.
    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key>;

    /// Whom a signal about the health of a pod or a node makes look again.
    fn woken(&self, _store: &Store, _signal: &Key) -> Vec<Key> {
        vec![]
    }

    /// What one object needs now, and when to look again if nothing changes until then. Idempotent: where all is as it
    /// should be, there are no writes.
    fn reconcile(&self, store: &Store, key: &Key, now: At, processes: &dyn Processes) -> Reconciled;
}

/// What a controller wants.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reconciled {
    pub writes: Vec<Write>,
    /// When to look again; replaces what the last reconcile of the same key said.
    pub wake: Option<At>,
}

impl Reconciled {
    /// Nothing to do, now or later.
    pub fn nothing() -> Self {
        Self::default()
    }
}

impl From<Vec<Write>> for Reconciled {
    fn from(writes: Vec<Write>) -> Self {
        Self { writes, wake: None }
    }
}

/// Where a region's controllers take addresses from; the rest of the region's range is for nodes and others.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Each node without a `podCIDR` gets a /24 of it.
    pub pods: Pool,
    /// Services of type LoadBalancer, and the controllers of Ingresses.
    pub load_balancers: Pool,
    /// The machines of the nodes; the first address is somebody else's.
    pub machines: Pool,
}

/// Every controller there is, in the order in which they hear of a change.
pub fn all(addresses: Addresses) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(namespace::Namespaces),
        Box::new(garbage::Garbage),
        Box::new(node::Nodes::new(addresses.pods, addresses.machines)),
        Box::new(taints::Taints),
        Box::new(deployment::Deployments),
        Box::new(replica_set::ReplicaSets),
        Box::new(stateful_set::StatefulSets),
        Box::new(daemon_set::DaemonSets),
        Box::new(job::Jobs),
        Box::new(claims::Claims),
        Box::new(scheduler::Scheduler),
        Box::new(kubelet::Kubelet::default()),
        Box::new(endpoints::Endpoints),
        Box::new(disruption::Budgets),
        Box::new(service::Services { load_balancers: addresses.load_balancers }),
        Box::new(ingress::Ingresses::new(addresses.load_balancers)),
    ]
}

/// Daemon sets.
pub(crate) fn daemon_sets() -> Resource {
    Resource::new("apps", "v1", "daemonsets", "DaemonSet")
}

/// Jobs.
pub(crate) fn jobs() -> Resource {
    Resource::new("batch", "v1", "jobs", "Job")
}

/// Ingresses.
pub(crate) fn ingresses() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingresses", "Ingress")
}

/// Classes of Ingresses.
pub(crate) fn ingress_classes() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingressclasses", "IngressClass")
}

/// Secrets.
pub(crate) fn secrets() -> Resource {
    Resource::new("", "v1", "secrets", "Secret")
}

/// Persistent volumes.
pub(crate) fn volumes() -> Resource {
    Resource::new("", "v1", "persistentvolumes", "PersistentVolume")
}

/// All objects of a kind, in a namespace or everywhere.
pub(crate) fn every<'a>(
    store: &'a Store,
    resource: &Resource,
    namespace: Option<&str>,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let start = Key::new(resource, namespace, "");
    store.list_after(start, namespace.is_some()).map(|(_, object)| Arc::as_ref(object))
}

/// The objects of a kind with a mark, in a namespace or everywhere.
pub(crate) fn marked<'a>(
    store: &'a Store,
    mark: &Mark,
    resource: &Resource,
    namespace: Option<&str>,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    store.marked_of(mark, resource, namespace).map(|(_, object)| Arc::as_ref(object))
}

/// The pods that stand on a node.
pub(crate) fn on_node<'a>(store: &'a Store, node: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    marked(store, &Mark::Node(node.to_owned()), &Resource::pods(), None)
}

/// The pods of a namespace that can have all the wanted labels.
pub(crate) fn labelled<'a>(
    store: &'a Store,
    namespace: Option<&str>,
    wanted: &Value,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    store.labelled(namespace.unwrap_or_default(), wanted).map(|(_, pod)| Arc::as_ref(pod))
}

/// The objects of a kind that can select one of a namespace with these labels.
pub(crate) fn asking<'a>(
    store: &'a Store,
    resource: &Resource,
    namespace: Option<&str>,
    labels: &Value,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let found = store.asking(resource, namespace.unwrap_or_default(), labels);
    found.into_iter().map(|(_, object)| Arc::as_ref(object))
}

/// One object.
pub(crate) fn one<'a>(
    store: &'a Store,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Option<&'a Value> {
    store.get(&Key::new(resource, namespace, name)).map(Arc::as_ref)
}

/// The object of a key.
pub(crate) fn at<'a>(store: &'a Store, key: &Key) -> Option<&'a Value> {
    store.get(key).map(Arc::as_ref)
}

/// The key of a change's object, where it is of a kind.
pub(crate) fn itself(change: &Change, resource: &Resource) -> Vec<Key> {
    if change.key.is(resource) { vec![change.key.clone()] } else { vec![] }
}

/// The keys of the owners of a kind that a change's object has or had.
pub(crate) fn owners(change: &Change, owner: &Resource) -> Vec<Key> {
    let mut keys: Vec<Key> = [Some(&change.object), change.before.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|object| read::controller(object))
        .filter(|reference| read::text(reference, "/kind") == owner.kind)
        .map(|reference| Key::new(owner, change.key.namespace(), read::name_field(reference)))
        .collect();
    keys.dedup();
    keys
}

/// An instant as the store keeps it in a status, with the fraction of a second where there is one: without it no controller could tell the time between
/// two states to the millisecond. Whoever reads through the API sees whole seconds, as Kubernetes' `Time` has them.
pub(crate) fn stamp(store: &Store, at: At) -> String {
    let clock = store.clock();
    if clock.wall_unix_ns_at(at) % 1_000_000_000 == 0 { clock.time(at) } else { clock.micro_time(at) }
}

/// The instant at a JSON pointer.
pub(crate) fn instant(store: &Store, object: &Value, pointer: &str) -> Option<At> {
    store.clock().read(read::text(object, pointer))
}

/// A write of a status, unless it is that already.
pub(crate) fn status(key: &Key, object: &Value, status: Value) -> Option<Write> {
    (object.get("status") != Some(&status)).then(|| Write::Status { key: key.clone(), status })
}
