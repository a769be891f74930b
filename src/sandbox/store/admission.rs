//! What admission makes of a new pod, beyond defaults: its service account with the token's mount, its priority.
//!
//! As in Kubernetes' `ServiceAccount` and `Priority` plugins. A token is mounted wherever nobody says no, so that a pod looks as it does
//! in a cluster; nothing here reads it. Left out: that the account must exist.

use serde_json::{Value, json};

use super::{Key, Store};
use crate::model::effect::Resource;

/// Where the token of a service account is mounted.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The classes that every cluster has.
const SYSTEM: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

impl Store {
    /// Fills in what a new pod gets from its service account and its priority class.
    pub(super) fn admit_pod(&self, pod: &mut Value) {
        if !pod["spec"].is_object() {
            return;
        }
        let spec = &pod["spec"];
        let named = spec["serviceAccountName"].as_str().or_else(|| spec["serviceAccount"].as_str());
        let account = named.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
        let class = self.class(spec["priorityClassName"].as_str());
        let mounts = match &spec["automountServiceAccountToken"] {
            Value::Bool(mounts) => *mounts,
            _ => {
                let kind = Resource::new("", "v1", "serviceaccounts", "ServiceAccount");
                let key = Key::new(&kind, pod["metadata"]["namespace"].as_str(), &account);
                self.get(&key).is_none_or(|account| account["automountServiceAccountToken"] != false)
            }
        };
        let given = |field: &str| pod["spec"].get(field).filter(|value| !value.is_null()).cloned();
        let policy = || class.map(|class| class["preemptionPolicy"].clone()).filter(Value::is_string);
        let value = class.and_then(|class| class["value"].as_i64()).or_else(|| {
            let named = pod["spec"]["priorityClassName"].as_str();
            SYSTEM.iter().find(|(name, _)| Some(*name) == named).map(|(_, value)| *value)
        });
        let links = given("enableServiceLinks").unwrap_or(json!(true));
        let priority = given("priority").unwrap_or_else(|| json!(value.unwrap_or(0)));
        let preempts = given("preemptionPolicy").or_else(policy).unwrap_or(json!("PreemptLowerPriority"));
        let name = class
            .filter(|_| given("priorityClassName").is_none())
            .map(|class| class["metadata"]["name"].clone());
        let spec = &mut pod["spec"];
        spec["serviceAccountName"] = json!(account);
        spec["serviceAccount"] = json!(account);
        spec["enableServiceLinks"] = links;
        spec["priority"] = priority;
        spec["preemptionPolicy"] = preempts;
        if let Some(name) = name {
            spec["priorityClassName"] = name;
        }
        if mounts {
            mount_token(pod);
        }
    }

    /// The priority class of a name, or the one that stands for none.
    fn class(&self, name: Option<&str>) -> Option<&Value> {
        let kind = Resource::new("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass");
        match name.filter(|name| !name.is_empty()) {
            Some(name) => self.get(&Key::new(&kind, None, name)).map(AsRef::as_ref),
            None => {
                let all = self.list_after(Key::new(&kind, None, ""), false).map(|(_, class)| class.as_ref());
                all.filter(|class: &&Value| class["globalDefault"] == true)
                    .min_by_key(|class| class["value"].as_i64())
            }
        }
    }
}

/// Mounts the account's token into every container that has nothing at its place.
fn mount_token(pod: &mut Value) {
    let (namespace, name) = (pod["metadata"]["namespace"].to_string(), pod["metadata"]["name"].to_string());
    let volume =
        format!("kube-api-access-{}", crate::sandbox::control::read::digest(&(namespace + &name), 5));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if mounts.iter().all(|mount| mount["mountPath"] != TOKEN) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN}));
                mounted = true;
            }
        }
    }
    let Some(spec) = pod["spec"].as_object_mut().filter(|_| mounted) else { return };
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]);
    if let Some(volumes) = spec.entry("volumes").or_insert_with(|| json!([])).as_array_mut() {
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 420, "sources": sources}}));
    }
}
