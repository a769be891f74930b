//! `SandboxSpec`: what the simulated regions hold, and what others do while a drill runs.
//!
//! The document's `spec`, as types with doc comments that become its JSON schema. Pure values: what they do stands in
//! `assembly` and the files beside it. Durations are whole milliseconds, since the clock of a rehearsal has no finer ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::model::event::Decision;
use crate::model::name::{Name, Region, Role, Vantage};
use crate::model::time::Duration;

/// The place that is in no region: users, third parties and the orchestrator.
pub const OUTSIDE: &str = "outside";

/// Simulated regions: their nodes and objects, the network between them, and the people and events around them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxSpec {
    /// The regions, each an own cluster.
    pub regions: Vec<RegionSpec>,
    /// How long a packet takes between two places; a pair that is not listed takes no time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Third parties on the network outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Who answers when a rehearsal asks a role; a role that is not listed never answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Person>,
    /// What the simulated alerting watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertRule>,
    /// What others do while the drill runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub happenings: Vec<Happening>,
    /// What stands in for the containers of an image. A pod's annotation `stand-in.drillmaster.dev/CONTAINER` goes before it; where neither says
    /// anything, a container with ports or probes of a port is an HTTP service, any other completes in a pod that does not always restart, and is
    /// idle elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<StandInRule>,
    /// How long the regions have to become ready before the run begins, in whole milliseconds; nobody waits for it in real time.
    #[serde(default = "settles_within")]
    pub settles_within: Duration,
}

fn settles_within() -> Duration {
    Duration::from_secs(120)
}

impl crate::document::Kind for SandboxSpec {
    const KIND: &'static str = "SandboxSpec";
}

/// A simulated region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionSpec {
    /// Its name: `east`.
    pub name: Region,
    /// The addresses of its nodes, pods and services, apart from every other region's: `10.1.0.0/16`.
    pub addresses: Network,
    /// Its machines, besides the Nodes that stand in its manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSpec>,
    /// Files, and folders of them, of Kubernetes objects by their path from this document: what teams apply, what Helm renders, or what
    /// `kubectl get -o yaml` prints, as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub manifests: Vec<String>,
}

/// What stands in for the containers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandInRule {
    /// The image as the container names it, or the beginning of it and a `*`: `registry.example/shop/orders:*`.
    pub image: String,
    /// What runs in place of it.
    pub r#as: StandIn,
}

impl StandInRule {
    /// Whether an image is meant.
    pub fn means(&self, image: &str) -> bool {
        means(&self.image, image)
    }
}

/// What runs in place of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StandIn {
    /// The project's own replicated ledger, by its environment (`LEDGER_…`), on the container's first port.
    Ledger,
    /// A service that answers every HTTP request on the declared and the probed ports.
    Http,
    /// It starts, and ends well at once.
    Completes,
    /// It only exists.
    Idle,
}

/// A simulated machine: 256 cores, 1 TiB of memory and 8 TiB of disk, more than pods of a drill ask for, and room for 110 pods, as many as a kubelet
/// takes where nobody tells it otherwise. A pod that finds no room is told of as one that no node takes; a Node in the manifests states its own room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    pub name: Name,
    /// Its `topology.kubernetes.io/zone`.
    pub zone: Name,
}

/// The network between two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// Two of the regions and `outside`; the same twice is the network within that place.
    pub between: [Name; 2],
    /// The time of a packet one way, in whole milliseconds; a fresh connection's answer takes four of them.
    pub latency: Duration,
}

/// A third party: it answers every HTTP request alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// Its name in the DNS: `acquirer.example`.
    pub host: Name,
    pub address: Ipv4Addr,
    /// The HTTP status of its answers.
    #[serde(default = "ok")]
    pub status: u16,
}

fn ok() -> u16 {
    200
}

/// A simulated person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Person {
    pub role: Role,
    /// The name that the answer carries.
    pub who: Name,
    /// How long an answer takes.
    pub answers: Answers,
    /// What the person decides about a held step, the first time and each next time; the last one repeats. `retry` if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_hold: Vec<Decision>,
}

/// How long an answer takes: evenly spread over `[after, after + jitter]`, drawn from the seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answers {
    pub after: Duration,
    #[serde(default)]
    pub jitter: Duration,
}

