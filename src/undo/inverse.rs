//! The inverse of touched fields, computed from the object as it is now.
//!
//! A field that equals `before` is done already; one that equals `after` is put back; one that a later effect of our own stored is that
//! effect's, whose undo puts back what this one found (`outstanding`); anything else somebody changed since: it is kept and told. The result is one JSON patch that tests uid and resourceVersion first, so that a change in between
//! makes the server refuse it, and we read again.

use serde_json::{Value, json};

use super::fields::{lookup, put};
use crate::model::effect::{Held, Touch};
use crate::model::event::Conflict;

/// What is to be done to restore an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Inverse {
    /// A JSON patch (RFC 6902); empty where nothing is to be done.
    pub patch: Vec<Value>,
    pub conflicts: Vec<Conflict>,
}

fn plain(held: Option<&Held>) -> Result<Option<&Value>, ()> {
    match held {
        None => Ok(None),
        Some(Held::Plain(value)) => Ok(Some(value)),
        Some(Held::Sealed { .. }) => Err(()),
    }
}

/// The inverse of `touched` on the object `now`, which `named` names for people; `later` is what later effects that are still open touched
/// of the same object.
pub fn inverse(now: &Value, uid: &str, touched: &[Touch], later: &[Touch], named: &str) -> Inverse {
    if now["metadata"]["uid"].as_str() != Some(uid) {
        // Whoever made it again may have made it as it was.
        if is_as_before(now, touched) {
            return Inverse { patch: vec![], conflicts: vec![] };
        }
        let conflict = Conflict {
            field: named.to_owned(),
            advice: "another object has its name now: compare it with your manifests".to_owned(),
        };
        return Inverse { patch: vec![], conflicts: vec![conflict] };
    }
    let mut restored = now.clone();
    let mut conflicts = Vec::new();
    let mut made = Vec::new();
    for touch in touched {
        let (path, before, after) = match touch {
            Touch::Created { path } => {
                made.push(path);
                continue;
            }
            Touch::Field { path, before, after } => (path, plain(before.as_ref()), plain(after.as_ref())),
        };
        let is = lookup(now, path);
        let kept = match (before, after) {
            (Ok(before), _) if is == before => continue,
            (Ok(before), Ok(after)) if is == after && put(&mut restored, path, before) => continue,
            _ if stored_by(later, path, is) => continue,
            _ => is.map_or("absent".to_owned(), Value::to_string),
        };
        conflicts.push(Conflict {
            field: format!("{named} {}", path.join(".")),
            advice: format!(
                "somebody changed it since; it was kept as {}",
                kept.chars().take(200).collect::<String>()
            ),
        });
    }
    for path in made.into_iter().rev() {
        if is_empty(lookup(&restored, path)) {
            put(&mut restored, path, None);
        }
    }
    Inverse { patch: patch_between(now, &restored), conflicts }
}

/// Whether one of these left a field as it is.
fn stored_by(later: &[Touch], of: &[String], is: Option<&Value>) -> bool {
    later.iter().any(|touch| match touch {
        Touch::Field { path, after, .. } => path == of && plain(after.as_ref()) == Ok(is),
        Touch::Created { .. } => false,
    })
}

/// Whether an object or a list has nothing in it.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => false,
    }
}

fn patch_between(now: &Value, restored: &Value) -> Vec<Value> {
    let changes = json_patch::diff(now, restored);
    if changes.is_empty() {
        return vec![];
    }
    let tests = ["uid", "resourceVersion"].map(
        |field| json!({"op": "test", "path": format!("/metadata/{field}"), "value": now["metadata"][field]}),
    );
    tests.into_iter().chain(changes.iter().filter_map(|change| serde_json::to_value(change).ok())).collect()
}

/// Whether every touched field has its value from before, and nothing that was made for them is left.
pub fn is_restored(now: &Value, uid: &str, touched: &[Touch]) -> bool {
    now["metadata"]["uid"].as_str() == Some(uid) && is_as_before(now, touched)
}

