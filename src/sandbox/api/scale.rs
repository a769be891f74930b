//! The scale subresource: a workload's replicas as an `autoscaling/v1` Scale.
//!
//! A built-in workload has them in `spec.replicas`; a custom resource's definition says where.

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::decode;
use super::patch::Patch;
use super::path::Call;
use super::write::{self, Signed};
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Store, StoreError};

/// The scale of a workload.
pub(super) fn get(state: &RegionState, call: &Call) -> Answer {
    let object = state.read(|store| current(store, call))?;
    Ok(json_response(200, &scale_of(call, &object)))
}

/// Sets a workload's replicas.
pub(super) fn set(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let dry = call.query.dry_run("UpdateOptions")?;
    let patch = (parts.method == Method::PATCH).then(|| Patch::read(call, parts, body)).transpose()?;
    let stored = state.write(|store| {
        let mut object = current(store, call)?;
        let scale = match &patch {
            None => decode::value(parts, body)?,
            Some(patch) => {
                let mut scale = scale_of(call, &object);
                patch.change(&mut scale)?;
                scale
            }
        };
        let name = call.name.as_deref().unwrap_or_default();
        let replicas = scale["spec"].get("replicas").map_or(Some(0), Value::as_u64).ok_or_else(|| {
            let why = "must be greater than or equal to 0";
            let why = format!("spec.replicas: Invalid value: {}: {why}", scale["spec"]["replicas"]);
            Refusal::invalid(&call.served.resource, name, &why)
        })?;
        if let Some((around, field)) = place(call, "specReplicasPath", "/spec/replicas").rsplit_once('/') {
            set_at(&mut object, around, field, replicas.into());
        }
        let version = scale["metadata"]["resourceVersion"].clone();
        set_at(&mut object, "/metadata", "resourceVersion", version);
        write::store_update(call, store, object, &Signed::Update, dry)
    })?;
    Ok(json_response(200, &scale_of(call, &stored)))
}

fn current(store: &Store, call: &Call) -> Result<Value, Refusal> {
    let key = call.key();
    let object = store.get(&key).map(|object| (**object).clone());
    object.ok_or_else(|| Refusal::store(StoreError::NotFound(key), &call.served.resource))
}

fn set_at(object: &mut Value, around: &str, field: &str, value: Value) {
    if let Some(around) = object.pointer_mut(around).and_then(Value::as_object_mut) {
        around.insert(field.to_owned(), value);
    }
}

/// Where a part of the scale stands, as a JSON pointer; a definition writes `.spec.replicas`.
fn place(call: &Call, part: &str, built_in: &str) -> String {
    if call.served.built_in {
        return built_in.to_owned();
    }
    let declared = call.served.declared(&format!("/subresources/scale/{part}")).and_then(Value::as_str);
    declared.unwrap_or_default().replace('.', "/")
}

/// The words of a workload's label selector.
fn selector(call: &Call, object: &Value) -> String {
    if !call.served.built_in {
        let place = place(call, "labelSelectorPath", "");
        let found = object.pointer(&place).and_then(Value::as_str);
        return found.unwrap_or_default().to_owned();
    }
    let labels = object["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let words: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    words.join(",")
}

fn scale_of(call: &Call, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let count =
        |part: &str, built_in: &str| object.pointer(&place(call, part, built_in)).and_then(Value::as_u64);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": count("specReplicasPath", "/spec/replicas").unwrap_or(0)},
        "status": {"replicas": count("statusReplicasPath", "/status/replicas").unwrap_or(0),
            "selector": selector(call, object)},
    })
}
