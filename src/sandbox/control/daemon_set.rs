//! Daemon sets: one pod on each node that the template fits, whatever the scheduler thinks of the node.
//!
//! An update deletes old pods that are not available at once, and of the others only so many as may be unavailable; or, where there may be
//! too many (`maxSurge`), it makes a new pod beside the old one first. Each template is kept as a ControllerRevision (`revisions`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::placement::{fits, located, tolerates};
use super::replica_set::available;
use super::{
    Controller, Processes, Reconciled, adoption, at, daemon_sets, every, itself, read, revisions, template,
};
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
        keys.extend(adoption::claimants(store, change, &daemon_sets(), &Resource::pods()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(set) = at(store, key).filter(|set| !read::terminating(set)) else {
            return Reconciled::nothing();
        };
        let revision = template::revision(set);
        let members = match adoption::members(store, &daemon_sets(), set, &Resource::pods(), |_| true) {
            Ok(pods) => pods,
            Err(writes) => return writes.into(),
        };
        let mut pods: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for pod in members {
            pods.entry(read::text(pod, "/spec/nodeName")).or_default().push(pod);
        }
        let mut look =
            Look { store, set, wanted: made(set, &revision), revision: &revision, now, places: vec![] };
        let mut strays = 0;
        let mut writes: Vec<Write> = vec![];
        for node in every(store, &Resource::nodes(), None) {
            let wanted = &look.wanted;
            let runs = fits(wanted, node) && !shut(wanted, node, &["NoSchedule", "NoExecute"]);
            let stays = fits(wanted, node) && !shut(wanted, node, &["NoExecute"]);
            let here = pods.remove(read::name(node)).unwrap_or_default();
            strays += usize::from(!runs && !here.is_empty());
            if runs {
                look.places.push(Place::of(node, &revision, here, &mut writes));
            } else if !stays {
                // A taint that only keeps new pods away lets the one that runs be.
                writes.extend(here.into_iter().filter(|pod| !read::terminating(pod)).map(deleted));
            }
        }
        let lost = pods.into_values().flatten();
        writes.extend(lost.filter(|pod| !read::terminating(pod)).map(deleted));
        writes.extend(look.next());
        let carried: Vec<String> =
            look.oldest().map(|pod| format!("{}-{}", read::name(set), read::label(pod, REVISION))).collect();
        let carried: Vec<&str> = carried.iter().map(String::as_str).collect();
        writes.extend(revisions::kept(store, set, &daemon_sets(), &carried));
        let (status, wake) = look.status(strays);
        writes.extend(super::status(key, set, status));
        Reconciled { writes, wake }
    }
}

/// A node that should have the daemon, and the pods that it has: at most one of the template as it is, and one of before.
struct Place<'a> {
    node: &'a Value,
    new: Option<&'a Value>,
    old: Option<&'a Value>,
}

impl<'a> Place<'a> {
    fn of(node: &'a Value, revision: &str, pods: Vec<&'a Value>, writes: &mut Vec<Write>) -> Self {
        let mut place = Self { node, new: None, old: None };
        for pod in pods {
            let slot = if read::label(pod, REVISION) == revision { &mut place.new } else { &mut place.old };
            match slot {
                // One that failed is made again once it is gone.
                None => {
                    if read::ended(pod) && !read::terminating(pod) {
                        writes.push(deleted(pod));
                    }
                    *slot = Some(pod);
                }
                Some(_) if read::terminating(pod) => {}
                Some(_) => writes.push(deleted(pod)),
            }
        }
        place
    }

    /// The pod that counts: the one of before until it is gone.
    fn pod(&self) -> Option<&'a Value> {
        self.old.or(self.new)
    }
}

/// A daemon set with its places.
struct Look<'a> {
    store: &'a Store,
    set: &'a Value,
    /// The daemon's pod, as it is on any node.
    wanted: Value,
    revision: &'a str,
    now: At,
    places: Vec<Place<'a>>,
}

