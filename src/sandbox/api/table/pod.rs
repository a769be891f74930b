//! What a pod's row sums up: how many of its containers are ready, what keeps it, how often they were restarted.

use serde_json::Value;

use super::Row;

/// A pod in a few words.
pub(super) struct Summary {
    pub ready: usize,
    pub containers: usize,
    pub status: String,
    pub restarts: String,
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn condition<'a>(row: &'a Row<'_>, kind: &str) -> Option<&'a Value> {
    row.list("/status/conditions").iter().find(|each| each["type"] == kind)
}

/// Why a container ended, in one word.
fn ended(state: &Value) -> String {
    match text(state, "/reason") {
        "" => format!("ExitCode:{}", state["exitCode"]),
        reason => reason.to_owned(),
    }
}

/// Sums up a pod, as Kubernetes' own printer does.
pub(super) fn summary(row: &Row<'_>) -> Summary {
    let always = |name: &str| {
        let inits = row.list("/spec/initContainers").iter();
        inits.filter(|each| each["restartPolicy"] == "Always").any(|each| each["name"] == name)
    };
    let sidecar = |status: &&Value| always(text(status, "/name"));
    let inits = row.list("/status/initContainerStatuses");
    let containers = row.list("/status/containerStatuses");
    let first = match text(row.object, "/status/reason") {
        "" => text(row.object, "/status/phase"),
        reason => reason,
    };
    let gated = condition(row, "PodScheduled").is_some_and(|is| is["reason"] == "SchedulingGated");
    let mut status = if gated { "SchedulingGated".to_owned() } else { first.to_owned() };
    let up = |each: &&Value| sidecar(each) && each["started"] == true;
    let mut ready = inits.iter().filter(|each| up(each) && each["ready"] == true).count();
    let stopped = initialising(row, inits, up);
    let initialised = condition(row, "Initialized").is_some_and(|is| is["status"] == "True");
    let counted: Vec<&Value> = match stopped {
        Some(why) if !initialised => {
            status = why;
            inits.iter().collect()
        }
        stopped => {
            status = stopped.unwrap_or(status);
            let runs = |each: &&Value| each["ready"] == true && each.pointer("/state/running").is_some();
            ready += containers.iter().filter(runs).count();
            status = running(row, containers, status);
            inits.iter().filter(sidecar).chain(containers).collect()
        }
    };
    let leaves = row.object.pointer("/metadata/deletionTimestamp").is_some();
    let over = matches!(text(row.object, "/status/phase"), "Succeeded" | "Failed");
    match leaves {
        true if text(row.object, "/status/reason") == "NodeLost" => status = "Unknown".into(),
        true if !over => status = "Terminating".into(),
        _ => {}
    }
    let sidecars = row.list("/spec/initContainers").iter().filter(sidecar).count();
    let all = row.list("/spec/containers").len() + sidecars;
    Summary { ready, containers: all, status, restarts: restarts(row, &counted) }
}

/// Which init container holds the pod up, and how.
fn initialising(row: &Row<'_>, inits: &[Value], up: impl Fn(&&Value) -> bool) -> Option<String> {
    let done = |each: &&Value| each.pointer("/state/terminated/exitCode").and_then(Value::as_i64) == Some(0);
    let (index, stuck) = inits.iter().enumerate().find(|(_, each)| !done(each) && !up(each))?;
    let waits = text(stuck, "/state/waiting/reason");
    Some(match stuck.pointer("/state/terminated") {
        Some(state) => format!("Init:{}", ended(state)),
        None if !matches!(waits, "" | "PodInitializing") => format!("Init:{waits}"),
        None => format!("Init:{index}/{}", row.list("/spec/initContainers").len()),
    })
}

/// What the containers say of a pod whose init containers are done; the first one has the last word.
fn running(row: &Row<'_>, containers: &[Value], before: String) -> String {
    let (mut status, mut error, mut runs) = (before, None, false);
    for each in containers.iter().rev() {
        let waits = text(each, "/state/waiting/reason");
        if !waits.is_empty() {
            status = waits.to_owned();
        } else if let Some(state) = each.pointer("/state/terminated") {
            status = ended(state);
            if state["exitCode"].as_i64() != Some(0) {
                error = Some(status.clone());
            }
        } else if each["ready"] == true && each.pointer("/state/running").is_some() {
            runs = true;
        }
    }
    if status != "Completed" {
        return status;
    }
    let ready = condition(row, "Ready").is_some_and(|is| is["status"] == "True");
    match (runs, error) {
        (true, _) if ready => "Running".into(),
        (_, Some(error)) => error,
        (true, None) => "NotReady".into(),
        (false, None) => status,
    }
}

/// `2 (3m ago)`.
fn restarts(row: &Row<'_>, statuses: &[&Value]) -> String {
    let count: i64 = statuses.iter().filter_map(|each| each["restartCount"].as_i64()).sum();
    let ends = statuses.iter().map(|each| text(each, "/lastState/terminated/finishedAt"));
    let last = ends.filter_map(|time| Some((row.clock.read(time)?, time))).max();
    match last {
        Some((_, time)) if count > 0 => format!("{count} ({} ago)", row.since(time)),
        _ => count.to_string(),
    }
}
