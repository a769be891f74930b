//! The objects of one region: versions, optimistic concurrency, graceful deletion, and the log that watches read.
//!
//! A plain struct with no lock, no clock of its own making and no HTTP, so that its tests feed it values. Each change is
//! first a [`Draft`] (a dry run stops there) and then committed; one change is one version and one entry in the log, so a watch
//! finds its place by subtraction. Every write costs a logarithm of the number of objects, since nothing here scans;
//! what is sought by something else than its key is found through `index`.
//! Rejected: typed objects (a custom resource has no type), a map per kind (one ordered map has ranges).

mod addresses;
mod admission;
mod defaults;
mod draft;
mod index;
mod key;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::Clock;
use super::state::{Pool, Settings};
use crate::model::effect::Resource;
use crate::model::time::At;
pub use draft::{Deletion, Draft, Part, Propagation, is_object_name};
pub use index::Mark;
pub use key::Key;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub kind: ChangeKind,
    /// As it is after the change; where it was deleted, as it was last, with the version of the deletion.
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
    pub at: At,
    /// The controller that made it; none where a user did.
    pub by: Option<&'static str>,
}

/// What a controller writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A new object; `metadata.generateName` is honoured.
    Create { resource: Resource, object: Value },
    /// Everything but the status.
    Update { key: Key, object: Value },
    /// The whole status.
    Status { key: Key, status: Value },
    /// Gracefully, as a user deletes: finalizers and a pod's grace period are kept.
    Delete { key: Key },
    /// For good, with no grace, as a kubelet removes a pod that ended; finalizers still hold it.
    Remove { key: Key },
}

/// Why the store refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{0} not found")]
    NotFound(Key),
    #[error("{0} already exists")]
    AlreadyExists(Key),
    #[error("{0}: {1}")]
    Conflict(Key, String),
    #[error("{} {:?} is forbidden: {why}", .key.plural(), .key.name())]
    Forbidden { key: Key, why: String },
    #[error("{0}: {1}")]
    Invalid(Key, String),
    #[error("the changes after version {asked} are forgotten, the oldest known is {oldest}: list again")]
    Gone { asked: u64, oldest: u64 },
}

/// A pod that a controller was not allowed to make.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Counts them.
    pub number: u64,
    /// The controller, and the metadata of the pod as it asked for it.
    pub by: &'static str,
    pub object: Value,
    /// As an API server says it.
    pub why: String,
    pub at: At,
}

/// How many of the last refusals are remembered.
const REFUSALS: usize = 100;

/// The objects of one region.
pub struct Store {
    clock: Clock,
    rng: fastrand::Rng,
    services: Pool,
    remembered: usize,
    version: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    index: index::Index,
    changes: VecDeque<Change>,
    refusals: VecDeque<Refused>,
    /// The version up to which somebody has followed the changes who must not miss any; the later ones are remembered however many they are.
    followed: u64,
    service_addresses: BTreeSet<String>,
    node_ports: BTreeSet<u64>,
    /// The controller that writes now.
    writer: Option<&'static str>,
    /// How many objects were looked at one by one.
    #[cfg(test)]
    visited: std::cell::Cell<u64>,
}

