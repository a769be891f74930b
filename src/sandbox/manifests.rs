//! A region's objects from files as teams have them: several documents in one, lists, and what `kubectl get -o yaml` prints.
//!
//! What an API server or a controller adds (identity, status, owned objects) is left out, since here it is made anew.

use serde::Deserialize;
use serde_json::Value;

use super::api::{self, Kind};
use super::store::{Store, StoreError};

/// The largest manifest that is read.
const LARGEST: usize = 4 << 20;

/// The most objects in one manifest.
const MOST: usize = 5_000;

/// Kinds that controllers here make themselves, or that nobody needs in a twin.
const MADE_HERE: [&str; 6] = ["Node", "Event", "Endpoints", "EndpointSlice", "Lease", "PersistentVolume"];

/// Kinds that are stored and served, while nothing here acts on them.
const INERT: [&str; 4] = ["Ingress", "HorizontalPodAutoscaler", "CronJob", "Gateway"];

/// The objects of a manifest, in its order.
///
/// # Errors
/// Where it is no YAML or JSON, or too large; says where.
pub fn read(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        match value {
            Value::Null => {}
            Value::Object(ref fields)
                if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) =>
            {
                objects.extend(fields.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            }
            Value::Object(_) => objects.push(value),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err("a document in it is no object".into());
            }
        }
        if objects.len() > MOST {
            return Err(format!("it holds more than {MOST} objects"));
        }
    }
    Ok(objects)
}

/// Stores objects; namespaces and definitions first. Says, a line each, what nothing here simulates.
///
/// # Errors
/// Where a kind is not served, or the store refuses.
pub fn load(store: &mut Store, objects: Vec<Value>) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    let is_first =
        |object: &Value| matches!(object["kind"].as_str(), Some("Namespace" | "CustomResourceDefinition"));
    let (first, rest): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(is_first);
    for mut object in first.into_iter().chain(rest) {
        let (api_version, kind) = (word(&object["apiVersion"])?, word(&object["kind"])?);
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let owned = object.pointer("/metadata/ownerReferences").is_some();
        if owned || MADE_HERE.contains(&kind.as_str()) {
            continue;
        }
        let Some(Kind { resource, namespaced }) = api::kind_of(store, &api_version, &kind) else {
            return Err(format!("{kind} {name}: the sandbox does not serve {api_version} {kind}"));
        };
        if INERT.contains(&kind.as_str()) {
            notes.push(format!("{kind} {name}: stored, but nothing acts on it"));
        }
        strip(&mut object, namespaced);
        match store.create(&resource, object) {
            Ok(_) => {}
            Err(StoreError::AlreadyExists(_)) if kind == "Namespace" => {}
            Err(error) => return Err(format!("{kind} {name}: {error}")),
        }
    }
    Ok(notes)
}

fn word(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "an object lacks apiVersion or kind".to_owned())
}

fn strip(object: &mut Value, namespaced: bool) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"] {
        metadata.remove(field);
    }
    if namespaced {
        metadata.entry("namespace").or_insert_with(|| "default".into());
    } else {
        metadata.remove("namespace");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_json_are_read_in_order() {
        let text = "# a comment\n---\nkind: A\n---\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n---\n{\"kind\": \"D\"}\n";
        let kinds: Vec<String> =
            read(text).unwrap().iter().map(|object| word(&object["kind"]).unwrap()).collect();
        assert_eq!(kinds, ["A", "B", "C", "D"]);
        assert!(read("- a\n- b\n").is_err());
        assert!(read("a: [b\n").is_err());
    }
}