impl<'a> Look<'a> {
    fn oldest(&self) -> impl Iterator<Item = &'a Value> {
        self.places.iter().filter_map(Place::pod)
    }

    fn patience(&self) -> i64 {
        read::number(self.set, "/spec/minReadySeconds").unwrap_or(0)
    }

    /// Whether a pod is available.
    fn up(&self, pod: &Value) -> bool {
        read::active(pod) && available(self.store, &[pod], self.patience(), self.now).0 == 1
    }

    fn share(&self, of: &str) -> usize {
        let share = self.set.pointer(&format!("/spec/updateStrategy/rollingUpdate/{of}"));
        let desired = i64::try_from(self.places.len()).unwrap_or(i64::MAX);
        usize::try_from(read::share(share, "", desired, true)).unwrap_or_default()
    }

    /// The pods that are missing, and the rolling update's next step.
    fn next(&self) -> Vec<Write> {
        let missing = self.places.iter().filter(|place| place.pod().is_none());
        let mut writes: Vec<Write> = match (self.rolls(), self.share("maxSurge")) {
            (false, _) => vec![],
            (true, 0) => self.replaced(),
            (true, surge) => self.surged(surge),
        };
        writes.extend(missing.map(|place| self.created(place)));
        writes
    }

    fn rolls(&self) -> bool {
        read::text(self.set, "/spec/updateStrategy/type") != "OnDelete"
    }

    /// Deletions of old pods: those that are not available at once, and of the others so many as may be unavailable.
    fn replaced(&self) -> Vec<Write> {
        let most = self.share("maxUnavailable").max(1);
        let down = self.places.iter().filter(|place| !place.pod().is_some_and(|pod| self.up(pod))).count();
        let old = self.places.iter().filter_map(|place| place.old).filter(|pod| read::active(pod));
        let (well, unwell): (Vec<&Value>, Vec<&Value>) = old.partition(|pod| self.up(pod));
        unwell.into_iter().chain(well.into_iter().take(most.saturating_sub(down))).map(deleted).collect()
    }

    /// New pods beside old ones: at once where the old one is not available, and of the others so many as there may be too many; an old
    /// one goes when its new one is available.
    fn surged(&self, surge: usize) -> Vec<Write> {
        let (mut writes, mut waiting, mut candidates) = (vec![], 0, vec![]);
        for place in &self.places {
            match (place.old, place.new) {
                (Some(old), Some(new)) if self.up(new) && !read::terminating(old) => {
                    writes.push(deleted(old))
                }
                (Some(_), Some(new)) => waiting += usize::from(!self.up(new)),
                (Some(old), None) if self.up(old) => candidates.push(place),
                (Some(_), None) => writes.push(self.created(place)),
                (None, _) => {}
            }
        }
        let next = candidates.into_iter().take(surge.saturating_sub(waiting));
        writes.extend(next.map(|place| self.created(place)));
        writes
    }

    /// The daemon's pod for a node: bound from the start.
    fn created(&self, place: &Place<'_>) -> Write {
        let mut pod = self.wanted.clone();
        pod["spec"]["nodeName"] = json!(read::name(place.node));
        located(&mut pod, place.node);
        Write::Create { resource: Resource::pods(), object: pod }
    }

    /// The set's status, and when it changes by itself.
    fn status(&self, strays: usize) -> (Value, Option<At>) {
        let pods: Vec<&Value> = self.oldest().collect();
        let (up, wake) = available(self.store, &pods, self.patience(), self.now);
        let ready = pods.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let updated = pods.iter().filter(|pod| read::label(pod, REVISION) == self.revision).count();
        let status = json!({
            "observedGeneration": read::number(self.set, "/metadata/generation").unwrap_or(0),
            "desiredNumberScheduled": self.places.len(), "currentNumberScheduled": pods.len(),
            "numberMisscheduled": strays, "numberReady": ready, "numberAvailable": up,
            "numberUnavailable": self.places.len() - up, "updatedNumberScheduled": updated,
        });
        (status, wake)
    }
}

fn deleted(pod: &Value) -> Write {
    Write::Delete { key: Key::of(&Resource::pods(), pod) }
}

/// Whether a taint of one of these effects keeps a daemon's pod away from a node.
fn shut(pod: &Value, node: &Value, effects: &[&str]) -> bool {
    let mut taints = read::list(node, "/spec/taints").iter();
    taints.any(|taint| effects.contains(&read::text(taint, "/effect")) && !tolerates(pod, taint))
}

/// The daemon's pod; it tolerates what befalls nodes.
fn made(set: &Value, revision: &str) -> Value {
    let mut pod = template::pod(&daemon_sets(), set, &[(REVISION, revision)]);
    pod["metadata"]["generateName"] = json!(format!("{}-", read::name(set)));
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
