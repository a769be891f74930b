//! Where a pod may run: selectors, affinities, taints, spread, cordons; and what a pod says that may run nowhere.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::hollow::{Hollow, MOMENT, for_hollow, on};
use crate::workloads::{all, change, condition, delete, made, pod, seen, terminating, web, workload};

behaviours!(
    a_pod_that_fits_nowhere_is_pending_and_says_why,
    a_pod_is_scheduled_when_a_node_comes_to_fit,
    required_node_affinity_chooses_by_expressions,
    a_pod_goes_where_it_would_rather_be,
    a_cordon_keeps_new_pods_away_and_moves_none,
    a_taint_keeps_away_who_does_not_tolerate_it,
    a_pod_that_names_its_node_is_not_scheduled,
    a_pod_behind_a_scheduling_gate_waits_for_it_to_open,
    pods_that_shun_each_other_run_on_different_nodes,
    a_pod_keeps_away_from_one_that_shuns_it,
    a_pod_that_is_being_deleted_still_keeps_its_place,
    a_pod_follows_its_company,
    pods_spread_evenly_over_zones_where_they_must,
    a_node_without_the_label_of_the_spread_takes_no_pod,
    a_pod_waits_for_room_on_a_node,
    a_pod_waits_for_a_port_of_a_node,
);

/// Waits until a pod has a node, and gives its name.
async fn placed(cluster: &Cluster, name: &str) -> String {
    cluster
        .eventually(&format!("{name} has a node"), async || {
            seen::<Pod>(cluster, name).await["spec"]["nodeName"].as_str().map(str::to_owned)
        })
        .await
}

/// Waits until the scheduler says that a pod fits nowhere, and gives its message.
async fn unplaced(cluster: &Cluster, name: &str) -> String {
    cluster
        .eventually(&format!("{name} is unschedulable"), async || {
            let pod = seen::<Pod>(cluster, name).await;
            let is = condition(&pod, "PodScheduled");
            let no = is["status"] == "False" && is["reason"] == "Unschedulable";
            no.then(|| is["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
}

/// The required term of an affinity to other pods, or away from them.
fn company(kind: &str, app: &str, topology: &str) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": topology},
    ]}})
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

async fn a_pod_that_fits_nowhere_is_pending_and_says_why(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["nodeSelector"] = json!({"no-node": "has-this"});
    made::<Pod>(cluster, pod("web", spec)).await;
    let why = unplaced(cluster, "web").await;
    assert!(why.contains("nodes are available: "), "{why}");
    assert!(why.contains("node(s) didn't match Pod's node affinity/selector"), "{why}");
    assert_eq!(seen::<Pod>(cluster, "web").await["status"]["phase"], "Pending");
}

async fn a_pod_is_scheduled_when_a_node_comes_to_fit(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", for_hollow(cluster))).await;
    unplaced(cluster, "web").await;
    let node = Hollow::new(cluster, "one", "z").await;
    assert_eq!(placed(cluster, "web").await, node.name);
    cluster
        .eventually("it says so", async || {
            let pod = seen::<Pod>(cluster, "web").await;
            (condition(&pod, "PodScheduled")["status"] == "True").then_some(())
        })
        .await;
    node.remove(cluster).await;
}

async fn required_node_affinity_chooses_by_expressions(cluster: &Cluster) {
    let (one, two) = (Hollow::new(cluster, "one", "y").await, Hollow::new(cluster, "two", "z").await);
    one.change(cluster, json!({"metadata": {"labels": {"size": "3"}}})).await;
    let cases = [
        ("in", json!({"key": ZONE, "operator": "In", "values": ["z", "x"]}), &two),
        ("not-in", json!({"key": ZONE, "operator": "NotIn", "values": ["y"]}), &two),
        ("exists", json!({"key": "size", "operator": "Exists"}), &one),
        ("absent", json!({"key": "size", "operator": "DoesNotExist"}), &two),
        ("more", json!({"key": "size", "operator": "Gt", "values": ["2"]}), &one),
    ];
    for (name, expression, node) in cases {
        let mut spec = for_hollow(cluster);
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
        made::<Pod>(cluster, pod(name, spec)).await;
        assert_eq!(placed(cluster, name).await, node.name, "{name}");
    }
    one.remove(cluster).await;
    two.remove(cluster).await;
}

