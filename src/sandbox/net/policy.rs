//! NetworkPolicies: who may open a connection to whom. Pure.
//!
//! As the API says: a pod that some policy selects for a direction accepts in it only what one of those policies allows; a
//! connection needs the sender's egress and the receiver's ingress; what comes back on it is free. A policy that cannot be read
//! (a selector with an operator that nobody knows) allows nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{Selector, SelectorExt};

use super::index::Pod;
use crate::sandbox::spec::Network;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Which way a connection is opened, seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

/// The other end of a connection, as the pod's network sees it.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    pub address: Ipv4Addr,
    /// The pod that it is, where it is one of the same cluster, with the labels of its namespace.
    pub pod: Option<(&'a Pod, &'a Labels)>,
}

/// A policy, read once.
#[derive(Debug, Clone)]
pub struct Policy {
    namespace: String,
    /// `None` where it cannot be read: then it selects every pod of the namespace.
    pods: Option<Selector>,
    /// `None` where the policy does not speak about this direction.
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Empty: everybody.
    peers: Vec<Match>,
    /// Empty: every port.
    ports: Vec<NetworkPolicyPort>,
}

#[derive(Debug, Clone)]
enum Match {
    Block { range: Network, except: Vec<Network> },
    Pods { namespaces: Option<Selector>, pods: Selector },
    Nobody,
}

impl Policy {
    /// Reads a policy object.
    pub fn read(policy: &NetworkPolicy) -> Policy {
        let spec = policy.spec.clone().unwrap_or_default();
        let types = spec.policy_types.unwrap_or_else(|| {
            let egress = spec.egress.as_ref().map(|_| "Egress".to_owned());
            std::iter::once("Ingress".to_owned()).chain(egress).collect()
        });
        let speaks = |direction: &str| types.iter().any(|stated| stated == direction);
        let ingress = spec.ingress.unwrap_or_default().into_iter().map(|r| Rule::read(r.from, r.ports));
        let egress = spec.egress.unwrap_or_default().into_iter().map(|r| Rule::read(r.to, r.ports));
        Policy {
            namespace: policy.metadata.namespace.clone().unwrap_or_default(),
            pods: selector(spec.pod_selector),
            ingress: speaks("Ingress").then(|| ingress.collect()),
            egress: speaks("Egress").then(|| egress.collect()),
        }
    }

    fn rules(&self, pod: &Pod, direction: Direction) -> Option<&[Rule]> {
        let rules = match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        };
        let selects = self.namespace == pod.namespace
            && self.pods.as_ref().is_none_or(|pods| pods.matches(&pod.labels));
        rules.filter(|_| selects)
    }
}

impl Rule {
    fn read(peers: Option<Vec<NetworkPolicyPeer>>, ports: Option<Vec<NetworkPolicyPort>>) -> Rule {
        Rule {
            peers: peers.unwrap_or_default().into_iter().map(Match::read).collect(),
            ports: ports.unwrap_or_default(),
        }
    }

    fn allows(&self, within: &str, peer: Peer, port: u16, receiver: Option<&Pod>) -> bool {
        (self.peers.is_empty() || self.peers.iter().any(|matched| matched.holds(within, peer)))
            && (self.ports.is_empty() || self.ports.iter().any(|stated| covers(stated, port, receiver)))
    }
}

impl Match {
    fn read(peer: NetworkPolicyPeer) -> Match {
        if let Some(block) = peer.ip_block {
            return Match::block(&block);
        }
        let namespaces = peer.namespace_selector.map(|stated| selector(Some(stated)));
        match (namespaces, selector(peer.pod_selector)) {
            (Some(None), _) | (_, None) => Match::Nobody,
            (namespaces, Some(pods)) => Match::Pods { namespaces: namespaces.flatten(), pods },
        }
    }

    fn block(block: &IPBlock) -> Match {
        let except = block.except.iter().flatten().filter_map(|range| range.parse().ok()).collect();
        block.cidr.parse().map_or(Match::Nobody, |range| Match::Block { range, except })
    }

    fn holds(&self, within: &str, peer: Peer) -> bool {
        match self {
            Match::Block { range, except } => {
                range.holds(peer.address.into()) && !except.iter().any(|out| out.holds(peer.address.into()))
            }
            Match::Pods { namespaces, pods } => peer.pod.is_some_and(|(pod, namespace)| {
                let there = match namespaces {
                    Some(namespaces) => namespaces.matches(namespace),
                    None => pod.namespace == within,
                };
                there && pods.matches(&pod.labels)
            }),
            Match::Nobody => false,
        }
    }
}

/// Whether a rule's port is this TCP port; a name is looked up in the receiving pod.
fn covers(stated: &NetworkPolicyPort, port: u16, receiver: Option<&Pod>) -> bool {
    if stated.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    let port = i32::from(port);
    match &stated.port {
        None => true,
        Some(IntOrString::Int(first)) => (*first..=stated.end_port.unwrap_or(*first)).contains(&port),
        Some(IntOrString::String(name)) => {
            receiver.is_some_and(|pod| pod.ports.get(name).is_some_and(|named| i32::from(*named) == port))
        }
    }
}

fn selector(stated: Option<LabelSelector>) -> Option<Selector> {
    stated.unwrap_or_default().try_into().ok()
}

/// Whether the policies of a pod's cluster let it open, or accept, a connection to a port.
pub fn admits<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    direction: Direction,
    pod: &Pod,
    peer: Peer,
    port: u16,
) -> bool {
    let receiver = match direction {
        Direction::Ingress => Some(pod),
        Direction::Egress => peer.pod.map(|(pod, _)| pod),
    };
    let mut selected = false;
    for rules in policies.filter_map(|policy| policy.rules(pod, direction)) {
        if rules.iter().any(|rule| rule.allows(&pod.namespace, peer, port, receiver)) {
            return true;
        }
        selected = true;
    }
    !selected
}
