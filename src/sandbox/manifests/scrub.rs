//! An object without what a server and its controllers added: identity, times, status, addresses of another network.
//!
//! The status stays where nobody here would make it anew: of finished Jobs and pods, of custom resources, of kinds that are only stored.

use serde_json::{Map, Value, json};

use super::Given;
use super::fate::is_over;
use crate::model::effect::Resource;
use crate::sandbox::api::Kind;
use crate::sandbox::spec::Network;
use crate::sandbox::store::{Key, Store};

/// Fields of `metadata` that an API server alone writes.
const OF_SERVERS: [&str; 9] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "ownerReferences",
    "selfLink",
];

/// Kinds that are stored and served, while nothing here acts on them, and what that means.
const INERT: [(&str, &str); 15] = [
    ("APIService", "stored, and no other API server stands behind it"),
    ("CronJob", "stored, and nothing runs it"),
    ("Endpoints", "stored, and no slice is made of it"),
    ("HorizontalPodAutoscaler", "stored, and nothing scales"),
    ("LimitRange", "stored, and nothing is limited"),
    ("MutatingWebhookConfiguration", "stored, and no webhook is called"),
    ("PriorityClass", "stored, and no pod makes way for another"),
    ("ReplicationController", "stored, and nothing runs it"),
    ("ResourceQuota", "stored, and nothing is limited"),
    ("RuntimeClass", "stored, and every pod runs alike"),
    ("Role", "stored, and everybody may do everything"),
    ("RoleBinding", "stored, and everybody may do everything"),
    ("ClusterRole", "stored, and everybody may do everything"),
    ("ClusterRoleBinding", "stored, and everybody may do everything"),
    ("ValidatingWebhookConfiguration", "stored, and no webhook is called"),
];

/// What an object asks for in a field, of a kind whose other fields are simulated.
struct Beyond {
    kind: &'static str,
    field: &'static str,
    /// The value that asks for more than usual; any where there is none.
    value: Option<&'static str>,
    why: &'static str,
}

impl Beyond {
    fn is_asked_by(&self, object: &Value) -> bool {
        let given = object.pointer(self.field).filter(|given| !given.is_null());
        object["kind"] == self.kind
            && given.is_some_and(|given| self.value.is_none_or(|value| *given == *value))
    }
}

const fn beyond(
    kind: &'static str,
    field: &'static str,
    value: Option<&'static str>,
    why: &'static str,
) -> Beyond {
    Beyond { kind, field, value, why }
}

const JOBS: &str =
    "a Job's success and failure policies, limits for each index, and other managers change nothing";
const FROM_OUTSIDE: &str = "nothing answers on a port of a node, nor at external addresses";

const NO_TLS: &str = "nothing answers on port 443, and nobody is sent there: an Ingress routes on port 80";

const APART: &str = "routed by a controller that stands apart from all pods: it is never down, and no policy's selector means it; one in the manifests only answers, and routes nothing";
const ANY_VOLUME: &str = "every storage class is there, and has a volume of any size";

const BEYOND: [Beyond; 12] = [
    beyond("Ingress", "/spec", None, APART),
    beyond("PersistentVolumeClaim", "/spec", None, ANY_VOLUME),
    beyond("Ingress", "/spec/tls", None, NO_TLS),
    beyond("Job", "/spec/successPolicy", None, JOBS),
    beyond("Job", "/spec/podFailurePolicy", None, JOBS),
    beyond("Job", "/spec/backoffLimitPerIndex", None, JOBS),
    beyond("Job", "/spec/managedBy", None, JOBS),
    beyond("Job", "/spec/podReplacementPolicy", Some("Failed"), JOBS),
    beyond("Service", "/spec/type", Some("NodePort"), FROM_OUTSIDE),
    beyond("Service", "/spec/externalIPs", None, FROM_OUTSIDE),
    beyond("Service", "/spec/sessionAffinity", Some("ClientIP"), "each connection goes to any pod"),
    beyond("Service", "/spec/externalTrafficPolicy", Some("Local"), "each connection goes to any pod"),
];

const NO_OPERATOR: &str = "stored, and no operator acts on them";
const OTHER_ADDRESSES: &str = "its addresses are not of this region, so it gets others";

