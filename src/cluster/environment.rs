//! `Environment`: which cluster is which region, and how a run reaches people, names, alerts and commands around them.
//!
//! The document's `spec`, as types with doc comments that become its JSON schema. Pure values.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::name::{Name, Region, Uid, Vantage};
use crate::world::AddressRange;

/// The place where drillmaster itself runs.
pub const OUTSIDE: &str = "outside";

/// Real clusters, each a region, and what a run needs around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// The regions, each a cluster of its own.
    pub regions: Vec<ClusterSpec>,
    /// Where probes and writes are sent from; `outside`, where drillmaster runs, is there without being listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<VantageSpec>,
    /// The name server that is authoritative for the names that drills switch, asked past every cache: `192.0.2.53:53`. Without it the
    /// system's resolver is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub authority: Option<SocketAddr>,
    /// Certificate authorities whose certificates https probes accept, beside those that this machine trusts: PEM files, by their path from
    /// this document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub certificate_authorities: Vec<String>,
    /// Who says that an alert fires, beside the regions' own alert sources; without any, a step that waits for an alert fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<AlertSource>,
    /// The local commands that drills may run; no other ever runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<AllowedCommand>,
}

impl EnvironmentSpec {
    /// Every alert source, the environment's own first, each with where it stands in the document's `spec`.
    pub fn alert_sources(&self) -> impl Iterator<Item = (Option<usize>, &AlertSource)> {
        let of_regions = self.regions.iter().enumerate();
        let of_regions =
            of_regions.filter_map(|(index, region)| Some((Some(index), region.alerts.as_ref()?)));
        self.alerts.iter().map(|source| (None, source)).chain(of_regions)
    }
}

impl crate::document::Kind for EnvironmentSpec {
    const KIND: &'static str = "Environment";
}

/// A region, and the cluster that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// The region's name in drills: `east`.
    pub name: Region,
    /// How much a mistake in it would cost.
    pub class: Class,
    /// The kubeconfig, by its path from this document; without it `$KUBECONFIG`, then `~/.kube/config`, then the pod's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// The context in it; its current one without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Who the cluster is: the uid of its namespace kube-system. A cluster with another one is never touched.
    pub identity: Uid,
    /// The namespaces that drills may touch here.
    #[schemars(extend("uniqueItems" = true))]
    pub namespaces: Vec<Name>,
    /// Whose addresses are this region's, to tell who answered: `10.1.0.0/16`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub addresses: Vec<String>,
    /// The region's own alert source, asked beside that of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<AlertSource>,
}

impl ClusterSpec {
    /// The region's address ranges, as far as they are some.
    pub fn ranges(&self) -> Vec<AddressRange> {
        self.addresses.iter().filter_map(|text| range(&self.name, text)).collect()
    }
}

/// A range of addresses from its text; `None` where it is none.
pub fn range(region: &Region, text: &str) -> Option<AddressRange> {
    let (network, prefix) = text.split_once('/')?;
    let network: IpAddr = network.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let longest = if network.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then(|| AddressRange { region: region.clone(), network, prefix })
}

/// How much a mistake in a cluster would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Customers use it.
    Production,
    /// Like production, without customers.
    Staging,
    /// Nobody relies on it.
    Development,
}

impl std::fmt::Display for Class {
    /// As the document writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Class::Production => "production",
            Class::Staging => "staging",
            Class::Development => "development",
        })
    }
}

/// A place that probes are sent from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VantageSpec {
    /// As probes name it under `from`.
    pub name: Vantage,
    /// A SOCKS5 proxy (RFC 1928) that stands there: `127.0.0.1:1080`. Without it, connections begin where drillmaster runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub proxy: Option<SocketAddr>,
    /// The resolver of that place: `127.0.0.1:53`. Without it, the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub dns: Option<SocketAddr>,
    /// An agent that stands there, `drillmaster vantage`, and asks by itself: also while nobody reaches it, since its region is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSpec>,
}

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentSpec {
    /// In a pod, through the API server of its region.
    Pod(AgentPod),
    /// In a pod that the run makes for itself, and takes away when it has measured.
    Start(AgentStart),
    /// At an address, over a way that others have secured: `127.0.0.1:7070`. Whoever reaches it can have it ask.
    Address(#[schemars(with = "String")] SocketAddr),
}

/// A pod that a run makes, named `drillmaster-vantage-` and the vantage. Whoever runs the drill may get, create and delete pods in its namespace,
/// and get and create `pods/portforward`. It dies with its node: where that is a part of the drill, keep a Deployment, and name its pods' labels
/// under `pod`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentStart {
    /// The region that it stands in.
    pub region: Region,
    /// Its namespace, which is there already, and which no step of the drill should touch.
    pub namespace: Name,
    /// An image whose program is this version of drillmaster: `ghcr.io/drillmaster/drillmaster:0.1.0`.
    pub image: String,
}

/// A pod that runs `drillmaster vantage`. Whoever runs the drill may list pods in its namespace, and get and create `pods/portforward`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentPod {
    /// The region that it stands in.
    pub region: Region,
    pub namespace: Name,
    /// Its labels: the first pod by name that has them all and is ready.
    #[schemars(extend("minProperties" = 1))]
    pub labels: BTreeMap<String, String>,
    /// Where it listens, in its pod alone.
    #[serde(default = "agents_port")]
    pub port: u16,
}

/// Where an agent listens, if nobody says otherwise.
pub const AGENTS_PORT: u16 = 7070;

fn agents_port() -> u16 {
    AGENTS_PORT
}

/// Who says that an alert fires; where both are named, whichever says it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertSource {
    /// The URL of an Alertmanager, which is asked once a second: `http://alertmanager.example:9093`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<String>,
    /// Where a run is paged, by a `webhook_config` of Alertmanager, so that the page's instant is exact: `192.0.2.7:9099`. Whoever reaches
    /// the address can page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub webhook: Option<SocketAddr>,
}

/// A local command that drills may run by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedCommand {
    /// As steps name it.
    pub name: Name,
    /// The program and its first arguments; a step's own come after them. Nothing is given to a shell.
    pub run: Vec<String>,
}
