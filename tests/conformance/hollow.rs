//! Hollow nodes: nodes that exist only in the API, whose kubelet is the behaviour itself.
//!
//! So a behaviour can lose a node on any cluster and harm nobody: a taint keeps the pods of others away, and pods that are meant for a
//! hollow node ask for its label and tolerate its taint.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, object};
use crate::workloads::{condition, web};

/// A node without a machine; [`Hollow::remove`] it at the end.
pub struct Hollow {
    pub name: String,
    pub zone: String,
    born: DateTime<Utc>,
    since: Instant,
}

impl Hollow {
    /// A node that is ready, in a zone of the behaviour's own: where most nodes of a zone are lost, its pods are not evicted, and behaviours
    /// that lose nodes at the same time would see each other's losses.
    pub async fn new(cluster: &Cluster, name: &str, zone: &str) -> Hollow {
        let space = &cluster.namespace;
        let (name, zone) = (format!("{name}-{space}"), format!("{zone}-{space}"));
        let node = json!({
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "hollow": space}},
            "spec": {"taints": [{"key": "hollow", "value": space, "effect": "NoSchedule"}]},
        });
        let made: Node = cluster.wide().create(&PostParams::default(), &object(node)).await.unwrap();
        let made = serde_json::to_value(made).unwrap();
        let born = made["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
        let hollow = Hollow { name, zone, born, since: Instant::now() };
        hollow.post(cluster, "True").await;
        cluster
            .eventually("the node is open", async || {
                let node = hollow.seen(cluster).await;
                (taints(&node, "node.kubernetes.io/").is_empty()).then_some(())
            })
            .await;
        hollow
    }

    /// Posts a heartbeat as a kubelet does, with what it says about `Ready`.
    pub async fn post(&self, cluster: &Cluster, ready: &str) {
        let now = self.born + (Instant::now() - self.since);
        let room = json!({"cpu": "8", "memory": "16Gi", "pods": "110"});
        let conditions = json!([{
            "type": "Ready", "status": ready, "reason": "Posted", "message": "",
            "lastHeartbeatTime": now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "lastTransitionTime": self.born.to_rfc3339_opts(SecondsFormat::Secs, true),
        }]);
        let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": conditions}});
        let nodes = cluster.wide::<Node>();
        nodes.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// The node as it is now.
    pub async fn seen(&self, cluster: &Cluster) -> Value {
        serde_json::to_value(cluster.wide::<Node>().get(&self.name).await.unwrap()).unwrap()
    }

    /// Changes the node by a merge patch.
    pub async fn change(&self, cluster: &Cluster, patch: Value) {
        let nodes = cluster.wide::<Node>();
        nodes.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Adds a taint.
    pub async fn taint(&self, cluster: &Cluster, key: &str, effect: &str) {
        let mut all = self.seen(cluster).await["spec"]["taints"].as_array().cloned().unwrap_or_default();
        all.push(json!({"key": key, "value": "yes", "effect": effect}));
        self.change(cluster, json!({"spec": {"taints": all}})).await;
    }

    /// Says nothing until the cluster takes the node for unreachable.
    pub async fn silent(&self, cluster: &Cluster) {
        cluster
            .eventually("the node is unreachable", async || {
                let node = self.seen(cluster).await;
                let both = taints(&node, "node.kubernetes.io/unreachable") == ["NoExecute", "NoSchedule"];
                (both && condition(&node, "Ready")["status"] == "Unknown").then_some(())
            })
            .await;
    }

    /// Deletes the node.
    pub async fn remove(self, cluster: &Cluster) {
        cluster.wide::<Node>().delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

/// The effects of a node's taints whose keys begin so, sorted.
pub fn taints(node: &Value, prefix: &str) -> Vec<String> {
    let all = node["spec"]["taints"].as_array().into_iter().flatten();
    let mut effects: Vec<String> = all
        .filter(|taint| taint["key"].as_str().is_some_and(|key| key.starts_with(prefix)))
        .map(|taint| taint["effect"].as_str().unwrap_or_default().to_owned())
        .collect();
    effects.sort();
    effects
}

/// The spec of a pod that the scheduler may put on the behaviour's hollow nodes and nowhere else.
pub fn for_hollow(cluster: &Cluster) -> Value {
    let mut spec = web(cluster);
    spec["nodeSelector"] = json!({"hollow": cluster.namespace});
    spec["tolerations"] = json!([{"key": "hollow", "operator": "Exists"}]);
    spec
}

/// The spec of a pod that stands on a hollow node from the start.
pub fn on(cluster: &Cluster, node: &Hollow) -> Value {
    let mut spec = web(cluster);
    spec["nodeName"] = json!(node.name);
    spec["tolerations"] = json!([{"key": "hollow", "operator": "Exists"}]);
    spec
}

/// A tick of the clock for what must not be at once.
pub const MOMENT: Duration = Duration::from_secs(3);