impl Store {
    /// A store with the namespaces that every cluster has.
    pub fn new(settings: &Settings) -> Self {
        let mut store = Self {
            clock: settings.clock,
            rng: fastrand::Rng::with_seed(settings.seed),
            services: settings.services,
            remembered: settings.remembered_changes.max(1),
            version: 0,
            objects: BTreeMap::new(),
            index: index::Index::default(),
            changes: VecDeque::new(),
            refusals: VecDeque::new(),
            followed: u64::MAX,
            service_addresses: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            writer: None,
            #[cfg(test)]
            visited: std::cell::Cell::default(),
        };
        let names = ["default", "kube-node-lease", "kube-public", "kube-system"];
        let writes = names.map(|name| Write::Create {
            resource: Resource::namespaces(),
            object: json!({"metadata": {"name": name}}),
        });
        store.apply(&writes);
        store
    }

    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The clock that stamps the objects.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a kind, of one namespace or of all, by namespace and name.
    pub fn list<'a>(
        &'a self,
        group: &'a str,
        plural: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        self.list_after(Key::within(group, plural, namespace, ""), namespace.is_some())
    }

    /// The objects of a kind behind a key, in the key's namespace only or through all the later ones.
    pub fn list_after(&self, after: Key, one_namespace: bool) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let range = (Bound::Excluded(after.clone()), Bound::Unbounded);
        let within = move |(key, _): &(&Key, &Arc<Value>)| after.is_beside(key, one_namespace);
        self.objects.range(range).take_while(within).inspect(|_| self.visit())
    }

    /// How many objects were looked at one by one so far.
    #[cfg(test)]
    pub fn visited(&self) -> u64 {
        self.visited.get()
    }

    /// For tests: counts an object that somebody looks at on the way to others.
    fn visit(&self) {
        #[cfg(test)]
        self.visited.set(self.visited.get() + 1);
    }

    /// Every object, by kind, namespace and name.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Somebody has followed the changes up to a version, and must not miss the later ones.
    pub fn followed(&mut self, version: u64) {
        self.followed = version;
    }

    /// The oldest version whose later changes are all remembered.
    pub fn oldest(&self) -> u64 {
        self.version - self.changes.len() as u64
    }

    /// The changes after a version, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Gone`] where some of them are forgotten.
    pub fn changes_after(&self, version: u64) -> Result<impl Iterator<Item = &Change>, StoreError> {
        let oldest = self.oldest();
        if version < oldest {
            return Err(StoreError::Gone { asked: version, oldest });
        }
        let known = usize::try_from(version - oldest).unwrap_or(usize::MAX).min(self.changes.len());
        Ok(self.changes.range(known..))
    }

    /// What controllers were not allowed to make of late, oldest first.
    pub fn refusals(&self) -> impl DoubleEndedIterator<Item = &Refused> {
        self.refusals.iter()
    }

    fn note_refusal(&mut self, object: Value, error: &StoreError) {
        let Some(by) = self.writer else { return };
        let number = self.refusals.back().map_or(0, |last| last.number) + 1;
        let at = self.clock.now();
        self.refusals.push_back(Refused { number, by, object, why: error.to_string(), at });
        if self.refusals.len() > REFUSALS {
            self.refusals.pop_front();
        }
    }

    /// Makes an object.
    ///
    /// # Errors
    /// Where its name is taken, missing or not a name.
    pub fn create(&mut self, resource: &Resource, object: Value) -> Result<Arc<Value>, StoreError> {
        let draft = self.draft_create(resource, object)?;
        Ok(self.commit(draft))
    }

    /// Changes a part of an object.
    ///
    /// # Errors
    /// Where it is not there, or the given `resourceVersion` or `uid` is not the stored one.
    pub fn update(&mut self, key: &Key, object: Value, part: Part) -> Result<Arc<Value>, StoreError> {
        let draft = self.draft_update(key, object, part)?;
        Ok(self.commit(draft))
    }

    /// Deletes an object, gracefully where it has finalizers or is a pod that runs.
    ///
    /// # Errors
    /// Where it is not there, or a precondition does not hold.
    pub fn delete(&mut self, key: &Key, deletion: &Deletion) -> Result<Arc<Value>, StoreError> {
        let draft = self.draft_delete(key, deletion)?;
        Ok(self.commit(draft))
    }

    /// Does what controllers want, in order; what was refused comes back. A write that changes nothing is none.
    pub fn apply(&mut self, writes: &[Write]) -> Vec<StoreError> {
        writes.iter().filter_map(|write| self.apply_one(write.clone()).err()).collect()
    }

    /// Does what one controller wants; its name stands with the changes.
    pub fn apply_by(&mut self, controller: &'static str, writes: Vec<Write>) -> Vec<StoreError> {
        self.writer = Some(controller);
        let mut refused = vec![];
        for write in writes {
            // The first of many pods is made alone: where it is refused, the others are not tried.
            let is_pod = matches!(&write, Write::Create { resource, .. } if *resource == Resource::pods());
            if !is_pod || !refused.iter().any(|error| matches!(error, StoreError::Forbidden { .. })) {
                refused.extend(self.apply_one(write).err());
            }
        }
        self.writer = None;
        refused
    }

    fn apply_one(&mut self, write: Write) -> Result<(), StoreError> {
        match write {
            Write::Create { resource, object } => {
                let metadata = object["metadata"].clone();
                let created = self.create(&resource, object);
                if let Err(error @ StoreError::Forbidden { .. }) = &created {
                    self.note_refusal(json!({"metadata": metadata}), error);
                }
                created
            }
            Write::Update { key, mut object } => {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("resourceVersion"); // one lock holds over reading and writing: nobody wrote in between
                }
                self.update(&key, object, Part::AllButStatus)
            }
            Write::Status { key, status } => self.update(&key, json!({"status": status}), Part::Status),
            Write::Delete { key } => self.delete(&key, &Deletion::default()),
            Write::Remove { key } => {
                self.delete(&key, &Deletion { grace_seconds: Some(0), ..Deletion::default() })
            }
        }
        .map(|_| ())
    }
}
