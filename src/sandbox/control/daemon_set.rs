//! Daemon sets: one pod on each node that the template fits, whatever the scheduler thinks of the node.
//!
//! An update deletes old pods that are not available at once, and of the others only so many as may be unavailable. Left out: `maxSurge`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::placement::{fits, tolerates};
use super::replica_set::available;
use super::{Controller, Processes, Reconciled, adoption, at, daemon_sets, every, itself, read, template};
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
        let mut pods: BTreeMap<&str, &Value> =
            members.into_iter().map(|pod| (read::text(pod, "/spec/nodeName"), pod)).collect();
        let (mut kept, mut missing, mut strays) = (vec![], vec![], 0);
        for node in every(store, &Resource::nodes(), None) {
            let wanted = made(set, read::name(node), &revision);
            let runs = fits(&wanted, node) && !shut(&wanted, node, &["NoSchedule", "NoExecute"]);
            let stays = fits(&wanted, node) && !shut(&wanted, node, &["NoExecute"]);
            match pods.get(read::name(node)) {
                Some(_) if !stays => strays += 1,
                Some(pod) => {
                    // A taint that only keeps new pods away lets the one that runs be.
                    strays += usize::from(!runs);
                    if runs {
                        kept.push(*pod);
                    }
                    pods.remove(read::name(node));
                }
                None if runs => missing.push(wanted),
                None => {}
            }
        }
        let desired = kept.len() + missing.len();
        let seconds = read::number(set, "/spec/minReadySeconds").unwrap_or(0);
        let (up, wake) = available(store, &kept, seconds, now);
        let delete = |pod: &&Value| Write::Delete { key: Key::of(&Resource::pods(), pod) };
        let surplus = pods.values().filter(|pod| !read::terminating(pod));
        let mut writes: Vec<Write> = surplus.map(delete).collect();
        writes.extend(kept.iter().filter(|pod| read::ended(pod) && !read::terminating(pod)).map(delete));
        if read::text(set, "/spec/updateStrategy/type") != "OnDelete" {
            let up = |pod: &Value| read::active(pod) && available(store, &[pod], seconds, now).0 == 1;
            let most = set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            let most = read::share(most, "", i64::try_from(desired).unwrap_or(i64::MAX), true).max(1);
            let down = missing.len() + kept.iter().filter(|pod| !up(pod)).count();
            let room = usize::try_from(most).unwrap_or_default().saturating_sub(down);
            let old = kept.iter().filter(|pod| read::label(pod, REVISION) != revision && read::active(pod));
            let (well, unwell): (Vec<&Value>, Vec<&Value>) = old.partition(|pod| up(pod));
            writes.extend(unwell.iter().chain(well.iter().take(room)).map(delete));
        }
        writes.extend(missing.into_iter().map(|object| Write::Create { resource: Resource::pods(), object }));
        let ready = kept.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let status = json!({
            "observedGeneration": read::number(set, "/metadata/generation").unwrap_or(0),
            "desiredNumberScheduled": desired, "currentNumberScheduled": kept.len(),
            "numberMisscheduled": strays, "numberReady": ready, "numberAvailable": up,
            "numberUnavailable": desired - up,
            "updatedNumberScheduled": kept.iter().filter(|pod| read::label(pod, REVISION) == revision).count(),
        });
        writes.extend(super::status(key, set, status));
        Reconciled { writes, wake }
    }
}

/// Whether a taint of one of these effects keeps a daemon's pod away from a node.
fn shut(pod: &Value, node: &Value, effects: &[&str]) -> bool {
    let mut taints = read::list(node, "/spec/taints").iter();
    taints.any(|taint| effects.contains(&read::text(taint, "/effect")) && !tolerates(pod, taint))
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
