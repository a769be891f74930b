//! Workloads as behaviours ask for them, and the part of the kubelet that a behaviour can play itself.
//!
//! A pod of the web image runs wherever the scheduler puts it. A staged pod names a scheduler that does not exist, so nobody takes it
//! and the behaviour says when it is ready or over: so an order of events is under its control on any cluster.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{Cluster, object};

/// The spec of a pod with one web server.
pub fn web(cluster: &Cluster) -> Value {
    json!({"terminationGracePeriodSeconds": 5, "containers": [
        {"name": "web", "image": cluster.web, "ports": [{"name": "http", "containerPort": 8080}]},
    ]})
}

/// The spec of a pod that runs and never answers its probe.
pub fn mute(cluster: &Cluster) -> Value {
    let mut spec = web(cluster);
    spec["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 9}, "periodSeconds": 1});
    spec
}

/// The spec of a pod that nobody schedules.
pub fn staged(cluster: &Cluster) -> Value {
    let mut spec = web(cluster);
    spec["schedulerName"] = json!("nobody");
    spec
}

/// A pod with its name as its label `app`.
pub fn pod(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}

/// A workload of any kind with a selector and a template; its name is the label `app` of its pods.
pub fn workload(name: &str, replicas: u32, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
    }})
}

/// The patch that gives a workload's template another annotation, and so another revision.
pub fn revision(text: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"revision": text}}}}})
}

/// An object as it is now; null where it is not there.
pub async fn seen<K>(cluster: &Cluster, name: &str) -> Value
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let found = cluster.api::<K>().get_opt(name).await.unwrap();
    found.map(|found| serde_json::to_value(found).unwrap()).unwrap_or_default()
}

/// All objects of a kind with the label `app`, by name.
pub async fn all<K>(cluster: &Cluster, app: &str) -> Vec<Value>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let with = ListParams::default().labels(&format!("app={app}"));
    let found = cluster.api::<K>().list(&with).await.unwrap();
    found.into_iter().map(|each| serde_json::to_value(each).unwrap()).collect()
}

/// Changes an object by a merge patch.
pub async fn change<K>(cluster: &Cluster, name: &str, patch: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    cluster.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Deletes an object as a user does.
pub async fn delete<K>(cluster: &Cluster, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    cluster.api::<K>().delete(name, &Default::default()).await.unwrap();
}

/// Writes a part of the status of a pod that no kubelet has.
pub async fn play(cluster: &Cluster, pod: &str, status: Value) {
    let patch = json!({"status": status});
    cluster.api::<Pod>().patch_status(pod, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Makes a staged pod run and be ready, or run only.
pub async fn play_ready(cluster: &Cluster, pod: &str, ready: bool) {
    let born = seen::<Pod>(cluster, pod).await["metadata"]["creationTimestamp"].clone();
    let is = if ready { "True" } else { "False" };
    let condition = json!({"type": "Ready", "status": is, "lastTransitionTime": born});
    play(cluster, pod, json!({"phase": "Running", "conditions": [condition]})).await;
}

/// Makes every staged pod of a workload ready until there are so many.
pub async fn all_ready(cluster: &Cluster, app: &str, count: usize) {
    cluster
        .eventually(&format!("{count} ready pods of {app}"), async || {
            let pods = all::<Pod>(cluster, app).await;
            for pod in pods.iter().filter(|pod| !holds(pod, "Ready") && !terminating(pod)) {
                play_ready(cluster, name(pod), true).await;
            }
            let ready = pods.iter().filter(|pod| holds(pod, "Ready") && !terminating(pod)).count();
            (ready == count && pods.len() == count).then_some(())
        })
        .await;
}

/// Keeps an object from going away until it is released.
pub async fn hold<K>(cluster: &Cluster, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    change::<K>(cluster, name, json!({"metadata": {"finalizers": ["behaviour.example/hold"]}})).await;
}

/// Lets an object go that was held.
pub async fn release<K>(cluster: &Cluster, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    change::<K>(cluster, name, json!({"metadata": {"finalizers": null}})).await;
}

/// The names of objects.
pub fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(name).collect()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

pub fn terminating(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// The controller's uid; empty where nobody controls the object.
pub fn controller(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controls = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    controls.and_then(|owner| owner["uid"].as_str()).unwrap_or_default()
}

/// A condition of an object; null where it has none of the type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let mut all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Whether a condition is `True`.
pub fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind)["status"] == "True"
}

/// A number at a pointer; 0 where there is none, since Kubernetes leaves zeros out.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Numbers of a status by their fields.
pub fn counts<const N: usize>(object: &Value, fields: [&str; N]) -> [i64; N] {
    fields.map(|field| number(object, &format!("/status/{field}")))
}

/// An object without a namespace's type checks, for what is only made.
pub async fn made<K>(cluster: &Cluster, value: Value) -> Value
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let made: K = cluster.api().create(&Default::default(), &object(value)).await.unwrap();
    serde_json::to_value(made).unwrap()
}
