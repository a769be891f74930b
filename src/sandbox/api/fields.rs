//! The fields of an object as server-side apply names them (`FieldsV1`): `f:spec`, `k:{"name":"web"}`, `v:"x"`.
//!
//! A field set is a set of paths, so that union and difference are those of sets. A path ends at what is one value (a scalar, an
//! atomic list or map, an empty map), or at an element of a list: an element is a member itself, the maps between are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::shape::{Keys, List, Shape};

/// A path of `FieldsV1` elements.
pub(super) type Path = Vec<String>;

/// What an object holds at each of its fields; nothing at an element of a list, which is only there.
pub(super) type Held<'a> = BTreeMap<Path, Option<&'a Value>>;

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(pub BTreeSet<Path>);

impl Fields {
    /// The fields that an object holds.
    pub fn of(held: &Held) -> Self {
        Self(held.keys().cloned().collect())
    }

    /// Reads `FieldsV1`.
    pub fn read(value: &Value) -> Self {
        let mut fields = Self::default();
        fields.collect(value, &mut vec![]);
        fields
    }

    fn collect(&mut self, value: &Value, path: &mut Path) {
        let Some(inner) = value.as_object() else { return };
        if (inner.is_empty() || inner.contains_key(".")) && !path.is_empty() {
            self.0.insert(path.clone());
        }
        for (element, below) in inner.iter().filter(|(element, _)| *element != ".") {
            path.push(element.clone());
            self.collect(below, path);
            path.pop();
        }
    }

    /// Writes `FieldsV1`.
    pub fn write(&self) -> Value {
        let mut whole = Map::new();
        for path in &self.0 {
            let mut here = &mut whole;
            for element in path {
                let below = here.entry(element.clone()).or_insert_with(|| Value::Object(Map::new()));
                let Some(below) = below.as_object_mut() else { break };
                here = below;
            }
        }
        // Only what has something below it needs a mark to be a member itself.
        for path in &self.0 {
            let found =
                path.iter().try_fold(&mut whole, |here, element| here.get_mut(element)?.as_object_mut());
            if let Some(here) = found.filter(|here| !here.is_empty()) {
                here.insert(".".into(), Value::Object(Map::new()));
            }
        }
        whole.into()
    }

    /// Without the fields of another.
    pub fn without(&self, other: &BTreeSet<Path>) -> Self {
        Self(self.0.difference(other).cloned().collect())
    }

    /// Whether a path or anything below it is in the set.
    pub fn reach(&self, path: &[String]) -> bool {
        self.0.range(path.to_vec()..).next().is_some_and(|found| found.starts_with(path))
    }
}

/// What an object of a shape holds, without what is nobody's: identity, birth, counters.
pub(super) fn held<'a>(shape: Shape<'a>, object: &'a Value) -> Held<'a> {
    const NOBODYS: [&str; 8] = [
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let mut all = Held::new();
    hold(shape, object, &mut vec![], &mut all);
    all.retain(|path, _| match path.as_slice() {
        [top] => !matches!(top.as_str(), "f:apiVersion" | "f:kind" | "f:metadata"),
        [top, field, ..] if top == "f:metadata" => !NOBODYS.iter().any(|known| field[2..] == **known),
        _ => true,
    });
    all
}

fn hold<'a>(shape: Shape<'a>, value: &'a Value, path: &mut Path, all: &mut Held<'a>) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !shape.is_one_value() => {
            for (name, below) in fields {
                path.push(format!("f:{name}"));
                hold(shape.field(name), below, path, all);
                path.pop();
            }
        }
        Value::Array(elements) if shape.list() != List::Atomic => {
            for element in elements {
                path.push(named(shape.list(), element));
                all.insert(path.clone(), None);
                if let List::Keyed(_) = shape.list() {
                    hold(shape.element(), element, path, all);
                }
                path.pop();
            }
        }
        _ => {
            all.insert(path.clone(), Some(value));
        }
    }
}

