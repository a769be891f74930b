//! The OpenAPI (v3) documents, as far as a client asks them what a server can do: which parameters a patch takes.
//!
//! kubectl looks there before every `apply` and `create`: a server whose patches take `fieldValidation` validates by itself. Left out:
//! the schemas, which only `kubectl explain` needs.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::resources::{self, Served};
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
            let paths: Map<String, Value> =
                all.iter().filter(|served| versioned(served) == asked).map(item).collect();
            if paths.is_empty() {
                return Err(Refusal::no_such_path());
            }
            let info = json!({"title": "Kubernetes", "version": "v1.34.0"});
            json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}})
        }
    };
    Ok(json_response(200, &body))
}

/// `api/v1`, `apis/apps/v1`.
fn versioned(served: &Served) -> String {
    let root = if served.resource.group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", served.resource.api_version())
}

/// A kind's path, and what is known about patching one of its objects.
fn item(served: &Served) -> (String, Value) {
    let resource = &served.resource;
    let space = if served.namespaced { "/namespaces/{namespace}" } else { "" };
    let path = format!("/{}{space}/{}/{{name}}", versioned(served), resource.plural);
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter).into();
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let patch = json!({"parameters": parameters, "responses": {},
        "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind});
    (path, if served.review { json!({}) } else { json!({"patch": patch}) })
}
