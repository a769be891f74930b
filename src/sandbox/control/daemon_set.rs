//! Daemon sets: one pod on each node that the template fits, whatever the scheduler thinks of the node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::placement::{fits, tolerates};
use super::replica_set::available;
use super::{Controller, Processes, Reconciled, at, daemon_sets, every, itself, owners, read, template};
use crate::model::effect::Resource;
use crate::model::time::At;

const REVISION: &str = "controller-revision-hash";

/// The daemon set controller.
pub struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        if change.key.is(&Resource::nodes()) {
            return every(store, &daemon_sets(), None).map(|set| Key::of(&daemon_sets(), set)).collect();
        }
        let mut keys = itself(change, &daemon_sets());
        keys.extend(owners(change, &daemon_sets()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(set) = at(store, key).filter(|set| !read::terminating(set)) else {
            return Reconciled::nothing();
        };
        let revision = template::revision(set);
        let mut pods: BTreeMap<&str, &Value> = every(store, &Resource::pods(), key.namespace.as_deref())
            .filter(|pod| read::controlled_by(pod, set))
            .map(|pod| (read::text(pod, "/spec/nodeName"), pod))
            .collect();
        let (mut kept, mut missing) = (vec![], vec![]);
        for node in every(store, &Resource::nodes(), None) {
            let wanted = made(set, read::name(node), &revision);
            if !welcome(&wanted, node) {
                continue;
            }
            match pods.remove(read::name(node)) {
                Some(pod) => kept.push(pod),
                None => missing.push(wanted),
            }
        }
        let desired = kept.len() + missing.len();
        let seconds = read::number(set, "/spec/minReadySeconds").unwrap_or(0);
        let (up, wake) = available(store, &kept, seconds, now);
        let delete = |pod: &&Value| Write::Delete { key: Key::of(&Resource::pods(), pod) };
        let surplus = pods.values().filter(|pod| !read::terminating(pod));
        let mut writes: Vec<Write> = surplus.map(delete).collect();
        writes.extend(kept.iter().filter(|pod| read::ended(pod) && !read::terminating(pod)).map(delete));
        let outdated = kept.iter().find(|pod| read::label(pod, REVISION) != revision);
        let on_delete = read::text(set, "/spec/updateStrategy/type") == "OnDelete";
        if up == desired && !on_delete {
            writes.extend(outdated.map(delete));
        }
        writes.extend(missing.into_iter().map(|object| Write::Create { resource: Resource::pods(), object }));
        let ready = kept.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let status = json!({
            "observedGeneration": read::number(set, "/metadata/generation").unwrap_or(0),
            "desiredNumberScheduled": desired, "currentNumberScheduled": kept.len(),
            "numberMisscheduled": pods.len(), "numberReady": ready, "numberAvailable": up,
            "numberUnavailable": desired - up,
            "updatedNumberScheduled": kept.iter().filter(|pod| read::label(pod, REVISION) == revision).count(),
        });
        writes.extend(super::status(key, set, status));
        Reconciled { writes, wake }
    }
}

/// Whether a daemon's pod belongs on a node, and no taint keeps it away.
fn welcome(pod: &Value, node: &Value) -> bool {
    let shut = |taint: &Value| read::text(taint, "/effect") != "PreferNoSchedule" && !tolerates(pod, taint);
    fits(pod, node) && !read::list(node, "/spec/taints").iter().any(shut)
}

/// The daemon's pod for a node; it tolerates what befalls nodes, and is bound from the start.
fn made(set: &Value, node: &str, revision: &str) -> Value {
    let mut pod = template::pod(&daemon_sets(), set, &[(REVISION, revision)]);
    pod["metadata"]["generateName"] = json!(format!("{}-", read::name(set)));
    pod["spec"]["nodeName"] = json!(node);
    let mut tolerations = read::list(&pod, "/spec/tolerations").to_vec();
    for (taint, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("unreachable", "NoSchedule"),
        ("not-ready", "NoSchedule"),
    ] {
        tolerations.push(
            json!({"key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": effect}),
        );
    }
    pod["spec"]["tolerations"] = json!(tolerations);
    pod
}
