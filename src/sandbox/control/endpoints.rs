//! Endpoint slices: which pods stand behind a service, and whether they are ready, still serving, or on their way out.
//!
//! A pod that is being deleted is not ready from that very change on, though it may still serve. A slice holds up to a hundred endpoints, as
//! Kubernetes' own do; an endpoint stays in its slice, new ones go where a slice changes anyway, and then where they fill one up best, so that few
//! slices change. Left out: dual stack, topology hints, slices by ports where a service's pods differ in them, the old `Endpoints` objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Mark, Store, Write};
use super::placement::ZONE;
use super::{Controller, Processes, Reconciled, asking, at, itself, labelled, marked, one, read, template};
use crate::model::effect::Resource;
use crate::model::time::At;

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// `--max-endpoints-per-slice` of a controller manager.
const MOST: usize = 100;

/// The endpoint slice controller.
pub struct Endpoints;

impl Controller for Endpoints {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let service = Resource::services();
        if change.key.is(&Resource::pods()) {
            let namespace = change.key.namespace();
            if change.before.as_ref().is_some_and(|before| seen(before) == seen(&change.object))
                && change.kind == ChangeKind::Modified
            {
                return vec![];
            }
            let states = [Some(&change.object), change.before.as_ref()];
            let choosing = states.into_iter().flatten().flat_map(|pod| {
                asking(store, &service, namespace, read::labels(pod)).filter(move |found| chooses(found, pod))
            });
            let keys: BTreeSet<Key> = choosing.map(|found| Key::of(&service, found)).collect();
            return keys.into_iter().collect();
        }
        if change.key.is(&Resource::endpoint_slices()) {
            let name = read::label(&change.object, SERVICE);
            return vec![Key::new(&service, change.key.namespace(), name)];
        }
        itself(change, &service)
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(service) = at(store, key) else { return Reconciled::nothing() };
        let Some(wanted) = selector(service) else { return Reconciled::nothing() };
        let pods: Vec<&Value> = labelled(store, key.namespace(), wanted)
            .filter(|pod| chooses(service, pod))
            .filter(|pod| !read::ended(pod) && !read::text(pod, "/status/podIP").is_empty())
            .collect();
        let mut endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(store, service, pod)).collect();
        // The ports are those of the pods: where there is none, there are none.
        let first = pods.first().copied();
        let ports: Vec<Value> = read::list(service, "/spec/ports")
            .iter()
            .filter_map(|port| first.and_then(|pod| resolved(port, pod)))
            .collect();
        let owned = Mark::Owner(read::uid(service).to_owned());
        let slices: Vec<&Value> = marked(store, &owned, &Resource::endpoint_slices(), key.namespace())
            .filter(|slice| read::label(slice, MANAGED) == MANAGER)
            .collect();
        let mut names = free_names(store, service);
        let shares = shared_out(&endpoints, &slices).into_iter().enumerate();
        let writes = shares.filter_map(|(number, share)| {
            let (before, labels, ports) = (slices.get(number).copied(), labels(service), json!(ports));
            let name = if before.is_none() { names.next() } else { None };
            let metadata = json!({
                "name": name, "namespace": read::namespace(service), "labels": labels,
                "ownerReferences": template::owned_by(&Resource::services(), service),
            });
            // Each stands in one slice.
            let endpoints = share.into_iter().map(|number| std::mem::take(&mut endpoints[number])).collect();
            written(before, metadata, Value::Array(endpoints), ports, pods.is_empty() && number == 0)
        });
        writes.collect::<Vec<_>>().into()
    }
}

/// The names that a service's next slices get.
fn free_names<'a>(store: &'a Store, service: &'a Value) -> impl Iterator<Item = String> + 'a {
    let name = move |number: u32| {
        let more = if number == 0 { String::new() } else { format!(" {number}") };
        let digest = read::digest(&format!("{}{more}", read::uid(service)), 5);
        format!("{}-{digest}", read::name(service))
    };
    let free = move |name: &String| {
        one(store, &Resource::endpoint_slices(), Some(read::namespace(service)), name).is_none()
    };
    (0..).map(name).filter(free)
}

/// The endpoints of each slice that there is, and of those that must be made, by their numbers. Each slice that has nothing left gives way
/// to new endpoints, or goes; one stays, so that a service without pods has an empty slice.
fn shared_out(endpoints: &[Value], slices: &[&Value]) -> Vec<Vec<usize>> {
    let uid = |endpoint: &Value| read::text(endpoint, "/targetRef/uid").to_owned();
    let mut left: BTreeMap<String, usize> =
        endpoints.iter().enumerate().map(|(number, endpoint)| (uid(endpoint), number)).collect();
    let mut shares: Vec<Vec<usize>> = vec![];
    let mut changes = vec![];
    for slice in slices {
        let held = read::list(slice, "/endpoints");
        let kept: Vec<usize> = held.iter().filter_map(|endpoint| left.remove(&uid(endpoint))).collect();
        let same =
            kept.len() == held.len() && kept.iter().zip(held).all(|(number, was)| endpoints[*number] == *was);
        changes.push(!same);
        shares.push(kept);
    }
    let mut left: Vec<usize> = left.into_values().collect();
    left.sort_unstable_by(|one, other| other.cmp(one));
    for share in shares.iter_mut().zip(&changes).filter(|(share, changes)| **changes && !share.is_empty()) {
        fill(share.0, &mut left);
    }
    while !left.is_empty() {
        let room = |share: &Vec<usize>| MOST.checked_sub(share.len() + left.len());
        let fullest = shares.iter().enumerate().filter(|(_, share)| !share.is_empty());
        let fullest = fullest.filter_map(|(number, share)| Some((room(share)?, number))).min();
        let number = fullest.map(|(_, number)| number).or_else(|| shares.iter().position(Vec::is_empty));
        let number = number.unwrap_or_else(|| {
            shares.push(vec![]);
            shares.len() - 1
        });
        fill(&mut shares[number], &mut left);
    }
    if shares.is_empty() {
        shares.push(vec![]);
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    shares
}

/// Fills a slice up with the first of those that are left, which stand last.
fn fill(share: &mut Vec<usize>, left: &mut Vec<usize>) {
    let count = MOST.saturating_sub(share.len()).min(left.len());
    share.extend(left.drain(left.len() - count..).rev());
}

/// The write of a slice, unless it is so already.
fn written(
    before: Option<&Value>,
    metadata: Value,
    endpoints: Value,
    ports: Value,
    stays: bool,
) -> Option<Write> {
    let resource = Resource::endpoint_slices();
    let Some(before) = before else {
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        return Some(Write::Create { resource, object });
    };
    let key = Key::of(&resource, before);
    if !stays && endpoints.as_array().is_some_and(Vec::is_empty) {
        return Some(Write::Delete { key });
    }
    let mut object = before.clone();
    object["endpoints"] = endpoints;
    object["ports"] = ports;
    object["metadata"]["labels"] = metadata["labels"].clone();
    (object != *before).then_some(Write::Update { key, object })
}

/// The labels of a service's slice: the service's own, whose it is, who keeps it, and whether the service has no address.
fn labels(service: &Value) -> Value {
    let mut labels = read::labels(service).clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[SERVICE] = json!(read::name(service));
    labels[MANAGED] = json!(MANAGER);
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
