//! Reviews: who asks, and what they may do. In a sandbox everybody may do everything, and is told so. Nothing is stored.

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::decode;
use super::path::Call;

/// Answers a review.
pub(super) fn answer(call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    if parts.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let asked = decode::value(parts, body)?;
    let status = match call.served.resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": {"username": "sandbox-admin",
            "groups": ["system:masters", "system:authenticated"]}}),
        "SelfSubjectRulesReview" => rules(&asked["spec"])?,
        _ => access(call, &asked["spec"])?,
    };
    let answer = json!({
        "apiVersion": call.served.resource.api_version(), "kind": call.served.resource.kind,
        "metadata": {}, "spec": asked["spec"], "status": status,
    });
    Ok(json_response(201, &answer))
}

/// All that may be done in a namespace.
fn rules(spec: &Value) -> Result<Value, Refusal> {
    if spec["namespace"].as_str().is_none_or(str::is_empty) {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    Ok(json!({"incomplete": false,
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}))
}

/// Whether one thing may be done.
fn access(call: &Call, spec: &Value) -> Result<Value, Refusal> {
    let attributes = ["resourceAttributes", "nonResourceAttributes"];
    if attributes.iter().filter(|field| spec.get(**field).is_some()).count() != 1 {
        let why = "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or \
                   resourceAttributes must be specified";
        return Err(Refusal::invalid(&call.served.resource, "", why));
    }
    Ok(json!({"allowed": true, "reason": "a sandbox allows everything"}))
}
