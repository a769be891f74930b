//! ControllerRevisions: the templates of stateful sets and daemon sets, so that a rollout can be undone, and that pods below a partition
//! come back as they were.
//!
//! As in Kubernetes each has the name that its pods carry as `controller-revision-hash`, and those beyond the history limit go.

use serde_json::{Value, json};

use super::super::store::{Key, Mark, Store, Write};
use super::{marked, one, read, template};
use crate::model::effect::Resource;

/// The kind.
pub fn kind() -> Resource {
    Resource::new("apps", "v1", "controllerrevisions", "ControllerRevision")
}

/// The name of the revision of a set's template as it is now.
pub fn name(set: &Value) -> String {
    format!("{}-{}", read::name(set), template::revision(set))
}

/// A set with its template as a revision has it; as it is now where that revision is not known.
pub fn at(store: &Store, set: &Value, name: &str) -> Value {
    let mut set = set.clone();
    let found = one(store, &kind(), Some(read::namespace(&set)), name);
    if let Some(template) = found.and_then(|revision| read::at(revision, "/data/spec/template")) {
        set["spec"]["template"] = template.clone();
    }
    set
}

/// Writes that keep the template as it is now, and forget the oldest that no pod carries.
pub fn kept(store: &Store, set: &Value, owner_kind: &Resource, carried: &[&str]) -> Vec<Write> {
    let namespace = read::namespace(set);
    let owned: Vec<&Value> = marked(store, &Mark::Owner(read::uid(set).to_owned()), &kind(), Some(namespace))
        .filter(|each| read::controlled_by(each, set))
        .collect();
    let number = |each: &&Value| read::number(each, "/revision").unwrap_or(0);
    let newest = owned.iter().map(number).max().unwrap_or(0);
    let name = name(set);
    let mut writes = vec![];
    match one(store, &kind(), Some(namespace), &name) {
        None => {
            writes.push(Write::Create { resource: kind(), object: made(set, owner_kind, &name, newest + 1) })
        }
        // A template of before is the newest again.
        Some(now) if number(&now) < newest => {
            let mut object = now.clone();
            object["revision"] = json!(newest + 1);
            writes.push(Write::Update { key: Key::of(&kind(), now), object });
        }
        Some(_) => {}
    }
    let mut idle: Vec<&Value> = owned
        .into_iter()
        .filter(|each| read::name(each) != name && !carried.contains(&read::name(each)))
        .collect();
    idle.sort_by_key(number);
    let limit = read::number(set, "/spec/revisionHistoryLimit").unwrap_or(10);
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
    writes.extend(idle.into_iter().take(surplus).map(|each| Write::Delete { key: Key::of(&kind(), each) }));
    writes
}

fn made(set: &Value, owner_kind: &Resource, name: &str, number: i64) -> Value {
    let mut template = read::at(set, "/spec/template").cloned().unwrap_or_else(|| json!({}));
    let mut labels = read::at(&template, "/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels["controller.kubernetes.io/hash"] = json!(template::revision(set));
    template["$patch"] = json!("replace");
    json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": read::namespace(set), "labels": labels,
            "ownerReferences": template::owned_by(owner_kind, set)},
        "data": {"spec": {"template": template}},
        "revision": number,
    })
}