async fn a_cordon_keeps_new_pods_away_and_moves_none(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    made::<Pod>(cluster, pod("before", for_hollow(cluster))).await;
    placed(cluster, "before").await;
    node.change(cluster, json!({"spec": {"unschedulable": true}})).await;
    made::<Pod>(cluster, pod("after", for_hollow(cluster))).await;
    let why = unplaced(cluster, "after").await;
    assert!(why.contains("node(s) were unschedulable"), "{why}");
    assert!(!terminating(&seen::<Pod>(cluster, "before").await));
    node.change(cluster, json!({"spec": {"unschedulable": null}})).await;
    placed(cluster, "after").await;
    node.remove(cluster).await;
}

async fn a_taint_keeps_away_who_does_not_tolerate_it(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    node.taint(cluster, "drill", "NoSchedule").await;
    made::<Pod>(cluster, pod("other", for_hollow(cluster))).await;
    let why = unplaced(cluster, "other").await;
    assert!(why.contains("had untolerated taint"), "{why}");
    let mut spec = for_hollow(cluster);
    let equal = json!({"key": "drill", "operator": "Equal", "value": "yes", "effect": "NoSchedule"});
    spec["tolerations"].as_array_mut().unwrap().push(equal);
    made::<Pod>(cluster, pod("tolerant", spec)).await;
    placed(cluster, "tolerant").await;
    node.remove(cluster).await;
}

async fn a_pod_that_names_its_node_is_not_scheduled(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    node.change(cluster, json!({"spec": {"unschedulable": true}})).await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    cluster
        .throughout(MOMENT, "it is there, and no scheduler said a word", async || {
            let pod = seen::<Pod>(cluster, "web").await;
            pod["spec"]["nodeName"] == node.name.as_str() && condition(&pod, "PodScheduled").is_null()
        })
        .await;
    node.remove(cluster).await;
}

async fn a_pod_behind_a_scheduling_gate_waits_for_it_to_open(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["schedulingGates"] = json!([{"name": "behaviour.example/gate"}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    cluster
        .eventually("it says what it waits for", async || {
            let pod = seen::<Pod>(cluster, "web").await;
            let is = condition(&pod, "PodScheduled");
            (is["status"] == "False" && is["reason"] == "SchedulingGated").then_some(())
        })
        .await;
    cluster
        .throughout(MOMENT, "it has no node", async || {
            seen::<Pod>(cluster, "web").await["spec"]["nodeName"].is_null()
        })
        .await;
    change::<Pod>(cluster, "web", json!({"spec": {"schedulingGates": null}})).await;
    placed(cluster, "web").await;
}

async fn pods_that_shun_each_other_run_on_different_nodes(cluster: &Cluster) {
    let (one, two) = (Hollow::new(cluster, "one", "z").await, Hollow::new(cluster, "two", "z").await);
    let mut spec = for_hollow(cluster);
    spec["affinity"] = company("podAntiAffinity", "web", HOST);
    made::<Deployment>(cluster, workload("web", 3, spec)).await;
    cluster
        .eventually("one on each node, one on none", async || {
            let pods = all::<Pod>(cluster, "web").await;
            let mut nodes: Vec<&str> =
                pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
            nodes.sort_unstable();
            let alone = pods.iter().any(|pod| condition(pod, "PodScheduled")["reason"] == "Unschedulable");
            (alone && nodes == [one.name.as_str(), two.name.as_str()]).then_some(())
        })
        .await;
    one.remove(cluster).await;
    two.remove(cluster).await;
}

async fn a_pod_keeps_away_from_one_that_shuns_it(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    let mut spec = for_hollow(cluster);
    spec["affinity"] = company("podAntiAffinity", "batch", HOST);
    made::<Pod>(cluster, pod("web", spec)).await;
    placed(cluster, "web").await;
    made::<Pod>(cluster, pod("batch", for_hollow(cluster))).await;
    unplaced(cluster, "batch").await;
    node.remove(cluster).await;
}

async fn a_pod_that_is_being_deleted_still_keeps_its_place(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    let mut spec = for_hollow(cluster);
    spec["affinity"] = company("podAntiAffinity", "old", HOST);
    made::<Pod>(cluster, pod("old", on(cluster, &node))).await;
    delete::<Pod>(cluster, "old").await;
    made::<Pod>(cluster, pod("new", spec)).await;
    unplaced(cluster, "new").await;
    cluster.api::<Pod>().delete("old", &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
    placed(cluster, "new").await;
    node.remove(cluster).await;
}

async fn a_pod_follows_its_company(cluster: &Cluster) {
    let (one, two) = (Hollow::new(cluster, "one", "y").await, Hollow::new(cluster, "two", "z").await);
    let mut spec = for_hollow(cluster);
    spec["affinity"] = company("podAffinity", "cache", ZONE);
    made::<Pod>(cluster, pod("web", spec)).await;
    unplaced(cluster, "web").await;
    made::<Pod>(cluster, pod("cache", on(cluster, &two))).await;
    assert_eq!(placed(cluster, "web").await, two.name);
    one.remove(cluster).await;
    two.remove(cluster).await;
}

/// The rule that pods with this label spread over domains within one of each other.
fn spread(topology: &str) -> Value {
    json!([{"maxSkew": 1, "topologyKey": topology, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}])
}

async fn pods_spread_evenly_over_zones_where_they_must(cluster: &Cluster) {
    let nodes = [
        Hollow::new(cluster, "one", "y").await,
        Hollow::new(cluster, "two", "y").await,
        Hollow::new(cluster, "three", "z").await,
    ];
    let mut spec = for_hollow(cluster);
    spec["topologySpreadConstraints"] = spread(ZONE);
    made::<Deployment>(cluster, workload("web", 4, spec)).await;
    cluster
        .eventually("two in each zone", async || {
            let pods = all::<Pod>(cluster, "web").await;
            let there: Vec<&str> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
            let third = there.iter().filter(|node| **node == nodes[2].name).count();
            (there.len() == 4 && third == 2).then_some(())
        })
        .await;
    nodes[2].change(cluster, json!({"spec": {"unschedulable": true}})).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 6}})).await;
    cluster
        .eventually("one more in the other zone, and one nowhere", async || {
            let pods = all::<Pod>(cluster, "web").await;
            let waits = |pod: &&Value| condition(pod, "PodScheduled")["reason"] == "Unschedulable";
            (pods.len() == 6 && pods.iter().filter(waits).count() == 1).then_some(())
        })
        .await;
    for node in nodes {
        node.remove(cluster).await;
    }
}

