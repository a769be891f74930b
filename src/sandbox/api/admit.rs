//! Objects of manifests: checked, completed and stored as `kubectl apply` would have them, without a request.
//!
//! The same steps as a strict create: the fields that the type knows, the defaults, the validation. What is wrong comes back by field, so that
//! whoever read the object from a file can point at it.

use serde_json::Value;

use super::answer::Refusal;
use super::decode;
use super::path::{Call, Query};
use super::resources::Kind;
use super::write::{Signed, store_create};
use crate::sandbox::store::Store;

/// Who writes what stands in manifests.
const MANAGER: &str = "drillmaster";

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// `spec.containers[0].image`; empty where it is the object as a whole.
    pub field: String,
    pub why: String,
    /// Whether the object is right without the field.
    pub unknown: bool,
}

/// Drops the fields that an object's kind does not know, and names them.
///
/// # Errors
/// Where a value is not of its field's type.
pub fn prune(kind: &Kind, object: &mut Value) -> Result<Vec<Misfit>, Misfit> {
    let call = call(kind, object);
    let unknown = decode::known(&call, object).map_err(|refusal| Misfit {
        field: culprit(&call, object, &refusal.message),
        why: refusal.message,
        unknown: false,
    })?;
    decode::fill(&call, object);
    let misfit = |field: String| Misfit { why: format!("unknown field `{field}`"), field, unknown: true };
    Ok(unknown.into_iter().map(misfit).collect())
}

/// Checks and stores a new object of known fields.
///
/// # Errors
/// All that is wrong with it, by field.
pub fn admit(store: &mut Store, kind: &Kind, object: Value) -> Result<Value, Vec<Misfit>> {
    let call = call(kind, &object);
    store_create(&call, store, object, &Signed::As(Value::Null), false).map_err(|refusal| misfits(&refusal))
}

fn call(kind: &Kind, object: &Value) -> Call {
    Call {
        served: kind.served.clone(),
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: None,
        sub: None,
        query: Query::read(""),
        manager: MANAGER.to_owned(),
    }
}

fn misfits(refusal: &Refusal) -> Vec<Misfit> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = refusal.details["causes"].as_array().into_iter().flatten();
    let found: Vec<Misfit> = causes
        .map(|cause| Misfit { field: text(&cause["field"]), why: text(&cause["message"]), unknown: false })
        .collect();
    if found.is_empty() {
        return vec![Misfit { field: String::new(), why: refusal.message.clone(), unknown: false }];
    }
    found
}

/// How many decodings the search for a wrong value is worth; it stops near by where that is not enough.
const TRIES: usize = 500;

/// The deepest field without which an object would decode further: serde says what is wrong, and not where.
fn culprit(call: &Call, object: &Value, message: &str) -> String {
    let mut field = String::new();
    let mut pointer = String::new();
    let mut tries = TRIES;
    loop {
        let children: Vec<(String, String)> = match object.pointer(&pointer) {
            Some(Value::Object(fields)) => fields
                .keys()
                .map(|key| {
                    let dot = if field.is_empty() { "" } else { "." };
                    (format!("{field}{dot}{key}"), key.replace('~', "~0").replace('/', "~1"))
                })
                .collect(),
            Some(Value::Array(elements)) => {
                (0..elements.len()).map(|index| (format!("{field}[{index}]"), index.to_string())).collect()
            }
            _ => return field,
        };
        let guilty = children.into_iter().take(tries).find(|(_, child)| {
            tries -= 1;
            let mut without = object.clone();
            match without.pointer_mut(&pointer) {
                Some(Value::Object(fields)) => {
                    fields.remove(&child.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(elements)) => {
                    if let Some(index) = child.parse().ok().filter(|index| *index < elements.len()) {
                        elements.remove(index);
                    }
                }
                _ => {}
            }
            decode::known(call, &mut without).err().is_none_or(|other| other.message != message)
        });
        match guilty {
            Some((deeper, child)) => {
                field = deeper;
                pointer = format!("{pointer}/{child}");
            }
            None => return field,
        }
    }
}
