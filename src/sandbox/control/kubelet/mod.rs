//! The kubelets of all nodes: they start pods, probe them, restart what ends, and stop what is deleted.
//!
//! ```text
//! bound ─2 s─► started ─probe ticks─► ready ─deleted─► ended, or grace over ─► removed
//!                 ▲  └─exit, liveness─► back-off ─┐
//!                 └───────────────────────────────┘
//! ```
//! A kubelet on a node without a heartbeat does nothing. What a real one keeps on its node and not in the API stands in its memory:
//! the addresses that are taken, rows of probe results, back-offs. Left out: ephemeral containers, preStop hooks.

pub mod container;
pub mod environment;
pub mod init;
pub mod probes;
pub mod summary;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::{Controller, Processes, Reconciled, at, every, instant, on_node, one, read, secrets, stamp};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};
pub use container::resolve;

/// From a pod's binding to the start of its containers: sandbox, image, create.
pub const STARTS_IN: Duration = Duration::from_secs(2);

/// The kubelets.
#[derive(Default)]
pub struct Kubelet {
    memory: Mutex<Memory>,
}

/// What the nodes keep for themselves.
#[derive(Default)]
struct Memory {
    pods: BTreeMap<Key, Remembered>,
    taken: BTreeMap<Ipv4Addr, Key>,
    /// The address given last on each node: the next one follows it, so that none is used again at once.
    last: BTreeMap<String, u32>,
}

/// What is remembered of one pod.
#[derive(Default)]
struct Remembered {
    uid: String,
    address: Option<Ipv4Addr>,
    containers: BTreeMap<String, container::Memory>,
}

impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let pods = Resource::pods();
        if change.key.is(&pods) {
            return vec![change.key.clone()];
        }
        if change.key.is(&Resource::config_maps()) || change.key.is(&secrets()) {
            let stuck = |pod: &&Value| {
                if read::text(pod, "/spec/nodeName").is_empty() {
                    return false;
                }
                let mut statuses = read::list(pod, "/status/containerStatuses").iter();
                read::text(pod, "/status/phase") == "Pending"
                    || statuses
                        .any(|each| read::text(each, "/state/waiting/reason") == "CreateContainerConfigError")
            };
            let within = every(store, &pods, change.key.namespace());
            return within.filter(stuck).map(|pod| Key::of(&pods, pod)).collect();
        }
        vec![]
    }

    fn woken(&self, store: &Store, signal: &Key) -> Vec<Key> {
        let pods = Resource::pods();
        if signal.is(&Resource::nodes()) {
            return on_node(store, signal.name()).map(|pod| Key::of(&pods, pod)).collect();
        }
        if signal.is(&pods) { vec![signal.clone()] } else { vec![] }
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, processes: &dyn Processes) -> Reconciled {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pod) = at(store, key) else {
            memory.forget(key);
            return Reconciled::nothing();
        };
        let name = read::text(pod, "/spec/nodeName");
        let Some(node) = one(store, &Resource::nodes(), None, name).filter(|_| processes.heartbeat(name))
        else {
            return Reconciled::nothing();
        };
        if read::terminating(pod) {
            return stop(store, key, pod, now, processes);
        }
        if read::ended(pod) {
            return Reconciled::nothing();
        }
        let started = instant(store, pod, "/status/startTime").unwrap_or(now);
        let mut status =
            pod.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
        status["startTime"] = json!(stamp(store, started));
        if let Some(address) = memory.address(key, pod, node) {
            status["podIP"] = json!(address.to_string());
            status["podIPs"] = json!([{"ip": address.to_string()}]);
        }
        if let Some(host) = internal(node) {
            status["hostIP"] = json!(host);
            status["hostIPs"] = json!([{"ip": host}]);
        }
        status["resources"] = json!({});
        let deadline = seconds(pod, "/spec/activeDeadlineSeconds").map(|seconds| started.plus(seconds));
        if deadline.is_some_and(|deadline| deadline <= now) {
            let over = summary::late(pod, status, processes, &stamp(store, now));
            return super::status(key, pod, over).into_iter().collect::<Vec<_>>().into();
        }
        // The environment may name the pod's own address.
        let mut seen = Cow::Borrowed(pod);
        if pod.get("status") != Some(&status) {
            seen.to_mut()["status"] = status.clone();
        }
        let wakes = contained(store, &seen, &mut status, memory.of(key, read::uid(pod)), now, processes);
        let writes = super::status(key, pod, status).into_iter().collect();
        Reconciled { writes, wake: wakes.into_iter().chain(deadline).min() }
    }
}

/// Brings the statuses of all containers of a pod to what they are now; when to look again if nothing changes.
fn contained(
    store: &Store,
    pod: &Value,
    status: &mut Value,
    remembered: &mut Remembered,
    now: At,
    processes: &dyn Processes,
) -> Vec<At> {
    // Once a container ran, the volumes are mounted.
    let mounted = read::text(pod, "/status/phase") == "Running" || absent_volume(store, pod).is_none();
    let startable = instant(store, status, "/startTime").unwrap_or(now).plus(STARTS_IN);
    let startable = mounted.then_some(startable);
    let has_init = !read::list(pod, "/spec/initContainers").is_empty();
    let look = |spec, before, startable| container::Look {
        store,
        pod,
        spec,
        before,
        startable,
        init: has_init,
        now,
        processes,
    };
    let init = init::init(pod, |spec, before| look(spec, before, startable));
    let ready = startable.filter(|_| init.incomplete.is_empty());
    let mut wakes: Vec<At> = init.wake.into_iter().collect();
    let mut statuses = vec![];
    for spec in read::list(pod, "/spec/containers") {
        let name = read::name_field(spec);
        let olds = read::list(pod, "/status/containerStatuses");
        let before = olds.iter().find(|each| read::name_field(each) == name).unwrap_or(&Value::Null);
        let (next, wake) =
            look(spec, before, ready).next(remembered.containers.entry(name.to_owned()).or_default());
        statuses.push(next);
        wakes.extend(wake);
    }
    summary::summarise(status, pod, &init.incomplete, &statuses, &stamp(store, now));
    status["containerStatuses"] = Value::Array(statuses);
    if has_init {
        status["initContainerStatuses"] = json!(init.statuses);
    }
    wakes
}

