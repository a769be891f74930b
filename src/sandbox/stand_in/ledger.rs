//! The project's own ledger in a pod: the same code as on a socket, over the simulated network; its storage outlives the pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::task::AbortHandle;

use crate::ledger::{Change, Role, Service, Storage, StorageError, serve_connection};
use crate::model::name::Region;
use crate::model::time::At;
use crate::sandbox::clock::Clock;
use crate::sandbox::net::Listener;
use crate::sandbox::net::pipe::End;

/// What outlives a pod: its region, its namespace, and its claim or its name in its StatefulSet.
pub type Identity = (Region, String, String);

/// The storages of all ledger nodes.
#[derive(Clone, Default)]
pub struct Storages {
    kept: Arc<Mutex<BTreeMap<Identity, Kept>>>,
    order: Arc<AtomicU64>,
}

impl Storages {
    /// The storage of a pod; a pod that nothing outlives gets a new one.
    pub fn of(&self, region: &Region, pod: &Value, side: Role, clock: Clock) -> Kept {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str);
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
        let claim = volumes
            .into_iter()
            .flatten()
            .find_map(|volume| volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str));
        let owned = text("/metadata/ownerReferences/0/kind") == Some("StatefulSet");
        let name = if owned { text("/metadata/name") } else { text("/metadata/uid") };
        let identity = claim.or(name).unwrap_or_default().to_owned();
        let namespace = text("/metadata/namespace").unwrap_or_default().to_owned();
        let kept = || Kept { side, clock, order: Arc::clone(&self.order), changes: Arc::default() };
        self.lock().entry((region.clone(), namespace, identity)).or_insert_with(kept).clone()
    }

    /// Every storage there is.
    pub fn all(&self) -> Vec<(Identity, Kept)> {
        self.lock().iter().map(|(key, kept)| (key.clone(), kept.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Identity, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change, and when it was kept.
#[derive(Debug, Clone)]
pub struct Dated {
    pub at: At,
    /// Among the changes of all nodes, since many may be kept at one instant.
    pub order: u64,
    pub change: Change,
}

/// One node's changes.
#[derive(Clone)]
pub struct Kept {
    /// The role that the node began with.
    side: Role,
    clock: Clock,
    order: Arc<AtomicU64>,
    changes: Arc<Mutex<Vec<Dated>>>,
}

impl Kept {
    /// The role that the node began with.
    pub fn side(&self) -> Role {
        self.side
    }

    /// All changes so far.
    pub fn changes(&self) -> Vec<Dated> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Dated>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Kept {
    fn load(&mut self) -> Result<Vec<Change>, StorageError> {
        Ok(self.lock().iter().map(|dated| dated.change.clone()).collect())
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        let now = self.clock.now();
        let dated = changes.iter().map(|change| {
            let order = self.order.fetch_add(1, Ordering::Relaxed);
            Dated { at: now, order, change: change.clone() }
        });
        self.lock().extend(dated);
        Ok(())
    }
}

/// A node that takes connections.
pub(super) struct LedgerListener(pub(super) Arc<Service>);

impl Listener for LedgerListener {
    fn accept(&self, stream: End, _: Ipv4Addr) -> AbortHandle {
        // In a box: a task is moved several times before it runs, and a connection is large.
        tokio::spawn(Box::pin(serve_connection(Arc::clone(&self.0), Box::new(stream)))).abort_handle()
    }

    fn serves(&self, _: &dyn Fn(&str) -> bool) -> bool {
        self.0.is_readable()
    }
}
