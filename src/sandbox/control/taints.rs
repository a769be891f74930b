//! Evictions by taint, and the removal of pods whose node is gone for good.
//!
//! A NoExecute taint sends away at once every pod that does not tolerate it, and later those that tolerate it for a while. The
//! deletion is graceful: on a node that is lost nobody carries it out, so the pod stays `Terminating` until the node comes back, is
//! deleted, or is declared out of service. A taint without `timeAdded` counts from the last change of the pod or its node.

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::placement::toleration;
use super::{Controller, Processes, Reconciled, at, instant, on_node, one, read, stamp};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The taint eviction controller and the pod garbage collector.
pub struct Taints;

impl Controller for Taints {
    fn name(&self) -> &'static str {
        "taint-eviction"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let pods = Resource::pods();
        if change.key.is(&Resource::nodes()) {
            let before = change.before.as_ref().map(|before| read::list(before, "/spec/taints"));
            if before == Some(read::list(&change.object, "/spec/taints")) && at(store, &change.key).is_some()
            {
                return vec![];
            }
            return on_node(store, change.key.name()).map(|pod| Key::of(&pods, pod)).collect();
        }
        let pod =
            change.key.is(&pods) && change.before.as_deref().map(matters) != Some(matters(&change.object));
        if pod { vec![change.key.clone()] } else { vec![] }
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(pod) = at(store, key) else { return Reconciled::nothing() };
        let name = read::text(pod, "/spec/nodeName");
        if name.is_empty() {
            return Reconciled::nothing();
        }
        let Some(node) = one(store, &Resource::nodes(), None, name) else {
            return vec![Write::Remove { key: key.clone() }].into();
        };
        let taints = || {
            read::list(node, "/spec/taints")
                .iter()
                .filter(|taint| read::text(taint, "/effect") == "NoExecute")
        };
        if read::terminating(pod) {
            let gone = !read::holds(node, "Ready")
                && taints().any(|taint| read::text(taint, "/key") == OUT_OF_SERVICE);
            return if gone {
                vec![Write::Remove { key: key.clone() }].into()
            } else {
                Reconciled::nothing()
            };
        }
        let due = taints().filter_map(|taint| leaves(store, pod, taint, now)).min();
        match due {
            Some(at) if at <= now => {
                let mut status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
                let (reason, message) =
                    ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
                let shown = stamp(store, now);
                status["conditions"] =
                    json!(read::with_condition(pod, "DisruptionTarget", "True", reason, message, &shown));
                vec![Write::Status { key: key.clone(), status }, Write::Delete { key: key.clone() }].into()
            }
            wake => Reconciled { writes: vec![], wake },
        }
    }
}

/// What of a pod decides whether it must leave.
fn matters(pod: &Value) -> (Option<&Value>, bool) {
    (pod.get("spec"), read::terminating(pod))
}

/// When a pod must leave because of a taint; never where it tolerates it for ever.
fn leaves(store: &Store, pod: &Value, taint: &Value, now: At) -> Option<At> {
    let Some(toleration) = toleration(pod, taint) else { return Some(now) };
    let seconds = u64::try_from(read::number(toleration, "/tolerationSeconds")?).unwrap_or_default();
    Some(instant(store, taint, "/timeAdded").unwrap_or(now).plus(Duration::from_secs(seconds)))
}
