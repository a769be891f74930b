//! A world of real clusters: contexts of kubeconfigs, real sockets, real time.
//!
//! ```text
//! Environment ─► connect (a client a region, who it is) ────────────┐
//!             ─► net (sockets, a proxy) ── names, questions (DNS) ──┼─► World
//!             ─► agents (a pod's port, an address) ─────────────────┤
//!             ─► alerts (Alertmanager, pages) · commands            │
//! people at the run's socket ─► people, control ────────────────────┘
//! clock: counts suspend
//! ```
//! Everything that the engine knows of it is the ports of `world` (I2). A cluster is touched on purpose only (I9): before a world is
//! given out, each region's identity has been read and is the one of the document, and for a run its clock is not surely another one than
//! this machine's; healing asks nobody's clock.

pub mod agents;
pub mod alerts;
pub mod checks;
pub mod clock;
pub mod commands;
pub mod connect;
pub mod control;
pub mod environment;
pub mod names;
pub mod net;
pub mod offset;
pub mod pages;
pub mod people;
mod questions;
pub mod trust;
mod validity;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;

pub use connect::{ClusterError, Connected};
pub use environment::EnvironmentSpec;
pub use people::LivePeople;

use crate::model::name::{Region, Uid, Vantage};
use crate::world::{Net, World};
use alerts::Alertmanagers;
use clock::LiveClock;
use commands::AllowedCommands;
use environment::OUTSIDE;
use net::SocketNet;
use offset::TOLERANCE;
use trust::Trust;

/// Connects to every region of an environment, each on its own and all at once: a dead one holds up nobody.
///
/// `folder` is where the document's relative paths begin.
pub async fn connect_all(
    spec: &EnvironmentSpec,
    folder: &Path,
) -> BTreeMap<Region, Result<Connected, ClusterError>> {
    let each =
        spec.regions.iter().map(async |region| (region.name.clone(), connect::connect(region, folder).await));
    join_all(each).await.into_iter().collect()
}

/// The world of an environment, once every region is the cluster that the document says.
///
/// # Errors
/// The first region that cannot be reached, is another cluster, is the same as another, or whose clock is off; names and networks that make
/// no sense.
pub async fn world(
    spec: &EnvironmentSpec,
    folder: &Path,
    people: Arc<LivePeople>,
    clock: LiveClock,
) -> Result<World, ClusterError> {
    let (regions, unreachable) = reach(spec, folder).await?;
    if let Some(error) = unreachable.into_iter().next() {
        return Err(error);
    }
    let is_off = |connected: &Connected| connected.offset.filter(|offset| offset.is_surely_over(TOLERANCE));
    if let Some((region, offset)) = regions.iter().find_map(|(name, it)| Some((name, is_off(it)?))) {
        return Err(ClusterError::Clock { region: region.clone(), offset });
    }
    of_regions(spec, folder, regions, people, clock)
}

/// The same with what is in reach now, as healing needs it: a region that does not answer is left out, and told.
///
/// # Errors
/// As [`world`], but for regions that cannot be reached and for their clocks.
pub async fn world_in_reach(
    spec: &EnvironmentSpec,
    folder: &Path,
    people: Arc<LivePeople>,
    clock: LiveClock,
) -> Result<(World, Vec<ClusterError>), ClusterError> {
    let (regions, unreachable) = reach(spec, folder).await?;
    Ok((of_regions(spec, folder, regions, people, clock)?, unreachable))
}

type Reached = (BTreeMap<Region, Connected>, Vec<ClusterError>);

/// The regions that answer, each another cluster, and why the others do not.
async fn reach(spec: &EnvironmentSpec, folder: &Path) -> Result<Reached, ClusterError> {
    let mut regions = BTreeMap::new();
    let mut seen: BTreeMap<Uid, Region> = BTreeMap::new();
    let mut unreachable = Vec::new();
    for (name, connected) in connect_all(spec, folder).await {
        let connected = match connected {
            Ok(connected) => connected,
            Err(error @ ClusterError::Unreachable { .. }) => {
                unreachable.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(other) = seen.insert(connected.identity.clone(), name.clone()) {
            return Err(ClusterError::Same { one: other, other: name, identity: connected.identity });
        }
        regions.insert(name, connected);
    }
    Ok((regions, unreachable))
}

/// The world around regions that have been reached.
fn of_regions(
    spec: &EnvironmentSpec,
    folder: &Path,
    regions: BTreeMap<Region, Connected>,
    people: Arc<LivePeople>,
    clock: LiveClock,
) -> Result<World, ClusterError> {
    let trust = Trust::of(&spec.certificate_authorities, folder)?;
    // Asked from where this process runs, whatever `outside` goes through.
    let here = Arc::new(SocketNet::new(None, None, None, trust.clone())?);
    let clock = Arc::new(clock);
    let regions: BTreeMap<_, _> =
        regions.into_iter().map(|(name, connected)| (name, connected.client)).collect();
    Ok(World {
        vantages: vantages(spec, &trust)?,
        agents: agents::agents(spec, &regions),
        regions,
        addresses: spec.regions.iter().flat_map(environment::ClusterSpec::ranges).collect(),
        clock: clock.clone(),
        people,
        alerts: Arc::new(Alertmanagers::new(spec.alert_sources().map(|(_, source)| source), here, clock)?),
        commands: Arc::new(AllowedCommands::new(&spec.commands)),
    })
}

/// Where probes can be sent from: `outside`, where this process runs, and every vantage of the document.
fn vantages(spec: &EnvironmentSpec, trust: &Trust) -> Result<BTreeMap<Vantage, Arc<dyn Net>>, ClusterError> {
    let mut found: BTreeMap<Vantage, Arc<dyn Net>> = BTreeMap::new();
    for vantage in spec.vantages.iter().filter(|vantage| vantage.agent.is_none()) {
        let net = SocketNet::new(vantage.proxy, vantage.dns, spec.authority, trust.clone())?;
        found.insert(vantage.name.clone(), Arc::new(net));
    }
    if spec.vantages.iter().all(|vantage| vantage.name.as_str() != OUTSIDE) {
        found.insert(OUTSIDE.into(), Arc::new(SocketNet::new(None, None, spec.authority, trust.clone())?));
    }
    Ok(found)
}
