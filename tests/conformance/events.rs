//! Events: what components note about what they did, and about whom.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{deployment, homeless, pod};
use crate::workloads::{all, change, delete, seen, uid, web, workload};

behaviours!(
    a_pods_events_tell_how_it_came_to_run,
    a_pod_that_fits_nowhere_is_warned_of,
    a_pod_that_is_deleted_tells_that_its_containers_stop,
    an_image_that_cannot_be_pulled_is_warned_of,
    a_missing_config_map_is_warned_of,
    a_deployment_tells_of_each_change_of_its_sets_sizes,
    a_set_tells_of_the_pods_that_it_makes_and_deletes,
    each_workload_warns_of_pods_that_it_may_not_make,
);

/// Waits until all of these reasons are noted about an object, and gives its events.
async fn noted(cluster: &Cluster, uid: &str, reasons: &[&str]) -> Vec<Value> {
    cluster
        .eventually(&format!("{reasons:?} are noted"), async || {
            let path = format!("events?fieldSelector=involvedObject.uid={uid}");
            let found = cluster.get(&path).await.ok()["items"].as_array().cloned().unwrap_or_default();
            let has = |reason: &&str| found.iter().any(|event| event["reason"] == *reason);
            reasons.iter().all(has).then_some(found)
        })
        .await
}

fn of<'a>(events: &'a [Value], reason: &str) -> &'a Value {
    events.iter().find(|event| event["reason"] == reason).unwrap()
}

async fn a_pods_events_tell_how_it_came_to_run(cluster: &Cluster) {
    let made = cluster.post("pods", pod(cluster, "web")).await.ok();
    let events = noted(cluster, uid(&made), &["Scheduled", "Pulled", "Created", "Started"]).await;
    let node = seen::<Pod>(cluster, "web").await["spec"]["nodeName"].as_str().unwrap().to_owned();
    let scheduled = of(&events, "Scheduled");
    let message = format!("Successfully assigned {}/web to {node}", cluster.namespace);
    assert_eq!(
        (&scheduled["message"], &scheduled["reportingComponent"]),
        (&json!(message), &json!("default-scheduler"))
    );
    let started = of(&events, "Started");
    assert_eq!((&started["type"], &started["count"]), (&json!("Normal"), &json!(1)));
    assert_eq!(started["source"], json!({"component": "kubelet", "host": node}));
    assert_eq!(started["involvedObject"]["fieldPath"], "spec.containers{web}");
    assert_eq!(started["involvedObject"]["kind"], "Pod");
}

async fn a_pod_that_fits_nowhere_is_warned_of(cluster: &Cluster) {
    let made = cluster.post("pods", homeless(cluster, "lost")).await.ok();
    let events = noted(cluster, uid(&made), &["FailedScheduling"]).await;
    let failed = of(&events, "FailedScheduling");
    assert_eq!(failed["type"], "Warning");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("node(s) didn't match Pod's node affinity/selector"), "{message}");
    assert!(message.contains(" preemption: 0/"), "{message}");
}

async fn a_pod_that_is_deleted_tells_that_its_containers_stop(cluster: &Cluster) {
    let made = cluster.post("pods", pod(cluster, "web")).await.ok();
    noted(cluster, uid(&made), &["Started"]).await;
    delete::<Pod>(cluster, "web").await;
    let events = noted(cluster, uid(&made), &["Killing"]).await;
    assert_eq!(of(&events, "Killing")["message"], "Stopping container web");
}

