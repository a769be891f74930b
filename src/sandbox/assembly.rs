//! Puts a sandbox together: regions, their controllers, the network between them, the people and the alerting around them.
//!
//! The regions come up before the run starts: instant 0 of the clock is when their workloads have had time to get ready, so that
//! a run finds regions that have been there for a while. One that is not ready by then starts nothing: `readiness` says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::alerting::Alerting;
use super::clock::Clock;
use super::commands::NoCommands;
use super::control::{Addresses, drive};
use super::happenings::Stage;
use super::manifests::Account;
use super::net::{Network, Source};
use super::people::SimulatedPeople;
use super::spec::{Network as Range, OUTSIDE, RegionSpec, SandboxSpec, StandInRule};
use super::stand_in::{HttpStandIn, Pods, Storages, choice, follow};
use super::state::{Pool, RegionState, Settings};
use super::truth::Truth;
use super::{api, checks, manifests, readiness};
use crate::document::{Diagnostic, Look, Source as Text, render};
use crate::model::effect::Resource;
use crate::model::name::{Region, Role, Vantage};
use crate::model::time::{At, Duration};
use crate::world::{AddressRange, Net, World};

/// How many changes a watch, or the network, can be behind.
const REMEMBERED: usize = 2_000;

/// Where the vantage outside sends from (TEST-NET-2, RFC 5737).
const OUTSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Why a sandbox cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The spec contradicts itself.
    #[error("sandbox: {0}")]
    Spec(String),
    /// A manifest is missing, or holds what an API server refuses.
    #[error("manifests of {region}:\n{said}")]
    Manifests { region: Region, said: String },
    /// Workloads that did not get ready.
    #[error(
        "the sandbox did not settle within {0}; `spec.settlesWithin` gives it longer, and this is not ready:\n  {1}"
    )]
    NotReady(Duration, String),
}

