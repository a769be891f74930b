//! Disruption budgets: how many pods they expect, want and have, and so how many may be evicted now.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::EvictParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    all, all_ready, change, counts, delete, hold, holds, made, name, play_ready, pod, release, seen, staged,
    workload,
};

behaviours!(
    a_budget_counts_the_pods_that_must_stay,
    a_share_of_pods_that_must_stay_rounds_up,
    a_share_of_pods_that_may_go_rounds_up,
    a_budget_expects_as_many_pods_as_their_owner_wants,
    pods_that_are_not_ready_are_not_healthy,
    an_empty_selector_chooses_every_pod_of_the_namespace,
    a_budget_chooses_by_expressions,
    pods_without_an_owner_have_no_share_that_may_go,
    an_eviction_is_paid_for_until_the_pod_is_replaced,
    a_pod_that_is_being_deleted_is_healthy_no_longer,
);

/// A budget's numbers: expected, desired, healthy, allowed.
async fn numbers(cluster: &Cluster, wanted: [i64; 4]) -> Value {
    cluster
        .eventually(&format!("{wanted:?}"), async || {
            let budget = seen::<PodDisruptionBudget>(cluster, "keep").await;
            let fields = ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"];
            let observed =
                counts(&budget, ["observedGeneration"])[0] == budget["metadata"]["generation"].as_i64()?;
            (observed && counts(&budget, fields) == wanted).then_some(budget)
        })
        .await
}

async fn keep(cluster: &Cluster, rule: Value) {
    let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}});
    spec.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    made::<PodDisruptionBudget>(cluster, json!({"metadata": {"name": "keep"}, "spec": spec})).await;
}

async fn deployed(cluster: &Cluster, replicas: u32) {
    made::<Deployment>(cluster, workload("web", replicas, staged(cluster))).await;
    all_ready(cluster, "web", usize::try_from(replicas).unwrap()).await;
}

async fn a_budget_counts_the_pods_that_must_stay(cluster: &Cluster) {
    deployed(cluster, 3).await;
    keep(cluster, json!({"minAvailable": 2})).await;
    let budget = numbers(cluster, [3, 2, 3, 1]).await;
    assert!(holds(&budget, "DisruptionAllowed"));
    change::<PodDisruptionBudget>(cluster, "keep", json!({"spec": {"minAvailable": 3}})).await;
    let budget = numbers(cluster, [3, 3, 3, 0]).await;
    assert!(!holds(&budget, "DisruptionAllowed"));
}

async fn a_share_of_pods_that_must_stay_rounds_up(cluster: &Cluster) {
    deployed(cluster, 3).await;
    keep(cluster, json!({"minAvailable": "50%"})).await;
    numbers(cluster, [3, 2, 3, 1]).await;
}

async fn a_share_of_pods_that_may_go_rounds_up(cluster: &Cluster) {
    deployed(cluster, 3).await;
    keep(cluster, json!({"maxUnavailable": "50%"})).await;
    numbers(cluster, [3, 1, 3, 2]).await;
}

async fn a_budget_expects_as_many_pods_as_their_owner_wants(cluster: &Cluster) {
    deployed(cluster, 3).await;
    keep(cluster, json!({"maxUnavailable": 1})).await;
    numbers(cluster, [3, 2, 3, 1]).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 5}})).await;
    numbers(cluster, [5, 4, 3, 0]).await;
}

async fn pods_that_are_not_ready_are_not_healthy(cluster: &Cluster) {
    deployed(cluster, 2).await;
    keep(cluster, json!({"minAvailable": 1})).await;
    numbers(cluster, [2, 1, 2, 1]).await;
    let pods = all::<Pod>(cluster, "web").await;
    play_ready(cluster, name(&pods[0]), false).await;
    numbers(cluster, [2, 1, 1, 0]).await;
}

async fn an_empty_selector_chooses_every_pod_of_the_namespace(cluster: &Cluster) {
    for name in ["one", "two"] {
        made::<Pod>(cluster, pod(name, staged(cluster))).await;
        play_ready(cluster, name, true).await;
    }
    keep(cluster, json!({"minAvailable": 1, "selector": {}})).await;
    numbers(cluster, [2, 1, 2, 1]).await;
}

async fn a_budget_chooses_by_expressions(cluster: &Cluster) {
    for (name, tier) in [("one", "web"), ("two", "cache"), ("three", "batch")] {
        let mut pod = pod(name, staged(cluster));
        pod["metadata"]["labels"]["tier"] = json!(tier);
        made::<Pod>(cluster, pod).await;
        play_ready(cluster, name, true).await;
    }
    made::<Pod>(cluster, pod("none", staged(cluster))).await;
    play_ready(cluster, "none", true).await;
    let rule = |operator: &str, values: Value| {
        json!({"selector": {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]},
            "minAvailable": 1})
    };
    for (operator, values, chosen) in [
        ("In", json!(["web", "cache"]), 2),
        ("NotIn", json!(["web"]), 3),
        ("Exists", json!([]), 3),
        ("DoesNotExist", json!([]), 1),
    ] {
        keep(cluster, rule(operator, values)).await;
        numbers(cluster, [chosen, 1, chosen, chosen - 1]).await;
        crate::workloads::delete::<PodDisruptionBudget>(cluster, "keep").await;
    }
}

async fn pods_without_an_owner_have_no_share_that_may_go(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", staged(cluster))).await;
    play_ready(cluster, "web", true).await;
    keep(cluster, json!({"maxUnavailable": 1})).await;
    numbers(cluster, [0, 0, 1, 0]).await;
}

async fn an_eviction_is_paid_for_until_the_pod_is_replaced(cluster: &Cluster) {
    deployed(cluster, 2).await;
    keep(cluster, json!({"maxUnavailable": 1})).await;
    numbers(cluster, [2, 1, 2, 1]).await;
    let pods = all::<Pod>(cluster, "web").await;
    cluster.api::<Pod>().evict(name(&pods[0]), &EvictParams::default()).await.unwrap();
    numbers(cluster, [2, 1, 1, 0]).await;
    let refused = cluster.api::<Pod>().evict(name(&pods[1]), &EvictParams::default()).await;
    assert_eq!(crate::cluster::refused(refused).0, 429);
    all_ready(cluster, "web", 2).await;
    let budget = numbers(cluster, [2, 1, 2, 1]).await;
    assert!(budget["status"]["disruptedPods"].as_object().is_none_or(|pods| pods.is_empty()));
}

async fn a_pod_that_is_being_deleted_is_healthy_no_longer(cluster: &Cluster) {
    deployed(cluster, 2).await;
    keep(cluster, json!({"minAvailable": 1})).await;
    numbers(cluster, [2, 1, 2, 1]).await;
    let pods = all::<Pod>(cluster, "web").await;
    hold::<Pod>(cluster, name(&pods[0])).await;
    delete::<Pod>(cluster, name(&pods[0])).await;
    // Its successor is not ready, and it counts itself until it is gone.
    numbers(cluster, [3, 1, 1, 0]).await;
    release::<Pod>(cluster, name(&pods[0])).await;
}
