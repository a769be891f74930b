//! Getting and listing.
//!
//! A page's continue token holds the version of the first page and the last key. Later pages read the objects as they are then, and
//! keep the first version: a watch from it tells whatever changed meanwhile. Once that version is forgotten the token is expired.

use std::sync::Arc;

use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response};
use super::options;
use super::path::Call;
use super::present::{self, Form};
use super::select::Selector;
use super::table;
use crate::sandbox::control::node::as_read;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Key, Store, StoreError};

/// One object.
pub(super) fn get(state: &RegionState, call: &Call, parts: &Parts) -> Answer {
    let key = call.key();
    let object = state.read(|store| {
        options::reached(call, store.version())?;
        Ok::<_, Refusal>(store.get(&key).cloned())
    })?;
    let object = object.ok_or_else(|| Refusal::store(StoreError::NotFound(key), &call.served.resource))?;
    let object = as_seen(state, call, object);
    Ok(match Form::of(&parts.headers) {
        Form::Whole => json_response(200, &present::seen(call, &object)),
        Form::Metadata => json_response(200, &present::metadata(&object)),
        Form::Table => json_response(200, &table::table(state, call, &[object], &json!({}))),
    })
}

/// What a reader sees: heartbeats of healthy nodes are worked out when somebody asks for them, and a custom resource says the version by
/// which it was asked for.
pub(super) fn as_seen(state: &RegionState, call: &Call, mut object: Arc<Value>) -> Arc<Value> {
    if call.served.definition.is_some() {
        let version = call.served.resource.api_version();
        if object["apiVersion"] != version {
            Arc::make_mut(&mut object)["apiVersion"] = version.into();
        }
    }
    if object["kind"] == "Lease" {
        as_read(&state.clock, Arc::make_mut(&mut object), state.clock.now());
    }
    object
}

/// The objects of a kind that the selectors mean, a page at a time if asked.
pub(super) fn list(state: &RegionState, call: &Call, parts: &Parts) -> Answer {
    options::check(&call.query, false)?;
    let selector = Selector::of(call)?;
    let limit = options::limit(&call.query)?;
    let (version, items, more) = state.read(|store| page(store, call, &selector, limit))?;
    let items: Vec<Arc<Value>> = items.into_iter().map(|item| as_seen(state, call, item)).collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((last, left)) = more {
        metadata["continue"] = token(version, &last).into();
        // What a selector would find is not counted.
        if selector.is_empty() {
            metadata["remainingItemCount"] = left.into();
        }
    }
    match Form::of(&parts.headers) {
        Form::Whole => {}
        Form::Metadata => return Ok(json_response(200, &present::metadata_list(&items, &metadata))),
        Form::Table => return Ok(json_response(200, &table::table(state, call, &items, &metadata))),
    }
    let resource = &call.served.resource;
    // Objects go out as they stand in the store, without a copy into a tree.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'a> {
        kind: String,
        api_version: String,
        metadata: Value,
        items: Vec<present::Seen<'a>>,
    }
    let list = List {
        kind: format!("{}List", resource.kind),
        api_version: resource.api_version(),
        metadata,
        items: items.iter().map(|item| present::seen(call, item)).collect(),
    };
    Ok(json_response(200, &list))
}

/// A page, its version, and where there is more its last key and how many are left.
type Page = (u64, Vec<Arc<Value>>, Option<(Key, usize)>);

fn page(store: &Store, call: &Call, selector: &Selector, limit: usize) -> Result<Page, Refusal> {
    options::reached(call, store.version())?;
    let before = |namespace: Option<&str>, name: &str| Key::new(&call.served.resource, namespace, name);
    let (version, after) = match call.query.get("continue") {
        None => (store.version(), before(call.namespace.as_deref(), "")),
        Some(text) => {
            let (version, namespace, name) =
                read_token(text).ok_or_else(|| Refusal::bad_request("continue key is not valid"))?;
            let gone = |error| Refusal::store(error, &call.served.resource);
            drop(store.changes_after(version).map_err(gone)?);
            (version, before(call.namespace.as_deref().or(namespace.as_deref()), &name))
        }
    };
    let mut found =
        store.list_after(after, call.namespace.is_some()).filter(|(_, object)| selector.matches(object));
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in found.by_ref().take(limit) {
        items.push(object.clone());
        last = Some(key);
    }
    let left = if items.len() < limit { 0 } else { found.count() };
    Ok((version, items, last.cloned().filter(|_| left > 0).map(|last| (last, left))))
}

/// Names hold no slash, so that a slash parts them.
fn token(version: u64, last: &Key) -> String {
    format!("{version}/{}/{}", last.namespace().unwrap_or_default(), last.name())
}

fn read_token(text: &str) -> Option<(u64, Option<String>, String)> {
    let (version, rest) = text.split_once('/')?;
    let (namespace, name) = rest.split_once('/')?;
    let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
    Some((version.parse().ok()?, namespace, name.to_owned()))
}
