//! Paths into objects, and the fields in which two versions of an object differ.
//!
//! A path is a list of segments: a field's name, or `[name=app]` for an element of a list whose elements have a key in the
//! Kubernetes API (containers, env, taints, …), so that a neighbour's element is never touched. Other lists are one field.

use serde_json::{Map, Value};

use crate::model::effect::{Held, Touch};

/// The keys of an element, for the lists that have them; as in the API's own merge keys, and ExternalDNS' endpoints.
fn merge_keys(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "taints" => &["key", "effect"],
        "conditions" => &["type"],
        "endpoints" => &["dnsName", "recordType"],
        _ => return None,
    })
}

fn element_segment(element: &Value, keys: &[&str]) -> Option<String> {
    let parts: Option<Vec<String>> =
        keys.iter().map(|key| Some(format!("{key}={}", element.get(key)?.as_str()?))).collect();
    Some(format!("[{}]", parts?.join(",")))
}

/// The segments of a list's elements, if every element has its own.
fn segments(list: &[Value], keys: &[&str]) -> Option<Vec<String>> {
    let found: Option<Vec<String>> = list.iter().map(|element| element_segment(element, keys)).collect();
    let found = found?;
    let mut sorted = found.clone();
    sorted.sort();
    sorted.dedup();
    (sorted.len() == found.len()).then_some(found)
}

fn keys_for(path: &[String]) -> Option<&'static [&'static str]> {
    merge_keys(path.last()?)
}

/// The value at a path; `None` where it is absent.
pub fn lookup<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut value = object;
    for (depth, segment) in path.iter().enumerate() {
        value = match value {
            Value::Object(fields) => fields.get(segment)?,
            Value::Array(list) => {
                let keys = keys_for(&path[..depth])?;
                list.iter().find(|element| element_segment(element, keys).as_deref() == Some(segment))?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(value)
}

/// Puts a value at a path, or removes what is there; parents that are missing are made. Returns whether it could: a parent
/// that is no object any more stands in the way.
pub(super) fn put(object: &mut Value, path: &[String], to: Option<&Value>) -> bool {
    put_from(object, path, 0, to)
}

fn put_from(value: &mut Value, path: &[String], depth: usize, to: Option<&Value>) -> bool {
    let Some(segment) = path.get(depth) else { return false };
    let last = depth + 1 == path.len();
    match value {
        Value::Object(fields) => match (last, to) {
            (true, Some(to)) => {
                fields.insert(segment.clone(), to.clone());
                true
            }
            (true, None) => {
                fields.remove(segment);
                true
            }
            (false, None) if !fields.contains_key(segment) => true,
            (false, _) => {
                let empty = if path[depth + 1].starts_with('[') {
                    Value::Array(vec![])
                } else {
                    Value::Object(Map::new())
                };
                put_from(fields.entry(segment.clone()).or_insert(empty), path, depth + 1, to)
            }
        },
        Value::Array(list) => {
            let Some(keys) = keys_for(&path[..depth]).filter(|_| segment.starts_with('[')) else {
                return false;
            };
            let place =
                list.iter().position(|element| element_segment(element, keys).as_ref() == Some(segment));
            match (last, place, to) {
                (true, Some(place), Some(to)) => list[place] = to.clone(),
                (true, Some(place), None) => {
                    list.remove(place);
                }
                (true, None, Some(to)) => list.push(to.clone()),
                (_, None, None) => {}
                (false, Some(place), _) => return put_from(&mut list[place], path, depth + 1, to),
                (false, None, Some(_)) => return false,
            }
            true
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Fields that the server writes, not we.
fn is_servers(path: &[String]) -> bool {
    match path {
        [first] => first == "status",
        [first, second] => {
            first == "metadata"
                && matches!(
                    second.as_str(),
                    "resourceVersion" | "generation" | "managedFields" | "uid" | "creationTimestamp"
                )
        }
        _ => false,
    }
}

/// The fields in which `after` differs from `before`, in the order of their paths, as an undo must know them.
pub fn touched(before: &Value, after: &Value) -> Vec<Touch> {
    let mut touches = Vec::new();
    differ(&mut Vec::new(), Some(before), Some(after), &mut touches);
    touches
}

fn differ(path: &mut Vec<String>, before: Option<&Value>, after: Option<&Value>, touches: &mut Vec<Touch>) {
    if before == after || is_servers(path) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                path.push(name.clone());
                differ(path, old.get(name), new.get(name), touches);
                path.pop();
            }
        }
        (None, Some(Value::Object(new)))
            if !new.is_empty() && !path.last().is_some_and(|s| s.starts_with('[')) =>
        {
            touches.push(Touch::Created { path: path.clone() });
            for (name, value) in new {
                path.push(name.clone());
                differ(path, None, Some(value), touches);
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let sides = keys_for(path).and_then(|keys| Some((segments(old, keys)?, segments(new, keys)?)));
            let Some((was, is)) = sides else {
                return touches.push(field(path, before, after));
            };
            for (place, segment) in was.iter().enumerate() {
                let now = is.iter().position(|s| s == segment).map(|i| &new[i]);
                path.push(segment.clone());
                differ(path, Some(&old[place]), now, touches);
                path.pop();
            }
            for (place, segment) in is.iter().enumerate().filter(|(_, segment)| !was.contains(segment)) {
                path.push(segment.clone());
                touches.push(field(path, None, Some(&new[place])));
                path.pop();
            }
        }
        (None, Some(Value::Array(new))) => {
            let Some(is) = keys_for(path).and_then(|keys| segments(new, keys)).filter(|is| !is.is_empty())
            else {
                return touches.push(field(path, None, after));
            };
            touches.push(Touch::Created { path: path.clone() });
            for (place, segment) in is.iter().enumerate() {
                path.push(segment.clone());
                touches.push(field(path, None, Some(&new[place])));
                path.pop();
            }
        }
        _ => touches.push(field(path, before, after)),
    }
}

fn field(path: &[String], before: Option<&Value>, after: Option<&Value>) -> Touch {
    Touch::Field {
        path: path.to_vec(),
        before: before.cloned().map(Held::Plain),
        after: after.cloned().map(Held::Plain),
    }
}
