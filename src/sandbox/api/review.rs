//! Access reviews: in a sandbox everybody may do everything, and is told so.

use http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::path::Call;

/// Answers a SelfSubjectAccessReview; nothing is stored.
pub(super) fn answer(call: &Call, method: &Method, body: &[u8]) -> Answer {
    if method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let asked: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("not JSON: {error}")))?;
    let attributes = ["resourceAttributes", "nonResourceAttributes"];
    if attributes.iter().filter(|field| asked["spec"].get(**field).is_some()).count() != 1 {
        let why = "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or \
                   resourceAttributes must be specified";
        return Err(Refusal::invalid(&call.served.resource, "", why));
    }
    let answer = json!({
        "apiVersion": call.served.resource.api_version(), "kind": call.served.resource.kind,
        "metadata": {}, "spec": asked["spec"],
        "status": {"allowed": true, "reason": "a sandbox allows everything"},
    });
    Ok(json_response(201, &answer))
}
