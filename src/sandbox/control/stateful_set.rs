//! Stateful sets: pods with stable names and claims, started one after the other, replaced only when the old one is really gone.
//!
//! A pod that is being deleted still holds its name: while its node is lost nobody can say that it ended, so no second one is
//! started. A pod that never gets ready holds up the whole set, after its template was repaired too, until somebody deletes it: so
//! it is in Kubernetes. A pod below the partition comes back as it was. Left out: `maxUnavailable` of a rolling update.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::replica_set::available;
use super::{Controller, Processes, Reconciled, adoption, at, itself, one, read, revisions, template};
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

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let kind = Resource::stateful_sets();
        let mut keys = itself(change, &kind);
        keys.extend(adoption::claimants(store, change, &kind, &Resource::pods()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(set) = at(store, key).filter(|set| !read::terminating(set)) else {
            return Reconciled::nothing();
        };
        let kind = Resource::stateful_sets();
        let named = |pod: &Value| ordinal(set, read::name(pod)).is_some();
        let pods = match adoption::members(store, &kind, set, &Resource::pods(), named) {
            Ok(pods) => pods,
            Err(writes) => return writes.into(),
        };
        let look = Look::of(store, set, pods, now);
        let mut carried: Vec<&str> = look.everyone().map(|pod| read::label(pod, REVISION)).collect();
        carried.push(read::text(set, "/status/currentRevision"));
        let mut writes = revisions::kept(store, set, &kind, &carried);
        writes.extend(look.next());
        writes.extend(look.kept_claims());
        writes.extend(super::status(key, set, look.status()));
        Reconciled { writes, wake: look.wake }
    }
}

