//! Claims and volumes: made for the first pod, kept while one uses them, gone with the claim.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{condition, delete, holds, made, name, pod, seen, terminating, web};

behaviours!(
    a_claim_is_bound_when_a_pod_uses_it,
    a_pod_waits_for_its_claim_to_exist,
    the_next_pod_finds_the_same_volume,
    a_claim_in_use_goes_after_its_pod,
    a_volume_goes_with_its_claim,
    a_claim_of_no_class_or_of_a_missing_volume_is_not_bound,
);

/// A claim of the default storage class.
fn claim() -> Value {
    json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}}}})
}

fn user(cluster: &Cluster, name: &str) -> Value {
    let mut spec = web(cluster);
    spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    pod(name, spec)
}

async fn now(cluster: &Cluster) -> Value {
    seen::<PersistentVolumeClaim>(cluster, "data").await
}

async fn ready(cluster: &Cluster, name: &str) {
    cluster
        .eventually(&format!("{name} is ready"), async || {
            holds(&seen::<Pod>(cluster, name).await, "Ready").then_some(())
        })
        .await;
}

async fn gone(cluster: &Cluster, name: &str) {
    cluster
        .eventually(&format!("{name} is gone"), async || {
            seen::<Pod>(cluster, name).await.is_null().then_some(())
        })
        .await;
}

async fn volume(cluster: &Cluster, name: &str) -> Option<Value> {
    let found = cluster.wide::<PersistentVolume>().get_opt(name).await.unwrap();
    found.map(|volume| serde_json::to_value(volume).unwrap())
}

async fn a_claim_is_bound_when_a_pod_uses_it(cluster: &Cluster) {
    made::<PersistentVolumeClaim>(cluster, claim()).await;
    made::<Pod>(cluster, user(cluster, "web")).await;
    ready(cluster, "web").await;
    let data = now(cluster).await;
    assert_eq!(data["status"]["phase"], "Bound");
    let volume = volume(cluster, data["spec"]["volumeName"].as_str().unwrap()).await.unwrap();
    assert_eq!(volume["status"]["phase"], "Bound");
    assert_eq!(volume["spec"]["claimRef"]["uid"], data["metadata"]["uid"]);
}

async fn a_pod_waits_for_its_claim_to_exist(cluster: &Cluster) {
    made::<Pod>(cluster, user(cluster, "web")).await;
    cluster
        .eventually("it says what it waits for", async || {
            let pod = seen::<Pod>(cluster, "web").await;
            let message = condition(&pod, "PodScheduled")["message"].as_str()?;
            message.contains(r#"persistentvolumeclaim "data" not found"#).then_some(())
        })
        .await;
    made::<PersistentVolumeClaim>(cluster, claim()).await;
    ready(cluster, "web").await;
}

async fn the_next_pod_finds_the_same_volume(cluster: &Cluster) {
    made::<PersistentVolumeClaim>(cluster, claim()).await;
    made::<Pod>(cluster, user(cluster, "first")).await;
    ready(cluster, "first").await;
    let before = now(cluster).await["spec"]["volumeName"].clone();
    delete::<Pod>(cluster, "first").await;
    gone(cluster, "first").await;
    made::<Pod>(cluster, user(cluster, "second")).await;
    ready(cluster, "second").await;
    assert_eq!(now(cluster).await["spec"]["volumeName"], before);
}

async fn a_claim_in_use_goes_after_its_pod(cluster: &Cluster) {
    made::<PersistentVolumeClaim>(cluster, claim()).await;
    made::<Pod>(cluster, user(cluster, "web")).await;
    ready(cluster, "web").await;
    delete::<PersistentVolumeClaim>(cluster, "data").await;
    cluster
        .throughout(Duration::from_secs(3), "the claim waits", async || terminating(&now(cluster).await))
        .await;
    delete::<Pod>(cluster, "web").await;
    cluster.eventually("the claim is gone", async || now(cluster).await.is_null().then_some(())).await;
}

async fn a_volume_goes_with_its_claim(cluster: &Cluster) {
    made::<PersistentVolumeClaim>(cluster, claim()).await;
    made::<Pod>(cluster, user(cluster, "web")).await;
    ready(cluster, "web").await;
    let data = now(cluster).await;
    let volume_name = data["spec"]["volumeName"].as_str().unwrap();
    assert_eq!(name(&data), "data");
    delete::<Pod>(cluster, "web").await;
    gone(cluster, "web").await;
    assert!(volume(cluster, volume_name).await.is_some());
    delete::<PersistentVolumeClaim>(cluster, "data").await;
    cluster
        .eventually("the volume is gone", async || volume(cluster, volume_name).await.is_none().then_some(()))
        .await;
}

async fn a_claim_of_no_class_or_of_a_missing_volume_is_not_bound(cluster: &Cluster) {
    for (field, value, name) in
        [("storageClassName", "", "classless"), ("volumeName", "no-such", "elsewhere")]
    {
        let mut wanted = claim();
        wanted["spec"][field] = json!(value);
        wanted["metadata"]["name"] = json!(name);
        made::<PersistentVolumeClaim>(cluster, wanted).await;
        let mut spec = web(cluster);
        spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": name}}]);
        made::<Pod>(cluster, pod(name, spec)).await;
        cluster
            .eventually(&format!("{name} waits for its volume"), async || {
                let found = seen::<Pod>(cluster, name).await;
                let scheduled = condition(&found, "PodScheduled");
                let message = scheduled["message"].as_str().unwrap_or_default();
                let unbound = message.contains("unbound immediate PersistentVolumeClaims");
                (scheduled["reason"] == "Unschedulable" && unbound).then_some(())
            })
            .await;
    }
}
