//! `drillmaster env check`: what each cluster of an Environment is, how far its clock is off, and what it lacks; and whether the agents at
//! its vantages are there.
//!
//! Asks access reviews, and else only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use futures::future::join_all;
use http::Request;
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::inputs::{self, Inputs};
use crate::cli::rights::{self, Rights};
use crate::cli::{OutputFormat, exit, failed, live, look, print, print_json, show};
use crate::cluster::clock::LiveClock;
use crate::cluster::environment::{AgentSpec, Class, ClusterSpec};
use crate::cluster::offset::{Offset, TOLERANCE};
use crate::cluster::trust::Trust;
use crate::cluster::{self, ClusterError, Connected, EnvironmentSpec, agents};
use crate::document::Document;
use crate::guard::rights::Right;
use crate::inventory::said;
use crate::model::name::{Name, Region, Uid, Vantage};
use crate::model::time::Duration as Span;
use crate::prober::agent::greet;

/// How long an API server has to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Say of each region of an Environment whether it is there, who it is, its version, its clock, and what it lacks for a drill; of each agent,
/// whether it is there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster env check staging.yaml --drill scenarios/checkout-region-failover.yaml

Exit codes: 0 all regions and agents can be used, 2 a document does not validate, 15 one cannot be used, or lacks something."
)]
pub struct Check {
    /// The file of the Environment.
    pub file: PathBuf,
    /// Look for what this drill needs too: the rights that it and its undoing use, and the APIs that they are of.
    #[arg(long, value_name = "FILE")]
    pub drill: Option<PathBuf>,
    /// More files with documents that the drill refers to.
    #[arg(short, long = "more", value_name = "FILE", requires = "drill")]
    pub files: Vec<PathBuf>,
    /// What people read, or JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// What is known of a region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    region: Region,
    class: Class,
    version: Option<String>,
    identity: Option<Uid>,
    /// How far its clock is from this machine's.
    clock: Option<Offset>,
    /// What is not there, or what nobody may do.
    lacks: Vec<String>,
    /// Why it cannot be used.
    wrong: Option<String>,
}

impl Seen {
    fn of(spec: &ClusterSpec, connected: &Result<Connected, ClusterError>, lacks: Vec<String>) -> Seen {
        let (region, class) = (spec.name.clone(), spec.class);
        match connected {
            Ok(Connected { identity, version, offset, .. }) => {
                let off = offset.filter(|offset| offset.is_surely_over(TOLERANCE));
                let off =
                    off.map(|offset| ClusterError::Clock { region: region.clone(), offset }.to_string());
                let (version, identity) = (Some(version.clone()), Some(identity.clone()));
                Seen { region, class, version, identity, clock: *offset, lacks, wrong: off }
            }
            Err(error) => {
                let wrong = Some(error.to_string());
                Seen { region, class, version: None, identity: None, clock: None, lacks, wrong }
            }
        }
    }

    fn is_well(&self) -> bool {
        self.wrong.is_none() && self.lacks.is_empty()
    }

    fn text(&self) -> String {
        let Seen { region, class, .. } = self;
        let head = match (&self.wrong, &self.version, &self.identity) {
            (None, Some(version), Some(identity)) => {
                let clock = self.clock.map_or("not said".to_owned(), |offset| offset.to_string());
                format!("{region:<12} ok  {version}  {class}  identity {identity}  clock {clock}\n")
            }
            (wrong, _, _) => {
                format!("{region:<12} NOT USABLE  {}\n", wrong.as_deref().unwrap_or_default())
            }
        };
        let lacks = self.lacks.iter().map(|lacking| format!("{:<12} lacks  {lacking}\n", ""));
        [head].into_iter().chain(lacks).collect()
    }
}

/// What is known of a vantage that is an agent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeenAgent {
    vantage: Vantage,
    /// How exactly its clock is known; of one that a run makes, nothing before.
    clock_known_to: Option<Span>,
    /// Why it cannot be used.
    wrong: Option<String>,
}

impl SeenAgent {
    fn text(&self) -> String {
        let SeenAgent { vantage, clock_known_to, wrong } = self;
        match (clock_known_to, wrong) {
            (_, Some(wrong)) => format!("{vantage:<12} NOT USABLE  {wrong}\n"),
            (Some(known), None) => format!("{vantage:<12} ok  agent  its clock is known to {known}\n"),
            (None, None) => format!("{vantage:<12} ok  agent  a run makes it, and takes it away\n"),
        }
    }
}

/// The environment, and what the drill needs of it.
struct Wanted {
    environment: Document<EnvironmentSpec>,
    folder: PathBuf,
    rights: Rights,
}

/// Checks.
pub async fn check(check: &Check) -> ExitCode {
    let wanted = match wanted(check) {
        Ok(wanted) => wanted,
        Err(code) => return code,
    };
    let spec = &wanted.environment.spec;
    if let Err(error) = Trust::of(&spec.certificate_authorities, &wanted.folder) {
        return failed(&error, exit::REFUSED);
    }
    let mut connected = cluster::connect_all(spec, &wanted.folder).await;
    let clients = connected
        .iter()
        .filter_map(|(region, one)| Some((region.clone(), one.as_ref().ok()?.client.clone())));
    let agents = greeted(spec, &clients.collect()).await;
    let each = spec.regions.iter().filter_map(|region| Some((region, connected.remove(&region.name)?)));
    let seen = join_all(each.collect::<Vec<_>>().into_iter().map(async |(region, connected)| {
        let lacks = match &connected {
            Ok(connected) => lacking(&connected.client, region, spec, &wanted.rights).await,
            Err(_) => Vec::new(),
        };
        Seen::of(region, &connected, lacks)
    }))
    .await;
    match check.output {
        OutputFormat::Text => {
            let lines = seen.iter().map(Seen::text).chain(agents.iter().map(SeenAgent::text));
            print(&lines.collect::<String>());
        }
        OutputFormat::Json => match serde_json::to_string_pretty(&json!({"regions": seen, "agents": agents}))
        {
            Ok(json) => print_json(&json),
            Err(error) => return failed(&error, exit::BUG),
        },
    }
    let all_well = seen.iter().all(Seen::is_well) && agents.iter().all(|agent| agent.wrong.is_none());
    exit::code(if all_well { exit::MET } else { exit::REFUSED })
}

