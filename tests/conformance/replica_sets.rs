//! Replica sets: as many pods as asked for, whose pods they are, and which go first.

use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    all, all_ready, change, controller, counts, delete, made, name, names, play, play_ready, pod, seen,
    staged, uid, workload,
};

behaviours!(
    a_replica_set_replaces_a_pod_that_is_deleted,
    a_replica_set_replaces_a_pod_that_failed,
    a_replica_set_adopts_a_pod_that_its_selector_chooses,
    a_replica_set_releases_a_pod_whose_labels_no_longer_match,
    a_replica_set_counts_its_pods,
    pods_that_are_not_ready_go_first,
    pods_that_are_cheap_to_delete_go_first,
    of_two_ready_pods_the_younger_goes_first,
);

/// Waits until the set has so many pods that nobody deletes.
async fn pods(cluster: &Cluster, count: usize) -> Vec<Value> {
    cluster
        .eventually(&format!("{count} pods"), async || {
            Some(all::<Pod>(cluster, "web").await).filter(|pods| pods.len() == count)
        })
        .await
}

async fn a_replica_set_replaces_a_pod_that_is_deleted(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 2, staged(cluster))).await;
    let before = pods(cluster, 2).await;
    delete::<Pod>(cluster, name(&before[0])).await;
    cluster
        .eventually("another pod", async || {
            let now = all::<Pod>(cluster, "web").await;
            (now.len() == 2 && names(&now) != names(&before)).then_some(())
        })
        .await;
}

async fn a_replica_set_replaces_a_pod_that_failed(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 1, staged(cluster))).await;
    let first = pods(cluster, 1).await.remove(0);
    play(cluster, name(&first), json!({"phase": "Failed"})).await;
    let both = pods(cluster, 2).await;
    assert!(names(&both).contains(&name(&first)), "the failed one stays to be looked at");
}

async fn a_replica_set_adopts_a_pod_that_its_selector_chooses(cluster: &Cluster) {
    let mut alone = pod("alone", staged(cluster));
    alone["metadata"]["labels"] = json!({"app": "web"});
    made::<Pod>(cluster, alone).await;
    let set = made::<ReplicaSet>(cluster, workload("web", 2, staged(cluster))).await;
    cluster
        .eventually("the pod is the set's", async || {
            (controller(&seen::<Pod>(cluster, "alone").await) == uid(&set)).then_some(())
        })
        .await;
    pods(cluster, 2).await;
    cluster
        .throughout(Duration::from_secs(3), "two pods", async || {
            let now = all::<Pod>(cluster, "web").await;
            now.len() == 2 && names(&now).contains(&"alone")
        })
        .await;
}

async fn a_replica_set_releases_a_pod_whose_labels_no_longer_match(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 1, staged(cluster))).await;
    let first = pods(cluster, 1).await.remove(0);
    change::<Pod>(cluster, name(&first), json!({"metadata": {"labels": {"app": "quarantine"}}})).await;
    let next = pods(cluster, 1).await.remove(0);
    assert_ne!(name(&next), name(&first));
    cluster
        .eventually("nobody controls the first", async || {
            controller(&seen::<Pod>(cluster, name(&first)).await).is_empty().then_some(())
        })
        .await;
}

async fn a_replica_set_counts_its_pods(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 3, staged(cluster))).await;
    let all = pods(cluster, 3).await;
    play_ready(cluster, name(&all[0]), true).await;
    cluster
        .eventually("three pods, one of them ready and available", async || {
            let set = seen::<ReplicaSet>(cluster, "web").await;
            let fields = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
            (counts(&set, fields) == [3, 3, 1, 1]).then_some(())
        })
        .await;
}

async fn pods_that_are_not_ready_go_first(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 3, staged(cluster))).await;
    let all = pods(cluster, 3).await;
    play_ready(cluster, name(&all[0]), false).await;
    play_ready(cluster, name(&all[1]), true).await;
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 2}})).await;
    assert_eq!(names(&pods(cluster, 2).await), [name(&all[0]), name(&all[1])], "the one that does not run");
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 1}})).await;
    assert_eq!(names(&pods(cluster, 1).await), [name(&all[1])], "the one that is not ready");
}

async fn pods_that_are_cheap_to_delete_go_first(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 3, staged(cluster))).await;
    all_ready(cluster, "web", 3).await;
    let all = pods(cluster, 3).await;
    for (pod, cost) in all.iter().zip(["5", "-1", "100"]) {
        let cost = json!({"controller.kubernetes.io/pod-deletion-cost": cost});
        change::<Pod>(cluster, name(pod), json!({"metadata": {"annotations": cost}})).await;
    }
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 2}})).await;
    assert_eq!(names(&pods(cluster, 2).await), [name(&all[0]), name(&all[2])]);
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 1}})).await;
    assert_eq!(names(&pods(cluster, 1).await), [name(&all[2])]);
}

async fn of_two_ready_pods_the_younger_goes_first(cluster: &Cluster) {
    made::<ReplicaSet>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    let old = pods(cluster, 1).await.remove(0);
    cluster
        .throughout(Duration::from_secs(20), "it grows old", async || {
            !seen::<Pod>(cluster, name(&old)).await.is_null()
        })
        .await;
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 3}})).await;
    all_ready(cluster, "web", 3).await;
    change::<ReplicaSet>(cluster, "web", json!({"spec": {"replicas": 1}})).await;
    assert_eq!(names(&pods(cluster, 1).await), [name(&old)]);
}
