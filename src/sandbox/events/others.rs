//! What is noted about a change of what is no pod: replica sets, claims, jobs, nodes, services.

use serde_json::Value;

use super::{About, Note};
use crate::model::effect::Resource;
use crate::sandbox::control::{jobs, read};
use crate::sandbox::store::{Change, ChangeKind, Refused};

/// What the author of a change notes about it.
pub(super) fn notes(change: &Change) -> Vec<Note<'_>> {
    let kind = |resource: &Resource| change.key.is(resource);
    match change.by.unwrap_or_default() {
        "deployment" if kind(&Resource::replica_sets()) => scaled(change).into_iter().collect(),
        "statefulset" if kind(&Resource::claims()) => claimed(change).into_iter().collect(),
        "job" if kind(&jobs()) => finished(change).into_iter().collect(),
        "service" if kind(&Resource::services()) => balanced(change),
        _ if kind(&Resource::nodes()) => node(change),
        _ => vec![],
    }
}

fn before(change: &Change) -> &Value {
    change.before.as_deref().unwrap_or(&Value::Null)
}

fn note<'a>(about: About<'a>, component: &'a str, reason: &'a str, message: String) -> Note<'a> {
    Note { about, warning: false, reason, message, component, host: "" }
}

/// A controller may not make a pod.
pub(super) fn refused(refused: &Refused) -> Option<Note<'_>> {
    let name = read::name(&refused.object);
    let about = About::owner(&refused.object)?;
    let (component, message) = match refused.by {
        "replicaset" => ("replicaset-controller", format!("Error creating: {}", refused.why)),
        "daemonset" => ("daemonset-controller", format!("Error creating: {}", refused.why)),
        "job" => ("job-controller", format!("Error creating: {}", refused.why)),
        "statefulset" => (
            "statefulset-controller",
            format!("Create Pod {name} in StatefulSet {} failed error: {}", about.name, refused.why),
        ),
        _ => return None,
    };
    Some(Note { warning: true, ..note(about, component, "FailedCreate", message) })
}

/// A deployment makes a replica set, or gives it another size.
fn scaled(change: &Change) -> Option<Note<'_>> {
    let size = |set: &Value| read::number(set, "/spec/replicas").unwrap_or(0);
    let (from, to) = (size(before(change)), size(&change.object));
    let verb = if to > from { "up" } else { "down" };
    if from == to || change.kind == ChangeKind::Deleted {
        return None;
    }
    let message = format!("Scaled {verb} replica set {} from {from} to {to}", read::name(&change.object));
    Some(note(About::owner(&change.object)?, "deployment-controller", "ScalingReplicaSet", message))
}

/// A stateful set makes a claim for one of its pods.
fn claimed(change: &Change) -> Option<Note<'_>> {
    let claim: &Value = &change.object;
    // `data-ledger-0` is the claim `data` of the pod `ledger-0` of the set `ledger`.
    let (_, ordinal) = read::name(claim).rsplit_once('-')?;
    let about = About::owner(claim)?;
    let message = format!(
        "Create Claim {} Pod {}-{ordinal} in StatefulSet {} success",
        read::name(claim),
        about.name,
        about.name
    );
    (change.kind == ChangeKind::Added)
        .then(|| note(about, "statefulset-controller", "SuccessfulCreate", message))
}

/// A job is over, or rests, or goes on.
fn finished(change: &Change) -> Option<Note<'_>> {
    let job: &Value = &change.object;
    let begins = |kind: &str| read::holds(job, kind) && !read::holds(before(change), kind);
    let of =
        |reason, message: &str| Some(note(About::object(job), "job-controller", reason, message.to_owned()));
    if begins("Complete") {
        return of("Completed", "Job completed");
    }
    if begins("Failed") {
        let failed = read::condition(job, "Failed")?;
        let failed = of(read::text(failed, "/reason"), read::text(failed, "/message"))?;
        return Some(Note { warning: true, ..failed });
    }
    if begins("Suspended") {
        return of("Suspended", "Job suspended");
    }
    let rested = read::holds(before(change), "Suspended") && !read::holds(job, "Suspended");
    if rested { of("Resumed", "Job resumed") } else { None }
}

/// A Service gets an address outside.
fn balanced(change: &Change) -> Vec<Note<'_>> {
    let address = |service: &Value| service.pointer("/status/loadBalancer/ingress/0").is_some();
    if !address(&change.object) || address(before(change)) {
        return vec![];
    }
    let of = |reason, message: &str| {
        note(About::object(&change.object), "service-controller", reason, message.to_owned())
    };
    vec![
        of("EnsuringLoadBalancer", "Ensuring load balancer"),
        of("EnsuredLoadBalancer", "Ensured load balancer"),
    ]
}

/// A node comes, is cordoned, or was heard of, or not.
fn node(change: &Change) -> Vec<Note<'_>> {
    let (node, before): (&Value, &Value) = (&change.object, before(change));
    let name = read::name(node);
    let status = |component, reason: &'static str| {
        note(About::object(node), component, reason, format!("Node {name} status is now: {reason}"))
    };
    let kubelet = |reason| Note { host: name, ..status("kubelet", reason) };
    let cordoned = |node: &Value| read::flag(node, "/spec/unschedulable");
    let ready = |node: &Value| read::condition(node, "Ready").map(|is| read::text(is, "/status").to_owned());
    let mut all = vec![];
    match change.kind {
        ChangeKind::Deleted => return all,
        ChangeKind::Added => {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            all.push(note(About::object(node), "node-controller", "RegisteredNode", message));
        }
        ChangeKind::Modified if cordoned(node) != cordoned(before) => {
            all.push(kubelet(if cordoned(node) { "NodeNotSchedulable" } else { "NodeSchedulable" }));
        }
        ChangeKind::Modified => {}
    }
    match (ready(before).as_deref(), ready(node).as_deref()) {
        (Some("True"), Some("False" | "Unknown")) => all.push(status("node-controller", "NodeNotReady")),
        (was, Some("True")) if was != Some("True") => all.push(kubelet("NodeReady")),
        _ => {}
    }
    all
}