/// An object as it is loaded.
pub struct Scrubbed {
    pub object: Value,
    /// What it keeps of its status.
    pub status: Option<Value>,
    /// Whose it was.
    pub owners: Vec<Value>,
    /// What of it is not simulated.
    pub not_simulated: Vec<&'static str>,
}

/// Scrubs an object for a region with these addresses and these nodes.
pub fn scrub(given: &Given, kind: &Kind, store: &Store, range: Network) -> Scrubbed {
    let mut object = given.object.clone();
    let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let status = object.as_object_mut().and_then(|fields| fields.remove("status"));
    let status = status.filter(|status| status.as_object().is_some_and(|fields| !fields.is_empty()));
    scrub_metadata(&mut object["metadata"], kind.namespaced);
    let mut not_simulated = limits(&object);
    not_simulated.extend(BEYOND.iter().filter(|one| one.is_asked_by(&object)).map(|one| one.why));
    let inert = INERT.iter().find(|(name, _)| kind.is_built_in() && *name == kind.resource.kind);
    not_simulated.extend(inert.map(|(_, why)| *why));
    if !kind.is_built_in() {
        not_simulated.push(NO_OPERATOR);
    }
    let over = is_over(&given.object);
    let mut kept = status.clone().filter(|_| over || inert.is_some() || !kind.is_built_in());
    match kind.resource.kind.as_str() {
        "Node" if kind.is_built_in() => node(&mut object, status.as_ref()),
        "Pod" if kind.is_built_in() => {
            pod(&mut object, store, given.is_dumped());
            for field in ["hostIP", "hostIPs", "podIP", "podIPs"] {
                kept.as_mut().and_then(Value::as_object_mut).map(|status| status.remove(field));
            }
        }
        "Service" if kind.is_built_in() && service(&mut object, range, given.is_dumped()) => {
            not_simulated.push(OTHER_ADDRESSES);
        }
        "PersistentVolumeClaim" => claim(&mut object),
        "Job" if kind.is_built_in() => job(&mut object),
        _ => {}
    }
    Scrubbed { object, status: kept, owners, not_simulated }
}

fn without(fields: Option<&mut Value>, names: &[&str]) {
    if let Some(fields) = fields.and_then(Value::as_object_mut) {
        fields.retain(|field, _| !names.contains(&field.as_str()));
    }
}

fn scrub_metadata(metadata: &mut Value, namespaced: bool) {
    without(Some(metadata), &OF_SERVERS);
    let Some(fields) = metadata.as_object_mut() else { return };
    if namespaced {
        fields.entry("namespace").or_insert_with(|| "default".into());
    } else {
        fields.remove("namespace");
    }
    // Kubernetes' own controllers remove theirs, and those here set theirs again.
    let theirs = |finalizer: &Value| {
        let domain = finalizer.as_str().and_then(|text| text.split_once('/')).map(|(domain, _)| domain);
        domain.is_some_and(|domain| !domain.ends_with("kubernetes.io"))
    };
    if let Some(finalizers) = fields.get_mut("finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(theirs);
    }
}

/// A machine keeps its labels, its taints and its room.
fn node(object: &mut Value, status: Option<&Value>) {
    without(object.get_mut("spec"), &["podCIDR", "podCIDRs"]);
    let lasting = |taint: &Value| {
        let key = taint["key"].as_str().unwrap_or_default();
        !key.starts_with("node.kubernetes.io/") && !key.starts_with("node.cloudprovider.kubernetes.io/")
    };
    if let Some(taints) = object.pointer_mut("/spec/taints").and_then(Value::as_array_mut) {
        taints.retain(lasting);
    }
    let room: Map<String, Value> = ["allocatable", "capacity", "nodeInfo"]
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), status?.get(field)?.clone())))
        .collect();
    if !room.is_empty() {
        object["status"] = json!(room);
    }
}

/// A pod stays on its node where the region has that node; its class says its priority again.
fn pod(object: &mut Value, store: &Store, dumped: bool) {
    if dumped {
        without(object.get_mut("spec"), &["priority", "preemptionPolicy"]);
    }
    let known = object["spec"]["nodeName"]
        .as_str()
        .is_some_and(|node| store.get(&Key::new(&Resource::nodes(), None, node)).is_some());
    if !known {
        without(object.get_mut("spec"), &["nodeName"]);
    }
}

