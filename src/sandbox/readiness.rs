//! What of a region is not ready, and exactly why not: in the words that its objects have for it.
//!
//! Looked at once, when the regions have had their time. A workload that lacks pods names the first of them that is not ready with the first thing
//! that holds it up: no node, a missing volume, ConfigMap or Secret, an image, a container that ends again and again, a probe without an answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::control::ingress::without_address;
use super::control::kubelet::{self, Absent};
use super::control::{daemon_sets, every, ingresses, jobs, read};
use super::store::{Key, Store};
use crate::model::effect::Resource;

/// How many workloads of a region get their reason; the rest is only named.
const MOST_REASONS: usize = 20;

/// The workloads, services and ingresses that are not ready, a line each.
pub fn unready(store: &Store) -> Vec<String> {
    let mut found = vec![];
    if every(store, &Resource::nodes(), None).next().is_none() {
        found.push("there is no node: give the region `nodes`, or Nodes in its manifests".to_owned());
    }
    let kinds = [Resource::deployments(), Resource::stateful_sets(), daemon_sets(), jobs()];
    let workloads = kinds.iter().flat_map(|kind| {
        every(store, kind, None).filter_map(move |workload| Some((lacks(kind, workload)?, workload)))
    });
    for (number, (line, workload)) in workloads.enumerate() {
        let why = (number < MOST_REASONS).then(|| why(store, workload)).flatten();
        found.push(why.map_or_else(|| line.clone(), |why| format!("{line}: {why}")));
    }
    for pod in every(store, &Resource::pods(), None).filter(|pod| read::controller(pod).is_none()) {
        let why = held_up(store, pod);
        found.extend(why.map(|why| format!("{} is not ready: {why}", Key::of(&Resource::pods(), pod))));
    }
    for service in every(store, &Resource::services(), None) {
        let balanced = read::text(service, "/spec/type") == "LoadBalancer";
        if balanced && read::text(service, "/status/loadBalancer/ingress/0/ip").is_empty() {
            found.push(format!("{} has no address", Key::of(&Resource::services(), service)));
        }
    }
    for ingress in every(store, &ingresses(), None) {
        let why = without_address(store, ingress);
        found.extend(why.map(|why| format!("{} has no address: {why}", Key::of(&ingresses(), ingress))));
    }
    found
}

/// How many pods a workload lacks, if it lacks any.
fn lacks(kind: &Resource, workload: &Value) -> Option<String> {
    let number = |pointer: &str| read::number(workload, pointer).unwrap_or(0);
    let (has, wanted, what) = match kind.kind.as_str() {
        "DaemonSet" => {
            (number("/status/numberReady"), number("/status/desiredNumberScheduled"), "pods ready")
        }
        "Job" if read::flag(workload, "/spec/suspend") || read::holds(workload, "Complete") => return None,
        "Job" => {
            let wanted = read::number(workload, "/spec/completions").unwrap_or(1);
            (number("/status/succeeded"), wanted.max(1), "completions")
        }
        _ => {
            let wanted = read::number(workload, "/spec/replicas").unwrap_or(1);
            (number("/status/readyReplicas"), wanted, "replicas ready")
        }
    };
    // A Job is over when it says so, and not before.
    if has >= wanted && kind.kind != "Job" {
        return None;
    }
    Some(format!("{} has {has} of {wanted} {what}", Key::of(kind, workload)))
}

/// What holds up the first pod of a workload that is not ready; where it has none, what the workload itself says.
fn why(store: &Store, workload: &Value) -> Option<String> {
    let namespace = Some(read::namespace(workload));
    let sets = every(store, &Resource::replica_sets(), namespace);
    let mut owners: BTreeSet<&str> =
        sets.filter(|set| read::controlled_by(set, workload)).map(read::uid).collect();
    owners.insert(read::uid(workload));
    let mine =
        |pod: &&Value| read::controller(pod).is_some_and(|owner| owners.contains(read::text(owner, "/uid")));
    let mut pods = every(store, &Resource::pods(), namespace).filter(mine);
    let held = pods.find_map(|pod| Some((read::name(pod), held_up(store, pod)?)));
    if let Some((pod, why)) = held {
        return Some(format!("pod {pod}: {why}"));
    }
    if let Some(error) = refused(store, workload) {
        return Some(error);
    }
    let failed = ["Failed", "ReplicaFailure"].into_iter().find(|kind| read::holds(workload, kind))?;
    read::condition(workload, failed).map(|said| read::text(said, "/message").to_owned())
}

