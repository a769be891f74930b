//! Whose an object is: an owner adopts what its selector chooses and nobody controls, and releases what it no longer chooses.
//!
//! So a workload that was deleted and left its pods finds them again when it is made again, and a pod whose label is changed is left
//! to whoever wants to look at it, while another takes its place.

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Mark, Store, Write};
use super::{asking, owners, read, template};
use crate::model::effect::Resource;

/// The objects of a kind that an owner controls, of those that count; or what it must write before that is settled.
///
/// # Errors
/// Adoptions and releases that are due: the owner looks again when they are done.
pub fn members<'a>(
    store: &'a Store,
    owner_kind: &Resource,
    owner: &Value,
    kind: &Resource,
    counts: impl Fn(&Value) -> bool,
) -> Result<Vec<&'a Value>, Vec<Write>> {
    let selector = read::at(owner, "/spec/selector").unwrap_or(&Value::Null);
    let (mut kept, mut writes) = (vec![], vec![]);
    let namespace = Some(read::namespace(owner));
    let mut known: Vec<_> = [Mark::Owner(read::uid(owner).to_owned()), Mark::Free]
        .iter()
        .flat_map(|mark| store.marked_of(mark, kind, namespace))
        .collect();
    known.sort_by_key(|(key, _)| *key);
    known.dedup_by_key(|(key, _)| *key);
    for object in known.into_iter().map(|(_, object)| object.as_ref()).filter(|object| counts(object)) {
        let (mine, chosen) = (read::controlled_by(object, owner), chooses(selector, object));
        let free = read::controller(object).is_none() && !read::terminating(object);
        match (mine, chosen) {
            (true, true) => kept.push(object),
            (true, false) => writes.push(released(kind, object, read::uid(owner))),
            (false, true) if free => writes.push(adopted(kind, object, owner_kind, owner)),
            (false, _) => {}
        }
    }
    if writes.is_empty() { Ok(kept) } else { Err(writes) }
}

/// The owners of a kind that a changed object has, had, or could get.
pub fn claimants(store: &Store, change: &Change, owner_kind: &Resource, kind: &Resource) -> Vec<Key> {
    let mut keys = owners(change, owner_kind);
    let free = change.key.is(kind)
        && change.kind != ChangeKind::Deleted
        && read::controller(&change.object).is_none();
    if free {
        let labels = read::labels(&change.object);
        let choosing = asking(store, owner_kind, change.key.namespace(), labels).filter(|owner| {
            chooses(read::at(owner, "/spec/selector").unwrap_or(&Value::Null), &change.object)
        });
        keys.extend(choosing.map(|owner| Key::of(owner_kind, owner)));
    }
    keys
}

/// Whether a selector chooses an object; one that says nothing chooses none.
fn chooses(selector: &Value, object: &Value) -> bool {
    selector.as_object().is_some_and(|rules| !rules.is_empty())
        && read::selects(selector, read::labels(object))
}

fn adopted(kind: &Resource, object: &Value, owner_kind: &Resource, owner: &Value) -> Write {
    let mut references = read::list(object, "/metadata/ownerReferences").to_vec();
    references.extend(read::list(&template::owned_by(owner_kind, owner), "").to_vec());
    let mut object = object.clone();
    let key = Key::of(kind, &object);
    object["metadata"]["ownerReferences"] = json!(references);
    Write::Update { key, object }
}

fn released(kind: &Resource, object: &Value, owner: &str) -> Write {
    let mut references = read::list(object, "/metadata/ownerReferences").to_vec();
    references.retain(|reference| read::text(reference, "/uid") != owner);
    let mut object = object.clone();
    let key = Key::of(kind, &object);
    object["metadata"]["ownerReferences"] = json!(references);
    Write::Update { key, object }
}
