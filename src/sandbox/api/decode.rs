//! From a body to an object: its format, its place, and the fields that its type knows.
//!
//! A field that the type does not know is dropped, and named in a warning; `fieldValidation=Strict` refuses it, `Ignore` says nothing.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue, WARNING};
use http::request::Parts;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::path::Call;
use super::{protobuf, schema, typed};

/// A request's media type, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim()
}

/// The value of a body; `null` where it is empty.
pub(super) fn value(parts: &Parts, body: &[u8]) -> Result<Value, Refusal> {
    let refuse =
        |error: &dyn std::fmt::Display| Refusal::bad_request(format!("error decoding body: {error}"));
    match media_type(&parts.headers) {
        _ if body.is_empty() => Ok(Value::Null),
        "" | "application/json" => serde_json::from_slice(body).map_err(|error| refuse(&error)),
        protobuf::MEDIA_TYPE => protobuf::decode(body).map_err(|error| refuse(&error)),
        "application/yaml" => serde_yaml::from_slice(body).map_err(|error| refuse(&error)),
        _ => {
            let known = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
            Err(Refusal::unsupported(known))
        }
    }
}

/// The object of a body, at its place and with the fields that its type knows; and the names of those that it does not.
pub(super) fn object(call: &Call, parts: &Parts, body: &[u8]) -> Result<(Value, Vec<String>), Refusal> {
    let mut object = value(parts, body)?;
    place(call, &mut object)?;
    let unknown = known(call, &mut object)?;
    let (kind, version) = (&call.served.resource.kind, &call.served.resource.version);
    if let Some(why) = strictly(call, &unknown) {
        let why = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}");
        return Err(Refusal::bad_request(why));
    }
    fill(call, &mut object);
    Ok((object, unknown))
}

/// Drops the fields that an object's type does not know, and names them.
pub(super) fn known(call: &Call, object: &mut Value) -> Result<Vec<String>, Refusal> {
    match call.served.schema() {
        Some(schema) => Ok(schema::prune(schema, object)),
        None => typed::prune(&call.served.resource, object).map_err(|why| {
            let (kind, version) = (&call.served.resource.kind, &call.served.resource.version);
            Refusal::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
            ))
        }),
    }
}

/// Fills in what a custom resource's schema has a default for.
pub(super) fn fill(call: &Call, object: &mut Value) {
    if let Some(schema) = call.served.schema() {
        schema::fill(schema, object);
    }
}

/// Why a strict request is refused.
pub(super) fn strictly(call: &Call, unknown: &[String]) -> Option<String> {
    let fields: Vec<String> = unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
    let strict = call.query.get("fieldValidation") == Some("Strict") && !fields.is_empty();
    strict.then(|| format!("strict decoding error: {}", fields.join(", ")))
}

/// A response that says which fields were dropped, unless nobody wants to know.
pub(super) fn warned(call: &Call, mut response: Response<Body>, unknown: &[String]) -> Response<Body> {
    if call.query.get("fieldValidation") != Some("Ignore") {
        let text =
            |field: &String| HeaderValue::from_str(&format!("299 - \"unknown field \\\"{field}\\\"\""));
        for warning in unknown.iter().filter_map(|field| text(field).ok()) {
            response.headers_mut().append(WARNING, warning);
        }
    }
    response
}

/// Makes an object say the kind, the namespace and the name of its path, and refuses one that says others.
pub(super) fn place(call: &Call, object: &mut Value) -> Result<(), Refusal> {
    let resource = &call.served.resource;
    let other = |found: &Value, expected: &str| match found.as_str() {
        Some(found) if !found.is_empty() && found != expected => {
            Some(found.chars().take(80).collect::<String>())
        }
        _ => None,
    };
    let expected = resource.api_version();
    if let Some(found) = other(&object["apiVersion"], &expected) {
        let why = format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        );
        return Err(Refusal::bad_request(why));
    }
    if let Some(found) = other(&object["kind"], &resource.kind) {
        let why =
            format!("the kind in the data ({found}) does not match the expected kind ({})", resource.kind);
        return Err(Refusal::bad_request(why));
    }
    let metadata = &object["metadata"];
    if let Some(name) = &call.name
        && let Some(found) = other(&metadata["name"], name)
    {
        let why = format!("the name of the object ({found}) does not match the name on the URL ({name})");
        return Err(Refusal::bad_request(why));
    }
    if other(&metadata["namespace"], call.namespace.as_deref().unwrap_or_default()).is_some() {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(why));
    }
    let Some(fields) = object.as_object_mut() else {
        return Err(Refusal::bad_request("the body is not an object"));
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(Refusal::bad_request("metadata is not an object"));
    };
    if let Some(namespace) = &call.namespace {
        metadata.insert("namespace".into(), namespace.as_str().into());
    }
    if let Some(name) = &call.name {
        metadata.insert("name".into(), name.as_str().into());
    }
    Ok(())
}
