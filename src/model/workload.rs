//! How documents point at what runs: a workload, pods by their labels, nodes.
//!
//! Faults and recoveries share these words. A selection is by name order, so that the same world gives the same targets.
//! Left out: set-based selectors (`in`, `notin`); nothing here needs them yet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::effect::{Ref, Resource};
use super::name::{Name, Region};

/// A workload as `kubectl` names it: `deployment/checkout`, `statefulset/ledger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub kind: WorkloadKind,
    pub name: Name,
}

/// The kinds of workload that have replicas and a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
}

impl Workload {
    /// Its kind as an API server serves it.
    pub fn resource(&self) -> Resource {
        match self.kind {
            WorkloadKind::Deployment => Resource::deployments(),
            WorkloadKind::StatefulSet => Resource::stateful_sets(),
        }
    }

    /// The object itself.
    pub fn at(&self, region: &Region, namespace: &Name) -> Ref {
        Ref::new(region, self.resource(), Some(namespace.as_str()), self.name.as_str())
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("", text));
        let kind = match kind {
            "deployment" => WorkloadKind::Deployment,
            "statefulset" => WorkloadKind::StatefulSet,
            _ => {
                let shown: String = text.chars().take(40).collect();
                return Err(format!(
                    "`{shown}` is not a workload: write `deployment/NAME` or `statefulset/NAME`"
                ));
            }
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 253 || !name.chars().all(fits) {
            return Err("a workload's name has lower-case letters, digits, `-` and `.` only".to_owned());
        }
        Ok(Self { kind, name: name.into() })
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Workload {
    fn schema_name() -> Cow<'static, str> {
        "Workload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A workload: `deployment/NAME` or `statefulset/NAME`.",
            "pattern": "^(deployment|statefulset)/[a-z0-9.-]+$"
        })
    }
}

/// Labels that all must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// Whether an object carries all of them.
    pub fn match_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|(key, value)| labels[key] == **value)
    }
}

impl fmt::Display for Labels {
    /// As `kubectl -l` takes them: `app=checkout,tier=web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// Which nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Nodes {
    /// These.
    Named(Vec<Name>),
    /// All with these labels.
    Labelled(Labels),
}
