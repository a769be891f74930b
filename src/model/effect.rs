//! What a step does to the world, and what takes it back.
//!
//! A closed set of acts, so that undo can be derived by the engine instead of written by a fault's author (I3). The undo is
//! data, journalled before the act; the inverse is computed when undoing, from the object as it is then (room `undo`).
//! Rejected: inverse patches stored in advance. They would erase what others did meanwhile.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::name::{Name, Region, Role, RunId, Sha256, Uid};
use super::time::Duration;

/// The label that everything made by a run carries; its value is the run's id.
pub const RUN_LABEL: &str = "drillmaster.dev/run";

/// A kind of object as an API server serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
}

impl Resource {
    /// A resource by its four words.
    pub fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self { group: group.into(), version: version.into(), plural: plural.into(), kind: kind.into() }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The collection's path on an API server, in a namespace or across all.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api/".to_owned() } else { format!("/apis/{}/", self.group) };
        let within = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        format!("{root}{}{within}/{}", self.version, self.plural)
    }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $group:literal, $version:literal, $plural:literal, $kind:literal;)+) => {
        impl Resource {$(
            $(#[$doc])*
            pub fn $name() -> Resource {
                Resource::new($group, $version, $plural, $kind)
            }
        )+}
    };
}

resources! {
    /// Pods.
    pods = "", "v1", "pods", "Pod";
    /// Nodes.
    nodes = "", "v1", "nodes", "Node";
    /// Services.
    services = "", "v1", "services", "Service";
    /// ConfigMaps.
    config_maps = "", "v1", "configmaps", "ConfigMap";
    /// Namespaces.
    namespaces = "", "v1", "namespaces", "Namespace";
    /// Persistent volume claims.
    claims = "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim";
    /// Deployments.
    deployments = "apps", "v1", "deployments", "Deployment";
    /// ReplicaSets.
    replica_sets = "apps", "v1", "replicasets", "ReplicaSet";
    /// StatefulSets.
    stateful_sets = "apps", "v1", "statefulsets", "StatefulSet";
    /// EndpointSlices.
    endpoint_slices = "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice";
    /// NetworkPolicies.
    network_policies = "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy";
    /// PodDisruptionBudgets.
    disruption_budgets = "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget";
    /// Leases.
    leases = "coordination.k8s.io", "v1", "leases", "Lease";
    /// ExternalDNS's endpoints: what the global DNS answers.
    dns_endpoints = "externaldns.k8s.io", "v1alpha1", "dnsendpoints", "DNSEndpoint";
}

/// One object of one region, or a subresource of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ref {
    pub region: Region,
    pub resource: Resource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    pub name: Name,
    /// `status`, `scale`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<Name>,
}

impl Ref {
    /// An object in a namespace.
    pub fn new(region: &Region, resource: Resource, namespace: Option<&str>, name: &str) -> Self {
        Self {
            region: region.clone(),
            resource,
            namespace: namespace.map(Name::from),
            name: name.into(),
            sub: None,
        }
    }

    /// The object's path on its API server.
    pub fn path(&self) -> String {
        let collection = self.resource.path(self.namespace.as_ref().map(Name::as_str));
        let sub = self.sub.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
        format!("{collection}/{}{sub}", self.name)
    }
}

impl fmt::Display for Ref {
    /// `east: deployments/checkout in shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}/{}", self.region, self.resource.plural, self.name)?;
        if let Some(sub) = &self.sub {
            write!(f, "/{sub}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        Ok(())
    }
}

/// An effect's number within its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(pub u32);

/// One change to the world, small enough to be done or not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    pub id: EffectId,
    pub act: Act,
    pub of: Of,
}

/// Whose effect it is: that decides who may undo it, and when (I4, I5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Of {
    /// A fault's: removed first, whatever happens.
    Fault,
    /// A recovery's: reversed only before the point of no return.
    #[serde(rename_all = "camelCase")]
    Recovery {
        /// The first such effect that takes is the point of no return.
        moves_authority: bool,
    },
    /// A fence: keeps a side from taking writes; lifted by its promotion, or undone before the point of no return.
    Fence,
    /// What the run measures with: there from before the calibration until the last sample, whatever is healed meanwhile.
    Instrument,
}

impl Of {
    /// What makes another side primary.
    pub const MOVES: Of = Of::Recovery { moves_authority: true };
}

