//! What admission makes of a new pod, beyond defaults: its service account with the token's mount, its priority.
//!
//! As in Kubernetes' `ServiceAccount`, `Priority` and `RuntimeClass` plugins: a pod that names an account or a class that is not there is refused. A token
//! is mounted wherever nobody says no, so that a pod looks as it does in a cluster; nothing here reads it. Left out: what a runtime class
//! adds to a pod, and the secrets that an account allows.

use serde_json::{Value, json};

use super::{Key, Store, StoreError};
use crate::model::effect::Resource;

/// Where the token of a service account is mounted.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The classes that every cluster has.
const SYSTEM: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

impl Store {
    /// Fills in what a new pod gets from its service account and its priority class.
    ///
    /// # Errors
    /// What it names and is not there, in Kubernetes' words.
    pub(super) fn admit_pod(&self, pod: &mut Value) -> Result<(), String> {
        if !pod["spec"].is_object() {
            return Ok(());
        }
        let mounts = self.give_account(pod)?;
        self.give_priority(pod)?;
        let runtime = pod["spec"]["runtimeClassName"].as_str();
        if let Some(name) = runtime.filter(|name| self.get(&runtime_class(name)).is_none()) {
            return Err(format!("pod rejected: RuntimeClass {name:?} not found"));
        }
        if mounts {
            mount_token(pod);
        }
        Ok(())
    }

    /// Why a new pod would be refused for what it names; none where it would not be.
    pub fn refuses(&self, pod: &Value) -> Option<StoreError> {
        let why = self.admit_pod(&mut pod.clone()).err()?;
        Some(StoreError::Forbidden { key: unnamed(&Resource::pods(), pod), why })
    }

    /// The service account of a pod; whether its token is to be mounted. `default` is always taken to be there: its controller makes it at once, and an API
    /// server waits for it.
    fn give_account(&self, pod: &mut Value) -> Result<bool, String> {
        let spec = &pod["spec"];
        let named = spec["serviceAccountName"].as_str().or_else(|| spec["serviceAccount"].as_str());
        let name = named.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
        let namespace = pod["metadata"]["namespace"].as_str();
        let kind = Resource::new("", "v1", "serviceaccounts", "ServiceAccount");
        let account = self.get(&Key::new(&kind, namespace, &name));
        if account.is_none() && name != "default" {
            let space = namespace.unwrap_or_default();
            return Err(format!(
                "error looking up service account {space}/{name}: serviceaccount {name:?} not found"
            ));
        }
        let mounts = match &spec["automountServiceAccountToken"] {
            Value::Bool(mounts) => *mounts,
            _ => account.is_none_or(|account| account["automountServiceAccountToken"] != false),
        };
        let spec = &mut pod["spec"];
        spec["serviceAccountName"] = json!(name);
        spec["serviceAccount"] = json!(name);
        if spec["enableServiceLinks"].is_null() {
            spec["enableServiceLinks"] = json!(true);
        }
        Ok(mounts)
    }

    /// The priority of a pod by its class, or by the one that stands for none.
    fn give_priority(&self, pod: &mut Value) -> Result<(), String> {
        let named = pod["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty());
        let system = SYSTEM.iter().find(|(name, _)| Some(*name) == named).map(|(_, value)| *value);
        let class = self.class(named);
        if let Some(name) = named.filter(|_| class.is_none() && system.is_none()) {
            return Err(format!("no PriorityClass with name {name} was found"));
        }
        let priority = class.and_then(|class| class["value"].as_i64()).or(system).unwrap_or(0);
        if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != priority) {
            return Err(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
                 computed {priority} from the given PriorityClass name"
            ));
        }
        let preempts = class.map(|class| class["preemptionPolicy"].clone()).filter(Value::is_string);
        let name = class.map(|class| class["metadata"]["name"].clone());
        let spec = &mut pod["spec"];
        spec["priority"] = json!(priority);
        if spec["preemptionPolicy"].is_null() {
            spec["preemptionPolicy"] = preempts.unwrap_or(json!("PreemptLowerPriority"));
        }
        if let Some(name) = name {
            spec["priorityClassName"] = name;
        }
        Ok(())
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

fn runtime_class(name: &str) -> Key {
    Key::new(&Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass"), None, name)
}

/// The key of an object that may not have its name yet, with what its name begins with.
pub(super) fn unnamed(resource: &Resource, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
    Key::new(resource, text("namespace"), text("name").or_else(|| text("generateName")).unwrap_or_default())
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