/// How an element of a list is named in a path.
pub(super) fn named(list: List, element: &Value) -> String {
    match list {
        List::Keyed(keys) => format!("k:{}", Value::Object(key(keys, element))),
        List::Set | List::Atomic => format!("v:{element}"),
    }
}

fn key(keys: Keys, element: &Value) -> Map<String, Value> {
    let value = |name: &str| element.get(name).cloned().or_else(|| keys.default(name));
    keys.names().into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
}

/// Merges what an applier names into an object, as server-side apply does.
pub(super) fn merge<'a>(shape: Shape<'a>, live: &mut Value, applied: &'a Value) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !shape.is_one_value() => {
            for (name, value) in applied {
                if value.is_null() {
                    live.remove(name);
                } else {
                    merge(shape.field(name), live.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if shape.list() != List::Atomic => {
            for element in applied {
                let name = named(shape.list(), element);
                match live.iter_mut().find(|each| named(shape.list(), each) == name) {
                    Some(known) => merge(shape.element(), known, element),
                    None => live.push(element.clone()),
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

/// Takes what stands under a path out of an object. The fields that are an element's key stay with it.
pub(super) fn remove<'a>(shape: Shape<'a>, object: &mut Value, path: &'a [String]) {
    let [first, rest @ ..] = path else { return };
    match object {
        Value::Object(fields) => {
            let Some(name) = first.strip_prefix("f:") else { return };
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(below) = fields.get_mut(name) {
                remove(shape.field(name), below, rest);
            }
        }
        Value::Array(elements) => {
            let list = shape.list();
            if rest.is_empty() {
                elements.retain(|each| named(list, each) != *first);
                return;
            }
            let is_key = |field: &String| match list {
                List::Keyed(keys) => keys.names().iter().any(|name| field[2..] == **name),
                List::Set | List::Atomic => false,
            };
            let kept = matches!(rest, [field] if is_key(field));
            let found = elements.iter_mut().find(|each| named(list, each) == *first);
            if let Some(element) = found.filter(|_| !kept) {
                remove(shape.element(), element, rest);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A path as people read it: `.spec.containers[name="web"].image`.
pub(super) fn said(path: &[String]) -> String {
    let mut text = String::new();
    for element in path {
        let (kind, word) = element.split_at(2);
        let key: Option<Map<String, Value>> = serde_json::from_str(word).ok().filter(|_| kind == "k:");
        let _ = match key {
            Some(key) => {
                let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(text, "[{}]", parts.join(","))
            }
            None if kind == "v:" => write!(text, "[={word}]"),
            None => write!(text, ".{word}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::effect::Resource;

    #[test]
    fn a_field_set_is_read_as_it_is_written_and_elements_are_members() {
        let resource = Resource::pods();
        let shape = Shape::BuiltIn { resource: &resource, field: "" };
        let object = json!({"metadata": {"name": "p", "labels": {"app": "a"}, "finalizers": ["x/y"]}, "spec": {
            "containers": [{"name": "web", "args": ["a"], "ports": [{"containerPort": 80}]}], "nodeSelector": {"a": "b"}}});
        let fields = Fields::of(&held(shape, &object));
        let port = json!({".": {}, "f:containerPort": {}});
        let web = json!({".": {}, "f:name": {}, "f:args": {}, "f:ports": {r#"k:{"containerPort":80,"protocol":"TCP"}"#: port}});
        let written = json!({"f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {r#"v:"x/y""#: {}}},
            "f:spec": {"f:nodeSelector": {}, "f:containers": {r#"k:{"name":"web"}"#: web}}});
        assert_eq!(fields.write(), written);
        assert_eq!(Fields::read(&written), fields);
        let paths: Vec<String> = fields.0.iter().map(|path| said(path)).collect();
        assert!(
            paths.contains(
                &r#".spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]"#.to_owned()
            )
        );
        assert!(paths.contains(&r#".metadata.finalizers[="x/y"]"#.to_owned()));
    }
}
