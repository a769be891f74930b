//! Garbage collection: what becomes of objects whose owner goes away.
//!
//! Background: the owner is gone, then its dependents go. Foreground: the owner waits, with a finalizer, for the dependents that
//! block it, and they for theirs. Orphan: the dependents forget the owner first. The finalizers are the API server's to set.

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Mark, Store, Write};
use super::{Controller, Processes, Reconciled, at, read};
use crate::model::time::At;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The garbage collector.
pub struct Garbage;

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let mut keys = vec![];
        // A dependent that is gone may let its owner go.
        if change.kind == ChangeKind::Deleted {
            let owners = read::list(&change.object, "/metadata/ownerReferences").iter();
            let found = owners.filter_map(|owner| named(store, &change.key, owner));
            keys.extend(found.filter(|(_, owner)| holds(owner, FOREGROUND)).map(|(key, _)| key));
            keys.extend(dependents(store, read::uid(&change.object)).map(|(key, _)| key.clone()));
            return keys;
        }
        let owner = read::terminating(&change.object)
            && (holds(&change.object, FOREGROUND) || holds(&change.object, ORPHAN));
        let owned = change.kind == ChangeKind::Added
            && !read::list(&change.object, "/metadata/ownerReferences").is_empty();
        if owner || owned { vec![change.key.clone()] } else { vec![] }
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(object) = at(store, key) else { return Reconciled::nothing() };
        if read::terminating(object) && holds(object, ORPHAN) {
            let mut writes: Vec<Write> = dependents(store, read::uid(object))
                .map(|(key, dependent)| Write::Update {
                    key: key.clone(),
                    object: orphaned(dependent, read::uid(object)),
                })
                .collect();
            writes.push(released(key, object, ORPHAN));
            return writes.into();
        }
        if read::terminating(object) && holds(object, FOREGROUND) {
            let owned: Vec<_> = dependents(store, read::uid(object)).collect();
            if !owned.iter().any(|(_, dependent)| blocks(dependent, read::uid(object))) {
                return vec![released(key, object, FOREGROUND)].into();
            }
            let doomed = owned.into_iter().filter(|(_, dependent)| !read::terminating(dependent));
            return doomed
                .flat_map(|(key, dependent)| foreground(store, key, dependent))
                .collect::<Vec<_>>()
                .into();
        }
        let owners = read::list(object, "/metadata/ownerReferences");
        let left: Vec<&Value> = owners.iter().filter(|owner| exists(store, key, owner)).collect();
        if left.len() == owners.len() || read::terminating(object) {
            return Reconciled::nothing();
        }
        if left.is_empty() {
            return vec![Write::Delete { key: key.clone() }].into();
        }
        let mut object = object.clone();
        object["metadata"]["ownerReferences"] = json!(left);
        vec![Write::Update { key: key.clone(), object }].into()
    }
}

fn holds(object: &Value, finalizer: &str) -> bool {
    read::list(object, "/metadata/finalizers").iter().any(|each| each == finalizer)
}

fn dependents<'a>(store: &'a Store, owner: &str) -> impl Iterator<Item = (&'a Key, &'a Value)> + use<'a> {
    store.marked(&Mark::Owner(owner.to_owned())).map(|(key, object)| (key, object.as_ref()))
}

/// Writes that delete what an owner waits for; what owns something itself waits for that in its turn.
fn foreground(store: &Store, key: &Key, object: &Value) -> Vec<Write> {
    let mut writes = vec![];
    if dependents(store, read::uid(object)).next().is_some() {
        let mut finalizers = read::list(object, "/metadata/finalizers").to_vec();
        finalizers.push(json!(FOREGROUND));
        let mut object = object.clone();
        object["metadata"]["finalizers"] = json!(finalizers);
        writes.push(Write::Update { key: key.clone(), object });
    }
    writes.push(Write::Delete { key: key.clone() });
    writes
}

fn blocks(dependent: &Value, owner: &str) -> bool {
    let mut owners = read::list(dependent, "/metadata/ownerReferences").iter();
    owners.any(|reference| {
        read::text(reference, "/uid") == owner && read::flag(reference, "/blockOwnerDeletion")
    })
}

/// Whether an owner is still there.
fn exists(store: &Store, dependent: &Key, owner: &Value) -> bool {
    named(store, dependent, owner).is_some()
        || store.marked(&Mark::Uid(read::text(owner, "/uid").to_owned())).next().is_some()
}

/// An owner by its name, in the dependent's namespace or of the whole cluster. Its plural is a guess that fits every kind of
/// Kubernetes' own; an owner of another kind is not found here.
fn named<'a>(store: &'a Store, dependent: &Key, owner: &Value) -> Option<(Key, &'a Value)> {
    let kind = read::text(owner, "/kind").to_lowercase();
    let group = read::text(owner, "/apiVersion").rsplit_once('/').map(|(group, _)| group).unwrap_or_default();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    [dependent.namespace(), None].into_iter().find_map(|namespace| {
        let key = Key::within(group, &plural, namespace, read::name_field(owner));
        let found = at(store, &key).filter(|found| read::uid(found) == read::text(owner, "/uid"))?;
        Some((key, found))
    })
}

fn released(key: &Key, object: &Value, finalizer: &str) -> Write {
    let mut object = object.clone();
    let left: Vec<&Value> =
        read::list(&object, "/metadata/finalizers").iter().filter(|each| *each != finalizer).collect();
    object["metadata"]["finalizers"] = json!(left);
    Write::Update { key: key.clone(), object }
}

fn orphaned(dependent: &Value, owner: &str) -> Value {
    let mut object = dependent.clone();
    let left: Vec<&Value> = read::list(dependent, "/metadata/ownerReferences")
        .iter()
        .filter(|reference| read::text(reference, "/uid") != owner)
        .collect();
    object["metadata"]["ownerReferences"] = json!(left);
    object
}
