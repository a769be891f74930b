//! The JSON paths of a definition's columns: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.
//!
//! Of kubectl's JSONPath only what definitions use: fields, indices, filters for equality. What cannot be read finds nothing.

use serde_json::Value;

/// The first value under a path.
pub(super) fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.trim().trim_start_matches('$');
    if path.is_empty() {
        return Some(object);
    }
    if let Some(rest) = path.strip_prefix('[') {
        let (inner, rest) = closed(rest)?;
        return match bracket(object, inner)? {
            Step::One(value) => find(value, rest),
            Step::Each(list) => list.into_iter().find_map(|value| find(value, rest)),
        };
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    let (field, rest) = field(path);
    find(object.get(field)?, rest)
}

enum Step<'a> {
    One(&'a Value),
    Each(Vec<&'a Value>),
}

/// What stands before the bracket that closes, and what behind it.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (']', None) => return Some((&text[..index], &text[index + 1..])),
            _ => {}
        }
    }
    None
}

/// A field's name, whose dots may be escaped, and what is behind it.
fn field(path: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = path.char_indices();
    while let Some((index, c)) = letters.next() {
        match c {
            '\\' => name.extend(letters.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &path[index..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

fn bracket<'a>(object: &'a Value, inner: &str) -> Option<Step<'a>> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::Each(object.as_array()?.iter().collect()));
    }
    if let Some(filter) = inner.strip_prefix("?(@").and_then(|text| text.strip_suffix(')')) {
        let (path, wanted) = filter.split_once("==")?;
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        let holds = |each: &&Value| match find(each, path) {
            Some(Value::String(text)) => text == wanted,
            Some(other) => {
                let text = other.to_string();
                text == wanted
            }
            None => false,
        };
        return Some(Step::Each(object.as_array()?.iter().filter(holds).collect()));
    }
    if let Some(name) = inner.strip_prefix(['"', '\'']) {
        return object.get(name.trim_end_matches(['"', '\''])).map(Step::One);
    }
    object.get(inner.parse::<usize>().ok()?).map(Step::One)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_paths_that_definitions_use_find_their_values() {
        let object = json!({"metadata": {"labels": {"a.b/c": "x"}}, "spec": {"hosts": ["one", "two"], "on": true},
            "status": {"conditions": [{"type": "Old", "status": "True"}, {"type": "Ready", "status": "False"}]}});
        for (path, found) in [
            (".spec.on", Some(json!(true))),
            (".spec.hosts[1]", Some(json!("two"))),
            (".spec.hosts[*]", Some(json!("one"))),
            (".status.conditions[?(@.type==\"Ready\")].status", Some(json!("False"))),
            (".status.conditions[?(@.type=='None')].status", None),
            (".metadata.labels['a.b/c']", Some(json!("x"))),
            (".metadata.labels.a\\.b/c", Some(json!("x"))),
            (".spec.none.deeper", None),
            (".spec.hosts[", None),
        ] {
            assert_eq!(find(&object, path), found.as_ref(), "{path}");
        }
    }
}
