//! What the lists and maps of an object are made of, as server-side apply must know: which are one value, which are sets, which
//! have elements with keys.
//!
//! The built-in types are told by the field's name, with the group and plural where one name means two things: it is the
//! `x-kubernetes-list-type` and `x-kubernetes-map-type` of their OpenAPI schema, for the fields that the sandbox's kinds have. A
//! custom resource's are those of its definition's schema. Rejected: the OpenAPI document itself (megabytes, for fifty lists). A
//! strategic merge has keys of its own (`strategic`), which differ in a few lists.

use serde_json::{Value, json};

use crate::model::effect::Resource;

/// How a list is merged and owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List<'a> {
    /// As one value.
    Atomic,
    /// Plain values, each once.
    Set,
    /// Elements that these fields name together.
    Keyed(Keys<'a>),
}

/// The names of the fields that are a list's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    Known(&'static [&'static str]),
    Declared(&'a Value),
}

impl<'a> Keys<'a> {
    /// The names, in order.
    pub fn names(self) -> Vec<&'a str> {
        match self {
            Self::Known(names) => names.to_vec(),
            Self::Declared(names) => {
                names.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
            }
        }
    }

    /// What a key is where an element is silent about it.
    pub fn default(self, name: &str) -> Option<Value> {
        (matches!(self, Self::Known(_)) && name == "protocol").then(|| json!("TCP"))
    }
}

/// A place in the type of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'a> {
    /// A field of a built-in type; the object itself has no field's name.
    BuiltIn { resource: &'a Resource, field: &'a str },
    /// A node of a definition's schema; none where nothing is declared.
    Declared { resource: &'a Resource, schema: Option<&'a Value>, root: bool },
}

const KEYED: &[(&str, &[&str])] = &[
    ("addresses", &["type"]),
    ("claims", &["name"]),
    ("conditions", &["type"]),
    ("containerStatuses", &["name"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

const SETS: &[&str] = &["finalizers", "podCIDRs"];

/// Objects that are one value: selectors and references.
const ATOMIC: &[&str] = &[
    "configMapKeyRef",
    "fieldRef",
    "involvedObject",
    "labelSelector",
    "namespaceSelector",
    "nodeSelector",
    "podSelector",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "resourceFieldRef",
    "roleRef",
    "scopeSelector",
    "secretKeyRef",
    "selector",
    "targetRef",
];

impl<'a> Shape<'a> {
    /// The shape of a field of an object of this shape.
    pub fn field(self, name: &'a str) -> Self {
        match self {
            Self::BuiltIn { resource, .. } => Self::BuiltIn { resource, field: name },
            Self::Declared { resource, root: true, .. } if name == "metadata" => {
                Self::BuiltIn { resource, field: name }
            }
            Self::Declared { resource, schema, .. } => {
                let known = schema.and_then(|schema| schema["properties"].get(name));
                let other = || schema.and_then(|schema| schema.get("additionalProperties"));
                Self::Declared { resource, schema: known.or_else(other), root: false }
            }
        }
    }

    /// The shape of an element of a list of this shape.
    pub fn element(self) -> Self {
        match self {
            // An element's fields are told by their names alone.
            Self::BuiltIn { resource, .. } => Self::BuiltIn { resource, field: "" },
            Self::Declared { resource, schema, .. } => {
                let schema = schema.and_then(|schema| schema.get("items"));
                Self::Declared { resource, schema, root: false }
            }
        }
    }

    /// How a list of this shape is merged.
    pub fn list(self) -> List<'a> {
        match self {
            Self::BuiltIn { field, .. } if SETS.contains(&field) => List::Set,
            Self::BuiltIn { resource, field: "ports" } => {
                match (resource.group.as_str(), resource.plural.as_str()) {
                    ("", "services") => List::Keyed(Keys::Known(&["port", "protocol"])),
                    ("", "pods") | ("apps" | "batch", _) => {
                        List::Keyed(Keys::Known(&["containerPort", "protocol"]))
                    }
                    _ => List::Atomic,
                }
            }
            Self::BuiltIn { field, .. } => {
                let known = KEYED.iter().find(|(known, _)| *known == field);
                known.map_or(List::Atomic, |(_, keys)| List::Keyed(Keys::Known(keys)))
            }
            Self::Declared { schema, .. } => {
                let schema = schema.unwrap_or(&Value::Null);
                match schema["x-kubernetes-list-type"].as_str() {
                    Some("set") => List::Set,
                    Some("map") => List::Keyed(Keys::Declared(&schema["x-kubernetes-list-map-keys"])),
                    _ => List::Atomic,
                }
            }
        }
    }

    /// Whether an object of this shape is one value.
    pub fn is_one_value(self) -> bool {
        match self {
            Self::BuiltIn { field, .. } => ATOMIC.contains(&field),
            Self::Declared { schema, .. } => {
                schema.is_some_and(|schema| schema["x-kubernetes-map-type"] == "atomic")
            }
        }
    }
}
