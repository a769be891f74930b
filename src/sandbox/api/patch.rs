//! Patches: JSON (RFC 6902), merge (RFC 7396), strategic merge; and the way to server-side apply (`apply`).
//!
//! All of them read, change and store under one lock, so that a patch without a `resourceVersion` never conflicts.

use http::request::Parts;
use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use serde_json::Value;

use super::answer::{Answer, Refusal, json_response};
use super::path::Call;
use super::write::Signed;
use super::{LARGEST_BODY, apply, decode, present, strategic, write};
use crate::sandbox::state::RegionState;
use crate::sandbox::store::StoreError;

/// So many operations may a JSON patch have.
const MOST_OPERATIONS: usize = 10_000;

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// A patch, read.
pub(super) struct Patch {
    kind: Kind,
    body: Value,
}

impl Patch {
    /// Reads a request's patch.
    pub fn read(call: &Call, parts: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        let kind = match decode::media_type(&parts.headers) {
            "application/json-patch+json" => Kind::Json,
            "application/merge-patch+json" => Kind::Merge,
            "application/strategic-merge-patch+json" if call.served.built_in => Kind::Strategic,
            "application/apply-patch+yaml" => Kind::Apply,
            _ => {
                let strategic =
                    if call.served.built_in { " application/strategic-merge-patch+json," } else { "" };
                let known = format!(
                    "application/json-patch+json, application/merge-patch+json,{strategic} application/apply-patch+yaml"
                );
                return Err(Refusal::unsupported(&known));
            }
        };
        let json = serde_json::from_slice(body);
        let body = match kind {
            Kind::Apply => json.or_else(|_| serde_yaml::from_slice(body)).map_err(|error| error.to_string()),
            Kind::Json | Kind::Merge | Kind::Strategic => json.map_err(|error| error.to_string()),
        };
        let body = body.map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
        Ok(Self { kind, body })
    }

    /// Changes an object.
    pub fn change(&self, object: &mut Value) -> Result<(), Refusal> {
        match self.kind {
            Kind::Json => {
                let patch: json_patch::Patch = serde_json::from_value(self.body.clone())
                    .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
                *object = patched(object.clone(), patch)?;
            }
            Kind::Merge | Kind::Apply => json_patch::merge(object, &self.body),
            Kind::Strategic => strategic::merge(object, &self.body),
        }
        if object.is_object() { Ok(()) } else { Err(Refusal::bad_request("the patched object is none")) }
    }
}

/// An object after a JSON patch. An API server takes a `replace` of a member that is not there for an `add`, other than RFC 6902 (section
/// 4.3) says: so does its library, evanphx/json-patch 4.
/// Operations and what they copy are bounded, as there.
fn patched(mut object: Value, patch: json_patch::Patch) -> Result<Value, Refusal> {
    if patch.0.len() > MOST_OPERATIONS {
        let count = patch.0.len();
        let message =
            format!("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}");
        return Err(Refusal::too_long(message));
    }
    let mut copied = 0;
    for operation in patch.0 {
        if let PatchOperation::Copy(copy) = &operation {
            copied += object.pointer(copy.from.as_str()).map_or(0, |part| part.to_string().len());
            if copied > LARGEST_BODY {
                return Err(Refusal::too_large(LARGEST_BODY));
            }
        }
        let operation = match operation {
            PatchOperation::Replace(ReplaceOperation { path, value }) if lacks(&object, path.as_str()) => {
                PatchOperation::Add(AddOperation { path, value })
            }
            other => other,
        };
        json_patch::patch(&mut object, &[operation]).map_err(|_| {
            Refusal::unprocessable("the server rejected our request due to an error in our request")
        })?;
    }
    Ok(object)
}

/// Whether the map that a pointer's member would be in is there, and the member is not.
fn lacks(object: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
    parent.is_some_and(Value::is_object) && object.pointer(pointer).is_none()
}

/// Patches an object or its status; an apply makes what is not there.
pub(super) fn patch(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let mut patch = Patch::read(call, parts, body)?;
    let dry = call.query.dry_run("PatchOptions")?;
    apply::check(call, patch.kind == Kind::Apply, &patch.body)?;
    if patch.kind == Kind::Apply {
        decode::place(call, &mut patch.body)?;
        let unknown = decode::known(call, &mut patch.body)?;
        if let Some(why) = decode::strictly(call, &unknown) {
            return Err(Refusal::bad_request(why));
        }
        let (code, applied) = state.write(|store| apply::apply(call, store, patch.body, dry))?;
        return Ok(decode::warned(call, json_response(code, &present::seen(call, &applied)), &unknown));
    }
    let key = call.key();
    let refuse = |error| Refusal::store(error, &call.served.resource);
    let (patched, unknown) = state.write(|store| {
        let current = store.get(&key).ok_or_else(|| refuse(StoreError::NotFound(key.clone())))?;
        let mut object = (**current).clone();
        if call.served.definition.is_some() {
            object["apiVersion"] = call.served.resource.api_version().into();
        }
        patch.change(&mut object)?;
        decode::place(call, &mut object)?;
        let unknown = decode::known(call, &mut object)?;
        if let Some(why) = decode::strictly(call, &unknown) {
            let why = format!("patch: Invalid value: {}: {why}", patch.body);
            return Err(Refusal::invalid(&call.served.resource, "", &why));
        }
        decode::fill(call, &mut object);
        Ok((write::store_update(call, store, object, &Signed::Update, dry)?, unknown))
    })?;
    Ok(decode::warned(call, json_response(200, &present::seen(call, &patched)), &unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_patch_copies_is_bounded_and_small_copies_in_a_large_object_are_not() {
        let copies = |from: &str, count: usize| {
            let one = |number| json!({"op": "copy", "from": from, "path": format!("/data/copy{number}")});
            serde_json::from_value(Value::Array((0..count).map(one).collect())).unwrap()
        };
        let object = json!({"data": {"large": "x".repeat(100_000), "small": "y"}});
        assert_eq!(patched(object.clone(), copies("", 40)).unwrap_err().code, 413, "it doubles each time");
        assert!(patched(object, copies("/data/small", 100)).is_ok());
    }
}
