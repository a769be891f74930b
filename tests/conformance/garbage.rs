//! What becomes of objects whose owners go, and of the namespace that they are in.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    all, all_ready, delete, hold, made, name, pod, release, seen, staged, terminating, uid, workload,
};

behaviours!(
    what_a_deleted_owner_owned_goes_too,
    what_an_orphaning_deletion_leaves_knows_no_owner,
    an_owner_deleted_in_the_foreground_waits_for_what_blocks_it,
    what_does_not_block_lets_its_owner_go,
    a_deletion_in_the_foreground_waits_for_the_whole_tree,
    what_has_another_owner_stays_and_forgets_the_one_that_is_gone,
    what_names_an_owner_that_never_was_goes,
    what_a_pod_owns_goes_with_it,
    a_deleted_namespace_goes_when_it_is_empty,
);

/// A ConfigMap with owners.
fn note(text: &str, owners: &[&Value], blocks: bool) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({"apiVersion": "v1", "kind": if owner["spec"].is_null() { "ConfigMap" } else { "Pod" },
                "name": name(owner), "uid": uid(owner), "blockOwnerDeletion": blocks})
        })
        .collect();
    json!({"metadata": {"name": text, "ownerReferences": references}})
}

async fn map(cluster: &Cluster, name: &str) -> Value {
    seen::<ConfigMap>(cluster, name).await
}

async fn gone(cluster: &Cluster, name: &str) {
    cluster
        .eventually(&format!("{name} is gone"), async || map(cluster, name).await.is_null().then_some(()))
        .await;
}

async fn stays(cluster: &Cluster, name: &str) {
    cluster
        .throughout(Duration::from_secs(3), &format!("{name} is there"), async || {
            !map(cluster, name).await.is_null()
        })
        .await;
}

async fn what_a_deleted_owner_owned_goes_too(cluster: &Cluster) {
    let owner = made::<ConfigMap>(cluster, note("owner", &[], false)).await;
    let child = made::<ConfigMap>(cluster, note("child", &[&owner], false)).await;
    made::<ConfigMap>(cluster, note("grandchild", &[&child], false)).await;
    delete::<ConfigMap>(cluster, "owner").await;
    gone(cluster, "child").await;
    gone(cluster, "grandchild").await;
}

async fn what_an_orphaning_deletion_leaves_knows_no_owner(cluster: &Cluster) {
    let owner = made::<ConfigMap>(cluster, note("owner", &[], false)).await;
    made::<ConfigMap>(cluster, note("child", &[&owner], false)).await;
    cluster.api::<ConfigMap>().delete("owner", &DeleteParams::orphan()).await.unwrap();
    gone(cluster, "owner").await;
    stays(cluster, "child").await;
    let owners = map(cluster, "child").await["metadata"]["ownerReferences"].clone();
    assert!(owners.as_array().is_none_or(Vec::is_empty), "{owners}");
}

async fn an_owner_deleted_in_the_foreground_waits_for_what_blocks_it(cluster: &Cluster) {
    let owner = made::<ConfigMap>(cluster, note("owner", &[], false)).await;
    made::<ConfigMap>(cluster, note("child", &[&owner], true)).await;
    hold::<ConfigMap>(cluster, "child").await;
    cluster.api::<ConfigMap>().delete("owner", &DeleteParams::foreground()).await.unwrap();
    cluster
        .eventually("the child is deleted", async || terminating(&map(cluster, "child").await).then_some(()))
        .await;
    stays(cluster, "owner").await;
    let finalizers = map(cluster, "owner").await["metadata"]["finalizers"].clone();
    assert_eq!(finalizers, json!(["foregroundDeletion"]));
    release::<ConfigMap>(cluster, "child").await;
    gone(cluster, "owner").await;
}

