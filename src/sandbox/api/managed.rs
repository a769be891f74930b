//! Who owns which fields of an object: `metadata.managedFields`, after every write.
//!
//! ```text
//! update: owner + what it changed or added − what it removed;  everybody else − what it changed or removed
//! apply:  owner = exactly what it names;                       everybody else − what was forced from them
//! ```
//! As in Kubernetes' structured merge: an update never conflicts, it takes. An object of a manifest or a controller has no owners
//! here; the first apply finds all its fields with `before-first-apply`, as it does on a cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fields::{Fields, Held, Path, held};
use super::path::Call;

/// What one manager does by one operation on one subresource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    /// `Apply` or `Update`.
    pub operation: String,
    pub name: String,
    pub api_version: String,
    pub subresource: String,
}

impl Manager {
    /// Who makes a call.
    pub fn of(call: &Call, operation: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            name: call.manager.clone(),
            api_version: call.served.resource.api_version(),
            subresource: call.sub.clone().unwrap_or_default(),
        }
    }

    /// As a conflict names it.
    pub fn said(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

/// The owners of an object's fields, each with the time of its last change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Owners(BTreeMap<Manager, (Fields, Value)>);

impl Owners {
    /// Reads an object's `managedFields`.
    pub fn read(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let owner = |entry: &Value| {
            let manager = Manager {
                operation: text(&entry["operation"]),
                name: text(&entry["manager"]),
                api_version: text(&entry["apiVersion"]),
                subresource: text(&entry["subresource"]),
            };
            (manager, (Fields::read(&entry["fieldsV1"]), entry["time"].clone()))
        };
        Self(entries.filter(|entry| entry["operation"].is_string()).map(owner).collect())
    }

    /// The owners before the first apply: whoever wrote without leaving a name.
    pub fn before_first_apply(call: &Call, object: &Held, time: &Value) -> Self {
        let manager = Manager {
            name: "before-first-apply".into(),
            subresource: String::new(),
            ..Manager::of(call, "Update")
        };
        Self([(manager, (Fields::of(object), time.clone()))].into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a manager owns.
    pub fn of(&self, manager: &Manager) -> Fields {
        self.0.get(manager).map(|(fields, _)| fields.clone()).unwrap_or_default()
    }

    /// Whether anybody owns a path or what is below it.
    pub fn reach(&self, path: &[String]) -> bool {
        self.0.values().any(|(fields, _)| fields.reach(path))
    }

    /// Which of these fields others own: each owner with the field.
    pub fn conflicts(&self, manager: &Manager, changed: &BTreeSet<Path>) -> Vec<(&Manager, Path)> {
        let others = self.0.iter().filter(|(other, _)| *other != manager);
        others
            .flat_map(|(other, (fields, _))| {
                fields.0.intersection(changed).map(move |path| (other, path.clone()))
            })
            .collect()
    }

    /// Gives a manager these fields and takes others from everybody else.
    pub fn give(&mut self, manager: &Manager, fields: Fields, taken: &BTreeSet<Path>, time: &Value) {
        for (_, (owned, _)) in self.0.iter_mut().filter(|(other, _)| *other != manager) {
            *owned = owned.without(taken);
        }
        let kept = self.0.get(manager).filter(|(owned, _)| *owned == fields).map(|(_, time)| time);
        let time = kept.unwrap_or(time).clone();
        self.0.insert(manager.clone(), (fields, time));
        self.0.retain(|_, (owned, _)| !owned.0.is_empty());
    }

    /// `managedFields`; `null` where nobody owns anything.
    pub fn write(&self) -> Value {
        let mut entries: Vec<Value> =
            self.0.iter().map(|(manager, (fields, time))| entry(manager, fields, time)).collect();
        entries.sort_by_key(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            (text("operation"), text("time"), text("manager"))
        });
        if entries.is_empty() { Value::Null } else { entries.into() }
    }
}

fn entry(manager: &Manager, fields: &Fields, time: &Value) -> Value {
    let mut entry = json!({"manager": manager.name, "operation": manager.operation,
        "apiVersion": manager.api_version, "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields.write()});
    if !manager.subresource.is_empty() {
        entry["subresource"] = manager.subresource.as_str().into();
    }
    entry
}

/// The fields that differ between two states, and those that are gone.
pub(super) fn compared(before: &Held, after: &Held) -> (BTreeSet<Path>, BTreeSet<Path>) {
    let changed = after.iter().filter(|(path, value)| before.get(*path) != Some(*value));
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    (changed.map(|(path, _)| path.clone()).collect(), removed.cloned().collect())
}

/// Whether a call can own a field: a status is owned through its subresource, and nothing else is.
pub(super) fn ownable(call: &Call, path: &[String]) -> bool {
    let status = path.first().is_some_and(|top| top == "f:status");
    match call.sub.as_deref() {
        Some("status") => status,
        _ => !(status && call.served.status),
    }
}

/// The owners after an update made one state of another.
pub(super) fn updated(call: &Call, before: &Value, after: &Value, time: &Value) -> Value {
    let shape = call.served.shape();
    let (changed, removed) = compared(&held(shape, before), &held(shape, after));
    let mut owners = Owners::read(after);
    let manager = Manager::of(call, "Update");
    let mut fields = owners.of(&manager).without(&removed);
    fields.0.extend(changed.iter().filter(|path| ownable(call, path)).cloned());
    owners.give(&manager, fields, &changed.union(&removed).cloned().collect(), time);
    owners.write()
}