/// Asks each vantage that is an agent for its time.
async fn greeted(spec: &EnvironmentSpec, clients: &BTreeMap<Region, Client>) -> Vec<SeenAgent> {
    let clock = LiveClock::begin();
    let ways = agents::agents(spec, clients);
    let named = spec.vantages.iter().filter(|vantage| vantage.agent.is_some());
    join_all(named.map(async |vantage| {
        let answered = match (ways.get(&vantage.name), &vantage.agent) {
            (Some(_), Some(AgentSpec::Start(_))) => Ok(None),
            (Some(way), _) => greet(way.as_ref(), &clock).await.map(Some).map_err(|why| why.to_string()),
            (None, _) => Err("its region cannot be reached".to_owned()),
        };
        let (clock_known_to, wrong) = match answered {
            Ok(known) => (known, None),
            Err(why) => (None, Some(why)),
        };
        SeenAgent { vantage: vantage.name.clone(), clock_known_to, wrong }
    }))
    .await
}

fn wanted(check: &Check) -> Result<Wanted, ExitCode> {
    let usage = |findings: inputs::Findings| {
        show(&findings.render(look()));
        exit::code(exit::USAGE)
    };
    let Some(drill) = &check.drill else {
        let (environment, folder) = inputs::environment(&check.file).map_err(usage)?;
        return Ok(Wanted { environment, folder, rights: Rights::new() });
    };
    let inputs: Inputs = inputs::load_for(drill, &check.files, Some(&check.file)).map_err(usage)?;
    let rights = live::rights(&inputs).map_err(|error| failed(&error, exit::USAGE))?;
    let Some((environment, folder)) = inputs.environment else { return Err(exit::code(exit::USAGE)) };
    Ok(Wanted { environment, folder, rights })
}

/// What a cluster lacks: namespaces of the environment, and what a drill needs; a line each.
async fn lacking(
    client: &Client,
    region: &ClusterSpec,
    environment: &EnvironmentSpec,
    rights: &Rights,
) -> Vec<String> {
    let of_agents = environment.vantages.iter().filter_map(|vantage| match &vantage.agent {
        Some(AgentSpec::Start(start)) if start.region == region.name => Some(&start.namespace),
        Some(_) | None => None,
    });
    let spaces: BTreeSet<&Name> = region.namespaces.iter().chain(of_agents).collect();
    let spaces = join_all(spaces.into_iter().map(async |namespace| {
        match get(client, &format!("/api/v1/namespaces/{namespace}")).await {
            Ok(Some(_)) => None,
            Ok(None) => Some(format!("the namespace {namespace}")),
            Err(why) => Some(format!("a look at the namespace {namespace}: {why}")),
        }
    }));
    let (spaces, groups) = futures::join!(spaces, absent(client, &region.name, rights));
    let mine: Rights =
        rights.get_key_value(&region.name).map(|(name, of)| (name.clone(), of.clone())).into_iter().collect();
    let missing = rights::missing(&[(region.name.clone(), client.clone())].into(), &mine).await;
    let missing = missing.into_iter().map(|(_, right, why)| format!("the right to {right}: {why}"));
    let closed = closed(region, environment, &mine).into_iter();
    let closed = closed.map(|namespace| {
        format!("the namespace {namespace} among those that the environment gives to drills, and that the drill changes")
    });
    spaces.into_iter().flatten().chain(closed).chain(groups).chain(missing).collect()
}

/// The namespaces of a region in which a drill changes something, and that are not given to drills; those of agents are given by their vantage.
fn closed<'a>(region: &ClusterSpec, environment: &EnvironmentSpec, rights: &'a Rights) -> BTreeSet<&'a Name> {
    let changes = |right: &&Right| !matches!(right.verb, "get" | "list" | "watch");
    let of_agents = |namespace: &Name| {
        environment.vantages.iter().any(|vantage| match &vantage.agent {
            Some(AgentSpec::Pod(pod)) => pod.region == region.name && pod.namespace == *namespace,
            Some(AgentSpec::Start(start)) => start.region == region.name && start.namespace == *namespace,
            Some(AgentSpec::Address(_)) | None => false,
        })
    };
    let changed = rights.values().flatten().filter(changes).filter_map(|right| right.namespace.as_ref());
    changed.filter(|namespace| !region.namespaces.contains(namespace) && !of_agents(namespace)).collect()
}

/// The API groups of a drill's rights that the cluster does not serve.
async fn absent(client: &Client, region: &Region, rights: &Rights) -> Vec<String> {
    let wanted: BTreeSet<&str> = rights
        .get(region)
        .into_iter()
        .flatten()
        .map(|right| right.group.as_str())
        .filter(|group| !group.is_empty())
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let served = match get(client, "/apis").await {
        Ok(served) => served.unwrap_or_default(),
        Err(why) => return vec![format!("a list of its APIs: {why}")],
    };
    let served: BTreeSet<&str> = served["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| group["name"].as_str())
        .collect();
    wanted.difference(&served).map(|group| format!("the API {group}")).collect()
}

/// What a path holds; nothing where there is nothing.
async fn get(client: &Client, path: &str) -> Result<Option<Value>, String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, client.request::<Value>(request)).await {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        Ok(Err(error)) => Err(said(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
