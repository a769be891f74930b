//! Services: which pods their endpoint slices hold, in what state, and under which port.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::hollow::{Hollow, on};
use crate::workloads::{
    change, controller, delete, holds, made, mute, play, pod, seen, terminating, uid, web,
};

behaviours!(
    a_slice_holds_a_ready_pod_with_its_address_and_its_node,
    a_slice_belongs_to_its_service_and_goes_with_it,
    a_pod_that_is_not_ready_is_listed_and_not_ready,
    a_pod_that_is_being_deleted_still_serves_and_is_not_ready,
    a_service_may_publish_pods_that_are_not_ready,
    a_pod_that_is_over_is_no_endpoint,
    a_port_by_name_is_the_one_of_the_pod,
    another_selector_brings_other_pods,
    a_headless_service_has_no_address_and_says_so_on_its_slice,
    a_pod_in_the_subdomain_of_its_service_has_a_host_name,
    a_slice_carries_the_labels_of_its_service,
    a_service_without_a_selector_gets_no_slice,
    a_port_of_the_nodes_is_given_and_kept,
    a_port_of_the_nodes_that_somebody_has_is_invalid,
);

fn service(more: Value) -> Value {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "shop"}, "spec": spec})
}

async fn slices(cluster: &Cluster) -> Vec<Value> {
    let of_shop = ListParams::default().labels("kubernetes.io/service-name=shop");
    let found = cluster.api::<EndpointSlice>().list(&of_shop).await.unwrap();
    found.into_iter().map(|slice| serde_json::to_value(slice).unwrap()).collect()
}

/// Waits until the service has one endpoint that is as wanted, and gives its slice.
async fn endpoint(cluster: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    cluster
        .eventually(what, async || {
            let mut slices = slices(cluster).await;
            slices.retain(|slice| slice["endpoints"].as_array().is_some_and(|all| !all.is_empty()));
            let [slice] = slices.as_slice() else { return None };
            let [endpoint] = slice["endpoints"].as_array()?.as_slice() else { return None };
            wanted(endpoint).then(|| slice.clone())
        })
        .await
}

fn is(ready: bool, serving: bool, terminating: bool) -> impl Fn(&Value) -> bool {
    let wanted = json!({"ready": ready, "serving": serving, "terminating": terminating});
    move |endpoint| endpoint["conditions"] == wanted
}

async fn a_slice_holds_a_ready_pod_with_its_address_and_its_node(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({}))).await;
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    let slice = endpoint(cluster, "a ready endpoint", is(true, true, false)).await;
    let web = seen::<Pod>(cluster, "web").await;
    let endpoint = &slice["endpoints"][0];
    assert_eq!(endpoint["addresses"], json!([web["status"]["podIP"]]));
    assert_eq!(endpoint["nodeName"], web["spec"]["nodeName"]);
    assert_eq!(endpoint["targetRef"]["uid"], web["metadata"]["uid"]);
    assert_eq!(slice["ports"], json!([{"name": "", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(slice["addressType"], "IPv4");
}

async fn a_slice_belongs_to_its_service_and_goes_with_it(cluster: &Cluster) {
    let shop = made::<Service>(cluster, service(json!({}))).await;
    let slice = cluster.eventually("a slice", async || slices(cluster).await.pop()).await;
    assert_eq!(controller(&slice), uid(&shop));
    let manager = &slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"];
    assert_eq!(manager, "endpointslice-controller.k8s.io");
    delete::<Service>(cluster, "shop").await;
    cluster.eventually("no slice", async || slices(cluster).await.is_empty().then_some(())).await;
}

async fn a_pod_that_is_not_ready_is_listed_and_not_ready(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({}))).await;
    made::<Pod>(cluster, pod("web", mute(cluster))).await;
    endpoint(cluster, "an endpoint that is not ready", is(false, false, false)).await;
}

async fn a_pod_that_is_being_deleted_still_serves_and_is_not_ready(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    made::<Service>(cluster, service(json!({}))).await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    play_address(cluster).await;
    let slice = endpoint(cluster, "a ready endpoint", is(true, true, false)).await;
    assert_eq!(slice["endpoints"][0]["zone"], "z");
    delete::<Pod>(cluster, "web").await;
    endpoint(cluster, "an endpoint on its way out", is(false, true, true)).await;
    node.remove(cluster).await;
}

/// Makes the pod on a hollow node ready, at an address of no network.
async fn play_address(cluster: &Cluster) {
    let status = json!({"phase": "Running", "podIP": "192.0.2.7", "podIPs": [{"ip": "192.0.2.7"}],
        "conditions": [{"type": "Ready", "status": "True"}]});
    play(cluster, "web", status).await;
}

async fn a_service_may_publish_pods_that_are_not_ready(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({"publishNotReadyAddresses": true}))).await;
    made::<Pod>(cluster, pod("web", mute(cluster))).await;
    endpoint(cluster, "a published endpoint that does not serve", is(true, false, false)).await;
}