/// What a volume needs that is not there.
pub struct Absent<'a> {
    pub volume: &'a str,
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    pub name: &'a str,
    /// The key that the object lacks; none where there is no object.
    pub key: Option<&'a str>,
}

/// What a volume that a container mounts needs and that is not there: a ConfigMap, a Secret, or a key of one that its `items` name.
pub fn absent_volume<'a>(store: &Store, pod: &'a Value) -> Option<Absent<'a>> {
    let containers =
        ["/spec/initContainers", "/spec/containers"].into_iter().flat_map(|of| read::list(pod, of));
    let mounted: BTreeSet<&str> =
        containers.flat_map(|each| read::list(each, "/volumeMounts")).map(read::name_field).collect();
    let volumes = read::list(pod, "/spec/volumes").iter();
    volumes.filter(|volume| mounted.contains(read::name_field(volume))).find_map(|volume| {
        let sources = [
            ("configMap", "/name", "ConfigMap", Resource::config_maps()),
            ("secret", "/secretName", "Secret", secrets()),
        ];
        sources.into_iter().find_map(|(field, name, kind, resource)| {
            let source = volume.get(field).filter(|source| !read::flag(source, "/optional"))?;
            let name = read::text(source, name);
            let absent = |key| Some(Absent { volume: read::name_field(volume), kind, name, key });
            let Some(object) = one(store, &resource, Some(read::namespace(pod)), name) else {
                return absent(None);
            };
            let has = |key: &str| ["data", "binaryData"].iter().any(|of| object[*of].get(key).is_some());
            let mut keys = read::list(source, "/items").iter().map(|item| read::text(item, "/key"));
            keys.find(|key| !has(key)).and_then(|key| absent(Some(key)))
        })
    })
}

/// A number of seconds at a JSON pointer.
fn seconds(object: &Value, pointer: &str) -> Option<Duration> {
    read::number(object, pointer).and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

/// A pod that is being deleted goes when its processes have ended, at the latest when its grace is over.
fn stop(store: &Store, key: &Key, pod: &Value, now: At, processes: &dyn Processes) -> Reconciled {
    let statuses = read::list(pod, "/status/containerStatuses");
    let runs = |each: &&Value| read::at(each, "/state/running").is_some();
    let left = statuses.iter().filter(runs);
    let ended = left.map(read::name_field).all(|name| processes.exited(read::uid(pod), name).is_some());
    let deadline = instant(store, pod, "/metadata/deletionTimestamp").unwrap_or(now);
    if ended || now >= deadline {
        let mut writes = vec![];
        // One that somebody else holds shows that it is over.
        if !read::list(pod, "/metadata/finalizers").is_empty() && !read::ended(pod) {
            let status = summary::over(pod, pod["status"].clone(), processes, &stamp(store, now));
            writes.extend(super::status(key, pod, status));
        }
        writes.push(Write::Remove { key: key.clone() });
        return writes.into();
    }
    Reconciled { writes: vec![], wake: Some(deadline) }
}

/// The address of a node within its cluster.
fn internal(node: &Value) -> Option<&str> {
    let mut addresses = read::list(node, "/status/addresses").iter();
    addresses.find(|each| read::text(each, "/type") == "InternalIP").map(|each| read::text(each, "/address"))
}

impl Memory {
    /// What is remembered of a pod; nothing of another pod that had its name.
    fn of(&mut self, key: &Key, uid: &str) -> &mut Remembered {
        if self.pods.get(key).is_some_and(|pod| pod.uid != uid) {
            self.forget(key);
        }
        self.pods
            .entry(key.clone())
            .or_insert_with(|| Remembered { uid: uid.to_owned(), ..Remembered::default() })
    }

    fn forget(&mut self, key: &Key) {
        let address = self.pods.remove(key).and_then(|pod| pod.address);
        if let Some(address) = address {
            self.taken.remove(&address);
        }
    }

    /// The pod's address: its node's, the one that it has, or the next free one of its node's range.
    fn address(&mut self, key: &Key, pod: &Value, node: &Value) -> Option<Ipv4Addr> {
        if read::flag(pod, "/spec/hostNetwork") {
            return internal(node)?.parse().ok();
        }
        if let Some(address) = self.of(key, read::uid(pod)).address {
            return Some(address);
        }
        let (network, prefix) = read::text(node, "/spec/podCIDR").split_once('/')?;
        let network = u32::from(network.parse::<Ipv4Addr>().ok()?);
        // Without the network's own address, the bridge's, and the broadcast.
        let hosts = (1_u32 << 32_u8.checked_sub(prefix.parse().ok()?)?.min(16)).saturating_sub(3);
        let last = self.last.get(read::name(node)).copied().unwrap_or_default();
        let held = read::text(pod, "/status/podIP").parse::<Ipv4Addr>().ok();
        let next = (0..hosts).map(|step| Ipv4Addr::from(network.wrapping_add(2 + (last + step) % hosts)));
        let address = held.into_iter().chain(next).find(|address| !self.taken.contains_key(address))?;
        self.last
            .insert(read::name(node).to_owned(), u32::from(address).wrapping_sub(network).saturating_sub(1));
        self.taken.insert(address, key.clone());
        self.of(key, read::uid(pod)).address = Some(address);
        Some(address)
    }
}
