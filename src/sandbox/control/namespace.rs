//! Namespaces that are being deleted: everything in them goes first, then the finalizer, and so the namespace.

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Store, Write};
use super::{Controller, Processes, Reconciled, at, itself, one, read};
use crate::model::effect::Resource;
use crate::model::time::At;

/// The namespace controller.
pub struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let kind = Resource::namespaces();
        if let Some(namespace) =
            change.key.namespace.as_deref().filter(|_| change.kind != ChangeKind::Modified)
        {
            let ending = one(store, &kind, None, namespace).is_some_and(read::terminating);
            return if ending { vec![Key::new(&kind, None, namespace)] } else { vec![] };
        }
        itself(change, &kind)
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(namespace) = at(store, key).filter(|namespace| read::terminating(namespace)) else {
            return Reconciled::nothing();
        };
        let within: Vec<(&Key, &Value)> = store
            .all()
            .filter(|(each, _)| each.namespace.as_deref() == Some(&key.name))
            .map(|(key, object)| (key, object.as_ref()))
            .collect();
        if within.is_empty() {
            let mut object = namespace.clone();
            object["spec"]["finalizers"] = json!([]);
            return vec![Write::Update { key: key.clone(), object }].into();
        }
        let doomed = within.into_iter().filter(|(_, object)| !read::terminating(object));
        doomed.map(|(key, _)| Write::Delete { key: key.clone() }).collect::<Vec<_>>().into()
    }
}