async fn a_pod_that_is_over_is_no_endpoint(cluster: &Cluster) {
    let node = Hollow::new(cluster, "one", "z").await;
    made::<Service>(cluster, service(json!({}))).await;
    made::<Pod>(cluster, pod("web", on(cluster, &node))).await;
    play_address(cluster).await;
    endpoint(cluster, "a ready endpoint", is(true, true, false)).await;
    play(cluster, "web", json!({"phase": "Succeeded"})).await;
    cluster
        .eventually("no endpoint", async || {
            let none = |slice: &Value| slice["endpoints"].as_array().is_none_or(Vec::is_empty);
            slices(cluster).await.iter().all(none).then_some(())
        })
        .await;
    node.remove(cluster).await;
}

async fn a_port_by_name_is_the_one_of_the_pod(cluster: &Cluster) {
    let ports = json!([{"name": "public", "port": 80, "targetPort": "http"}]);
    made::<Service>(cluster, service(json!({"ports": ports}))).await;
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    let slice = endpoint(cluster, "a ready endpoint", is(true, true, false)).await;
    assert_eq!(slice["ports"], json!([{"name": "public", "port": 8080, "protocol": "TCP"}]));
}

async fn another_selector_brings_other_pods(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({}))).await;
    for name in ["web", "spare"] {
        made::<Pod>(cluster, pod(name, web(cluster))).await;
    }
    let of = |name: &'static str| move |endpoint: &Value| endpoint["targetRef"]["name"] == name;
    endpoint(cluster, "the first pod", of("web")).await;
    change::<Service>(cluster, "shop", json!({"spec": {"selector": {"app": "spare"}}})).await;
    endpoint(cluster, "the other pod", of("spare")).await;
    change::<Pod>(cluster, "spare", json!({"metadata": {"labels": {"app": "none"}}})).await;
    change::<Pod>(cluster, "web", json!({"metadata": {"labels": {"app": "spare"}}})).await;
    endpoint(cluster, "the first pod again", of("web")).await;
    assert!(!terminating(&seen::<Pod>(cluster, "spare").await));
}

async fn a_headless_service_has_no_address_and_says_so_on_its_slice(cluster: &Cluster) {
    let shop = made::<Service>(cluster, service(json!({"clusterIP": "None"}))).await;
    assert_eq!(shop["spec"]["clusterIP"], "None");
    let slice = cluster.eventually("a slice", async || slices(cluster).await.pop()).await;
    assert_eq!(slice["metadata"]["labels"]["service.kubernetes.io/headless"], "");
}

async fn a_pod_in_the_subdomain_of_its_service_has_a_host_name(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({"clusterIP": "None"}))).await;
    let mut spec = web(cluster);
    spec["hostname"] = json!("web-0");
    spec["subdomain"] = json!("shop");
    made::<Pod>(cluster, pod("web", spec)).await;
    let slice = endpoint(cluster, "a ready endpoint", is(true, true, false)).await;
    assert_eq!(slice["endpoints"][0]["hostname"], "web-0");
    assert!(holds(&seen::<Pod>(cluster, "web").await, "Ready"));
}

async fn a_slice_carries_the_labels_of_its_service(cluster: &Cluster) {
    let mut shop = service(json!({}));
    shop["metadata"]["labels"] = json!({"team": "shop"});
    made::<Service>(cluster, shop).await;
    let team = async |wanted: &str| {
        cluster
            .eventually("the label", async || {
                let slices = slices(cluster).await;
                (slices.len() == 1 && slices[0]["metadata"]["labels"]["team"] == wanted).then_some(())
            })
            .await;
    };
    team("shop").await;
    change::<Service>(cluster, "shop", json!({"metadata": {"labels": {"team": "pay"}}})).await;
    team("pay").await;
}

async fn a_service_without_a_selector_gets_no_slice(cluster: &Cluster) {
    made::<Service>(cluster, service(json!({"selector": null}))).await;
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    cluster
        .eventually("the pod is ready", async || {
            holds(&seen::<Pod>(cluster, "web").await, "Ready").then_some(())
        })
        .await;
    assert!(slices(cluster).await.is_empty());
}

async fn a_port_of_the_nodes_is_given_and_kept(cluster: &Cluster) {
    let service = |port: u16| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside"},
        "spec": {"type": "NodePort", "selector": {"app": "none"}, "ports": [{"port": port}]}})
    };
    let made = cluster.post("services", service(80)).await.ok();
    let given = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&given), "{given}");
    let mut again = service(80);
    again["metadata"]["labels"] = json!({"a": "b"});
    let kept = cluster.put("services/outside", &again).await.ok();
    assert_eq!(kept["spec"]["ports"][0]["nodePort"], given);
    let inside = json!({"spec": {"type": "ClusterIP"}});
    let inside = cluster.patch(crate::rest::MERGE, "services/outside", inside).await.ok();
    assert_eq!(inside["spec"]["ports"][0].get("nodePort"), None);
}

async fn a_port_of_the_nodes_that_somebody_has_is_invalid(cluster: &Cluster) {
    let service = |name: &str, port: Value| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [port]}});
    let made = cluster.post("services", service("one", json!({"port": 80}))).await.ok();
    let taken = &made["spec"]["ports"][0]["nodePort"];
    let refused = cluster.post("services", service("two", json!({"port": 80, "nodePort": taken}))).await;
    refused.invalid("FieldValueInvalid", "spec.ports[0].nodePort");
}
