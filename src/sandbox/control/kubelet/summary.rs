//! What a pod's status says of all its containers together: its phase, its conditions, its end.

use serde_json::{Value, json};

use super::super::{Processes, read};

/// What a process that was killed shows: 128 and SIGKILL.
const KILLED: i32 = 137;

/// The pod's phase and conditions, as its containers' statuses have them.
pub fn summarise(status: &mut Value, pod: &Value, incomplete: &[String], containers: &[Value], now: &str) {
    let states = |state: &str| containers.iter().filter(|each| each["state"].get(state).is_some()).count();
    let clean = containers.iter().all(|each| read::number(each, "/state/terminated/exitCode") == Some(0));
    let ran = |each: &Value| {
        each["state"].get("running").is_some() || read::at(each, "/lastState/terminated").is_some()
    };
    let phase = match states("terminated") {
        ended if ended == containers.len() && ended > 0 => {
            if clean {
                "Succeeded"
            } else {
                "Failed"
            }
        }
        ended if ended > 0 || containers.iter().any(ran) => "Running",
        _ => "Pending",
    };
    status["phase"] = json!(phase);
    let unready: Vec<&str> =
        containers.iter().filter(|each| !read::flag(each, "/ready")).map(read::name_field).collect();
    let mut conditions = read::list(pod, "/status/conditions").to_vec();
    for kind in ["PodReadyToStartContainers", "PodScheduled"] {
        read::set_condition(&mut conditions, kind, "True", "", "", now);
    }
    let (holds, reason, message) = match incomplete {
        [] => ("True", "", String::new()),
        names => (
            "False",
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", names.join(" ")),
        ),
    };
    read::set_condition(&mut conditions, "Initialized", holds, reason, &message, now);
    let (holds, reason, message) = match (unready.is_empty(), phase) {
        (_, "Succeeded") => ("False", "PodCompleted", String::new()),
        (_, "Failed") => ("False", "PodFailed", String::new()),
        (true, _) => ("True", "", String::new()),
        (false, _) => (
            "False",
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ),
    };
    read::set_condition(&mut conditions, "ContainersReady", holds, reason, &message, now);
    let closed = if holds == "True" { closed(pod) } else { vec![] };
    match closed.is_empty() {
        true => read::set_condition(&mut conditions, "Ready", holds, reason, &message, now),
        false => {
            let why = closed.join(", ");
            read::set_condition(&mut conditions, "Ready", "False", "ReadinessGatesNotReady", &why, now);
        }
    }
    // Others' come first, then the kubelet's in its own order.
    const ORDER: [&str; 5] =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    conditions.sort_by_cached_key(|each| ORDER.iter().position(|kind| read::text(each, "/type") == *kind));
    observed(&mut conditions, pod);
    status["conditions"] = Value::Array(conditions);
    status["observedGeneration"] = json!(read::number(pod, "/metadata/generation").unwrap_or(1));
}

/// Says in a pod's conditions which of its generations they are about.
pub fn observed(conditions: &mut [Value], pod: &Value) {
    for condition in conditions {
        condition["lastProbeTime"] = Value::Null;
        condition["observedGeneration"] = json!(read::number(pod, "/metadata/generation").unwrap_or(1));
    }
}

/// The readiness gates that are not open, each in Kubernetes' words.
fn closed(pod: &Value) -> Vec<String> {
    let gates = read::list(pod, "/spec/readinessGates").iter().map(|gate| read::text(gate, "/conditionType"));
    gates
        .filter(|gate| !read::holds(pod, gate))
        .map(|gate| match read::condition(pod, gate) {
            None => format!("corresponding condition of pod readiness gate \"{gate}\" does not exist."),
            Some(is) => format!(
                "the status of pod readiness gate \"{gate}\" is not \"True\", but {}",
                read::text(is, "/status")
            ),
        })
        .collect()
}

/// The status of a pod whose containers have been told to stop, and did.
pub fn over(pod: &Value, mut status: Value, processes: &dyn Processes, now: &str) -> Value {
    let mut containers = read::list(pod, "/status/containerStatuses").to_vec();
    for container in &mut containers {
        let name = read::name_field(container);
        let code = processes.exited(read::uid(pod), name).unwrap_or(KILLED);
        let started = read::text(container, "/state/running/startedAt").to_owned();
        if read::at(container, "/state/terminated").is_none() {
            container["state"] = json!({"terminated": {
                "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "finishedAt": now,
            }});
            if !started.is_empty() {
                container["state"]["terminated"]["startedAt"] = json!(started);
            }
        }
        container["ready"] = json!(false);
        container["started"] = json!(false);
    }
    summarise(&mut status, pod, &[], &containers, now);
    status["containerStatuses"] = Value::Array(containers);
    status
}

/// The status of a pod that has run longer than it may.
pub fn late(pod: &Value, status: Value, processes: &dyn Processes, now: &str) -> Value {
    let mut status = over(pod, status, processes, now);
    status["phase"] = json!("Failed");
    status["reason"] = json!("DeadlineExceeded");
    status["message"] = json!("Pod was active on the node longer than the specified deadline");
    status
}
