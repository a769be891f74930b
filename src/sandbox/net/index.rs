//! What a region's objects say about its network: pods, services, their endpoints and the policies. Pure, fed with objects.
//!
//! A plain struct with `apply` and `delete`, so that its tests need no server. It is asked only when a route is not known yet:
//! routes are kept until something here changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Deserialize;
use serde_json::Value;

use super::ingress::{Backend, Ingresses, Port, Router};
use super::policy::{self, Direction, Labels, Peer, Policy};
use crate::sandbox::control::read;

/// The namespace and the name of an object.
pub type Key = (String, String);

/// A pod's place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub address: Ipv4Addr,
    pub node: String,
    /// Its containers' ports by name.
    pub ports: BTreeMap<String, u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    /// Seen within the cluster only.
    cluster: Option<Ipv4Addr>,
    /// Seen from everywhere.
    public: Vec<Ipv4Addr>,
    /// Port and its name.
    ports: Vec<(u16, String)>,
    /// The other name that its name leads to.
    alias: Option<String>,
}

/// One region's network.
#[derive(Debug, Default)]
pub struct Index {
    namespaces: BTreeMap<String, Labels>,
    pods: BTreeMap<Key, Pod>,
    pod_at: BTreeMap<Ipv4Addr, Key>,
    services: BTreeMap<Key, Service>,
    services_at: BTreeMap<Ipv4Addr, BTreeSet<Key>>,
    slices: BTreeMap<Key, EndpointSlice>,
    /// The slices of each service.
    slices_of: BTreeMap<Key, BTreeSet<Key>>,
    policies: BTreeMap<Key, Policy>,
    ingresses: Ingresses,
}

/// What an address and a port of a region stand for.
#[derive(Debug, PartialEq, Eq)]
pub enum Stands<'a> {
    /// A service, and its ready endpoints.
    Service(Vec<(Ipv4Addr, u16)>),
    Pod(&'a Pod),
    /// A controller of Ingresses.
    Controller,
    Nothing,
}

impl Index {
    /// Takes in an object as it is now; whether that can have changed a route.
    pub fn apply(&mut self, kind: &str, object: &Value) -> bool {
        let key = key_of(object);
        match kind {
            "Namespace" => put(&mut self.namespaces, key.1, labels(object)),
            "Pod" => match pod(object, &key) {
                Some(pod) => {
                    self.forget_address(&key);
                    self.pod_at.insert(pod.address, key.clone());
                    put(&mut self.pods, key, pod)
                }
                None => self.delete(kind, &key),
            },
            "Service" => self.put_service(key, service(object)),
            "EndpointSlice" => match EndpointSlice::deserialize(object) {
                Ok(slice) => self.put_slice(key, slice),
                Err(_) => self.delete(kind, &key),
            },
            "NetworkPolicy" => {
                let policy: NetworkPolicy = serde_json::from_value(object.clone()).unwrap_or_default();
                self.policies.insert(key, Policy::read(&policy));
                true
            }
            "Ingress" => self.ingresses.apply(key, object),
            _ => false,
        }
    }

    /// Forgets an object; whether that can have changed a route.
    pub fn delete(&mut self, kind: &str, key: &Key) -> bool {
        match kind {
            "Namespace" => self.namespaces.remove(&key.1).is_some(),
            "Pod" => {
                self.forget_address(key);
                self.pods.remove(key).is_some()
            }
            "Service" => self.forget_service(key),
            "EndpointSlice" => self.forget_slice(key),
            "NetworkPolicy" => self.policies.remove(key).is_some(),
            "Ingress" => self.ingresses.delete(key),
            _ => false,
        }
    }

    /// The pod of this name.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// The pod at an address.
    pub fn pod_at(&self, address: Ipv4Addr) -> Option<&Pod> {
        self.pods.get(self.pod_at.get(&address)?)
    }

