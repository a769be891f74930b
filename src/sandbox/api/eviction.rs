//! Evictions: a deletion that asks the pod's disruption budget first, as a drain does.
//!
//! The rules are those of Kubernetes' eviction REST handler: a pod that is over or not yet running is no disruption; a pod that is not
//! ready may go while the budget is healthy; each eviction takes one from `disruptionsAllowed`, which the budget's controller counts anew.

use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, success};
use super::path::Call;
use super::select::label_selector_matches;
use super::{decode, write};
use crate::model::effect::Resource;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Key, Part, Store, StoreError};

/// Evicts a pod, or says 429 in Kubernetes' words.
pub(super) fn evict(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let eviction = decode::value(parts, body)?;
    let options = &eviction["deleteOptions"];
    let deletion = write::deletion(call, options)?;
    let dry = write::dry_deletion(call, options)?;
    state.write(|store| {
        let refuse = |error| Refusal::store(error, &call.served.resource);
        let key = call.key();
        let pod = store.get(&key).cloned().ok_or_else(|| refuse(StoreError::NotFound(key.clone())))?;
        let draft = store.draft_delete(&key, &deletion).map_err(refuse)?;
        if let Some(budget) = asked(store, &pod)? {
            take_one(store, &budget, &key, dry)?;
        }
        write::finish(store, draft, dry);
        Ok::<_, Refusal>(())
    })?;
    Ok(success(201, Value::Null))
}

/// The budget that must allow a pod's eviction, if there is any.
fn asked(store: &Store, pod: &Value) -> Result<Option<Key>, Refusal> {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let leaves = pod["metadata"].get("deletionTimestamp").is_some();
    if leaves || matches!(phase, "Pending" | "Succeeded" | "Failed") {
        return Ok(None);
    }
    let budgets = Resource::disruption_budgets();
    let mut of_pod =
        store.list(&budgets.group, &budgets.plural, pod["metadata"]["namespace"].as_str()).filter(
            |(_, budget)| label_selector_matches(&budget["spec"]["selector"], &pod["metadata"]["labels"]),
        );
    let Some((key, budget)) = of_pod.next() else { return Ok(None) };
    if of_pod.next().is_some() {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Refusal::internal(message));
    }
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = ready.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    let healthy = count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
    if !ready && (always || healthy) {
        return Ok(None);
    }
    Ok(Some(key.clone()))
}

/// Takes one disruption from a budget.
fn take_one(store: &mut Store, key: &Key, pod: &Key, dry: bool) -> Result<(), Refusal> {
    let Some(budget) = store.get(key) else { return Ok(()) };
    let mut status = budget["status"].clone();
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let allowed = count("disruptionsAllowed");
    let counted = count("observedGeneration") >= budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if allowed <= 0 || !counted {
        let (name, needs, has) = (key.name(), count("desiredHealthy"), count("currentHealthy"));
        let cause = if counted {
            format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently")
        } else {
            format!("The disruption budget {name} is still being processed by the server.")
        };
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(Refusal::too_many_requests(message, cause));
    }
    let now = store.clock().time(store.clock().now());
    if let Some(status) = status.as_object_mut() {
        status.insert("disruptionsAllowed".into(), (allowed - 1).into());
        let disrupted = status.entry("disruptedPods").or_insert_with(|| json!({}));
        if let Some(disrupted) = disrupted.as_object_mut() {
            disrupted.insert(pod.name().to_owned(), now.into());
        }
    }
    let refuse = |error| Refusal::store(error, &Resource::disruption_budgets());
    let draft = store.draft_update(key, json!({"status": status}), Part::Status).map_err(refuse)?;
    write::finish(store, draft, dry);
    Ok(())
}
