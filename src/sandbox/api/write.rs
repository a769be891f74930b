//! Creating, updating and deleting. A dry run is a draft that nobody commits.

use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, about, json_response, success};
use super::path::Call;
use super::select::Selector;
use super::{checks, decode, fixed, managed, present};
use crate::model::effect::Resource;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Deletion, Draft, Key, Part, Propagation, Store};

/// The namespaces that no cluster can do without.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// How a write is noted in `managedFields`.
pub(super) enum Signed {
    /// As an update by the call's manager.
    Update,
    /// As this.
    As(Value),
}

/// Makes an object.
pub(super) fn create(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    if call.served.namespaced && call.namespace.is_none() {
        return Err(Refusal::method_not_allowed());
    }
    let (object, unknown) = decode::object(call, parts, body)?;
    let dry = call.query.dry_run("CreateOptions")?;
    let created = state.write(|store| store_create(call, store, object, &Signed::Update, dry))?;
    Ok(decode::warned(call, json_response(201, &present::seen(call, &created)), &unknown))
}

/// Checks, signs and stores a new object.
pub(super) fn store_create(
    call: &Call,
    store: &mut Store,
    mut object: Value,
    signed: &Signed,
    dry: bool,
) -> Result<Value, Refusal> {
    let resource = &call.served.resource;
    if call.served.status && resource.kind != "Node" {
        object.as_object_mut().map(|fields| fields.remove("status"));
    }
    let mut draft = store.draft_create(resource, object).map_err(|error| Refusal::store(error, resource))?;
    check(call, draft.object(), None)?;
    if let Some(name) = &call.namespace {
        let namespace = store.get(&Key::new(&Resource::namespaces(), None, name));
        if namespace.is_some_and(|namespace| namespace["metadata"].get("deletionTimestamp").is_some()) {
            let own = draft.object()["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Refusal::namespace_ends(resource, own, name));
        }
    }
    sign(call, store, &mut draft, &Value::Null, signed);
    Ok(finish(store, draft, dry))
}

/// Replaces an object, or its status.
pub(super) fn update(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let (object, unknown) = decode::object(call, parts, body)?;
    let dry = call.query.dry_run("UpdateOptions")?;
    let is_blind = object["metadata"].get("resourceVersion").is_none() && !fixed::unconditional(&call.served);
    let updated = state.write(|store| match store.get(&call.key()) {
        Some(_) if is_blind => Err(Refusal::unversioned(&call.served.resource, call.key().name())),
        _ => store_update(call, store, object, &Signed::Update, dry),
    })?;
    Ok(decode::warned(call, json_response(200, &present::seen(call, &updated)), &unknown))
}

/// Checks, signs and stores an object that replaces the one that the call names.
pub(super) fn store_update(
    call: &Call,
    store: &mut Store,
    object: Value,
    signed: &Signed,
    dry: bool,
) -> Result<Value, Refusal> {
    let part = match call.sub.as_deref() {
        Some("status") => Part::Status,
        Some("finalize") => Part::Whole,
        _ if call.served.status => Part::AllButStatus,
        _ => Part::Whole,
    };
    let (key, resource) = (call.key(), &call.served.resource);
    let mut draft =
        store.draft_update(&key, object, part).map_err(|error| Refusal::store(error, resource))?;
    let before = store.get(&key).cloned().unwrap_or_default();
    let changed = call.served.built_in.then(|| fixed::wrong(resource, &before, draft.object())).flatten();
    check(call, draft.object(), changed)?;
    sign(call, store, &mut draft, &before, signed);
    Ok(finish(store, draft, dry))
}

/// Deletes an object: answers with it while it lingers, else with a `Status`.
pub(super) fn delete(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    let options = decode::value(parts, body)?;
    let deletion = deletion(call, &options)?;
    let dry = dry_deletion(call, &options)?;
    let key = call.key();
    if key.is(&Resource::namespaces()) && IMMORTAL.contains(&key.name()) {
        return Err(Refusal::namespace_stays(key.name()));
    }
    let refuse = |error| Refusal::store(error, &call.served.resource);
    let (object, lingers) = state
        .write(|store| {
            let draft = store.draft_delete(&key, &deletion)?;
            let lingers = !draft.removes();
            Ok((finish_deletion(store, draft, dry), lingers))
        })
        .map_err(refuse)?;
    if lingers {
        return Ok(json_response(200, &present::seen(call, &object)));
    }
    let resource = &call.served.resource;
    let mut details = about(key.name(), &resource.group, &resource.plural);
    details["uid"] = object["metadata"]["uid"].clone();
    Ok(success(200, details))
}

/// Deletes everything that the selectors mean.
pub(super) fn delete_collection(state: &RegionState, call: &Call, parts: &Parts, body: &[u8]) -> Answer {
    if call.served.resource.kind == "Namespace" || (call.served.namespaced && call.namespace.is_none()) {
        return Err(Refusal::method_not_allowed());
    }
    let selector = Selector::of(call)?;
    let options = decode::value(parts, body)?;
    let deletion = deletion(call, &options)?;
    let dry = dry_deletion(call, &options)?;
    let resource = &call.served.resource;
    state.write(|store| {
        let all = store.list(&resource.group, &resource.plural, call.namespace.as_deref());
        let meant: Vec<Key> =
            all.filter(|(_, object)| selector.matches(object)).map(|(key, _)| key.clone()).collect();
        for key in meant {
            let draft =
                store.draft_delete(&key, &deletion).map_err(|error| Refusal::store(error, resource))?;
            finish_deletion(store, draft, dry);
        }
        Ok::<_, Refusal>(())
    })?;
    Ok(success(200, json!({"group": resource.group, "kind": resource.plural})))
}

/// Stores a draft, unless the run is dry.
pub(super) fn finish(store: &mut Store, draft: Draft, dry: bool) -> Value {
    if dry { draft.object().clone() } else { (*store.commit(draft)).clone() }
}

/// Does a deletion, unless the run is dry. The objects of a definition go before it.
fn finish_deletion(store: &mut Store, draft: Draft, dry: bool) -> Value {
    let object = draft.object();
    if !dry && draft.removes() && object["kind"] == "CustomResourceDefinition" {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, plural) = (text(&object["spec"]["group"]), text(&object["spec"]["names"]["plural"]));
        let own: Vec<Key> = store.list(&group, &plural, None).map(|(key, _)| key.clone()).collect();
        for key in own {
            // Nobody else writes under the lock, so that each is there.
            let _ = store.delete(&key, &Deletion::default());
        }
    }
    finish(store, draft, dry)
}