/// The closed set of things that a drill does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Make an object; the engine adds the run's label.
    Create { at: Ref, object: Value },
    /// Change fields by a JSON merge patch; also scale, cordon, taint, DNSEndpoint.
    Patch { at: Ref, merge: Value },
    /// Delete one object, and no other of its name.
    Delete {
        at: Ref,
        uid: Uid,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Duration>,
    },
    /// Evict a pod, as a drain does: its disruption budgets are asked.
    Evict {
        at: Ref,
        uid: Uid,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Duration>,
    },
    /// Run a command in a container.
    Exec(Exec),
    /// Send an HTTP request from a vantage.
    Http { from: Name, request: Request, reverse: Option<Request> },
    /// Run a command where the orchestrator runs; only one that the environment allows by name.
    Command { name: Name, argv: Vec<String>, success: Success, reverse: Option<Vec<String>> },
    /// Ask a person to do it.
    Ask { role: Role, text: String },
}

impl Act {
    /// The object that this touches, where it touches one.
    pub fn at(&self) -> Option<&Ref> {
        match self {
            Act::Create { at, .. }
            | Act::Patch { at, .. }
            | Act::Delete { at, .. }
            | Act::Evict { at, .. } => Some(at),
            Act::Exec(exec) => Some(&exec.at),
            Act::Http { .. } | Act::Command { .. } | Act::Ask { .. } => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Create { at, .. } => write!(f, "create {at}"),
            Act::Patch { at, .. } => write!(f, "patch {at}"),
            Act::Delete { at, .. } => write!(f, "delete {at}"),
            Act::Evict { at, .. } => write!(f, "evict {at}"),
            Act::Exec(exec) => write!(f, "exec `{}` in {}", exec.argv.join(" "), exec.at),
            Act::Http { from, request, .. } => write!(f, "{} {} from {from}", request.method, request.url),
            Act::Command { name, .. } => write!(f, "run the command {name}"),
            Act::Ask { role, text } => write!(f, "ask {role}: {text}"),
        }
    }
}

/// A command in a container, with how to tell whether it is done and how to reverse it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The pod.
    pub at: Ref,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Name>,
    pub argv: Vec<String>,
    /// Shows the state: found out so when an answer was lost.
    pub status: Status,
    /// Takes it back; `None` is irreversible, or what takes it back depends on what it found (a fence).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse: Option<Vec<String>>,
}

/// A command that prints a JSON object, and the fields which that object holds once the act is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub argv: Vec<String>,
    pub done: BTreeMap<String, Value>,
}

impl Status {
    /// Whether what the command printed shows the act as done.
    pub fn shown_by(&self, printed: &Value) -> bool {
        self.done.iter().all(|(field, value)| printed.get(field) == Some(value))
    }
}

/// An HTTP request as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// How a command says that it worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Success {
    /// Exit status 0.
    ExitZero,
    /// Exit status 0 and this text in what it prints.
    Prints(String),
}

/// What takes an effect back: facts, from which the inverse is computed when undoing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Undo {
    /// Nothing to do: it heals itself, or it changed nothing.
    Nothing { because: String },
    /// Put the touched fields back where they still are as we left them.
    Restore { at: Ref, uid: Uid, touched: Vec<Touch> },
    /// Remove what the run made: the object with this uid, whatever became of its labels, or what carries the run's label where nobody saw
    /// the answer with the uid.
    Remove {
        at: Ref,
        run: RunId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<Uid>,
    },
    /// Make the object again.
    PutBack { at: Ref, object: Held },
    /// Run the reverse command, unless the state is already as it was.
    Reverse {
        exec: Box<Exec>,
        /// The fields of the exec's status as they were before.
        before: BTreeMap<String, Value>,
    },
    /// Send the reverse request, run the reverse command, ask a person.
    Act(Box<Act>),
    /// Nothing takes it back; a scenario must allow it by name.
    Irreversible,
}

/// A field that an effect touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Touch {
    /// Its value before and after; `None` is absent, which is not null. `after` is what the server stored.
    Field { path: Vec<String>, before: Option<Held>, after: Option<Held> },
    /// An object made on the way to a field; removed again if it is empty.
    Created { path: Vec<String> },
}

/// A value kept for undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Held {
    /// In plain sight.
    Plain(Value),
    /// May be secret: a keyed digest here, the value in a file of mode 0600 outside the bundle.
    Sealed { hmac: Sha256 },
}
