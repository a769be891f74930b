//! Stateful sets: pods with stable names and claims, started one after the other, replaced only when the old one is really gone.
//!
//! A pod that is being deleted still holds its name: while its node is lost nobody can say that it ended, so no second one is
//! started. A pod that never gets ready holds up the whole set, after its template was repaired too, until somebody deletes it: so
//! it is in Kubernetes. Left out: ControllerRevision, so a pod below the partition comes back with the newest template.

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::replica_set::available;
use super::{Controller, Processes, Reconciled, at, itself, one, owners, read, template};
use crate::model::effect::Resource;
use crate::model::time::At;

const REVISION: &str = "controller-revision-hash";
/// More replicas than this are a typing mistake.
const MOST: i64 = 10_000;

/// The stateful set controller.
pub struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset"
    }

    fn concerns(&self, _: &Store, change: &Change) -> Vec<Key> {
        let mut keys = itself(change, &Resource::stateful_sets());
        keys.extend(owners(change, &Resource::stateful_sets()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(set) = at(store, key).filter(|set| !read::terminating(set)) else {
            return Reconciled::nothing();
        };
        let look = Look::of(store, set, now);
        let mut writes: Vec<Write> = look.next(store);
        writes.extend(super::status(key, set, look.status()));
        Reconciled { writes, wake: look.wake }
    }
}

/// A stateful set with its pods.
struct Look<'a> {
    set: &'a Value,
    revision: String,
    /// By ordinal; those that should exist.
    wanted: Vec<(i64, Option<&'a Value>)>,
    /// Pods with higher ordinals, highest first.
    surplus: Vec<&'a Value>,
    now: At,
    store: &'a Store,
    wake: Option<At>,
}

impl<'a> Look<'a> {
    fn of(store: &'a Store, set: &'a Value, now: At) -> Self {
        let first = read::number(set, "/spec/ordinals/start").unwrap_or(0).clamp(0, MOST);
        let count = read::number(set, "/spec/replicas").unwrap_or(1).clamp(0, MOST);
        let mut pods: std::collections::BTreeMap<i64, &Value> =
            super::every(store, &Resource::pods(), Some(read::namespace(set)))
                .filter(|pod| read::controlled_by(pod, set))
                .filter_map(|pod| Some((read::name(pod).rsplit_once('-')?.1.parse().ok()?, pod)))
                .collect();
        let wanted: Vec<_> = (first..first + count).map(|ordinal| (ordinal, pods.remove(&ordinal))).collect();
        let surplus = pods.into_values().rev().collect();
        let mut look =
            Self { set, revision: template::revision(set), wanted, surplus, now, store, wake: None };
        let all: Vec<&Value> = look.pods().collect();
        look.wake = available(store, &all, look.patience(), now).1;
        look
    }

    fn pods(&self) -> impl Iterator<Item = &'a Value> {
        self.wanted.iter().filter_map(|(_, pod)| *pod)
    }

    fn patience(&self) -> i64 {
        read::number(self.set, "/spec/minReadySeconds").unwrap_or(0)
    }

    fn healthy(&self, pod: &Value) -> bool {
        read::active(pod) && available(self.store, &[pod], self.patience(), self.now).0 == 1
    }

    fn current(&self, pod: &Value) -> bool {
        read::label(pod, REVISION) == self.revision
    }

    /// What to do next: in order, one at a time, unless the pods may start in parallel.
    fn next(&self, store: &Store) -> Vec<Write> {
        let parallel = read::text(self.set, "/spec/podManagementPolicy") == "Parallel";
        let mut writes = vec![];
        for (ordinal, pod) in &self.wanted {
            match pod {
                None => writes.extend(self.created(store, *ordinal)),
                Some(pod) if read::ended(pod) && !read::terminating(pod) => writes.push(deleted(pod)),
                Some(pod) if parallel || self.healthy(pod) => continue,
                Some(_) => {}
            }
            if !parallel {
                return writes;
            }
        }
        for pod in &self.surplus {
            if !read::terminating(pod) {
                writes.push(deleted(pod));
            }
            if !parallel {
                return writes;
            }
        }
        if writes.is_empty() { self.rolled() } else { writes }
    }

    /// Whether a rolling update reaches an ordinal.
    fn updates(&self, ordinal: i64) -> bool {
        read::text(self.set, "/spec/updateStrategy/type") != "OnDelete"
            && ordinal >= read::number(self.set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0)
    }

    /// The rolling update's next step: from the highest ordinal down, waiting for each pod to be healthy.
    fn rolled(&self) -> Vec<Write> {
        for (ordinal, pod) in self.wanted.iter().rev() {
            let Some(pod) = pod.filter(|_| self.updates(*ordinal)) else { break };
            if !self.current(pod) && !read::terminating(pod) {
                return vec![deleted(pod)];
            }
            if !self.healthy(pod) {
                break;
            }
        }
        vec![]
    }

    /// The pod of an ordinal, with its claims where they do not exist yet.
    fn created(&self, store: &Store, ordinal: i64) -> Vec<Write> {
        let set = self.set;
        let name = format!("{}-{ordinal}", read::name(set));
        let index = ordinal.to_string();
        let mut pod = template::pod(
            &Resource::stateful_sets(),
            set,
            &[
                (REVISION, &self.revision),
                ("statefulset.kubernetes.io/pod-name", &name),
                ("apps.kubernetes.io/pod-index", &index),
            ],
        );
        pod["metadata"]["name"] = json!(name);
        pod["spec"]["hostname"] = json!(name);
        pod["spec"]["subdomain"] = json!(read::text(set, "/spec/serviceName"));
        let mut writes = vec![];
        let mut volumes = read::list(&pod, "/spec/volumes").to_vec();
        for claim in read::list(set, "/spec/volumeClaimTemplates") {
            let volume = read::name(claim);
            let claimed = format!("{volume}-{name}");
            volumes.retain(|other| read::name_field(other) != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claimed}}));
            if one(store, &Resource::claims(), Some(read::namespace(set)), &claimed).is_none() {
                let object = json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"name": claimed, "namespace": read::namespace(set), "labels":
                        set.pointer("/spec/selector/matchLabels").cloned().unwrap_or_else(|| json!({}))},
                    "spec": claim.get("spec").cloned().unwrap_or_else(|| json!({})),
                });
                writes.push(Write::Create { resource: Resource::claims(), object });
            }
        }
        if !volumes.is_empty() {
            pod["spec"]["volumes"] = json!(volumes);
        }
        writes.push(Write::Create { resource: Resource::pods(), object: pod });
        writes
    }

    fn status(&self) -> Value {
        let pods: Vec<&Value> = self.pods().filter(|pod| read::active(pod)).collect();
        let ready = pods.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let updated = pods.iter().filter(|pod| self.current(pod)).count();
        let complete = updated == self.wanted.len() && pods.len() == self.wanted.len();
        let before = read::text(self.set, "/status/currentRevision");
        let current = if complete || before.is_empty() { &self.revision } else { before };
        let of_current = pods.iter().filter(|pod| read::label(pod, REVISION) == current).count();
        json!({
            "observedGeneration": read::number(self.set, "/metadata/generation").unwrap_or(0),
            "replicas": pods.len() + self.surplus.len(), "readyReplicas": ready,
            "availableReplicas": available(self.store, &pods, self.patience(), self.now).0,
            "currentReplicas": of_current, "updatedReplicas": updated,
            "currentRevision": current, "updateRevision": self.revision, "collisionCount": 0,
        })
    }
}

fn deleted(pod: &Value) -> Write {
    Write::Delete { key: Key::of(&Resource::pods(), pod) }
}