fn sign(call: &Call, store: &Store, draft: &mut Draft, before: &Value, signed: &Signed) {
    let time = store.clock().time(store.clock().now()).into();
    let fields = match signed {
        Signed::Update => managed::updated(call, before, draft.object(), &time),
        Signed::As(fields) => fields.clone(),
    };
    draft.set_managed_fields(fields);
}

/// Refuses an object with all that is wrong: with itself, and with how it was changed.
fn check(call: &Call, object: &Value, changed: Option<String>) -> Result<(), Refusal> {
    let mut wrong = checks::wrong(call, object);
    wrong.extend(changed);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::many_invalid(&call.served.resource, name, &wrong)) }
}

/// The store's word for a `DeleteOptions` object; some options may stand in the query instead.
pub(super) fn deletion(call: &Call, options: &Value) -> Result<Deletion, Refusal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let policy = text(&options["propagationPolicy"])
        .or_else(|| call.query.get("propagationPolicy").map(str::to_owned));
    let propagation = match policy.as_deref() {
        // As it was before there was a garbage collector.
        None if call.served.resource.kind == "Job" => Propagation::Orphan,
        None | Some("Background") => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some(other) => {
            let why = format!(
                "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \
                 \"Orphan\", \"nil\""
            );
            return Err(Refusal::invalid_options("DeleteOptions", &[why]));
        }
    };
    let grace = options["gracePeriodSeconds"].as_u64();
    Ok(Deletion {
        grace_seconds: grace.or(call.query.number("gracePeriodSeconds")?),
        uid: text(&options["preconditions"]["uid"]),
        resource_version: text(&options["preconditions"]["resourceVersion"]),
        propagation,
    })
}

/// Whether a deletion is to be done at all.
pub(super) fn dry_deletion(call: &Call, options: &Value) -> Result<bool, Refusal> {
    let said = options["dryRun"].as_array().is_some_and(|list| list.iter().any(|each| each == "All"));
    Ok(call.query.dry_run("DeleteOptions")? || said)
}
