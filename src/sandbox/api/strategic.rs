//! Strategic merge patch: a merge patch that knows which lists are sets of named things.
//!
//! The merge keys are those of the API types (`patchMergeKey`); a list that is not in the table is replaced, as tolerations and taints are
//! in Kubernetes. The directives are `$patch`, `$retainKeys`, `$deleteFromPrimitiveList` and `$setElementOrder`.

use serde_json::{Map, Value};

/// The key of a list field's elements; `ports` are named by two keys, whichever they have.
const MERGE_KEYS: &[(&str, &[&str])] = &[
    ("addresses", &["type"]),
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("ports", &["containerPort", "port"]),
    ("secrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// Lists of plain values that are merged as sets.
const SETS: &[&str] = &["finalizers"];

/// Changes an object as a patch says.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch").is_some_and(|directive| directive == "replace") {
        *target = without_directives(patch);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        target.retain(|field, _| kept.iter().any(|kept| kept == field));
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            remove_values(target.get_mut(list), value);
        } else if !field.starts_with('$') {
            merge_field(target, field, value);
        }
    }
    for (field, order) in patch {
        if let Some(list) = field.strip_prefix("$setElementOrder/") {
            set_order(list, target.get_mut(list), order);
        }
    }
}

fn merge_field(target: &mut Map<String, Value>, field: &str, value: &Value) {
    match value {
        Value::Null => {
            target.remove(field);
        }
        Value::Object(inner) if inner.get("$patch").is_some_and(|directive| directive == "delete") => {
            target.remove(field);
        }
        Value::Object(_) => merge(target.entry(field).or_insert(Value::Null), value),
        Value::Array(elements) => {
            let list = target.entry(field).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(field, list, elements);
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            target.insert(field.to_owned(), value.clone());
        }
    }
}

fn merge_list(field: &str, list: &mut Value, elements: &[Value]) {
    let replace =
        elements.iter().any(|element| element["$patch"] == "replace" && key_of(field, element).is_none());
    let Some(current) = list.as_array_mut().filter(|_| !replace) else {
        *list = elements.iter().filter(|element| element["$patch"] != "replace").cloned().collect();
        return;
    };
    if SETS.contains(&field) {
        let before = current.clone();
        let new = elements.iter().filter(|element| !before.contains(element));
        current.extend(new.cloned());
        *current = ordered(std::mem::take(current), elements, &before, |one, other| one == other);
        return;
    }
    if !MERGE_KEYS.iter().any(|(known, _)| *known == field)
        || elements.iter().any(|element| key_of(field, element).is_none())
    {
        *current = elements.to_vec();
        return;
    }
    let before = current.clone();
    for element in elements {
        let key = key_of(field, element);
        if element["$patch"] == "delete" {
            current.retain(|each| key_of(field, each) != key);
        } else if let Some(known) = current.iter_mut().find(|each| key_of(field, each) == key) {
            merge(known, element);
        } else {
            let mut fresh = Value::Null;
            merge(&mut fresh, element);
            current.push(fresh);
        }
    }
    let same = |one: &Value, other: &Value| key_of(field, one) == key_of(field, other);
    *current = ordered(std::mem::take(current), elements, &before, same);
}

/// The order of a merged list: what the patch names in the patch's order, new elements before the old ones, and what both know as it was.
fn ordered(
    merged: Vec<Value>,
    patch: &[Value],
    before: &[Value],
    same: impl Fn(&Value, &Value) -> bool,
) -> Vec<Value> {
    let place = |list: &[Value], element: &Value| list.iter().position(|each| same(each, element));
    let (mut named, kept): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|element| place(patch, element).is_some());
    named.sort_by_key(|element| place(patch, element));
    let (mut named, mut kept) = (named.into_iter().peekable(), kept.into_iter().peekable());
    let mut all = Vec::new();
    while let Some(next) = named.peek() {
        let earlier = kept.peek().is_some_and(|old| match (place(before, old), place(before, next)) {
            (Some(old), Some(next)) => old < next,
            _ => false,
        });
        all.extend(if earlier { kept.next() } else { named.next() });
    }
    all.extend(kept);
    all
}

/// What names an element of a list.
fn key_of<'a>(field: &str, element: &'a Value) -> Option<(&'static str, &'a Value)> {
    let (_, keys) = MERGE_KEYS.iter().find(|(known, _)| *known == field)?;
    keys.iter().find_map(|key| Some((*key, element.get(key)?)))
}

fn remove_values(list: Option<&mut Value>, values: &Value) {
    let (Some(Value::Array(list)), Value::Array(values)) = (list, values) else { return };
    list.retain(|each| !values.contains(each));
}

/// Elements that the order names come in that order, the others after them as they were.
fn set_order(field: &str, list: Option<&mut Value>, order: &Value) {
    let (Some(Value::Array(list)), Value::Array(order)) = (list, order) else { return };
    let place = |element: &Value| {
        let same = |named: &Value| match key_of(field, element) {
            Some(key) => key_of(field, named) == Some(key),
            None => named == element,
        };
        order.iter().position(same).unwrap_or(order.len())
    };
    list.sort_by_key(place);
}

fn without_directives(patch: &Map<String, Value>) -> Value {
    let plain = patch.iter().filter(|(field, _)| !field.starts_with('$'));
    plain.map(|(field, value)| (field.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut target: Value, patch: Value) -> Value {
        merge(&mut target, &patch);
        target
    }

    #[test]
    fn lists_of_named_things_merge_by_their_name_and_others_are_replaced() {
        let pod = json!({"containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80}]},
            {"name": "b", "image": "b:1"},
        ], "tolerations": [{"key": "k"}]});
        let patch = json!({"containers": [
            {"name": "b", "$patch": "delete"},
            {"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": null}]},
            {"name": "c", "image": "c:1"},
        ], "tolerations": []});
        let expected = json!({"containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "Y", "value": "2"}, {"name": "X"}],
                "ports": [{"containerPort": 80}]},
            {"name": "c", "image": "c:1"},
        ], "tolerations": []});
        assert_eq!(merged(pod, patch), expected);
    }

    #[test]
    fn directives_replace_retain_reorder_and_take_from_sets() {
        let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
        let patch = json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}});
        assert_eq!(merged(strategy, patch), json!({"strategy": {"type": "Recreate"}}));

        let listed = json!({"env": [{"name": "A"}, {"name": "B"}], "finalizers": ["x", "y"]});
        let patch = json!({"$setElementOrder/env": [{"name": "B"}, {"name": "A"}], "env": [{"name": "B", "value": "1"}],
            "$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]});
        let expected = json!({"env": [{"name": "B", "value": "1"}, {"name": "A"}], "finalizers": ["z", "y"]});
        assert_eq!(merged(listed, patch), expected);

        let selector = json!({"selector": {"app": "a", "tier": "b"}});
        let patch = json!({"selector": {"$patch": "replace", "app": "c"}});
        assert_eq!(merged(selector, patch), json!({"selector": {"app": "c"}}));
    }
}