/// An alert of the simulated alerting: a check of its own, with Alertmanager's `for` and the way of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertRule {
    pub name: Name,
    /// What is checked: an HTTP GET that must answer 2xx or 3xx.
    pub url: String,
    /// Where from.
    pub from: Vantage,
    /// How often; also how long a check may take, up to ten seconds.
    pub every: Duration,
    /// How long it must fail without a break before the alert fires.
    pub fails_for: Duration,
    /// From firing to the page.
    #[serde(default)]
    pub notifies_after: Duration,
}

/// Something that others do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Happening {
    /// When, since the start of the run.
    pub at: Duration,
    pub what: Happens,
}

/// What others do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Happens {
    /// Somebody deletes objects.
    Delete(Target),
    /// Somebody changes objects by a JSON merge patch.
    #[serde(rename_all = "camelCase")]
    Patch { target: Target, merge: Map<String, Value> },
    /// The processes of pods die; their kubelet starts them again.
    Crash(Target),
    /// A node loses its power, and gets it back.
    #[serde(rename_all = "camelCase")]
    NodeDown {
        region: Region,
        node: Name,
        /// For ever if missing.
        r#for: Option<Duration>,
    },
    /// A region's API server is gone, and comes back.
    #[serde(rename_all = "camelCase")]
    ApiDown {
        region: Region,
        answers: ApiAnswers,
        /// For ever if missing.
        r#for: Option<Duration>,
    },
    /// A vantage loses its network: nothing that it sends arrives.
    #[serde(rename_all = "camelCase")]
    CutOff {
        vantage: Vantage,
        /// For ever if missing.
        r#for: Option<Duration>,
    },
    /// A third party is gone: its packets vanish.
    #[serde(rename_all = "camelCase")]
    HostDown {
        host: Name,
        /// For ever if missing.
        r#for: Option<Duration>,
    },
}

/// Objects of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    pub region: Region,
    pub api_version: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// A name, or the beginning of names and a `*`.
    pub name: String,
}

impl Target {
    /// Whether a name is meant.
    pub fn means(&self, name: &str) -> bool {
        means(&self.name, name)
    }
}

/// Whether a name is the one that is meant, or begins as a pattern with a `*` at its end does.
fn means(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// What an API server that is down answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApiAnswers {
    /// Nothing, ever.
    Nothing,
    /// 503.
    Unavailable,
}

/// A range of IPv4 addresses: `10.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    pub address: Ipv4Addr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// Whether an address lies in the range.
    pub fn holds(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        (u32::from(self.address) ^ u32::from(address)) & self.mask() == 0
    }

    /// Whether two ranges share an address.
    pub fn overlaps(&self, other: &Network) -> bool {
        self.holds(other.address.into()) || other.holds(self.address.into())
    }

    /// The address with this number in the range; `None` past its end.
    pub fn nth(&self, number: u32) -> Option<Ipv4Addr> {
        (number <= !self.mask()).then(|| Ipv4Addr::from((u32::from(self.address) & self.mask()) | number))
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        parts
            .and_then(|(address, prefix)| {
                Some(Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
            })
            .filter(|network| network.prefix <= 32)
            .ok_or_else(|| {
                let short: String = text.chars().take(20).collect();
                format!("`{short}` is not a range of addresses: write it like `10.1.0.0/16`")
            })
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A range of IPv4 addresses: `10.1.0.0/16`.",
            "pattern": "^([0-9]{1,3}\\.){3}[0-9]{1,3}/([0-9]|[12][0-9]|3[0-2])$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range: Network = "10.1.0.0/16".parse().unwrap();
        for (address, holds) in
            [("10.1.0.0", true), ("10.1.255.255", true), ("10.2.0.0", false), ("::1", false)]
        {
            assert_eq!(range.holds(address.parse().unwrap()), holds, "{address}");
        }
        assert_eq!(range.nth(300), Some("10.1.1.44".parse().unwrap()));
        assert_eq!(range.nth(65_536), None);
        assert!("0.0.0.0/0".parse::<Network>().unwrap().holds("255.255.255.255".parse().unwrap()));
        for text in ["10.1.0.0", "10.1.0.0/33", "10.1/16", "10.1.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_means_a_name_or_a_beginning() {
        let target = |name: &str| Target {
            region: "east".into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: None,
            name: name.into(),
        };
        assert!(target("ledger-0").means("ledger-0"));
        assert!(!target("ledger").means("ledger-0"));
        assert!(target("ledger-*").means("ledger-0"));
    }
}
