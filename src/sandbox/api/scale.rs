//! The scale subresource: a workload's replicas as an `autoscaling/v1` Scale.

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::patch::Patch;
use super::path::Call;
use super::write;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Store, StoreError};

/// The scale of a workload.
pub(super) fn get(state: &RegionState, call: &Call) -> Answer {
    let object = state.read(|store| current(store, call))?;
    Ok(json_response(200, &scale_of(&object)))
}

/// Sets a workload's replicas.
pub(super) fn set(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let dry = call.query.dry_run()?;
    let patch = (parts.method == Method::PATCH).then(|| Patch::read(call, parts, body)).transpose()?;
    let stored = state.write(|store| {
        let mut object = current(store, call)?;
        let scale = match &patch {
            None => serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("not JSON: {error}")))?,
            Some(patch) => {
                let mut scale = scale_of(&object);
                patch.apply(call, &mut scale)?;
                scale
            }
        };
        let name = call.name.as_deref().unwrap_or_default();
        let replicas = scale["spec"].get("replicas").map_or(Some(0), Value::as_u64).ok_or_else(|| {
            let why = "spec.replicas: Invalid value: must be greater than or equal to 0";
            Refusal::invalid(&call.served.resource, name, why)
        })?;
        set_at(&mut object, "spec", "replicas", replicas.into());
        let version = scale["metadata"]["resourceVersion"].clone();
        set_at(&mut object, "metadata", "resourceVersion", version);
        write::store_update(call, store, object, "Update", dry)
    })?;
    Ok(json_response(200, &scale_of(&stored)))
}

fn current(store: &Store, call: &Call) -> Result<Value, Refusal> {
    if !call.served.scale {
        return Err(Refusal::no_such_path());
    }
    let key = call.key();
    let object = store.get(&key).map(|object| (**object).clone());
    object.ok_or_else(|| Refusal::store(StoreError::NotFound(key), &call.served.resource))
}

fn set_at(object: &mut Value, part: &str, field: &str, value: Value) {
    if let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) {
        part.insert(field.to_owned(), value);
    }
}

fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = object["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let selector: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object["status"]["replicas"].as_u64().unwrap_or(0), "selector": selector.join(",")},
    })
}