/// A service keeps its addresses where they are the region's; whether it lost one that somebody chose.
fn service(object: &mut Value, range: Network, dumped: bool) -> bool {
    let foreign = |address: &Value| {
        let address = address.as_str().and_then(|text| text.parse().ok());
        address.is_some_and(|address| !range.holds(address))
    };
    let spec = &object["spec"];
    let (cluster, balancer) = (foreign(&spec["clusterIP"]), foreign(&spec["loadBalancerIP"]));
    if cluster {
        without(object.get_mut("spec"), &["clusterIP", "clusterIPs"]);
    }
    if balancer {
        without(object.get_mut("spec"), &["loadBalancerIP"]);
    }
    balancer || (cluster && !dumped)
}

/// A claim gets a volume of this region.
fn claim(object: &mut Value) {
    without(object.get_mut("spec"), &["volumeName"]);
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| {
            !key.starts_with("pv.kubernetes.io/") && !key.starts_with("volume.kubernetes.io/")
        });
    }
}

/// A Job forgets the uid by which it knew its pods, unless somebody chose the selector.
fn job(object: &mut Value) {
    const OF_UID: [&str; 4] =
        ["controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"];
    if object["spec"]["manualSelector"] != true {
        without(object.get_mut("spec"), &["selector"]);
        without(object.pointer_mut("/spec/template/metadata/labels"), &OF_UID);
        without(object.pointer_mut("/metadata/labels"), &OF_UID);
    }
}

/// What of the pods of an object a stand-in does not do.
fn limits(object: &Value) -> Vec<&'static str> {
    let spec = match object["kind"].as_str() {
        Some("Pod") => object.get("spec"),
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "Job") => object.pointer("/spec/template/spec"),
        _ => None,
    };
    let list = |name: &str| spec.and_then(|spec| spec[name].as_array()).into_iter().flatten();
    let any = |holds: &dyn Fn(&Value) -> bool| list("containers").any(holds);
    let probes = ["readinessProbe", "livenessProbe", "startupProbe"];
    let mut found = vec![];
    if object["kind"] == "Ingress" && is_configured(object) {
        found.push("annotations that configure an Ingress controller change nothing");
    }
    if any(&|container| probes.iter().any(|probe| container[probe].get("exec").is_some())) {
        found.push("an exec probe runs no command: it succeeds while its container runs");
    }
    if any(&|container| container.get("lifecycle").is_some()) {
        found.push("lifecycle hooks do nothing");
    }
    if any(&|container| {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| port["protocol"].as_str()).any(|protocol| protocol != "TCP")
    }) {
        found.push("nothing answers on a port that is not TCP");
    }
    let asks = |field: &str| spec.and_then(|spec| spec.get(field)).is_some_and(|asked| !asked.is_null());
    if asks("runtimeClassName") || asks("resourceClaims") {
        found.push("every pod runs alike, whatever runtime class or device it asks for");
    }
    if list("initContainers").next().is_some() {
        found.push("an init container does nothing but start and end; a sidecar only exists");
    }
    if object["kind"] == "CustomResourceDefinition" && has_rules(object) {
        found.push("the rules of a schema in CEL are not looked at");
    }
    found
}

/// Whether annotations of an Ingress speak to its controller: `nginx.ingress.kubernetes.io/rewrite-target`, and Traefik's, an AWS load balancer's.
fn is_configured(ingress: &Value) -> bool {
    let annotations = ingress.pointer("/metadata/annotations").and_then(Value::as_object);
    let domains = annotations.into_iter().flatten().filter_map(|(key, _)| key.split_once('/'));
    domains.map(|(domain, _)| domain).any(|domain| domain.ends_with("ingress.kubernetes.io"))
}

/// Whether a schema has rules in CEL, wherever in it.
fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.iter().any(|(name, inner)| name == "x-kubernetes-validations" || has_rules(inner))
        }
        Value::Array(items) => items.iter().any(has_rules),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
