//! Nodes that fall silent, are cordoned or tainted, come back or go; and what becomes of the pods on them.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::hollow::{Hollow, MOMENT, on, taints};
use crate::workloads::{condition, delete, holds, made, play_ready, pod, seen, terminating, web};

behaviours!(
    a_node_says_how_much_room_it_has,
    a_node_that_falls_silent_is_unknown_after_its_grace,
    a_node_that_is_heard_of_again_is_ready_and_loses_its_taints,
    a_node_that_says_that_it_is_not_ready_is_tainted_so,
    a_cordon_is_a_taint_too_and_both_go_together,
    pods_of_a_silent_node_are_not_ready,
    a_pod_leaves_a_silent_node_when_its_toleration_is_over,
    a_pod_tolerates_a_lost_node_for_five_minutes_unless_it_says_otherwise,
    a_pod_that_is_deleted_on_a_silent_node_goes_only_by_force,
    pods_of_a_node_out_of_service_are_removed,
    a_taint_that_executes_sends_away_at_once_who_does_not_tolerate_it,
    pods_of_a_deleted_node_are_removed,
    a_node_has_an_address_of_its_own,
    a_node_renews_its_lease,
);

/// Waits until somebody deletes a pod.
async fn leaves(cluster: &Cluster, name: &str) {
    cluster
        .eventually(&format!("{name} leaves"), async || {
            let pod = seen::<Pod>(cluster, name).await;
            (pod.is_null() || terminating(&pod)).then_some(())
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

/// A pod that tolerates a silent node for some seconds.
fn patient(mut spec: Value, seconds: u64) -> Value {
    let more = json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": seconds});
    spec["tolerations"].as_array_mut().unwrap().push(more);
    spec
}

async fn a_node_that_falls_silent_is_unknown_after_its_grace(cluster: &Cluster) {
    let node = Hollow::new(cluster, "lost", "z").await;
    cluster
        .throughout(Duration::from_secs(30), "it is ready", async || {
            holds(&node.seen(cluster).await, "Ready")
        })
        .await;
    node.silent(cluster).await;
    assert_eq!(condition(&node.seen(cluster).await, "Ready")["reason"], "NodeStatusUnknown");
    node.remove(cluster).await;
}

async fn a_node_that_is_heard_of_again_is_ready_and_loses_its_taints(cluster: &Cluster) {
    let node = Hollow::new(cluster, "back", "z").await;
    node.silent(cluster).await;
    node.post(cluster, "True").await;
    cluster
        .eventually("no taint", async || {
            let now = node.seen(cluster).await;
            (holds(&now, "Ready") && taints(&now, "node.kubernetes.io/").is_empty()).then_some(())
        })
        .await;
    node.remove(cluster).await;
}

async fn a_node_that_says_that_it_is_not_ready_is_tainted_so(cluster: &Cluster) {
    let node = Hollow::new(cluster, "unready", "z").await;
    node.post(cluster, "False").await;
    cluster
        .eventually("its taints", async || {
            let now = node.seen(cluster).await;
            (taints(&now, "node.kubernetes.io/not-ready") == ["NoExecute", "NoSchedule"]).then_some(())
        })
        .await;
    node.post(cluster, "True").await;
    cluster
        .eventually("no taint", async || {
            taints(&node.seen(cluster).await, "node.kubernetes.io/").is_empty().then_some(())
        })
        .await;
    node.remove(cluster).await;
}

async fn a_cordon_is_a_taint_too_and_both_go_together(cluster: &Cluster) {
    let node = Hollow::new(cluster, "cordoned", "z").await;
    let unschedulable = |taint: &'static [&'static str]| {
        let node = &node;
        async move {
            cluster
                .eventually("the taint of the cordon", async || {
                    let now = taints(&node.seen(cluster).await, "node.kubernetes.io/unschedulable");
                    (now == taint).then_some(())
                })
                .await;
        }
    };
    node.change(cluster, json!({"spec": {"unschedulable": true}})).await;
    unschedulable(&["NoSchedule"]).await;
    node.change(cluster, json!({"spec": {"unschedulable": null}})).await;
    unschedulable(&[]).await;
    node.remove(cluster).await;
}

async fn pods_of_a_silent_node_are_not_ready(cluster: &Cluster) {
    let node = Hollow::new(cluster, "lost", "z").await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    play_ready(cluster, "web", true).await;
    node.silent(cluster).await;
    cluster
        .eventually("the pod is not ready", async || {
            (condition(&seen::<Pod>(cluster, "web").await, "Ready")["status"] == "False").then_some(())
        })
        .await;
    assert_eq!(seen::<Pod>(cluster, "web").await["status"]["phase"], "Running");
    node.remove(cluster).await;
}

async fn a_pod_leaves_a_silent_node_when_its_toleration_is_over(cluster: &Cluster) {
    let node = Hollow::new(cluster, "lost", "z").await;
    made::<Pod>(cluster, pod("short", patient(on(cluster, &node), 10))).await;
    made::<Pod>(cluster, pod("long", patient(on(cluster, &node), 3600))).await;
    node.silent(cluster).await;
    assert!(!terminating(&seen::<Pod>(cluster, "short").await));
    leaves(cluster, "short").await;
    let short = seen::<Pod>(cluster, "short").await;
    assert_eq!(condition(&short, "DisruptionTarget")["reason"], "DeletionByTaintManager");
    assert!(!terminating(&seen::<Pod>(cluster, "long").await));
    node.remove(cluster).await;
}

async fn a_pod_tolerates_a_lost_node_for_five_minutes_unless_it_says_otherwise(cluster: &Cluster) {
    let web = made::<Pod>(cluster, pod("web", web(cluster))).await;
    for taint in ["not-ready", "unreachable"] {
        let wanted = json!({"key": format!("node.kubernetes.io/{taint}"), "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": 300});
        assert!(web["spec"]["tolerations"].as_array().unwrap().contains(&wanted), "{taint}");
    }
}

async fn a_pod_that_is_deleted_on_a_silent_node_goes_only_by_force(cluster: &Cluster) {
    let node = Hollow::new(cluster, "lost", "z").await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    delete::<Pod>(cluster, "web").await;
    cluster
        .throughout(Duration::from_secs(10), "nobody ends it", async || {
            terminating(&seen::<Pod>(cluster, "web").await)
        })
        .await;
    cluster.api::<Pod>().delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(seen::<Pod>(cluster, "web").await.is_null());
    node.remove(cluster).await;
}

async fn pods_of_a_node_out_of_service_are_removed(cluster: &Cluster) {
    let node = Hollow::new(cluster, "dead", "z").await;
    made::<Pod>(cluster, pod("web", patient(on(cluster, &node), 3600))).await;
    node.silent(cluster).await;
    assert!(!terminating(&seen::<Pod>(cluster, "web").await));
    node.taint(cluster, "node.kubernetes.io/out-of-service", "NoExecute").await;
    gone(cluster, "web").await;
    node.remove(cluster).await;
}

async fn a_taint_that_executes_sends_away_at_once_who_does_not_tolerate_it(cluster: &Cluster) {
    let node = Hollow::new(cluster, "tainted", "z").await;
    let mut tolerant = on(cluster, &node);
    tolerant["tolerations"].as_array_mut().unwrap().push(json!({"key": "drill", "operator": "Exists"}));
    made::<Pod>(cluster, pod("tolerant", tolerant)).await;
    made::<Pod>(cluster, pod("other", on(cluster, &node))).await;
    node.taint(cluster, "maintenance", "NoSchedule").await;
    let stays = async |name: &str| !terminating(&seen::<Pod>(cluster, name).await);
    cluster.throughout(MOMENT, "both stay", async || stays("tolerant").await && stays("other").await).await;
    node.taint(cluster, "drill", "NoExecute").await;
    leaves(cluster, "other").await;
    cluster.throughout(MOMENT, "one stays", async || stays("tolerant").await).await;
    node.remove(cluster).await;
}

async fn pods_of_a_deleted_node_are_removed(cluster: &Cluster) {
    let node = Hollow::new(cluster, "sold", "z").await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    node.remove(cluster).await;
    gone(cluster, "web").await;
}

async fn a_node_has_an_address_of_its_own(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    let web = cluster
        .eventually("it runs", async || {
            Some(seen::<Pod>(cluster, "web").await).filter(|pod| holds(pod, "Ready"))
        })
        .await;
    let node = cluster.wide::<Node>().get(web["spec"]["nodeName"].as_str().unwrap()).await.unwrap();
    let node = serde_json::to_value(node).unwrap();
    let mut addresses = node["status"]["addresses"].as_array().unwrap().iter();
    let internal = addresses.find(|address| address["type"] == "InternalIP").unwrap();
    assert_eq!(web["status"]["hostIP"], internal["address"]);
    assert_ne!(web["status"]["podIP"], internal["address"]);
}

async fn a_node_renews_its_lease(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    let node = cluster
        .eventually("it has a node", async || {
            seen::<Pod>(cluster, "web").await["spec"]["nodeName"].as_str().map(str::to_owned)
        })
        .await;
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-node-lease");
    let renewed = async || leases.get(&node).await.unwrap().spec.unwrap().renew_time.unwrap();
    let before = renewed().await;
    cluster.eventually("a later renewal", async || (renewed().await > before).then_some(())).await;
}

async fn a_node_says_how_much_room_it_has(cluster: &Cluster) {
    let nodes = cluster.get("/api/v1/nodes?labelSelector=!hollow").await.ok();
    let nodes = nodes["items"].as_array().unwrap();
    assert!(!nodes.is_empty());
    for (node, part) in nodes.iter().flat_map(|node| [(node, "capacity"), (node, "allocatable")]) {
        for resource in ["cpu", "memory", "pods"] {
            assert!(node["status"][part][resource].is_string(), "{resource}: {}", node["status"]);
        }
    }
}