async fn an_image_that_cannot_be_pulled_is_warned_of(cluster: &Cluster) {
    let mut broken = pod(cluster, "broken");
    broken["spec"]["containers"][0]["image"] = json!("unavailable.invalid/web:1");
    let made = cluster.post("pods", broken).await.ok();
    let events = noted(cluster, uid(&made), &["Pulling", "Failed"]).await;
    assert_eq!(of(&events, "Pulling")["message"], r#"Pulling image "unavailable.invalid/web:1""#);
    assert_eq!(of(&events, "Failed")["type"], "Warning");
}

async fn a_missing_config_map_is_warned_of(cluster: &Cluster) {
    let mut unset = pod(cluster, "unset");
    unset["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "missing"}}]);
    let made = cluster.post("pods", unset).await.ok();
    let events = noted(cluster, uid(&made), &["Failed"]).await;
    assert_eq!(of(&events, "Failed")["message"], r#"Error: configmap "missing" not found"#);
}

async fn a_deployment_tells_of_each_change_of_its_sets_sizes(cluster: &Cluster) {
    let made = cluster.post("deployments", deployment(cluster, "web", 1)).await.ok();
    let events = noted(cluster, uid(&made), &["ScalingReplicaSet"]).await;
    let message = events[0]["message"].as_str().unwrap();
    let set =
        message.strip_prefix("Scaled up replica set ").and_then(|rest| rest.strip_suffix(" from 0 to 1"));
    let set = set.unwrap_or_else(|| panic!("{message}")).to_owned();
    assert_eq!(events[0]["source"], json!({"component": "deployment-controller"}));
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 0}})).await;
    let expected = format!("Scaled down replica set {set} from 1 to 0");
    cluster
        .eventually("the way down is told", async || {
            let events = noted(cluster, uid(&made), &["ScalingReplicaSet"]).await;
            events.iter().any(|event| event["message"] == expected.as_str()).then_some(())
        })
        .await;
}

async fn a_set_tells_of_the_pods_that_it_makes_and_deletes(cluster: &Cluster) {
    cluster.post("deployments", deployment(cluster, "web", 1)).await.ok();
    let first =
        cluster.eventually("a pod", async || all::<Pod>(cluster, "web").await.into_iter().next()).await;
    let owner = first["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap().to_owned();
    let name = first["metadata"]["name"].as_str().unwrap();
    let events = noted(cluster, &owner, &["SuccessfulCreate"]).await;
    assert_eq!(of(&events, "SuccessfulCreate")["message"], format!("Created pod: {name}"));
    assert_eq!(of(&events, "SuccessfulCreate")["involvedObject"]["kind"], "ReplicaSet");
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 0}})).await;
    let events = noted(cluster, &owner, &["SuccessfulDelete"]).await;
    assert_eq!(of(&events, "SuccessfulDelete")["message"], format!("Deleted pod: {name}"));
}

async fn each_workload_warns_of_pods_that_it_may_not_make(cluster: &Cluster) {
    let space = cluster.namespace.as_str();
    let why = format!("error looking up service account {space}/clerk: serviceaccount \"clerk\" not found");
    for (plural, component) in [
        ("replicasets", "replicaset-controller"),
        ("statefulsets", "statefulset-controller"),
        ("daemonsets", "daemonset-controller"),
        ("jobs", "job-controller"),
    ] {
        let mut wanted = workload("web", 2, web(cluster));
        wanted["spec"]["template"]["spec"]["serviceAccountName"] = json!("clerk");
        match plural {
            "statefulsets" => wanted["spec"]["serviceName"] = json!("web"),
            "daemonsets" => drop(wanted["spec"].as_object_mut().unwrap().remove("replicas")),
            "jobs" => {
                let mut template = wanted["spec"]["template"].clone();
                template["spec"]["restartPolicy"] = json!("Never");
                wanted["spec"] = json!({"template": template});
            }
            _ => {}
        }
        let made = cluster.post(plural, wanted).await.ok();
        let events = noted(cluster, uid(&made), &["FailedCreate"]).await;
        let failed = of(&events, "FailedCreate");
        let message = match plural {
            "statefulsets" => {
                format!(
                    "Create Pod web-0 in StatefulSet web failed error: pods \"web-0\" is forbidden: {why}"
                )
            }
            _ => format!("Error creating: pods \"web-\" is forbidden: {why}"),
        };
        assert_eq!((&failed["type"], &failed["message"]), (&json!("Warning"), &json!(message)));
        assert_eq!(failed["source"]["component"], json!(component));
    }
}