/// Simulated regions that run; they end when this is dropped.
pub struct Sandbox {
    world: World,
    network: Arc<Network>,
    storages: Storages,
    regions: BTreeMap<Region, (Arc<RegionState>, Arc<Pods>)>,
    sources: BTreeMap<Vantage, Source>,
    accounts: BTreeMap<Region, Account>,
    rules: Vec<StandInRule>,
    _tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts the regions of a spec, and returns when all their workloads are ready: that instant is 0 of the run's clock.
    ///
    /// `manifests` holds the text of each file that the spec names. Needs a current-thread runtime with its clock paused.
    ///
    /// # Errors
    /// Where the spec or a manifest is wrong, or a workload does not get ready; each says which.
    pub async fn start(
        spec: &SandboxSpec,
        manifests: &BTreeMap<String, String>,
        seed: u64,
        wall_unix_ns: i64,
        absent: &[Role],
    ) -> Result<Sandbox, SandboxError> {
        if let Some(wrong) = checks::wrong(spec).into_iter().next() {
            return Err(SandboxError::Spec(format!("{}: {}", wrong.path, wrong.message)));
        }
        fastrand::seed(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let clock = Clock::new(Instant::now() + spec.settles_within.std(), wall_unix_ns);
        let ranges =
            spec.regions.iter().map(|region| (region.name.as_str().into(), region.addresses)).collect();
        let network = Network::new(clock, ranges, &spec.links, &spec.hosts, random.fork());
        for host in &spec.hosts {
            network.listen(host.address, 80, Arc::new(HttpStandIn::third_party(OUTSIDE, host.status)));
        }
        let mut tasks = JoinSet::new();
        let texts: BTreeMap<String, Arc<Text>> =
            manifests.iter().map(|(path, text)| (path.clone(), Arc::new(Text::new(path, text)))).collect();
        let storages = Storages::default();
        let (mut regions, mut accounts) = (BTreeMap::new(), BTreeMap::new());
        for region in &spec.regions {
            let (state, account) = raise(region, &texts, clock, random.u64(..)).map_err(|found| {
                let said = render(&found, texts.values().map(Arc::as_ref), Look::Plain);
                SandboxError::Manifests { region: region.name.clone(), said }
            })?;
            let pods = run(&state, region, &spec.stand_ins, &network, &storages, &mut tasks);
            regions.insert(region.name.clone(), (state, pods));
            accounts.insert(region.name.clone(), account);
        }
        let sources = sources(spec);
        let vantages: BTreeMap<Vantage, Arc<dyn Net>> = sources
            .iter()
            .map(|(vantage, source)| (vantage.clone(), network.view(source.clone()) as Arc<dyn Net>))
            .collect();
        tokio::time::sleep_until(clock.instant(At::default())).await;
        let of_region = |(name, (state, _)): (&Region, &(Arc<RegionState>, Arc<Pods>))| {
            let lines = state.read(readiness::unready);
            lines.into_iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        };
        let unready: Vec<String> = regions.iter().flat_map(of_region).collect();
        if !unready.is_empty() {
            return Err(SandboxError::NotReady(spec.settles_within, unready.join("\n  ")));
        }
        let stage = Stage {
            clock,
            network: Arc::clone(&network),
            regions: regions.clone(),
            vantages: sources.iter().map(|(vantage, source)| (vantage.clone(), source.address)).collect(),
            hosts: spec.hosts.iter().map(|host| (host.host.clone(), host.address)).collect(),
        };
        stage.play(&spec.happenings, &mut tasks);
        let alerts = Alerting::start(&spec.alerts, &vantages, clock).map_err(SandboxError::Spec)?;
        let world = World {
            regions: regions
                .iter()
                .map(|(name, (state, _))| (name.clone(), api::client(Arc::clone(state))))
                .collect(),
            vantages,
            agents: BTreeMap::new(),
            addresses: spec.regions.iter().map(address_range).collect(),
            clock: Arc::new(clock),
            people: Arc::new(SimulatedPeople::new(&spec.people, absent, seed)),
            alerts: Arc::new(alerts),
            commands: Arc::new(NoCommands),
        };
        let rules = spec.stand_ins.clone();
        Ok(Sandbox { world, network, storages, regions, sources, accounts, rules, _tasks: tasks })
    }

    /// What a drill acts on.
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// What the manifests ask for that the sandbox does not simulate, and what of them was not loaded as it stands there; a line each.
    pub fn notes(&self) -> Vec<String> {
        let of_region = |(region, account): (&Region, &Account)| {
            account.lines().into_iter().map(move |line| format!("{region}: {line}")).collect::<Vec<_>>()
        };
        self.accounts.iter().flat_map(of_region).collect()
    }

    /// What stands in for which images now, a line for each region and sort.
    pub fn stand_ins(&self) -> Vec<String> {
        let of_region = |(region, (state, _)): (&Region, &(Arc<RegionState>, Arc<Pods>))| {
            let sorts = state.read(|store| choice::sorts(store, &self.rules));
            sorts.into_iter().map(move |line| format!("{region}: {line}")).collect::<Vec<_>>()
        };
        self.regions.iter().flat_map(of_region).collect()
    }

    /// The truth from now on, for tests.
    #[doc(hidden)]
    pub fn truth(&self) -> Truth {
        Truth::begin(&self.network, &self.storages, self.sources.clone())
    }

    /// The state of each region, for tests and for serving the regions.
    #[doc(hidden)]
    pub fn regions(&self) -> impl Iterator<Item = (&Region, &Arc<RegionState>)> {
        self.regions.iter().map(|(name, (state, _))| (name, state))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for (_, pods) in self.regions.values() {
            pods.crash(|_| true);
        }
    }
}

/// A region's range: half for pods, a quarter for services inside, an eighth for services outside, the rest for machines.
fn part(range: Range, eighth: u32, longer: u8) -> Pool {
    let first = range.nth(eighth << (32 - u32::from(range.prefix) - 3)).unwrap_or(range.address);
    Pool { network: first, prefix: range.prefix + longer }
}

/// Where the pods of a region get their addresses from.
pub(super) fn pod_addresses(range: Range) -> Pool {
    part(range, 0, 1)
}

/// A region with its nodes and objects, before anything runs.
pub(super) fn raise(
    region: &RegionSpec,
    texts: &BTreeMap<String, Arc<Text>>,
    clock: Clock,
    seed: u64,
) -> Result<(Arc<RegionState>, Account), Vec<Diagnostic>> {
    let wrong = |why: String| vec![Diagnostic::error(why, None)];
    let state = RegionState::new(Settings {
        name: region.name.clone(),
        seed,
        clock,
        services: part(region.addresses, 4, 2),
        remembered_changes: REMEMBERED,
    });
    // The network must not miss a change, and follows them only later.
    state.write(|store| store.followed(0));
    for node in &region.nodes {
        let labels = json!({
            "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": node.zone, "topology.kubernetes.io/region": region.name,
        });
        let room = json!({"cpu": "256", "memory": "1Ti", "ephemeral-storage": "8Ti", "pods": "110"});
        let status = json!({"capacity": room, "allocatable": room});
        let object = json!({"metadata": {"name": node.name, "labels": labels}, "spec": {}, "status": status});
        state
            .write(|store| store.create(&Resource::nodes(), object))
            .map_err(|error| wrong(format!("region {}: {error}", region.name)))?;
    }
    let missing = |path: &&String| manifests::of(texts, path).next().is_none();
    if let Some(path) = region.manifests.iter().find(missing) {
        return Err(wrong(format!("manifest {path}: it was not given")));
    }
    let named = region.manifests.iter().flat_map(|path| manifests::of(texts, path));
    let account = state.write(|store| manifests::load(store, named, region.addresses))?;
    let nodes = state.read(|store| store.list("", "nodes", None).count());
    match checks::crowded(region, nodes) {
        Some((message, help)) => Err(vec![Diagnostic::error(message, None).help(help)]),
        None => Ok((state, account)),
    }
}

/// Starts what moves in a region.
fn run(
    state: &Arc<RegionState>,
    region: &RegionSpec,
    rules: &[StandInRule],
    network: &Arc<Network>,
    storages: &Storages,
    tasks: &mut JoinSet<()>,
) -> Arc<Pods> {
    let (wakes, woken) = unbounded_channel();
    let nodes = Resource::nodes();
    let machines: BTreeSet<String> = state.read(|store| {
        store.list(&nodes.group, &nodes.plural, None).map(|(key, _)| key.name().to_owned()).collect()
    });
    let (name, network, storages) = (region.name.clone(), Arc::clone(network), storages.clone());
    let pods = Pods::new(name, state.clock, network, storages, machines, rules.to_vec(), wakes);
    state.set_containers(Arc::clone(&pods) as _);
    tasks.spawn(follow(Arc::clone(state), Arc::clone(&pods)));
    let addresses = Addresses {
        pods: pod_addresses(region.addresses),
        load_balancers: part(region.addresses, 6, 3),
        machines: part(region.addresses, 7, 3),
    };
    tasks.spawn(drive(Arc::clone(state), Arc::clone(&pods) as _, woken, addresses));
    pods
}

/// Who sends from each vantage: an agent on a machine of each region, and the orchestrator outside.
fn sources(spec: &SandboxSpec) -> BTreeMap<Vantage, Source> {
    let outside = Source { place: OUTSIDE.into(), address: OUTSIDE_ADDRESS, pod: None };
    let agents = spec.regions.iter().map(|region| {
        let Pool { network, .. } = part(region.addresses, 7, 3);
        let address = Ipv4Addr::from(u32::from(network) + 1);
        (region.name.as_str().into(), Source { place: region.name.as_str().into(), address, pod: None })
    });
    agents.chain([(OUTSIDE.into(), outside)]).collect()
}

fn address_range(region: &RegionSpec) -> AddressRange {
    AddressRange {
        region: region.name.clone(),
        network: region.addresses.address.into(),
        prefix: region.addresses.prefix,
    }
}
