//! Objects that controllers make for their owners: pods from a template, and the reference that ties both together.

use serde_json::{Value, json};

use super::read;
use crate::model::effect::Resource;

/// The reference by which an object names the controller that owns it.
pub fn owned_by(resource: &Resource, owner: &Value) -> Value {
    json!([{
        "apiVersion": resource.api_version(), "kind": resource.kind, "name": read::name(owner), "uid": read::uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A pod as its owner's template says, with more labels; its name, or the beginning of one, is the caller's to set.
pub fn pod(resource: &Resource, owner: &Value, labels: &[(&str, &str)]) -> Value {
    let template = read::at(owner, "/spec/template").unwrap_or(&Value::Null);
    let mut metadata = json!({
        "namespace": read::namespace(owner),
        "ownerReferences": owned_by(resource, owner),
        "labels": read::at(template, "/metadata/labels").cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(annotations) = read::at(template, "/metadata/annotations") {
        metadata["annotations"] = annotations.clone();
    }
    for (key, value) in labels {
        metadata["labels"][*key] = json!(value);
    }
    let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// The digest of an owner's template, by which pods of different revisions are told apart.
pub fn revision(owner: &Value) -> String {
    let template = read::at(owner, "/spec/template").map(Value::to_string).unwrap_or_default();
    read::digest(&template, 10)
}
