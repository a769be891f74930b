//! A world of real clusters: contexts of kubeconfigs, real sockets, real time.
//!
//! ```text
//! Environment ─► connect (a client a region, who it is) ─┐
//!             ─► net (sockets, a proxy) ── names (DNS) ──┼─► World
//!             ─► alerts (Alertmanager) · commands        │
//! people at the run's socket ─► people, control ─────────┘
//! clock: counts suspend
//! ```
//! Everything that the engine knows of it is the ports of `world` (I2). A cluster is touched on purpose only (I9): before a world is
//! given out, each region's identity has been read and is the one of the document. Left out for now: vantages that are agents.

pub mod alerts;
pub mod checks;
pub mod clock;
pub mod commands;
pub mod connect;
pub mod control;
pub mod environment;
pub mod names;
pub mod net;
pub mod people;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;

pub use connect::{ClusterError, Connected};
pub use environment::EnvironmentSpec;
pub use people::LivePeople;

use crate::model::name::{Region, Uid, Vantage};
use crate::world::{Net, World};
use alerts::Alertmanager;
use clock::LiveClock;
use commands::AllowedCommands;
use environment::OUTSIDE;
use net::SocketNet;

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
/// The first region that cannot be reached, is another cluster, or is the same as another; names and networks that make no sense.
pub async fn world(
    spec: &EnvironmentSpec,
    folder: &Path,
    people: Arc<LivePeople>,
    clock: LiveClock,
) -> Result<World, ClusterError> {
    let (world, unreachable) = world_in_reach(spec, folder, people, clock).await?;
    unreachable.into_iter().next().map_or(Ok(world), Err)
}

/// The same with what is in reach now, as healing needs it: a region that does not answer is left out, and told.
///
/// # Errors
/// As [`world`], but for regions that cannot be reached.
pub async fn world_in_reach(
    spec: &EnvironmentSpec,
    folder: &Path,
    people: Arc<LivePeople>,
    clock: LiveClock,
) -> Result<(World, Vec<ClusterError>), ClusterError> {
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
        regions.insert(name, connected.client);
    }
    let vantages = vantages(spec)?;
    // Asked from where this process runs, whatever `outside` goes through.
    let here = Arc::new(SocketNet::new(None, None, None)?);
    let clock = Arc::new(clock);
    let world = World {
        regions,
        vantages,
        addresses: spec.regions.iter().flat_map(environment::ClusterSpec::ranges).collect(),
        clock: clock.clone(),
        people,
        alerts: Arc::new(Alertmanager::new(spec.alerts.as_ref(), here, clock)?),
        commands: Arc::new(AllowedCommands::new(&spec.commands)),
    };
    Ok((world, unreachable))
}

/// Where probes can be sent from: `outside`, where this process runs, and every vantage of the document.
fn vantages(spec: &EnvironmentSpec) -> Result<BTreeMap<Vantage, Arc<dyn Net>>, ClusterError> {
    let mut found: BTreeMap<Vantage, Arc<dyn Net>> = BTreeMap::new();
    for vantage in &spec.vantages {
        let net = SocketNet::new(vantage.proxy, vantage.dns, spec.authority)?;
        found.insert(vantage.name.clone(), Arc::new(net));
    }
    if !found.contains_key(OUTSIDE) {
        found.insert(OUTSIDE.into(), Arc::new(SocketNet::new(None, None, spec.authority)?));
    }
    Ok(found)
}
