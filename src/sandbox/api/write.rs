//! Creating, updating and deleting. A dry run is a draft that nobody commits.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response, success};
use super::path::Call;
use super::select::Selector;
use crate::sandbox::state::RegionState;
use crate::sandbox::store::{Deletion, Draft, Key, Part, Propagation, Store};

/// Makes an object.
pub(super) fn create(state: &RegionState, call: &Call, body: &[u8]) -> Answer {
    let mut object = read_object(call, body)?;
    if call.served.namespaced && call.namespace.is_none() {
        return Err(Refusal::method_not_allowed());
    }
    if call.served.status && call.served.resource.kind != "Node" {
        object.as_object_mut().map(|fields| fields.remove("status"));
    }
    let dry = call.query.dry_run()?;
    let created = state.write(|store| {
        let refuse = |error| Refusal::store(error, &call.served.resource);
        let mut draft = store.draft_create(&call.served.resource, object).map_err(refuse)?;
        check(call, draft.object())?;
        sign(call, store, &mut draft, "Update");
        Ok::<_, Refusal>(finish(store, draft, dry))
    });
    Ok(json_response(201, &created?))
}

/// Replaces an object, or its status.
pub(super) fn update(state: &RegionState, call: &Call, body: &[u8]) -> Answer {
    let object = read_object(call, body)?;
    let dry = call.query.dry_run()?;
    let updated = state.write(|store| store_update(call, store, object, "Update", dry));
    Ok(json_response(200, &updated?))
}

/// Checks, signs and stores an object that replaces the one that the call names.
pub(super) fn store_update(
    call: &Call,
    store: &mut Store,
    object: Value,
    operation: &str,
    dry: bool,
) -> Result<Value, Refusal> {
    let part = match call.sub.as_deref() {
        Some("status") => Part::Status,
        Some("finalize") => Part::Whole,
        _ if call.served.status => Part::AllButStatus,
        _ => Part::Whole,
    };
    let refuse = |error| Refusal::store(error, &call.served.resource);
    let mut draft = store.draft_update(&call.key(), object, part).map_err(refuse)?;
    check(call, draft.object())?;
    unchanged_selector(call, store, draft.object())?;
    sign(call, store, &mut draft, operation);
    Ok(finish(store, draft, dry))
}

/// Deletes an object: answers with it while it lingers, else with a `Status`.
pub(super) fn delete(state: &RegionState, call: &Call, body: &[u8]) -> Answer {
    let deletion = read_deletion(call, body)?;
    let dry = call.query.dry_run()? || dry_in_body(body);
    let key = call.key();
    let refuse = |error| Refusal::store(error, &call.served.resource);
    let (object, lingers) = state
        .write(|store| {
            let draft = store.draft_delete(&key, &deletion)?;
            let lingers = !draft.removes();
            Ok((finish(store, draft, dry), lingers))
        })
        .map_err(refuse)?;
    if lingers {
        return Ok(json_response(200, &object));
    }
    let resource = &call.served.resource;
    let uid = &object["metadata"]["uid"];
    Ok(success(200, json!({"name": key.name, "group": resource.group, "kind": resource.plural, "uid": uid})))
}

/// Deletes everything that the selectors mean.
pub(super) fn delete_collection(state: &RegionState, call: &Call, body: &[u8]) -> Answer {
    let selector = Selector::of(call)?;
    let deletion = read_deletion(call, body)?;
    let dry = call.query.dry_run()? || dry_in_body(body);
    let resource = &call.served.resource;
    state.write(|store| {
        let all = store.list(&resource.group, &resource.plural, call.namespace.as_deref());
        let meant: Vec<Key> =
            all.filter(|(_, object)| selector.matches(object)).map(|(key, _)| key.clone()).collect();
        for key in meant {
            let draft =
                store.draft_delete(&key, &deletion).map_err(|error| Refusal::store(error, resource))?;
            finish(store, draft, dry);
        }
        Ok::<_, Refusal>(())
    })?;
    Ok(success(200, json!({"group": resource.group, "kind": resource.plural})))
}

/// Stores a draft, unless the run is dry.
pub(super) fn finish(store: &mut Store, draft: Draft, dry: bool) -> Value {
    if dry { draft.object().clone() } else { (*store.commit(draft)).clone() }
}

fn sign(call: &Call, store: &Store, draft: &mut Draft, operation: &str) {
    let time = store.clock().time(store.clock().now());
    draft.managed_by(&call.manager, operation, &time);
}

