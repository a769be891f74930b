//! How documents point at what runs: a workload, pods by their labels, nodes.
//!
//! Faults and recoveries share these words. A selection is by name order, so that the same world gives the same targets.
//! Left out: set-based selectors (`in`, `notin`); nothing here needs them yet.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::effect::{Ref, Resource};
use super::facts::{Facts, Read};
use super::name::{Name, Region, Uid};
use super::scene::Refusal;

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

    /// The first pod of a StatefulSet, by its fixed name; a Deployment has none of that name.
    pub fn first_pod(&self, region: &Region, namespace: &Name) -> Ref {
        Ref::new(region, Resource::pods(), Some(namespace.as_str()), &format!("{}-0", self.name))
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

    /// What objects have instead, for whoever named labels that none of them has: `; there are app=checkout, app=ledger`.
    pub fn instead<'a>(&self, objects: impl Iterator<Item = &'a Value>) -> String {
        let all = objects.map(|object| &object["metadata"]["labels"]);
        let of = |labels: &Value| -> Vec<String> {
            let known = self.0.keys().filter_map(|key| Some(format!("{key}={}", labels[key].as_str()?)));
            known.collect()
        };
        there_are(all.flat_map(of).collect())
    }
}

/// As many are named as anybody reads.
const MOST_NAMED: usize = 8;

/// `; there are a, b and 12 others`.
fn there_are(all: BTreeSet<String>) -> String {
    let named: Vec<&str> = all.iter().take(MOST_NAMED).map(String::as_str).collect();
    match (all.len(), all.len().saturating_sub(MOST_NAMED)) {
        (0, _) => String::new(),
        (1, _) => format!("; there is {}", named.join(", ")),
        (_, 0) => format!("; there are {}", named.join(", ")),
        (_, others) => format!("; there are {} and {others} others", named.join(", ")),
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

impl Nodes {
    /// What `select` must see.
    pub fn reads(region: &Region) -> Read {
        Read::Objects { region: region.clone(), resource: Resource::nodes(), namespace: None }
    }

    /// The nodes of a region that are meant, in the order of their names.
    ///
    /// # Errors
    /// Where none is meant, or one that is named does not exist.
    pub fn select<'a>(
        &self,
        region: &Region,
        facts: &'a Facts,
    ) -> Result<Vec<(&'a Name, &'a Value)>, Refusal> {
        let nodes = facts.objects(region, &Resource::nodes(), None)?;
        let named = |name: &Name| nodes.get_key_value(&(None, name.clone()));
        let selected: Vec<_> = match self {
            Nodes::Named(names) => {
                if let Some(missing) = names.iter().find(|name| named(name).is_none()) {
                    let all = nodes.keys().map(|(_, name)| name.to_string()).collect();
                    let instead = there_are(all);
                    return Err(Refusal::NoTarget(format!("{region} has no node {missing}{instead}")));
                }
                let names: BTreeSet<&Name> = names.iter().collect();
                names.into_iter().filter_map(named).collect()
            }
            Nodes::Labelled(labels) => nodes.iter().filter(|(_, node)| labels.match_object(node)).collect(),
        };
        if selected.is_empty() {
            let instead = match self {
                Nodes::Named(_) => String::new(),
                Nodes::Labelled(labels) => labels.instead(nodes.values()),
            };
            return Err(Refusal::NoTarget(format!("{region} has no node {self}{instead}")));
        }
        Ok(selected.into_iter().map(|((_, name), node)| (name, node)).collect())
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nodes::Named(names) => {
                write!(f, "of these names: {}", names.iter().map(Name::as_str).collect::<Vec<_>>().join(", "))
            }
            Nodes::Labelled(labels) => write!(f, "with the labels {labels}"),
        }
    }
}

/// Whether nothing new is scheduled on a node.
pub fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// Whether a pod's `Ready` condition holds.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

/// What controls an object: the owner reference that says so.
pub fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

/// The uid that the API server gave an object; empty where it has none.
pub fn uid(object: &Value) -> Uid {
    object["metadata"]["uid"].as_str().unwrap_or_default().into()
}

/// Whether a controller has seen an object's latest change.
pub fn is_observed(object: &Value) -> bool {
    object["status"]["observedGeneration"].as_i64() >= object["metadata"]["generation"].as_i64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_is_read_as_kubectl_names_it() {
        let ledger: Workload = "statefulset/ledger".parse().unwrap();
        assert_eq!((ledger.kind, ledger.name.as_str()), (WorkloadKind::StatefulSet, "ledger"));
        assert_eq!(ledger.to_string(), "statefulset/ledger");
        for wrong in ["ledger", "daemonset/x", "deployment/", "deployment/../../secrets", "deployment/A"] {
            assert!(wrong.parse::<Workload>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_match_only_where_all_of_them_do() {
        let labels =
            Labels([("app".to_owned(), "a".to_owned()), ("tier".to_owned(), "web".to_owned())].into());
        let both = json!({"metadata": {"labels": {"app": "a", "tier": "web", "x": "y"}}});
        let one = json!({"metadata": {"labels": {"app": "a"}}});
        assert!(labels.match_object(&both) && !labels.match_object(&one));
        assert!(!labels.match_object(&json!({"metadata": {}})));
        assert_eq!(labels.to_string(), "app=a,tier=web");
    }

    #[test]
    fn a_change_that_no_controller_has_seen_is_not_observed() {
        let object = |seen: Value| json!({"metadata": {"generation": 2}, "status": seen});
        assert!(!is_observed(&object(json!({"observedGeneration": 1}))));
        assert!(!is_observed(&object(json!({}))));
        assert!(is_observed(&object(json!({"observedGeneration": 2}))));
    }
}
