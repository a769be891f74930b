//! The scheduler: binds pods without a node, those that wait in one go, so that a thousand pods are counted once.
//!
//! It also binds the pod's claims, since a volume is made in the zone of its first pod and stays there.

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Store, Write};
use super::kubelet::summary;
use super::placement::{Board, ZONE, located};
use super::{Controller, Processes, Reconciled, every, labelled, on_node, one, read, stamp, volumes};
use crate::model::effect::Resource;
use crate::model::time::At;

/// How many pods are bound in one go.
const MOST: usize = 1_000;

/// The scheduler.
pub struct Scheduler;

/// The one key: all pods that wait.
fn waiting() -> Key {
    Key::new(&Resource::pods(), None, "")
}

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn concerns(&self, _: &Store, change: &Change) -> Vec<Key> {
        let pod = change.key.is(&Resource::pods())
            && (waits(&change.object)
                || gated(&change.object)
                || change.kind == ChangeKind::Deleted
                || read::ended(&change.object)
                || change.before.as_deref().map(place).unwrap_or_default() != place(&change.object)
                || read::terminating(&change.object));
        let node = change.key.is(&Resource::nodes())
            && change.before.as_deref().map(offer) != Some(offer(&change.object));
        let claim = change.key.is(&Resource::claims()) && change.kind == ChangeKind::Added;
        if pod || node || claim { vec![waiting()] } else { vec![] }
    }

    fn reconcile(&self, store: &Store, _: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let unplaced: Vec<&Value> = on_node(store, "").collect();
        let mut queue: Vec<&Value> = unplaced.iter().copied().filter(|pod| waits(pod)).collect();
        let mut writes: Vec<Write> = unplaced
            .iter()
            .filter(|pod| gated(pod))
            .filter_map(|pod| {
                let message = "Scheduling is blocked due to non-empty scheduling gates";
                said(store, pod, "False", "SchedulingGated", message, now)
            })
            .collect();
        if queue.is_empty() {
            return writes.into();
        }
        queue.sort_by_key(|pod| {
            (
                -read::number(pod, "/spec/priority").unwrap_or(0),
                read::text(pod, "/metadata/creationTimestamp"),
            )
        });
        let nodes = every(store, &Resource::nodes(), None).collect();
        let pods = every(store, &Resource::pods(), None);
        let mut board =
            Board::new(nodes, pods, |namespace, labels| labelled(store, Some(namespace), labels).collect());
        let mut placed = 0;
        for pod in queue {
            // The changes of these call for the others.
            if placed == MOST {
                break;
            }
            let (holds, reason, message) = match volumes::zones(store, pod) {
                Ok(zones) => match board.place(pod, &zones) {
                    Ok(node) => {
                        placed += 1;
                        writes.extend(bound(store, pod, node));
                        ("True", "", String::new())
                    }
                    Err(why) => ("False", "Unschedulable", why),
                },
                Err(why) => ("False", "Unschedulable", why),
            };
            writes.extend(said(store, pod, holds, reason, &message, now));
        }
        writes.into()
    }
}

/// The write of what the scheduler says of a pod.
fn said(store: &Store, pod: &Value, holds: &str, reason: &str, message: &str, now: At) -> Option<Write> {
    let mut conditions =
        read::with_condition(pod, "PodScheduled", holds, reason, message, &stamp(store, now));
    summary::observed(&mut conditions, pod);
    let mut status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
    status["conditions"] = Value::Array(conditions);
    if status.get("phase").is_none() {
        status["phase"] = json!("Pending");
    }
    super::status(&Key::of(&Resource::pods(), pod), pod, status)
}

/// The node that a pod stands on: others may wait for its company.
fn place(pod: &Value) -> &str {
    read::text(pod, "/spec/nodeName")
}

/// What of a node decides about who may run there.
fn offer(node: &Value) -> (Option<&Value>, &Value, Option<&Value>) {
    (node.get("spec"), read::labels(node), read::at(node, "/status/allocatable"))
}

/// Whether a pod waits for its scheduling gates to open.
fn gated(pod: &Value) -> bool {
    !read::list(pod, "/spec/schedulingGates").is_empty() && read::active(pod)
}

/// Whether a pod waits for a node.
fn waits(pod: &Value) -> bool {
    read::text(pod, "/spec/nodeName").is_empty()
        && read::active(pod)
        && !gated(pod)
        && matches!(read::text(pod, "/spec/schedulerName"), "" | "default-scheduler")
}

/// Writes that bind a pod and its claims to a node.
fn bound(store: &Store, pod: &Value, node: &str) -> Vec<Write> {
    let machine = one(store, &Resource::nodes(), None, node).unwrap_or(&Value::Null);
    let mut writes = volumes::bound(store, pod, read::label(machine, ZONE));
    let mut object = pod.clone();
    object["spec"]["nodeName"] = json!(node);
    located(&mut object, machine);
    writes.push(Write::Update { key: Key::of(&Resource::pods(), pod), object });
    writes
}
