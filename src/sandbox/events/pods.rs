//! What is noted about a change of a pod: by its owner, the scheduler, its kubelet, and whoever evicts it.

use serde_json::Value;

use super::{About, Note};
use crate::sandbox::control::read;
use crate::sandbox::store::{Change, ChangeKind};

/// What is noted about a change of a pod.
pub(super) fn notes(change: &Change) -> Vec<Note<'_>> {
    let pod: &Value = &change.object;
    let before = change.before.as_deref().unwrap_or(&Value::Null);
    let by = change.by.unwrap_or_default();
    let leaves = read::terminating(pod) && !read::terminating(before);
    let mut all: Vec<Note<'_>> = owned(change, leaves).into_iter().collect();
    if change.kind == ChangeKind::Deleted {
        return all;
    }
    match by {
        "scheduler" => all.extend(scheduled(pod, before)),
        "kubelet" => {
            for (path, field) in [
                ("/status/initContainerStatuses", "spec.initContainers"),
                ("/status/containerStatuses", "spec.containers"),
            ] {
                for status in read::list(pod, path) {
                    let old = read::list(before, path).iter().find(|old| old["name"] == status["name"]);
                    all.extend(contained(pod, field, old.unwrap_or(&Value::Null), status));
                }
            }
            if read::text(pod, "/status/reason") == "DeadlineExceeded" && !read::ended(before) {
                all.push(kubelet(
                    pod,
                    false,
                    "DeadlineExceeded",
                    read::text(pod, "/status/message").to_owned(),
                ));
            }
        }
        "node-lifecycle" if read::holds(before, "Ready") && !read::holds(pod, "Ready") => {
            all.push(about(pod, "node-controller", true, "NodeNotReady", "Node is not ready".into()));
        }
        "taint-eviction" if leaves => {
            let message = format!("Marking for deletion Pod {}/{}", read::namespace(pod), read::name(pod));
            all.push(about(pod, "taint-eviction-controller", false, "TaintManagerEviction", message));
        }
        _ => {}
    }
    if leaves {
        let runs = |each: &&Value| each.pointer("/state/running").is_some();
        for status in read::list(pod, "/status/containerStatuses").iter().filter(runs) {
            let name = read::name_field(status);
            let mut note = kubelet(pod, false, "Killing", format!("Stopping container {name}"));
            note.about.field = format!("spec.containers{{{name}}}");
            all.push(note);
        }
    }
    all
}

fn about<'a>(
    pod: &'a Value,
    component: &'a str,
    warning: bool,
    reason: &'a str,
    message: String,
) -> Note<'a> {
    Note { about: About::object(pod), warning, reason, message, component, host: "" }
}

fn kubelet<'a>(pod: &'a Value, warning: bool, reason: &'a str, message: String) -> Note<'a> {
    Note { host: read::text(pod, "/spec/nodeName"), ..about(pod, "kubelet", warning, reason, message) }
}

/// What a pod's owner notes when it makes or deletes it.
fn owned(change: &Change, leaves: bool) -> Option<Note<'_>> {
    let component = match change.by? {
        "daemonset" => "daemonset-controller",
        "job" => "job-controller",
        "replicaset" => "replicaset-controller",
        "statefulset" => "statefulset-controller",
        _ => return None,
    };
    let (reason, verb) = match change.kind {
        ChangeKind::Added => ("SuccessfulCreate", "Create"),
        ChangeKind::Deleted => ("SuccessfulDelete", "Delete"),
        ChangeKind::Modified if leaves => ("SuccessfulDelete", "Delete"),
        ChangeKind::Modified => return None,
    };
    let about = About::owner(&change.object)?;
    let name = read::name(&change.object);
    let message = match component {
        "statefulset-controller" => format!("{verb} Pod {name} in StatefulSet {} successful", about.name),
        _ => format!("{verb}d pod: {name}"),
    };
    Some(Note { about, warning: false, reason, message, component, host: "" })
}