/// A stateful set with its pods.
struct Look<'a> {
    set: &'a Value,
    /// The lowest ordinal.
    first: i64,
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
    fn of(store: &'a Store, set: &'a Value, pods: Vec<&'a Value>, now: At) -> Self {
        let first = read::number(set, "/spec/ordinals/start").unwrap_or(0).clamp(0, MOST);
        let count = read::number(set, "/spec/replicas").unwrap_or(1).clamp(0, MOST);
        let mut pods: BTreeMap<i64, &Value> =
            pods.into_iter().filter_map(|pod| Some((ordinal(set, read::name(pod))?, pod))).collect();
        let wanted: Vec<_> = (first..first + count).map(|ordinal| (ordinal, pods.remove(&ordinal))).collect();
        let surplus = pods.into_values().rev().collect();
        let mut look =
            Self { set, first, revision: revisions::name(set), wanted, surplus, now, store, wake: None };
        let all: Vec<&Value> = look.everyone().collect();
        look.wake = available(store, &all, look.patience(), now).1;
        look
    }

    fn everyone(&self) -> impl Iterator<Item = &'a Value> {
        self.wanted.iter().filter_map(|(_, pod)| *pod).chain(self.surplus.iter().copied())
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
    fn next(&self) -> Vec<Write> {
        let parallel = read::text(self.set, "/spec/podManagementPolicy") == "Parallel";
        let mut writes = vec![];
        for (ordinal, pod) in &self.wanted {
            match pod {
                None => writes.extend(self.created(*ordinal)),
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

    fn rolls(&self) -> bool {
        read::text(self.set, "/spec/updateStrategy/type") != "OnDelete"
    }

    /// Whether an ordinal stands below the partition, which a rolling update does not reach.
    fn below(&self, ordinal: i64) -> bool {
        let partition = read::number(self.set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        ordinal < self.first.saturating_add(partition)
    }

    /// The rolling update's next step: from the highest ordinal down, waiting for each pod to be healthy.
    fn rolled(&self) -> Vec<Write> {
        for (ordinal, pod) in self.wanted.iter().rev() {
            let Some(pod) = pod.filter(|_| self.rolls() && !self.below(*ordinal)) else { break };
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
    fn created(&self, ordinal: i64) -> Vec<Write> {
        let (set, store) = (self.set, self.store);
        let current = read::text(set, "/status/currentRevision");
        let old = self.rolls() && self.below(ordinal) && !current.is_empty();
        let revision = if old { current } else { &self.revision };
        let name = format!("{}-{ordinal}", read::name(set));
        let index = ordinal.to_string();
        let mut pod = template::pod(
            &Resource::stateful_sets(),
            &revisions::at(store, set, revision),
            &[
                (REVISION, revision),
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
                let object = self.claimed(claim, &claimed);
                writes.push(Write::Create { resource: Resource::claims(), object });
            }
        }
        if !volumes.is_empty() {
            pod["spec"]["volumes"] = json!(volumes);
        }
        writes.push(Write::Create { resource: Resource::pods(), object: pod });
        writes
    }

    /// A claim from its template.
    fn claimed(&self, template: &Value, name: &str) -> Value {
        let mut metadata = json!({"name": name, "namespace": read::namespace(self.set), "labels": {}});
        let of_template = read::at(template, "/metadata/labels");
        let of_selector = self.set.pointer("/spec/selector/matchLabels");
        for (key, value) in
            [of_template, of_selector].into_iter().flatten().filter_map(Value::as_object).flatten()
        {
            metadata["labels"][key] = value.clone();
        }
        if let Some(annotations) = read::at(template, "/metadata/annotations") {
            metadata["annotations"] = annotations.clone();
        }
        if self.deletes("whenDeleted") {
            metadata["ownerReferences"] = template::owned_by(&Resource::stateful_sets(), self.set);
        }
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
            "spec": template.get("spec").cloned().unwrap_or_else(|| json!({}))})
    }

    fn deletes(&self, when: &str) -> bool {
        read::text(self.set, &format!("/spec/persistentVolumeClaimRetentionPolicy/{when}")) == "Delete"
    }

    /// Writes that make claims go with the set, or with the pods that a smaller set no longer has, where it says so.
    fn kept_claims(&self) -> Vec<Write> {
        let (with_set, with_pod) = (self.deletes("whenDeleted"), self.deletes("whenScaled"));
        let kind = Resource::claims();
        let volumes = || read::list(self.set, "/spec/volumeClaimTemplates").iter().map(read::name);
        let of = |claim: &Value| {
            volumes().find_map(|volume| {
                ordinal(self.set, read::name(claim).strip_prefix(volume)?.strip_prefix('-')?)
            })
        };
        let mut writes = vec![];
        let first = |volume: &str| {
            Key::new(&kind, Some(read::namespace(self.set)), &format!("{volume}-{}-", read::name(self.set)))
        };
        let named = volumes().map(first).flat_map(|first| {
            let beginning = first.name().to_owned();
            self.store.list_after(first, true).take_while(move |(key, _)| key.name().starts_with(&beginning))
        });
        for claim in named.map(|(_, claim)| claim.as_ref()) {
            let Some(number) = of(claim).filter(|_| !read::terminating(claim)) else { continue };
            let key = Key::of(&kind, claim);
            let used = self.everyone().any(|pod| ordinal(self.set, read::name(pod)) == Some(number));
            if with_pod && !used && !self.wanted.iter().any(|(wanted, _)| *wanted == number) {
                writes.push(Write::Delete { key });
            } else if with_set != read::controlled_by(claim, self.set) {
                let mut object = claim.clone();
                object["metadata"]["ownerReferences"] = if with_set {
                    template::owned_by(&Resource::stateful_sets(), self.set)
                } else {
                    json!([])
                };
                writes.push(Write::Update { key, object });
            }
        }
        writes
    }

    fn status(&self) -> Value {
        let pods: Vec<&Value> = self.everyone().collect();
        let ready = pods.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let of = |revision: &str| {
            pods.iter().filter(|pod| read::active(pod) && read::label(pod, REVISION) == revision).count()
        };
        let updated = of(&self.revision);
        let complete = self.rolls() && [updated, ready, pods.len()] == [self.wanted.len(); 3];
        let before = read::text(self.set, "/status/currentRevision");
        let current = if complete || before.is_empty() { &self.revision } else { before };
        json!({
            "observedGeneration": read::number(self.set, "/metadata/generation").unwrap_or(0),
            "replicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": available(self.store, &pods, self.patience(), self.now).0,
            "currentReplicas": of(current), "updatedReplicas": updated,
            "currentRevision": current, "updateRevision": self.revision, "collisionCount": 0,
        })
    }
}

/// The number behind a set's name: `ledger-0`.
fn ordinal(set: &Value, name: &str) -> Option<i64> {
    name.strip_prefix(read::name(set))?.strip_prefix('-')?.parse().ok()
}

fn deleted(pod: &Value) -> Write {
    Write::Delete { key: Key::of(&Resource::pods(), pod) }
}
