//! Changes of a workload's template or size, and how far its controller is with them.
//!
//! The conditions are those of `kubectl rollout status`. There is no clock here, so a restart is marked with the run and the step
//! instead of the time: that it differs is all that matters, and the same step asked again changes nothing.

use serde_json::{Value, json};

use super::effect::{Act, Ref};
use super::facts::{Facts, Unread};
use super::scene::{Progress, Refusal, Scene};
use super::workload::is_observed;

/// The annotation on a template that `kubectl rollout restart` sets; a recovery's.
pub const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// A fault's own, so that it can be taken back after a recovery has restarted the pods as well.
pub const RESTARTED_BY_FAULT: &str = "drillmaster.dev/restarted";

/// The workload as it was read.
///
/// # Errors
/// Where it does not exist, could not be read, or may not be touched.
pub fn workload<'a>(scene: &Scene, facts: &'a Facts, at: &Ref) -> Result<&'a Value, Refusal> {
    if let Some(namespace) = &at.namespace {
        scene.may_touch(namespace)?;
    }
    let found = facts.object(&at.region, &at.resource, at.namespace.as_ref(), &at.name)?;
    found.ok_or_else(|| Refusal::NoTarget(format!("{at} does not exist")))
}

/// Restarts the pods; nothing where this step has done so already.
///
/// # Errors
/// As [`workload`], and where its strategy restarts no pod.
pub fn restart(scene: &Scene, facts: &Facts, at: Ref, annotation: &str) -> Result<Option<Act>, Refusal> {
    let workload = workload(scene, facts, &at)?;
    if workload["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Err(Refusal::NoTarget(format!(
            "{at} restarts its pods only when they are deleted (OnDelete)"
        )));
    }
    let mark = format!("{}/{}", scene.run, scene.step);
    if workload["spec"]["template"]["metadata"]["annotations"][annotation] == *mark {
        return Ok(None);
    }
    let merge = json!({"spec": {"template": {"metadata": {"annotations": {annotation: mark}}}}});
    Ok(Some(Act::Patch { at, merge }))
}

/// Sets the number of replicas; nothing where it is so already.
///
/// # Errors
/// As [`workload`].
pub fn scale(scene: &Scene, facts: &Facts, at: Ref, replicas: u32) -> Result<Option<Act>, Refusal> {
    if workload(scene, facts, &at)?["spec"]["replicas"] == replicas {
        return Ok(None);
    }
    Ok(Some(Act::Patch { at, merge: json!({"spec": {"replicas": replicas}}) }))
}

fn read<'a>(facts: &'a Facts, at: &Ref) -> Result<&'a Value, Unread> {
    let found = facts.object(&at.region, &at.resource, at.namespace.as_ref(), &at.name)?;
    found.ok_or_else(|| Unread { what: at.to_string(), why: "it does not exist".to_owned() })
}

fn count(object: &Value, field: &str) -> u64 {
    object["status"][field].as_u64().unwrap_or(0)
}

/// Whether the workload has this many pods and its controller is done.
///
/// # Errors
/// Where it could not be read.
pub fn has_replicas(facts: &Facts, at: &Ref, replicas: u32) -> Result<Progress, Unread> {
    let object = read(facts, at)?;
    let is = count(object, "replicas");
    if object["spec"]["replicas"] == replicas && is_observed(object) && is == u64::from(replicas) {
        return Ok(Progress::Done);
    }
    Ok(Progress::Waiting(format!("{at} has {is} of {replicas} replicas")))
}

/// Whether the controller has made the first pod of the newest template.
///
/// # Errors
/// Where it could not be read.
pub fn has_begun(facts: &Facts, at: &Ref) -> Result<Progress, Unread> {
    let object = read(facts, at)?;
    if is_observed(object) && count(object, "updatedReplicas") > 0 {
        return Ok(Progress::Done);
    }
    Ok(Progress::Waiting(format!("{at} has no pod of its newest template yet")))
}

/// Whether every pod is of the newest template and ready.
///
/// # Errors
/// Where it could not be read.
pub fn is_done(facts: &Facts, at: &Ref) -> Result<Progress, Unread> {
    Ok(waits_for(read(facts, at)?).map_or(Progress::Done, |why| Progress::Waiting(format!("{at}: {why}"))))
}

/// How many replicas a workload wants.
pub fn wanted(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap_or(1)
}

/// What a workload waits for until every pod is of the newest template and ready; of pods that it replaces only when somebody deletes
/// them, or when a partition is lowered, none need be new.
pub fn waits_for(object: &Value) -> Option<String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let strategy = &object["spec"]["updateStrategy"];
    let rolls = strategy["type"] != "OnDelete"
        && strategy["rollingUpdate"]["partition"].as_u64().unwrap_or(0) == 0
        && object["spec"]["paused"] != true;
    let fields = ["replicas", "updatedReplicas", "readyReplicas"];
    let counts = fields.iter().filter(|field| rolls || **field != "updatedReplicas");
    match counts.copied().find(|field| count(object, field) != wanted(object)) {
        None if is_observed(object) => None,
        None => Some(format!("{name} has not been looked at by its controller")),
        Some(field) => Some(format!("{name} has {} of {} in {field}", count(object, field), wanted(object))),
    }
}
