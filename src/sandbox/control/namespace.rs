//! Namespaces: what every one of them holds, and their end: everything in them goes first, then the finalizer, and so the namespace.
//!
//! A namespace has the service account `default`, and the ConfigMap `kube-root-ca.crt` that its pods mount; both come back when they are
//! deleted.

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
        if let Some(namespace) = change.key.namespace().filter(|_| change.kind != ChangeKind::Modified) {
            let ending = one(store, &kind, None, namespace).is_some_and(read::terminating);
            let missed =
                change.kind == ChangeKind::Deleted && held(namespace).any(|(key, _)| key == change.key);
            return if ending || missed { vec![Key::new(&kind, None, namespace)] } else { vec![] };
        }
        itself(change, &kind)
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(namespace) = at(store, key) else { return Reconciled::nothing() };
        if !read::terminating(namespace) {
            let missing = held(key.name()).filter(|(key, _)| store.get(key).is_none());
            return missing.map(|(_, write)| write).collect::<Vec<_>>().into();
        }
        let within: Vec<(&Key, &Value)> = store
            .all()
            .filter(|(each, _)| each.namespace() == Some(key.name()))
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

/// What every namespace holds, and how it is made.
fn held(namespace: &str) -> impl Iterator<Item = (Key, Write)> {
    let account = Resource::new("", "v1", "serviceaccounts", "ServiceAccount");
    let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
                       such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                       distributions of Kubernetes clusters.";
    let annotations = json!({"kubernetes.io/description": description});
    let root = json!({
        "metadata": {"name": "kube-root-ca.crt", "namespace": namespace, "annotations": annotations},
        "data": {"ca.crt": "simulated\n"},
    });
    let own = json!({"metadata": {"name": "default", "namespace": namespace}});
    [(account, own), (Resource::config_maps(), root)]
        .map(|(resource, object)| (Key::of(&resource, &object), Write::Create { resource, object }))
        .into_iter()
}
