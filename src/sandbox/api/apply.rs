//! Server-side apply: an applier says what it wants, and owns exactly that.
//!
//! ```text
//! live + named ─► merged ─ what it named before, names no more, and nobody else owns ─► next
//!                   └─► what differs from live and is somebody else's: 409, or theirs no longer by force
//! ```
//! The rules are those of structured-merge-diff's updater.

use std::collections::BTreeSet;

use serde_json::Value;

use super::answer::Refusal;
use super::decode;
use super::fields::{Fields, Path, held, merge, remove, said};
use super::managed::{Manager, Owners, compared, ownable};
use super::path::Call;
use super::shape::Shape;
use super::write::{self, Signed};
use crate::sandbox::store::{Store, StoreError};

/// What is wrong with a request before anybody looks at its object.
pub(super) fn check(call: &Call, applies: bool, body: &Value) -> Result<(), Refusal> {
    let wrong = |why: &str| Err(Refusal::invalid_options("PatchOptions", &[why.to_owned()]));
    if !applies {
        return match call.query.get("force") {
            Some(_) => wrong("force: Forbidden: may not be specified for non-apply patch"),
            None => Ok(()),
        };
    }
    if call.query.get("fieldManager").is_none() {
        return wrong("fieldManager: Required value: is required for apply patch");
    }
    if body["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// Applies an object; the code of the answer is 201 where it was not there.
pub(super) fn apply(
    call: &Call,
    store: &mut Store,
    named: Value,
    dry: bool,
) -> Result<(u16, Value), Refusal> {
    let key = call.key();
    let manager = Manager::of(call, "Apply");
    let time: Value = store.clock().time(store.clock().now()).into();
    let mut named = named;
    let fields = owned_here(call, &mut named);
    let Some(live) = store.get(&key).cloned() else {
        if call.sub.is_some() {
            return Err(Refusal::store(StoreError::NotFound(key), &call.served.resource));
        }
        let mut owners = Owners::default();
        owners.give(&manager, fields, &BTreeSet::new(), &time);
        decode::fill(call, &mut named);
        let made = write::store_create(call, store, named, &Signed::As(owners.write()), dry)?;
        return Ok((201, made));
    };
    let shape = call.served.shape();
    let before = held(shape, &live);
    let mut owners = Owners::read(&live);
    if owners.is_empty() {
        owners = Owners::before_first_apply(call, &before, &time);
    }
    let mut next = (*live).clone();
    merge(shape, &mut next, &named);
    let dropped = owners.of(&manager).without(&fields.0);
    owners.give(&manager, fields, &BTreeSet::new(), &time);
    for path in &dropped.0 {
        if let Some(path) = goes(&owners, path) {
            remove_whole(shape, &mut next, path, &owners);
        }
    }
    let (changed, removed) = compared(&before, &held(shape, &next));
    let conflicts = owners.conflicts(&manager, &changed);
    if !conflicts.is_empty() && !call.query.flag("force") {
        let named: Vec<(String, String)> =
            conflicts.iter().map(|(manager, path)| (manager.said(), said(path))).collect();
        return Err(Refusal::apply_conflict(&named));
    }
    let taken: BTreeSet<Path> = changed.union(&removed).cloned().collect();
    let fields = owners.of(&manager);
    owners.give(&manager, fields, &taken, &time);
    decode::fill(call, &mut next);
    Ok((200, write::store_update(call, store, next, &Signed::As(owners.write()), dry)?))
}

/// The fields that an apply names; what its subresource, or its lack of one, does not write is left out of the object.
fn owned_here(call: &Call, named: &mut Value) -> Fields {
    if let Some(object) = named.as_object_mut() {
        match call.sub.as_deref() {
            Some("status") => object
                .retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status")),
            _ if call.served.status => drop(object.remove("status")),
            _ => {}
        }
    }
    let mut fields = Fields::of(&held(call.served.shape(), named));
    fields.0.retain(|path| ownable(call, path));
    fields
}

/// What goes with a path that its applier names no more: the path, or the largest map around it in which nobody owns anything.
/// Metadata's maps stay, since controllers write there without a name.
fn goes<'a>(owners: &Owners, path: &'a [String]) -> Option<&'a [String]> {
    let shortest = if path.first().is_some_and(|top| top == "f:metadata") { path.len() } else { 2 };
    (shortest.min(path.len())..=path.len())
        .map(|length| &path[..length])
        .filter(|part| part.len() == path.len() || part.iter().all(|element| element.starts_with("f:")))
        .find(|part| !owners.reach(part))
}

/// Removes a path, and a map or list around it that becomes empty and is nobody's.
fn remove_whole(shape: Shape, object: &mut Value, path: &[String], owners: &Owners) {
    remove(shape, object, path);
    let Some((_, around)) = path.split_last().filter(|(_, around)| !around.is_empty()) else { return };
    let empty = object.pointer(&pointer(around)).is_some_and(|value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    });
    let plain = around.iter().all(|element| element.starts_with("f:"));
    let top = matches!(around, [top] if top == "f:metadata" || top == "f:spec");
    if empty && plain && !top && !owners.reach(around) {
        remove_whole(shape, object, around, owners);
    }
}

/// A JSON pointer to what stands under plain fields.
fn pointer(path: &[String]) -> String {
    path.iter().map(|element| format!("/{}", element[2..].replace('~', "~0").replace('/', "~1"))).collect()
}
