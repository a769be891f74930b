//! The OpenAPI (v3) documents: what a server can do with its kinds, and what they are made of.
//!
//! kubectl looks there before every `apply` and `create` (a server whose patches take `fieldValidation` validates by itself), and for
//! `explain`. Of a `v1 List`, which no server has, it asks in the older form (v2), and goes on where that says nothing of a kind. Of the schemas there are those of the definitions; left out are those of the built-in kinds, which only `explain` needs.

use axum::body::Body;
use http::Response;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal, json_response, response};
use super::resources::{self, Served};
use crate::sandbox::KUBERNETES;
use crate::sandbox::store::Store;

/// Answers `/openapi/v3` and what is below it.
pub(super) fn answer(store: &Store, path: &[&str]) -> Answer {
    let all = resources::all(store);
    let body = match path {
        [] => {
            let link = |served: &Served| {
                let version = versioned(served);
                let url = format!("/openapi/v3/{version}");
                (version, json!({"serverRelativeURL": url}))
            };
            json!({"paths": all.iter().map(link).collect::<Map<_, _>>()})
        }
        path => {
            let asked = path.join("/");
            let asked: Vec<&Served> = all.iter().filter(|served| versioned(served) == asked).collect();
            if asked.is_empty() {
                return Err(Refusal::no_such_path());
            }
            let paths: Map<String, Value> = asked.iter().map(|served| item(served)).collect();
            let info = json!({"title": "Kubernetes", "version": KUBERNETES});
            json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas(&asked)}})
        }
    };
    Ok(json_response(200, &body))
}

/// The older form, in the encoding that clients ask for (`openapi_v2.Document`): its version (field 1), and nothing of any kind.
pub(super) fn older() -> Response<Body> {
    let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    response(200, media_type, Body::from(&b"\x0a\x032.0"[..]))
}

/// `api/v1`, `apis/apps/v1`.
fn versioned(served: &Served) -> String {
    let root = if served.resource.group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", served.resource.api_version())
}

fn kind(served: &Served) -> Value {
    let resource = &served.resource;
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// A kind's path, and what is known about patching one of its objects.
fn item(served: &Served) -> (String, Value) {
    let space = if served.namespaced { "/namespaces/{namespace}" } else { "" };
    let path = format!("/{}{space}/{}/{{name}}", versioned(served), served.resource.plural);
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter).into();
    let patch = json!({"parameters": parameters, "responses": {},
        "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind(served)});
    (path, if served.review { json!({}) } else { json!({"patch": patch}) })
}

/// What custom resources are made of, by the names of their types.
fn schemas(kinds: &[&Served]) -> Map<String, Value> {
    let mut schemas = Map::new();
    for served in kinds {
        let Some(mut schema) = served.schema().cloned() else { continue };
        if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for field in ["apiVersion", "kind"] {
                fields.entry(field).or_insert_with(|| json!({"type": "string"}));
            }
            fields.entry("metadata").or_insert_with(|| json!({"type": "object"}));
        }
        schema["x-kubernetes-group-version-kind"] = json!([kind(served)]);
        let reversed: Vec<&str> = served.resource.group.rsplit('.').collect();
        let (version, kind) = (&served.resource.version, &served.resource.kind);
        schemas.insert(format!("{}.{version}.{kind}", reversed.join(".")), schema);
    }
    schemas
}