    /// What an address and a port stand for, seen from inside the cluster or from elsewhere.
    pub fn stands(&self, address: Ipv4Addr, port: u16, inside: bool) -> Stands<'_> {
        let shows = |service: &Service| {
            (inside && service.cluster == Some(address)) || service.public.contains(&address)
        };
        let mut there = self.services_at.get(&address).into_iter().flatten();
        let found =
            there.find_map(|key| self.services.get_key_value(key).filter(|(_, service)| shows(service)));
        if let Some((key, service)) = found {
            let name =
                service.ports.iter().find(|(stated, _)| *stated == port).map(|(_, name)| name.as_str());
            return Stands::Service(name.map(|name| self.ready(key, name)).unwrap_or_default());
        }
        match self.pod_at(address) {
            _ if self.router(address).is_some() => Stands::Controller,
            Some(pod) if inside => Stands::Pod(pod),
            Some(_) | None => Stands::Nothing,
        }
    }

    /// Who routes at the address of a controller.
    pub fn router(&self, address: Ipv4Addr) -> Option<&Arc<Router>> {
        self.ingresses.router(address)
    }

    /// The addresses of the controllers of Ingresses.
    pub fn controllers(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.ingresses.addresses()
    }

    /// The ready endpoints of a backend; none where there is no such service or port.
    pub fn endpoints(&self, backend: &Backend) -> Vec<(Ipv4Addr, u16)> {
        let service = self.services.get(&backend.service);
        let mut ports = service.into_iter().flat_map(|service| &service.ports);
        let meant = ports.find(|(number, name)| match &backend.port {
            Port::Number(wanted) => number == wanted,
            Port::Name(wanted) => name == wanted,
        });
        meant.map(|(_, name)| self.ready(&backend.service, name)).unwrap_or_default()
    }

    /// The ready endpoints of a service's port, in the order of their addresses.
    fn ready(&self, service: &Key, port: &str) -> Vec<(Ipv4Addr, u16)> {
        let mut found = Vec::new();
        let slices = self.slices_of.get(service).into_iter().flatten();
        for slice in slices.filter_map(|key| self.slices.get(key)) {
            let named = |stated: Option<&str>| stated.unwrap_or_default() == port;
            let ports = slice.ports.iter().flatten();
            let Some(port) = ports
                .filter(|stated| named(stated.name.as_deref()))
                .find_map(|stated| stated.port.and_then(|number| u16::try_from(number).ok()))
            else {
                continue;
            };
            for endpoint in slice.endpoints.iter().flatten() {
                if endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false) {
                    let addresses = endpoint.addresses.iter();
                    found.extend(
                        addresses.filter_map(|text| text.parse().ok()).map(|address| (address, port)),
                    );
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a pod of this cluster may open or accept a connection.
    pub fn admits(
        &self,
        direction: Direction,
        pod: &Pod,
        address: Ipv4Addr,
        other: Option<&Pod>,
        port: u16,
    ) -> bool {
        let none = Labels::new();
        let namespace = |of: &Pod| self.namespaces.get(&of.namespace).unwrap_or(&none);
        let peer = Peer { address, pod: other.map(|pod| (pod, namespace(pod))) };
        policy::admits(self.policies.values(), direction, pod, peer, port)
    }

    /// The addresses of a service by the names of the cluster's own DNS: `payments.shop`, `ledger-0.ledger.shop`, with or
    /// without `svc` and the domain; alone (`payments`) within its namespace.
    pub fn cluster_name(&self, host: &str, namespace: Option<&str>) -> Option<Vec<IpAddr>> {
        let (pod, key) = named(host, namespace)?;
        let found = self.services.get(&key)?;
        match (pod, found.cluster) {
            (None, Some(address)) => Some(vec![address.into()]),
            (None, None) => {
                let mut all: Vec<IpAddr> = Vec::new();
                for (_, name) in &found.ports {
                    all.extend(self.ready(&key, name).into_iter().map(|(address, _)| IpAddr::from(address)));
                }
                all.sort_unstable();
                all.dedup();
                Some(all)
            }
            (Some(pod), _) => {
                let pod = self.pods.get(&(key.0, pod.to_owned()))?;
                Some(vec![pod.address.into()])
            }
        }
    }

    /// The name that a service's name leads to, where that is of type ExternalName.
    pub fn alias(&self, host: &str, namespace: Option<&str>) -> Option<&str> {
        let (pod, key) = named(host, namespace)?;
        self.services.get(&key).filter(|_| pod.is_none())?.alias.as_deref()
    }

    /// Every address that is seen from everywhere, with its ports.
    pub fn public(&self) -> Vec<(Ipv4Addr, u16)> {
        let mut all = Vec::new();
        for service in self.services.values() {
            for address in &service.public {
                all.extend(service.ports.iter().map(|(port, _)| (*address, *port)));
            }
        }
        all
    }

    fn put_service(&mut self, key: Key, service: Service) -> bool {
        if self.services.get(&key) == Some(&service) {
            return false;
        }
        self.forget_service(&key);
        for address in service.cluster.iter().chain(&service.public) {
            self.services_at.entry(*address).or_default().insert(key.clone());
        }
        self.services.insert(key, service);
        true
    }

    fn forget_service(&mut self, key: &Key) -> bool {
        let Some(service) = self.services.remove(key) else { return false };
        for address in service.cluster.iter().chain(&service.public) {
            take(&mut self.services_at, address, key);
        }
        true
    }

    fn put_slice(&mut self, key: Key, slice: EndpointSlice) -> bool {
        if self.slices.get(&key) == Some(&slice) {
            return false;
        }
        self.forget_slice(&key);
        self.slices_of.entry(service_of(&key, &slice)).or_default().insert(key.clone());
        self.slices.insert(key, slice);
        true
    }

    fn forget_slice(&mut self, key: &Key) -> bool {
        let Some(slice) = self.slices.remove(key) else { return false };
        take(&mut self.slices_of, &service_of(key, &slice), key);
        true
    }

    fn forget_address(&mut self, key: &Key) {
        if let Some(pod) = self.pods.get(key)
            && self.pod_at.get(&pod.address) == Some(key)
        {
            self.pod_at.remove(&pod.address);
        }
    }
}

/// The pod, if one is named, and the service that a name of the cluster's own DNS means.
fn named<'a>(host: &'a str, namespace: Option<&str>) -> Option<(Option<&'a str>, Key)> {
    let host = host.strip_suffix(".svc.cluster.local").or(host.strip_suffix(".svc")).unwrap_or(host);
    let parts: Vec<&str> = host.split('.').collect();
    let (pod, service, namespace) = match parts.as_slice() {
        [service] => (None, *service, namespace?),
        [service, namespace] => (None, *service, *namespace),
        [pod, service, namespace] => (Some(*pod), *service, *namespace),
        _ => return None,
    };
    Some((pod, (namespace.to_owned(), service.to_owned())))
}

fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

/// Takes a key out of the set under another, and the set away with its last one.
fn take<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<Key>>, of: &K, key: &Key) {
    if let Some(set) = sets.get_mut(of) {
        set.remove(key);
        if set.is_empty() {
            sets.remove(of);
        }
    }
}