/// What the scheduler notes.
fn scheduled<'a>(pod: &'a Value, before: &Value) -> Option<Note<'a>> {
    let node = read::text(pod, "/spec/nodeName");
    if !node.is_empty() && read::text(before, "/spec/nodeName").is_empty() {
        let message = format!("Successfully assigned {}/{} to {node}", read::namespace(pod), read::name(pod));
        return Some(about(pod, "default-scheduler", false, "Scheduled", message));
    }
    let stuck = read::condition(pod, "PodScheduled").filter(|is| is["reason"] == "Unschedulable")?;
    let new = read::condition(before, "PodScheduled").is_none_or(|was| was["message"] != stuck["message"]);
    let message = read::text(stuck, "/message").to_owned();
    new.then(|| about(pod, "default-scheduler", true, "FailedScheduling", message))
}

/// What a kubelet notes about a container.
fn contained<'a>(pod: &'a Value, field: &str, before: &Value, status: &'a Value) -> Vec<Note<'a>> {
    let name = read::name_field(status);
    let lists = ["/spec/containers", "/spec/initContainers"].into_iter();
    let mut specs = lists.flat_map(|list| read::list(pod, list));
    let image = specs.find(|spec| read::name_field(spec) == name).map(|spec| read::text(spec, "/image"));
    let image = image.unwrap_or_default();
    let note = |warning: bool, reason: &'a str, message: String| {
        let mut note = kubelet(pod, warning, reason, message);
        note.about.field = format!("{field}{{{name}}}");
        note
    };
    let runs = |status: &Value| status.pointer("/state/running").is_some();
    let same = before["containerID"] == status["containerID"];
    if runs(status) && !(runs(before) && same) {
        return vec![
            note(false, "Pulled", pulled(image)),
            note(false, "Created", "Container created".into()),
            note(false, "Started", "Container started".into()),
        ];
    }
    if runs(status) && before["ready"] == true && status["ready"] == false && !read::terminating(pod) {
        return vec![note(true, "Unhealthy", unhealthy(pod, name))];
    }
    let waits = read::text(status, "/state/waiting/reason");
    if waits == read::text(before, "/state/waiting/reason") {
        return vec![];
    }
    let why = read::text(status, "/state/waiting/message");
    match waits {
        "ErrImagePull" => vec![
            note(false, "Pulling", format!("Pulling image \"{image}\"")),
            note(true, "Failed", format!("Failed to pull image \"{image}\": {why}")),
            note(true, "Failed", "Error: ErrImagePull".into()),
        ],
        "ImagePullBackOff" => vec![
            note(false, "BackOff", format!("Back-off pulling image \"{image}\"")),
            note(true, "Failed", "Error: ImagePullBackOff".into()),
        ],
        "CrashLoopBackOff" => {
            let (pod_name, namespace, uid) = (read::name(pod), read::namespace(pod), read::uid(pod));
            let message =
                format!("Back-off restarting failed container {name} in pod {pod_name}_{namespace}({uid})");
            vec![note(true, "BackOff", message)]
        }
        "CreateContainerConfigError" => {
            vec![note(false, "Pulled", pulled(image)), note(true, "Failed", format!("Error: {why}"))]
        }
        _ => vec![],
    }
}

fn pulled(image: &str) -> String {
    format!("Container image \"{image}\" already present on machine and can be accessed by the pod")
}

/// What a kubelet says of a readiness probe that failed.
fn unhealthy(pod: &Value, container: &str) -> String {
    let mut containers = read::list(pod, "/spec/containers").iter();
    let probe = containers.find(|each| read::name_field(each) == container);
    let http = probe.is_some_and(|each| each.pointer("/readinessProbe/httpGet").is_some());
    let why = if http { "HTTP probe failed with statuscode: 503" } else { "connection refused" };
    format!("Readiness probe failed: {why}")
}