async fn a_node_without_the_label_of_the_spread_takes_no_pod(cluster: &Cluster) {
    let (one, two) = (Hollow::new(cluster, "one", "z").await, Hollow::new(cluster, "two", "z").await);
    one.change(cluster, json!({"metadata": {"labels": {"rack": "r1"}}})).await;
    let mut spec = for_hollow(cluster);
    spec["topologySpreadConstraints"] = spread("rack");
    made::<Deployment>(cluster, workload("web", 3, spec)).await;
    cluster
        .eventually("all on the node with the label", async || {
            let pods = all::<Pod>(cluster, "web").await;
            let there = pods.iter().filter(|pod| pod["spec"]["nodeName"] == one.name.as_str());
            (there.count() == 3).then_some(())
        })
        .await;
    one.remove(cluster).await;
    two.remove(cluster).await;
}

async fn a_pod_waits_for_room_on_a_node(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    let mut spec = for_hollow(cluster);
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "4500m", "memory": "1Gi"}});
    made::<Pod>(cluster, pod("first", spec.clone())).await;
    placed(cluster, "first").await;
    made::<Pod>(cluster, pod("second", spec.clone())).await;
    let why = unplaced(cluster, "second").await;
    assert!(why.contains("1 Insufficient cpu"), "{why}");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
    made::<Pod>(cluster, pod("small", spec)).await;
    placed(cluster, "small").await;
    let force = kube::api::DeleteParams::default().grace_period(0);
    cluster.api::<Pod>().delete("first", &force).await.unwrap();
    placed(cluster, "second").await;
    node.remove(cluster).await;
}

async fn a_pod_waits_for_a_port_of_a_node(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    let mut spec = for_hollow(cluster);
    spec["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": 8080}]);
    made::<Pod>(cluster, pod("first", spec.clone())).await;
    placed(cluster, "first").await;
    made::<Pod>(cluster, pod("second", spec)).await;
    let why = unplaced(cluster, "second").await;
    assert!(why.contains("node(s) didn't have free ports for the requested pod ports"), "{why}");
    node.remove(cluster).await;
}

async fn a_pod_goes_where_it_would_rather_be(cluster: &Cluster) {
    let nodes = [
        Hollow::new(cluster, "one", "z").await,
        Hollow::new(cluster, "two", "z").await,
        Hollow::new(cluster, "three", "z").await,
    ];
    for node in &nodes {
        let there = json!({"matchExpressions": [{"key": HOST, "operator": "In", "values": [node.name]}]});
        let mut spec = for_hollow(cluster);
        spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"weight": 100, "preference": there}]);
        made::<Pod>(cluster, pod(&node.name, spec)).await;
        assert_eq!(placed(cluster, &node.name).await, node.name);
    }
    for node in nodes {
        node.remove(cluster).await;
    }
}