async fn what_does_not_block_lets_its_owner_go(cluster: &Cluster) {
    let owner = made::<ConfigMap>(cluster, note("owner", &[], false)).await;
    made::<ConfigMap>(cluster, note("child", &[&owner], false)).await;
    hold::<ConfigMap>(cluster, "child").await;
    cluster.api::<ConfigMap>().delete("owner", &DeleteParams::foreground()).await.unwrap();
    gone(cluster, "owner").await;
    release::<ConfigMap>(cluster, "child").await;
    gone(cluster, "child").await;
}

async fn a_deletion_in_the_foreground_waits_for_the_whole_tree(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 2, staged(cluster))).await;
    all_ready(cluster, "web", 2).await;
    let pod = name(&all::<Pod>(cluster, "web").await[0]).to_owned();
    hold::<Pod>(cluster, &pod).await;
    cluster.api::<Deployment>().delete("web", &DeleteParams::foreground()).await.unwrap();
    cluster
        .eventually("the pods are deleted", async || {
            let pods = all::<Pod>(cluster, "web").await;
            (pods.len() == 1 && terminating(&pods[0])).then_some(())
        })
        .await;
    cluster
        .throughout(Duration::from_secs(3), "deployment and replica set wait", async || {
            let sets = all::<ReplicaSet>(cluster, "web").await;
            sets.len() == 1 && terminating(&sets[0]) && terminating(&seen::<Deployment>(cluster, "web").await)
        })
        .await;
    release::<Pod>(cluster, &pod).await;
    cluster
        .eventually("all is gone", async || {
            let gone = seen::<Deployment>(cluster, "web").await.is_null();
            (gone && all::<ReplicaSet>(cluster, "web").await.is_empty()).then_some(())
        })
        .await;
}

async fn what_has_another_owner_stays_and_forgets_the_one_that_is_gone(cluster: &Cluster) {
    let one = made::<ConfigMap>(cluster, note("one", &[], false)).await;
    let two = made::<ConfigMap>(cluster, note("two", &[], false)).await;
    made::<ConfigMap>(cluster, note("child", &[&one, &two], false)).await;
    delete::<ConfigMap>(cluster, "one").await;
    cluster
        .eventually("one owner is left", async || {
            let owners = map(cluster, "child").await["metadata"]["ownerReferences"].clone();
            let owners = owners.as_array()?.clone();
            (owners.len() == 1 && owners[0]["uid"] == uid(&two)).then_some(())
        })
        .await;
    stays(cluster, "child").await;
}

async fn what_names_an_owner_that_never_was_goes(cluster: &Cluster) {
    let never = json!({"metadata": {"name": "never", "uid": "6f9619ff-8b86-4011-b42d-00c04fc964ff"}});
    made::<ConfigMap>(cluster, note("child", &[&never], false)).await;
    gone(cluster, "child").await;
}

async fn what_a_pod_owns_goes_with_it(cluster: &Cluster) {
    let web = made::<Pod>(cluster, pod("web", staged(cluster))).await;
    made::<ConfigMap>(cluster, note("child", &[&web], false)).await;
    delete::<Pod>(cluster, "web").await;
    gone(cluster, "child").await;
}

async fn a_deleted_namespace_goes_when_it_is_empty(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    made::<ConfigMap>(cluster, note("held", &[], false)).await;
    hold::<ConfigMap>(cluster, "held").await;
    let spaces = cluster.wide::<Namespace>();
    spaces.delete(&cluster.namespace, &DeleteParams::default()).await.unwrap();
    cluster
        .eventually("only what is held is left", async || {
            let empty = all::<Deployment>(cluster, "web").await.is_empty()
                && all::<Pod>(cluster, "web").await.is_empty();
            (empty && terminating(&map(cluster, "held").await)).then_some(())
        })
        .await;
    let space = serde_json::to_value(spaces.get(&cluster.namespace).await.unwrap()).unwrap();
    assert_eq!(space["status"]["phase"], "Terminating");
    release::<ConfigMap>(cluster, "held").await;
    cluster
        .eventually("the namespace is gone", async || {
            spaces.get_opt(&cluster.namespace).await.unwrap().is_none().then_some(())
        })
        .await;
}