/// The service whose endpoints a slice holds.
fn service_of(key: &Key, slice: &EndpointSlice) -> Key {
    let labels = slice.metadata.labels.as_ref();
    let name = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
    (key.0.clone(), name.cloned().unwrap_or_default())
}

/// The namespace and the name of an object.
pub fn key_of(object: &Value) -> Key {
    let text = |path: &str| read::at(object, path).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

fn labels(object: &Value) -> Labels {
    let labels = read::at(object, "/metadata/labels").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

/// A pod that has an address and is not over.
fn pod(object: &Value, key: &Key) -> Option<Pod> {
    let text = |path: &str| read::at(object, path).and_then(Value::as_str);
    if matches!(text("/status/phase"), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut ports = BTreeMap::new();
    let containers = read::at(object, "/spec/containers").and_then(Value::as_array);
    for port in
        containers.into_iter().flatten().filter_map(|container| container["ports"].as_array()).flatten()
    {
        if let (Some(name), Some(number)) = (port["name"].as_str(), number(&port["containerPort"])) {
            ports.insert(name.to_owned(), number);
        }
    }
    Some(Pod {
        namespace: key.0.clone(),
        name: key.1.clone(),
        labels: labels(object),
        address: text("/status/podIP")?.parse().ok()?,
        node: text("/spec/nodeName").unwrap_or_default().to_owned(),
        ports,
    })
}

fn service(object: &Value) -> Service {
    let ports = read::at(object, "/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ingress =
        read::at(object, "/status/loadBalancer/ingress").and_then(Value::as_array).into_iter().flatten();
    Service {
        cluster: read::at(object, "/spec/clusterIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok()),
        alias: (read::text(object, "/spec/type") == "ExternalName")
            .then(|| read::text(object, "/spec/externalName").to_owned()),
        public: ingress.filter_map(|entry| entry["ip"].as_str()?.parse().ok()).collect(),
        ports: ports
            .filter_map(|port| {
                Some((number(&port["port"])?, port["name"].as_str().unwrap_or_default().to_owned()))
            })
            .collect(),
    }
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}
