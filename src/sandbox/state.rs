//! One simulated region as its API server and its controllers share it: the store, the clock, and what may go wrong.
//!
//! ```text
//! kube::Client ─► api ─┐                        ┌─ watches
//!                      ├─► RegionState::write ──┤
//! controllers ─────────┘    (one lock, no await)└─ changed(): the controllers' driver
//! ```
//! The lock is never held across an await, so that an order of events is the order of writes. What runs in containers is
//! somebody else's ([`Containers`]): the API only carries their streams.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::clock::Clock;
use super::events::Teller;
use super::store::Store;
use crate::model::name::Region;
use crate::model::time::At;
use crate::world::watch;

/// A range of IPv4 addresses that an allocator draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub network: Ipv4Addr,
    /// The length of the network's prefix in bits.
    pub prefix: u8,
}

/// What a region starts with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub name: Region,
    /// Makes uids, generated names and addresses.
    pub seed: u64,
    pub clock: Clock,
    /// Where Services' cluster addresses come from.
    pub services: Pool,
    /// How many changes a watch can go back before it gets 410 Gone.
    pub remembered_changes: usize,
}

/// How an API server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Up,
    /// Nothing arrives: requests and watches hang until it is up again or their caller gives up.
    BlackHole,
    /// Every request is answered with this status; open watches end.
    Failing(u16),
}

/// What a command in a container printed, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub code: i32,
}

/// A line that a container printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: At,
    /// Without its end.
    pub text: String,
}

/// What a container printed so far, and where somebody follows it what it prints until it ends.
#[derive(Debug)]
pub struct Printed {
    pub so_far: Vec<Line>,
    pub more: Option<UnboundedReceiver<Line>>,
}

/// What runs in a region's containers.
pub trait Containers: Send + Sync {
    /// Runs a command in a container of a pod; in its only or first one where none is named.
    ///
    /// # Errors
    /// Where the container does not run or has no such command.
    fn exec<'a>(
        &'a self,
        pod: &'a Value,
        container: Option<&'a str>,
        argv: &'a [String],
    ) -> BoxFuture<'a, io::Result<Ran>>;

    /// What a container has printed: of its incarnation before this one, or so far, or so far and until it ends.
    ///
    /// # Errors
    /// Where nothing is known of the container.
    fn logs(&self, pod: &Value, container: &str, previous: bool, follow: bool) -> io::Result<Printed>;
}

/// One simulated region.
pub struct RegionState {
    pub name: Region,
    pub clock: Clock,
    store: Mutex<Store>,
    events: Mutex<Teller>,
    changed: watch::Sender<u64>,
    availability: watch::Sender<Availability>,
    containers: OnceLock<Arc<dyn Containers>>,
}

impl RegionState {
    /// An empty region: only the namespaces that every cluster has.
    pub fn new(settings: Settings) -> Arc<Self> {
        let (name, clock) = (settings.name.clone(), settings.clock);
        let store = Store::new(&settings);
        Arc::new(Self {
            name,
            clock,
            changed: watch::Sender::new(store.version()),
            store: Mutex::new(store),
            events: Mutex::default(),
            availability: watch::Sender::new(Availability::Up),
            containers: OnceLock::new(),
        })
    }

    /// Reads the store under its lock.
    pub fn read<R>(&self, look: impl FnOnce(&Store) -> R) -> R {
        look(&self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the store under its lock, and wakes whoever waits for changes if there were any.
    pub fn write<R>(&self, act: impl FnOnce(&mut Store) -> R) -> R {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut store);
        self.teller().tell(&mut store);
        let version = store.version();
        drop(store);
        self.changed.send_if_modified(|seen| std::mem::replace(seen, version) != version);
        result
    }

    /// Makes events objects, from now on at once: somebody wants to read them.
    pub fn tell_events(&self) {
        self.write(|store| self.teller().begin(store));
    }

    fn teller(&self) -> MutexGuard<'_, Teller> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the version of the latest change, whenever there is one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How the API server answers now.
    pub fn availability(&self) -> Availability {
        self.availability.get()
    }

    /// Tells how the API server answers, whenever that changes.
    pub fn availability_changes(&self) -> watch::Receiver<Availability> {
        self.availability.subscribe()
    }

    /// Changes how the API server answers from now on.
    pub fn set_availability(&self, availability: Availability) {
        self.availability.send(availability);
    }

    /// Says what runs in the region's containers; the first one counts.
    pub fn set_containers(&self, containers: Arc<dyn Containers>) {
        let _ = self.containers.set(containers);
    }

    /// What runs in the region's containers, once somebody said so.
    pub fn containers(&self) -> Option<Arc<dyn Containers>> {
        self.containers.get().cloned()
    }
}