/// The object of a body; it must be what the path says.
fn read_object(call: &Call, body: &[u8]) -> Result<Value, Refusal> {
    let mut object: Value =
        serde_json::from_slice(body).map_err(|_| Refusal::unsupported("a body that is not JSON"))?;
    place(call, &mut object)?;
    Ok(object)
}

/// Makes an object say the kind, the namespace and the name of its path, and refuses one that says others.
pub(super) fn place(call: &Call, object: &mut Value) -> Result<(), Refusal> {
    let resource = &call.served.resource;
    let says = |found: &Value, expected: &str, what: &str| match found.as_str() {
        Some(found) if !found.is_empty() && found != expected => {
            let found: String = found.chars().take(80).collect();
            let message = format!(
                "the {what} of the provided object ({found}) does not match the request ({expected})"
            );
            Err(Refusal::bad_request(message))
        }
        _ => Ok(()),
    };
    says(&object["apiVersion"], &resource.api_version(), "API version")?;
    says(&object["kind"], &resource.kind, "kind")?;
    let metadata = &object["metadata"];
    if let Some(name) = &call.name {
        says(&metadata["name"], name, "name")?;
    }
    says(&metadata["namespace"], call.namespace.as_deref().unwrap_or_default(), "namespace")?;
    let Some(fields) = object.as_object_mut() else {
        return Err(Refusal::bad_request("the body is not an object"));
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(Refusal::bad_request("metadata is not an object"));
    };
    if let Some(namespace) = &call.namespace {
        metadata.insert("namespace".into(), namespace.as_str().into());
    }
    if let Some(name) = &call.name {
        metadata.insert("name".into(), name.as_str().into());
    }
    Ok(())
}

/// What the kinds that controllers act on must hold.
fn check(call: &Call, object: &Value) -> Result<(), Refusal> {
    let resource = &call.served.resource;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let invalid = |why: &str| Err(Refusal::invalid(resource, name, why));
    let spec = &object["spec"];
    if call.served.scale && spec["replicas"].as_i64().is_none_or(|replicas| replicas < 0) {
        return invalid("spec.replicas: Invalid value: must be greater than or equal to 0");
    }
    if call.served.built_in && resource.group == "apps" {
        let selector = &spec["selector"];
        if !selector.is_object() {
            return invalid("spec.selector: Required value");
        }
        if !super::select::label_selector_matches(selector, &spec["template"]["metadata"]["labels"]) {
            return invalid(
                "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`",
            );
        }
    }
    let pod = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => spec,
        ("apps", _) => &spec["template"]["spec"],
        _ => return Ok(()),
    };
    if pod["containers"].as_array().is_none_or(Vec::is_empty) {
        return invalid("spec.containers: Required value");
    }
    Ok(())
}

/// The selector of a workload cannot change: its pods would be nobody's.
fn unchanged_selector(call: &Call, store: &Store, next: &Value) -> Result<(), Refusal> {
    let before = store.get(&call.key());
    let changed = before.is_some_and(|before| before["spec"]["selector"] != next["spec"]["selector"]);
    if changed && call.served.resource.group == "apps" {
        let name = call.name.as_deref().unwrap_or_default();
        return Err(Refusal::invalid(
            &call.served.resource,
            name,
            "spec.selector: Invalid value: field is immutable",
        ));
    }
    Ok(())
}

/// Delete options stand in the body or in the query.
fn read_deletion(call: &Call, body: &[u8]) -> Result<Deletion, Refusal> {
    let options = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|_| Refusal::unsupported("a body that is not JSON"))?
    };
    deletion(call, &options)
}

/// The store's word for a `DeleteOptions` object.
pub(super) fn deletion(call: &Call, options: &Value) -> Result<Deletion, Refusal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let policy = text(&options["propagationPolicy"])
        .or_else(|| call.query.get("propagationPolicy").map(str::to_owned));
    let propagation = match policy.as_deref() {
        None | Some("Background") => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some(_) => return Err(Refusal::bad_request("propagationPolicy: Background, Foreground or Orphan")),
    };
    let grace = options["gracePeriodSeconds"].as_u64();
    Ok(Deletion {
        grace_seconds: grace.or(call.query.number("gracePeriodSeconds")?),
        uid: text(&options["preconditions"]["uid"]),
        resource_version: text(&options["preconditions"]["resourceVersion"]),
        propagation,
    })
}

fn dry_in_body(body: &[u8]) -> bool {
    let options: Value = serde_json::from_slice(body).unwrap_or_default();
    options["dryRun"].as_array().is_some_and(|list| list.iter().any(|each| each == "All"))
}
