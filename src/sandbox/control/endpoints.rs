//! Endpoint slices: which pods stand behind a service, and whether they are ready, still serving, or on their way out.
//!
//! A pod that is being deleted is not ready from that very change on, though it may still serve. One slice per service holds up to
//! a thousand endpoints, the most that the API allows. Left out: dual stack, topology hints, the old `Endpoints` objects.

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::placement::ZONE;
use super::{Controller, Processes, Reconciled, at, every, itself, one, read, template};
use crate::model::effect::Resource;
use crate::model::time::At;

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const MOST: usize = 1_000;

/// The endpoint slice controller.
pub struct Endpoints;

impl Controller for Endpoints {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let service = Resource::services();
        if change.key.is(&Resource::pods()) {
            let namespace = change.key.namespace.as_deref();
            if change.before.as_ref().is_some_and(|before| seen(before) == seen(&change.object))
                && change.kind == super::super::store::ChangeKind::Modified
            {
                return vec![];
            }
            let states = [Some(&change.object), change.before.as_ref()];
            let chosen = |service: &&Value| states.iter().flatten().any(|pod| chooses(service, pod));
            return every(store, &service, namespace)
                .filter(chosen)
                .map(|found| Key::of(&service, found))
                .collect();
        }
        if change.key.is(&Resource::endpoint_slices()) {
            let name = read::label(&change.object, SERVICE);
            return vec![Key::new(&service, change.key.namespace.as_deref(), name)];
        }
        itself(change, &service)
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(service) = at(store, key).filter(|service| selector(service).is_some()) else {
            return Reconciled::nothing();
        };
        let pods: Vec<&Value> = every(store, &Resource::pods(), key.namespace.as_deref())
            .filter(|pod| chooses(service, pod))
            .filter(|pod| !read::ended(pod) && !read::text(pod, "/status/podIP").is_empty())
            .take(MOST)
            .collect();
        let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(store, service, pod)).collect();
        // The ports are those of the pods: where there is none, there are none.
        let first = pods.first().copied();
        let ports: Vec<Value> = read::list(service, "/spec/ports")
            .iter()
            .filter_map(|port| first.and_then(|pod| resolved(port, pod)))
            .collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-{}", read::name(service), read::digest(read::uid(service), 5)),
                "namespace": read::namespace(service),
                "labels": labels(service),
                "ownerReferences": template::owned_by(&Resource::services(), service),
            },
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        written(store, slice).into_iter().collect::<Vec<_>>().into()
    }
}

/// The write of a slice, unless it is so already.
fn written(store: &Store, slice: Value) -> Option<Write> {
    let resource = Resource::endpoint_slices();
    let key = Key::of(&resource, &slice);
    let Some(before) = at(store, &key) else {
        return Some(Write::Create { resource, object: slice });
    };
    let mut object = before.clone();
    object["endpoints"] = slice["endpoints"].clone();
    object["ports"] = slice["ports"].clone();
    object["metadata"]["labels"] = slice["metadata"]["labels"].clone();
    (object != *before).then_some(Write::Update { key, object })
}

/// The labels of a service's slice: the service's own, whose it is, who keeps it, and whether the service has no address.
fn labels(service: &Value) -> Value {
    let mut labels = read::labels(service).clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[SERVICE] = json!(read::name(service));
    labels["endpointslice.kubernetes.io/managed-by"] = json!(MANAGER);
    if read::text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    labels
}

fn selector(service: &Value) -> Option<&Value> {
    service
        .pointer("/spec/selector")
        .filter(|selector| selector.as_object().is_some_and(|map| !map.is_empty()))
}

fn chooses(service: &Value, pod: &Value) -> bool {
    selector(service).is_some_and(|selector| read::contains(read::labels(pod), selector))
}

/// What of a pod an endpoint shows.
fn seen(pod: &Value) -> (&Value, &str, &str, bool, bool, bool) {
    let address = read::text(pod, "/status/podIP");
    let node = read::text(pod, "/spec/nodeName");
    (read::labels(pod), address, node, read::holds(pod, "Ready"), read::terminating(pod), read::ended(pod))
}

fn endpoint(store: &Store, service: &Value, pod: &Value) -> Value {
    let always = read::flag(service, "/spec/publishNotReadyAddresses");
    let (serving, terminating) = (read::holds(pod, "Ready"), read::terminating(pod));
    let node = read::text(pod, "/spec/nodeName");
    let zone =
        one(store, &Resource::nodes(), None, node).map(|node| read::label(node, ZONE)).unwrap_or_default();
    let mut endpoint = json!({
        "addresses": [read::text(pod, "/status/podIP")],
        "conditions": {"ready": always || (serving && !terminating), "serving": serving, "terminating": terminating},
        "nodeName": node,
        "targetRef": {"kind": "Pod", "namespace": read::namespace(pod), "name": read::name(pod), "uid": read::uid(pod)},
    });
    if !zone.is_empty() {
        endpoint["zone"] = json!(zone);
    }
    let host = read::text(pod, "/spec/hostname");
    if !host.is_empty() && read::text(pod, "/spec/subdomain") == read::name(service) {
        endpoint["hostname"] = json!(host);
    }
    endpoint
}

/// A service's port as the number that its pods listen on; a name is looked up in a pod.
fn resolved(port: &Value, pod: &Value) -> Option<Value> {
    let target = match port.get("targetPort") {
        Some(Value::Number(number)) => number.as_i64()?,
        Some(Value::String(name)) => {
            let containers = read::list(pod, "/spec/containers").iter();
            let mut ports = containers.flat_map(|container| read::list(container, "/ports"));
            read::number(ports.find(|port| read::name_field(port) == name)?, "/containerPort")?
        }
        _ => read::number(port, "/port")?,
    };
    let protocol = port.get("protocol").cloned().unwrap_or_else(|| json!("TCP"));
    Some(json!({"name": read::name_field(port), "port": target, "protocol": protocol}))
}