fn is_as_before(now: &Value, touched: &[Touch]) -> bool {
    touched.iter().all(|touch| match touch {
        Touch::Field { path, before, .. } => plain(before.as_ref()) == Ok(lookup(now, path)),
        Touch::Created { path } => !is_empty(lookup(now, path)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::touched;
    use super::*;

    fn object(spec: &Value, version: u32) -> Value {
        json!({"metadata": {"name": "x", "uid": "u1", "resourceVersion": version.to_string()}, "spec": spec})
    }

    fn patched(now: &Value, patch: &[Value]) -> Value {
        let mut object = now.clone();
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch.to_vec())).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        object
    }

    /// Values as specs hold them, a keyed list among them.
    fn spec() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(1)),
            Just(json!(2)),
            Just(json!("a")),
            Just(json!([1])),
            Just(Value::Null)
        ];
        let env = proptest::collection::btree_map("[a-c]", leaf.clone(), 0..3).prop_map(|map| {
            Value::Array(map.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect())
        });
        let value = prop_oneof![
            leaf.clone(),
            env,
            proptest::collection::btree_map("[x-z]", leaf, 0..3).prop_map(|m| json!(m))
        ];
        proptest::collection::btree_map(prop_oneof!["[p-r]", Just("env".to_owned())], value, 0..4)
            .prop_map(|m| json!(m))
    }

    /// As the API server stores them: in the order that undo leaves, lists are compared as sets of elements.
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(list) => {
                let mut list: Vec<Value> = list.iter().map(sorted).collect();
                list.sort_by_key(Value::to_string);
                Value::Array(list)
            }
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
            }
            other => other.clone(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn undo_restores_exactly_what_was_touched(before in spec(), after in spec()) {
            let (before, after) = (object(&before, 1), object(&after, 2));
            let touches = touched(&before, &after);
            let inverse = inverse(&after, "u1", &touches, &[], "x");
            prop_assert_eq!(&inverse.conflicts, &vec![]);
            // Whatever changes in between makes the server refuse it.
            for (place, field) in ["uid", "resourceVersion"].into_iter().enumerate().take(inverse.patch.len()) {
                let test = json!({"op": "test", "path": format!("/metadata/{field}"), "value": after["metadata"][field]});
                prop_assert_eq!(&inverse.patch[place], &test);
            }
            let restored = patched(&after, &inverse.patch);
            prop_assert_eq!(sorted(&restored["spec"]), sorted(&before["spec"]));
            prop_assert!(is_restored(&restored, "u1", &touches));
        }

        #[test]
        fn what_others_changed_since_is_kept_and_told(before in spec(), after in spec(), theirs in spec()) {
            let (before, after, now) = (object(&before, 1), object(&after, 2), object(&theirs, 3));
            let touches = touched(&before, &after);
            let result = inverse(&now, "u1", &touches, &[], "x");
            let restored = patched(&now, &result.patch);
            for touch in &touches {
                let Touch::Field { path, before, after } = touch else { continue };
                let (was, left, is) = (plain(before.as_ref()).unwrap(), plain(after.as_ref()).unwrap(), lookup(&now, path));
                let told = result.conflicts.iter().any(|conflict| conflict.field == format!("x {}", path.join(".")));
                // Told as well where others put something in the way: then nothing there is changed either.
                prop_assert!(told || is == was || is == left);
                prop_assert_eq!(lookup(&restored, path), if told { is } else { was });
            }
        }
    }

    #[test]
    fn a_neighbours_taint_survives_the_undo_of_ours() {
        let ours = json!({"key": "drillmaster.dev/zone-loss", "effect": "NoExecute"});
        let theirs = json!({"key": "maintenance", "effect": "NoSchedule"});
        let before = object(&json!({}), 1);
        let after = object(&json!({"taints": [ours], "unschedulable": true}), 2);
        let now = object(&json!({"taints": [ours, theirs], "unschedulable": true}), 3);
        let inverse = inverse(&now, "u1", &touched(&before, &after), &[], "node");
        assert_eq!(inverse.conflicts, vec![]);
        assert_eq!(patched(&now, &inverse.patch)["spec"], json!({"taints": [theirs]}));
    }

    #[test]
    fn what_somebody_put_back_already_is_done_and_no_conflict() {
        let (before, after) = (object(&json!({"replicas": 2}), 1), object(&json!({"replicas": 0}), 2));
        let now = object(&json!({"replicas": 2, "paused": true}), 3);
        let inverse = inverse(&now, "u1", &touched(&before, &after), &[], "x");
        assert_eq!((inverse.patch, inverse.conflicts), (vec![], vec![]));
    }

    #[test]
    fn an_object_that_was_replaced_is_left_alone() {
        let touches = touched(&object(&json!({}), 1), &object(&json!({"replicas": 0}), 2));
        let mut now = object(&json!({"replicas": 0}), 9);
        now["metadata"]["uid"] = json!("u2");
        let inverse = inverse(&now, "u1", &touches, &[], "x");
        assert_eq!((inverse.patch.len(), inverse.conflicts.len()), (0, 1));
    }
}
