//! Reading Kubernetes objects as plain JSON: the few words that every controller needs.
//!
//! Objects stay JSON, as the API server holds them, so that a field that we do not know survives. A field that is missing or of
//! another type reads as empty: the API server has checked what it could, and a controller must never fall over the rest (I15).

use serde_json::{Value, json};

/// The value at a JSON pointer (RFC 6901) whose keys hold neither `/` nor `~`. Not `Value::pointer`, which copies each key to unescape it: of a
/// large region's start that was a fifth.
pub fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    let (mut value, mut rest) = (object, pointer.get(1..).filter(|rest| !rest.is_empty()));
    while let Some(keys) = rest {
        // Keys are a few bytes long: a search made for long texts costs more than all else here.
        let end = keys.bytes().position(|byte| byte == b'/').unwrap_or(keys.len());
        let key = keys.get(..end)?;
        rest = keys.get(end + 1..);
        value = match value {
            Value::Object(map) => map.get(key)?,
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(value)
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a JSON pointer.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    at(object, pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer; empty where there is none.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether `true` stands at a JSON pointer.
pub fn flag(object: &Value, pointer: &str) -> bool {
    at(object, pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The object's name.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The `name` of a part of an object: a container, a variable, a reference.
pub fn name_field(part: &Value) -> &str {
    text(part, "/name")
}

/// The object's namespace; empty where it has none.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// The object's uid.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// An annotation; empty where there is none.
pub fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    at(object, "/metadata/annotations").map(|all| member(all, key)).unwrap_or_default()
}

/// A label; empty where there is none.
pub fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    at(object, "/metadata/labels").map(|all| member(all, key)).unwrap_or_default()
}

/// The text under a key that may hold slashes and dots.
pub fn member<'a>(map: &'a Value, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether somebody asked for its deletion.
pub fn terminating(object: &Value) -> bool {
    at(object, "/metadata/deletionTimestamp").is_some()
}

/// The reference to the controller that owns the object.
pub fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller"))
}

/// Whether the controller with this uid owns the object.
pub fn controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

/// A condition of the object's status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}

/// Whether a condition of the object's status is `True`.
pub fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

/// The conditions of an object with one of them set; its transition time moves only when its status changes.
pub fn with_condition(
    object: &Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) -> Vec<Value> {
    let mut all = list(object, "/status/conditions").to_vec();
    set_condition(&mut all, kind, status, reason, message, now);
    all
}

/// Sets one condition of a list; its transition time moves only when its status changes.
pub fn set_condition(all: &mut Vec<Value>, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let before = all.iter().position(|condition| text(condition, "/type") == kind);
    let since = before
        .filter(|&index| text(&all[index], "/status") == status)
        .map_or(now, |index| text(&all[index], "/lastTransitionTime"));
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
    for (field, words) in [("reason", reason), ("message", message)] {
        if !words.is_empty() {
            condition[field] = json!(words);
        }
    }
    match before {
        Some(index) => all[index] = condition,
        None => all.push(condition),
    }
}

/// Whether a selector (`matchLabels`, `matchExpressions`) chooses these labels; an empty one chooses all.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector.get("matchLabels").is_none_or(|wanted| contains(labels, wanted));
    equal
        && list(selector, "/matchExpressions").iter().all(|rule| {
            let found = labels.get(text(rule, "/key")).and_then(Value::as_str);
            expression(text(rule, "/operator"), found, list(rule, "/values"))
        })
}

/// Whether the labels hold every wanted one.
pub fn contains(labels: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// One rule of a label selector or of a node selector.
pub fn expression(operator: &str, found: Option<&str>, values: &[Value]) -> bool {
    let listed = |found: &str| values.iter().any(|value| value.as_str() == Some(found));
    let compared =
        |found: &str, value: &Value| Some((found.parse::<i64>().ok()?, value.as_str()?.parse::<i64>().ok()?));
    let pair = found.zip(values.first()).and_then(|(found, value)| compared(found, value));
    match operator {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => pair.is_some_and(|(found, value)| found > value),
        "Lt" => pair.is_some_and(|(found, value)| found < value),
        _ => false,
    }
}

/// The labels of an object.
pub fn labels(object: &Value) -> &Value {
    at(object, "/metadata/labels").unwrap_or(&Value::Null)
}

/// Whether a pod is still wanted and alive: neither ended nor being deleted.
pub fn active(pod: &Value) -> bool {
    !terminating(pod) && !ended(pod)
}

/// Whether a pod's containers have all ended for good.
pub fn ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// An integer or a percentage (`25%`) of a whole; percentages round up or down as Kubernetes does for that field.
pub fn share(value: Option<&Value>, default: &str, whole: i64, up: bool) -> i64 {
    let percentage = |text: &str| {
        let percent = text.strip_suffix('%')?.parse::<i64>().ok()?.clamp(0, 10_000);
        let scaled = percent.saturating_mul(whole.max(0));
        Some(if up { (scaled + 99) / 100 } else { scaled / 100 })
    };
    match value {
        Some(Value::Number(number)) => number.as_i64().unwrap_or_default(),
        Some(Value::String(text)) => percentage(text).unwrap_or_default(),
        _ => percentage(default).unwrap_or_default(),
    }
}

/// A number that a text always gives: FNV-1a, the same on every machine.
pub fn hash(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // FNV mixes its last bytes into the low bits only; one round of a finaliser spreads them.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// A short digest in Kubernetes' own alphabet for generated names.
pub fn digest(text: &str, letters: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = hash(text);
    let base = ALPHABET.len() as u64;
    (0..letters)
        .map(|_| {
            let letter = ALPHABET[usize::try_from(hash % base).unwrap_or_default()];
            hash /= base;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_a_rolling_update_needs_them() {
        assert_eq!(share(None, "25%", 10, true), 3);
        assert_eq!(share(None, "25%", 10, false), 2);
        assert_eq!(share(Some(&json!(1)), "25%", 10, false), 1);
        assert_eq!(share(Some(&json!("nonsense")), "25%", 10, false), 0);
    }

    #[test]
    fn a_selector_chooses_by_labels_and_expressions() {
        let selector = json!({"matchLabels": {"app": "shop"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["web", "api"]},
            {"key": "old", "operator": "DoesNotExist"},
        ]});
        assert!(selects(&selector, &json!({"app": "shop", "tier": "api"})));
        assert!(!selects(&selector, &json!({"app": "shop", "tier": "db"})));
        assert!(!selects(&selector, &json!({"app": "shop", "tier": "api", "old": ""})));
    }

    #[test]
    fn a_conditions_transition_time_moves_only_with_its_status() {
        let mut all = vec![];
        set_condition(&mut all, "Ready", "True", "", "", "one");
        set_condition(&mut all, "Ready", "True", "Again", "", "two");
        assert_eq!(all[0]["lastTransitionTime"], "one");
        set_condition(&mut all, "Ready", "False", "", "", "three");
        assert_eq!(all[0]["lastTransitionTime"], "three");
    }
}