/// Why an API server refuses the pods of a workload, where it does.
fn refused(store: &Store, workload: &Value) -> Option<String> {
    let spec = workload.pointer("/spec/template/spec")?;
    let first = if read::text(workload, "/kind") == "StatefulSet" { "0" } else { "" };
    let begins = format!("{}-{first}", read::name(workload));
    let metadata = json!({"namespace": read::namespace(workload), "generateName": begins});
    store.refuses(&json!({"metadata": metadata, "spec": spec})).map(|error| error.to_string())
}

/// What holds up a pod that is not ready.
fn held_up(store: &Store, pod: &Value) -> Option<String> {
    if read::holds(pod, "Ready") || read::text(pod, "/status/phase") == "Succeeded" {
        return None;
    }
    if let Some(scheduled) =
        read::condition(pod, "PodScheduled").filter(|_| !read::holds(pod, "PodScheduled"))
    {
        return Some(format!("no node takes it: {}", read::text(scheduled, "/message")));
    }
    if read::text(pod, "/spec/nodeName").is_empty() {
        return Some("nobody gave it a node".to_owned());
    }
    let missing = absent_volume(store, pod);
    let container = ["init", ""].into_iter().find_map(|sort| {
        let (specs, statuses) = match sort {
            "init" => ("/spec/initContainers", "/status/initContainerStatuses"),
            _ => ("/spec/containers", "/status/containerStatuses"),
        };
        read::list(pod, statuses).iter().find_map(|status| {
            let named = |spec: &&Value| read::name_field(spec) == read::name_field(status);
            let spec = read::list(pod, specs).iter().find(named)?;
            let word = if sort == "init" { "init container" } else { "container" };
            Some(format!("{word} {} {}", read::name_field(status), stuck(spec, status)?))
        })
    });
    let gates = || {
        let ready = read::condition(pod, "Ready")?;
        (read::text(ready, "/reason") == "ReadinessGatesNotReady")
            .then(|| read::text(ready, "/message").to_owned())
    };
    let phase = || format!("its phase is {}", read::text(pod, "/status/phase"));
    Some(missing.or(container).or_else(gates).unwrap_or_else(phase))
}

/// A ConfigMap or a Secret, or a key of one, that one of a pod's volumes needs and that there is not.
fn absent_volume(store: &Store, pod: &Value) -> Option<String> {
    let Absent { volume, kind, name, key } = kubelet::absent_volume(store, pod)?;
    Some(match key {
        Some(key) => {
            format!("its volume {volume} needs the key {key} of the {kind} {name}, which has none such")
        }
        None => format!("its volume {volume} needs the {kind} {name}, which does not exist"),
    })
}

/// What holds up one container.
fn stuck(spec: &Value, status: &Value) -> Option<String> {
    if read::flag(status, "/ready") {
        return None;
    }
    let waits = read::text(status, "/state/waiting/reason");
    let before = read::number(status, "/lastState/terminated/exitCode");
    let ended = || read::number(status, "/state/terminated/exitCode");
    match waits {
        // Somebody before it is to blame.
        "PodInitializing" | "ContainerCreating" => None,
        "CrashLoopBackOff" => {
            let restarts = read::number(status, "/restartCount").unwrap_or(0);
            Some(format!("ends again and again, {restarts} times so far, last with {}", before.unwrap_or(0)))
        }
        "" if status.pointer("/state/running").is_some() => unanswered(spec, status),
        "" => ended().map(|code| format!("ended with {code}")),
        reason => {
            let message = read::text(status, "/state/waiting/message");
            Some(format!(
                "waits with {reason}: {}",
                if message.is_empty() { "no reason given" } else { message }
            ))
        }
    }
}

/// Which probe of a container that runs has no good answer.
fn unanswered(spec: &Value, status: &Value) -> Option<String> {
    let started = read::flag(status, "/started");
    let (word, probe) = match (spec.get("startupProbe"), spec.get("readinessProbe")) {
        (Some(probe), _) if !started => ("startup", probe),
        (_, Some(probe)) => ("readiness", probe),
        _ => return Some("runs and is not ready".to_owned()),
    };
    let asks =
        ["httpGet", "tcpSocket", "grpc"].iter().find_map(|kind| Some((kind, probe.get(kind)?.get("port")?)));
    let asks = match asks {
        Some((kind, Value::String(name))) => format!("{kind} on the port named {name}"),
        Some((kind, port)) => format!("{kind} on port {port}"),
        None => "its command".to_owned(),
    };
    let delay = read::number(probe, "/initialDelaySeconds").unwrap_or(0);
    let later = if delay > 0 { format!(", which begins {delay} s after the start") } else { String::new() };
    Some(format!("runs, and its {word} probe has no good answer: {asks}{later}"))
}
