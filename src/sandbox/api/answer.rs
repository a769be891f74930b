//! What an API server sends back: objects, and refusals in Kubernetes' own words.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::effect::Resource;
use crate::sandbox::store::StoreError;

/// A response, or why there is none but a `Status`.
pub(super) type Answer = Result<Response<Body>, Refusal>;

/// A refusal: becomes a `Status` object.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Value,
}

/// A JSON response.
pub(super) fn json_response(code: u16, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    response(code, "application/json", Body::from(bytes))
}

/// A response of any type.
pub(super) fn response(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// A `Status` of success.
pub(super) fn success(code: u16, details: Value) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details});
    json_response(code, &status)
}

/// `deployments.apps`, `pods`.
fn full_name(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// Whom a `Status` is about; the core group has no name.
pub(super) fn about(name: &str, group: &str, kind: &str) -> Value {
    if group.is_empty() {
        json!({"name": name, "kind": kind})
    } else {
        json!({"name": name, "group": group, "kind": kind})
    }
}

/// A field that does not hold what it must, as a cause: `spec.replicas: Invalid value: ...`.
fn cause(why: &str) -> Value {
    const REASONS: [(&str, &str); 8] = [
        ("Required", "FieldValueRequired"),
        ("Forbidden", "FieldValueForbidden"),
        ("Unsupported", "FieldValueNotSupported"),
        ("Duplicate", "FieldValueDuplicate"),
        ("Not found", "FieldValueNotFound"),
        ("Too long", "FieldValueTooLong"),
        ("Too many", "FieldValueTooMany"),
        ("Wrong type", "FieldValueTypeInvalid"),
    ];
    let (field, text) = why.split_once(": ").unwrap_or(("", why));
    let known = REASONS.iter().find(|(word, _)| text.starts_with(word));
    let reason = known.map_or("FieldValueInvalid", |(_, reason)| reason);
    json!({"reason": reason, "message": text.replacen("Wrong type", "Invalid value", 1), "field": field})
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The whole path is unknown.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    /// A subresource that a cluster has. In the words of people: kubectl prints them.
    pub fn not_simulated(plural: &str, sub: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("the sandbox does not simulate {plural}/{sub}"))
    }

    /// A body that is in none of the known formats.
    pub fn unsupported(known: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {known}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A request in the name of somebody else (`kubectl --as`): here nobody may do less than everything.
    pub fn impersonates() -> Self {
        let message = "the sandbox does not simulate impersonation: everybody may do everything there";
        Self::new(403, "Forbidden", message)
    }

    pub fn namespace_stays(name: &str) -> Self {
        let message = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        Self { details: about(name, "", "namespaces"), ..Self::new(403, "Forbidden", message) }
    }

    pub fn too_large(limit: usize) -> Self {
        Self::too_long(format!("Request entity is too large: limit is {limit}"))
    }

    pub fn too_long(message: String) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub fn failing(code: u16) -> Self {
        let reason = if code == 503 { "ServiceUnavailable" } else { "InternalError" };
        Self::new(code, reason, "the server is currently unable to handle the request")
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    pub fn too_many_requests(message: &str, cause: String) -> Self {
        let causes = json!([{"reason": "DisruptionBudget", "message": cause}]);
        Self { details: json!({"causes": causes}), ..Self::new(429, "TooManyRequests", message) }
    }

    /// A field that does not hold what it must.
    pub fn invalid(resource: &Resource, name: &str, why: &str) -> Self {
        Self::all_invalid(
            full_name(&resource.group, &resource.kind),
            about(name, &resource.group, &resource.kind),
            &[why.to_owned()],
        )
    }

    /// Several fields that do not, each `field: Kind of error: more`.
    pub fn many_invalid(resource: &Resource, name: &str, whys: &[String]) -> Self {
        Self::all_invalid(
            full_name(&resource.group, &resource.kind),
            about(name, &resource.group, &resource.kind),
            whys,
        )
    }

    /// A replacement that does not say of which version, where it must.
    pub fn unversioned(resource: &Resource, name: &str) -> Self {
        let why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
        Self::all_invalid(
            full_name(&resource.group, &resource.plural),
            about(name, &resource.group, &resource.plural),
            &[why.to_owned()],
        )
    }

    /// Options of a request that do not hold together.
    pub fn invalid_options(kind: &str, whys: &[String]) -> Self {
        const GROUP: &str = "meta.k8s.io";
        Self::all_invalid(full_name(GROUP, kind), about("", GROUP, kind), whys)
    }

    /// A version of the objects that is not there yet.
    pub fn version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        let details = json!({"causes": [cause], "retryAfterSeconds": 1});
        Self { details, ..Self::new(504, "Timeout", message) }
    }

    fn all_invalid(kind: String, mut details: Value, whys: &[String]) -> Self {
        let name = details["name"].as_str().unwrap_or_default();
        let texts: Vec<String> =
            whys.iter().map(|why| why.replacen(": Wrong type", ": Invalid value", 1)).collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{kind} \"{name}\" is invalid: {text}");
        details["causes"] = whys.iter().map(|why| cause(why)).collect();
        Self { details, ..Self::new(422, "Invalid", message) }
    }

    /// New content of a namespace that is being deleted.
    pub fn namespace_ends(resource: &Resource, name: &str, namespace: &str) -> Self {
        let kind = full_name(&resource.group, &resource.plural);
        let message = format!(
            "{kind} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut details = about(name, &resource.group, &resource.plural);
        let why = format!("namespace {namespace} is being terminated");
        details["causes"] =
            json!([{"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}]);
        Self { details, ..Self::new(403, "Forbidden", message) }
    }

    /// Fields that other managers own, each with the manager as people read it.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            many => {
                let mut lines = Vec::new();
                let mut last = "";
                for (manager, field) in many {
                    if manager != last {
                        lines.push(format!("conflicts with {manager}:"));
                    }
                    lines.push(format!("- {field}"));
                    last = manager;
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let cause = |(manager, field): &(String, String)| {
            json!({"reason": "FieldManagerConflict",
            "message": format!("conflict with {manager}"), "field": field})
        };
        let causes: Vec<Value> = conflicts.iter().map(cause).collect();
        Self { details: json!({"causes": causes}), ..Self::new(409, "Conflict", message) }
    }

    /// What the store refused, in the words of an API server.
    pub fn store(error: StoreError, resource: &Resource) -> Self {
        match error {
            StoreError::NotFound(key) => {
                let message =
                    format!("{} \"{}\" not found", full_name(key.group(), key.plural()), key.name());
                let details = about(key.name(), key.group(), key.plural());
                Self { details, ..Self::new(404, "NotFound", message) }
            }
            StoreError::AlreadyExists(key) => {
                let message =
                    format!("{} \"{}\" already exists", full_name(key.group(), key.plural()), key.name());
                let details = about(key.name(), key.group(), key.plural());
                Self { details, ..Self::new(409, "AlreadyExists", message) }
            }
            StoreError::Conflict(key, why) => {
                let kind = full_name(key.group(), key.plural());
                let message = format!("Operation cannot be fulfilled on {kind} \"{}\": {why}", key.name());
                let details = about(key.name(), key.group(), key.plural());
                Self { details, ..Self::new(409, "Conflict", message) }
            }
            StoreError::Forbidden { ref key, .. } => {
                let details = about(key.name(), key.group(), key.plural());
                Self { details, ..Self::new(403, "Forbidden", error.to_string()) }
            }
            StoreError::Invalid(key, why) => Self::invalid(resource, key.name(), &why),
            StoreError::Gone { asked, oldest } => {
                Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
            }
        }
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code})
    }

    pub fn into_response(self) -> Response<Body> {
        json_response(self.code, &self.status())
    }
}
