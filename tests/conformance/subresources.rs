//! What stands under an object's path: its scale, and evictions.

use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, join};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{Answer, JSON, MERGE, config, deployment, homeless, pod};

behaviours!(
    a_scale_shows_replicas_and_selector,
    a_scale_sets_replicas_and_the_generation,
    a_scale_at_a_stale_version_is_a_conflict,
    a_scale_is_patched_like_an_object,
    a_scale_of_negative_replicas_is_invalid,
    a_dry_run_of_a_scale_changes_nothing,
    a_subresource_that_a_kind_lacks_is_not_found,
    an_eviction_deletes_with_the_pods_own_grace,
    an_eviction_deletes_with_the_grace_that_it_names,
    an_eviction_of_another_uid_is_a_conflict,
    an_eviction_of_what_is_not_there_is_not_found,
    an_eviction_over_the_budget_is_refused_and_changes_nothing,
    an_eviction_within_the_budget_takes_one_from_it,
    a_dry_run_of_an_eviction_asks_the_budget_and_changes_nothing,
    a_pod_under_two_budgets_is_not_evicted,
    a_pending_pod_needs_no_budget,
    an_unready_pod_goes_where_the_budget_always_allows_it,
    an_unready_pod_stays_where_its_budget_is_not_healthy,
    an_unready_pod_goes_where_its_budget_is_healthy,
    a_log_of_a_container_that_waits_is_refused_with_why_it_waits,
    a_log_asks_which_container_of_several,
    a_log_of_a_container_that_the_pod_lacks_is_a_bad_request,
    a_log_of_a_pod_without_a_node_is_empty,
    a_log_that_is_followed_ends_with_its_container,
);

async fn scalable(cluster: &Cluster) -> Value {
    let mut object = deployment(cluster, "web", 0);
    object["spec"]["paused"] = true.into();
    object["metadata"]["labels"] = json!({"a": "b"});
    cluster.post("deployments", object).await.ok()
}

async fn a_scale_shows_replicas_and_selector(cluster: &Cluster) {
    let object = scalable(cluster).await;
    let scale = cluster.get("deployments/web/scale").await.ok();
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(scale["metadata"]["uid"], object["metadata"]["uid"]);
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "app=web"}));
    cluster.get("deployments/none/scale").await.refused(404, "NotFound");
}

async fn a_scale_sets_replicas_and_the_generation(cluster: &Cluster) {
    scalable(cluster).await;
    let wanted = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "web", "namespace": cluster.namespace}, "spec": {"replicas": 2}});
    let scale = cluster.put("deployments/web/scale", &wanted).await.ok();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    let object = cluster.get("deployments/web").await.ok();
    assert_eq!((&object["spec"]["replicas"], &object["metadata"]["generation"]), (&json!(2), &json!(2)));
}

async fn a_scale_at_a_stale_version_is_a_conflict(cluster: &Cluster) {
    scalable(cluster).await;
    let mut scale = cluster.get("deployments/web/scale").await.ok();
    let label = json!({"metadata": {"labels": {"more": "yes"}}});
    cluster.patch(MERGE, "deployments/web", label).await.ok();
    scale["spec"]["replicas"] = 3.into();
    let status = cluster.put("deployments/web/scale", &scale).await.refused(409, "Conflict");
    let why = r#"Operation cannot be fulfilled on deployments.apps "web": the object has been modified"#;
    assert!(status["message"].as_str().unwrap().starts_with(why), "{status}");
    assert_eq!(cluster.get("deployments/web").await.ok()["spec"]["replicas"], 0);
}

async fn a_scale_is_patched_like_an_object(cluster: &Cluster) {
    scalable(cluster).await;
    let path = "deployments/web/scale";
    let merged = cluster.patch(MERGE, path, json!({"spec": {"replicas": 2}})).await.ok();
    assert_eq!(merged["spec"]["replicas"], 2);
    let test = |value: u32| json!([{"op": "test", "path": "/spec/replicas", "value": value}, {"op": "replace", "path": "/spec/replicas", "value": 1}]);
    cluster.patch(JSON, path, test(7)).await.refused(422, "Invalid");
    assert_eq!(cluster.patch(JSON, path, test(2)).await.ok()["spec"]["replicas"], 1);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 4}});
    cluster.patch(MERGE, path, stale).await.refused(409, "Conflict");
}

async fn a_scale_of_negative_replicas_is_invalid(cluster: &Cluster) {
    scalable(cluster).await;
    let patch = json!({"spec": {"replicas": -1}});
    cluster.patch(MERGE, "deployments/web/scale", patch).await.refused(422, "Invalid");
}

async fn a_dry_run_of_a_scale_changes_nothing(cluster: &Cluster) {
    scalable(cluster).await;
    let patch = json!({"spec": {"replicas": 5}});
    let scale = cluster.patch(MERGE, "deployments/web/scale?dryRun=All", patch).await.ok();
    assert_eq!(scale["spec"]["replicas"], 5);
    assert_eq!(cluster.get("deployments/web").await.ok()["spec"]["replicas"], 0);
}

async fn a_subresource_that_a_kind_lacks_is_not_found(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    for path in
        ["daemonsets/a/scale", "configmaps/a/scale", "configmaps/a/status", "services/a/log", "pods/a/toast"]
    {
        assert_eq!(cluster.get(path).await.code, 404, "{path}");
    }
    let status = json!({"status": {"phase": "Fine"}});
    assert_eq!(cluster.patch(MERGE, "configmaps/a/status", status).await.code, 404);
}

/// Runs a pod until it is ready, and gives it.
async fn ready(cluster: &Cluster, object: Value) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.post("pods", object).await.ok();
    until(cluster, &name, "True").await
}

/// Waits until a pod runs and its readiness is this.
async fn until(cluster: &Cluster, name: &str, readiness: &str) -> Value {
    let path = format!("pods/{name}");
    let look = async || {
        let pod = cluster.get(&path).await.ok();
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let holds = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == readiness);
        (holds && pod["status"]["phase"] == "Running").then_some(pod)
    };
    cluster.eventually(&format!("{name} is ready: {readiness}"), look).await
}

/// A pod whose readiness probe asks a port where nobody answers.
fn never_ready(cluster: &Cluster, name: &str) -> Value {
    let mut pod = pod(cluster, name);
    pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = 9.into();
    pod
}

/// A budget for the pods with a label, once its controller has counted these many.
async fn budget(cluster: &Cluster, name: &str, app: &str, spec: Value, healthy: u64, expected: u64) {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    object["spec"]["selector"] = json!({"matchLabels": {"app": app}});
    cluster.post("poddisruptionbudgets", object).await.ok();
    let path = format!("poddisruptionbudgets/{name}");
    let counted = async || {
        let status = cluster.get(&path).await.ok()["status"].take();
        let count = |field: &str| status[field].as_u64();
        let all = (Some(1), Some(healthy), Some(expected));
        ((count("observedGeneration"), count("currentHealthy"), count("expectedPods")) == all).then_some(())
    };
    cluster.eventually("the budget is counted", counted).await;
}

async fn evict(cluster: &Cluster, name: &str, query: &str, options: Value) -> Answer {
    let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": cluster.namespace}});
    if !options.is_null() {
        eviction["deleteOptions"] = options;
    }
    cluster.post(&format!("pods/{name}/eviction{query}"), eviction).await
}

async fn stays(cluster: &Cluster, name: &str) {
    let pod = cluster.get(&format!("pods/{name}")).await.ok();
    assert_eq!(pod["metadata"].get("deletionTimestamp"), None);
}

async fn goes(cluster: &Cluster, name: &str) {
    let path = format!("pods/{name}");
    let gone = async || (cluster.get(&path).await.code == 404).then_some(());
    cluster.eventually("the pod is gone", gone).await;
}

async fn an_eviction_deletes_with_the_pods_own_grace(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    let hold = json!({"metadata": {"finalizers": ["drillmaster.dev/hold"]}});
    cluster.patch(MERGE, "pods/a", hold).await.ok();
    let answer = evict(cluster, "a", "", Value::Null).await;
    assert_eq!((answer.code, &answer.body["status"]), (201, &json!("Success")));
    let pod = cluster.get("pods/a").await.ok();
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    assert!(pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap() <= 20);
    cluster.patch(MERGE, "pods/a", json!({"metadata": {"finalizers": null}})).await.ok();
    goes(cluster, "a").await;
}

async fn an_eviction_deletes_with_the_grace_that_it_names(cluster: &Cluster) {
    let version = ready(cluster, pod(cluster, "a")).await["metadata"]["resourceVersion"].take();
    evict(cluster, "a", "", json!({"gracePeriodSeconds": 7})).await.ok();
    // However soon its process ends: a watch tells of the pod as it was marked.
    let path =
        cluster.path("pods?watch=true&timeoutSeconds=60&fieldSelector=metadata.name%3Da&resourceVersion=");
    let request = http::Request::get(format!("{path}{}", version.as_str().unwrap())).body(vec![]).unwrap();
    let mut lines = cluster.client.request_stream(request).await.unwrap().lines();
    loop {
        let event: Value = serde_json::from_str(&lines.next().await.unwrap().unwrap()).unwrap();
        let metadata = &event["object"]["metadata"];
        if metadata.get("deletionTimestamp").is_some() {
            assert_eq!(metadata["deletionGracePeriodSeconds"], 7);
            break;
        }
    }
    goes(cluster, "a").await;
}

async fn an_eviction_of_another_uid_is_a_conflict(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    let other = json!({"preconditions": {"uid": "other"}});
    evict(cluster, "a", "", other).await.refused(409, "Conflict");
    stays(cluster, "a").await;
}

async fn an_eviction_of_what_is_not_there_is_not_found(cluster: &Cluster) {
    let status = evict(cluster, "none", "", Value::Null).await.refused(404, "NotFound");
    assert_eq!(status["message"], r#"pods "none" not found"#);
}

async fn an_eviction_over_the_budget_is_refused_and_changes_nothing(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    budget(cluster, "b", "a", json!({"minAvailable": 1}), 1, 1).await;
    let status = evict(cluster, "a", "", Value::Null).await.refused(429, "TooManyRequests");
    let why = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(status["message"], why);
    let cause = json!({"reason": "DisruptionBudget",
        "message": "The disruption budget b needs 1 healthy pods and has 1 currently"});
    assert_eq!(status["details"]["causes"], json!([cause]));
    stays(cluster, "a").await;
    cluster.delete("pods/a", Value::Null).await.ok();
    goes(cluster, "a").await;
}

async fn an_eviction_within_the_budget_takes_one_from_it(cluster: &Cluster) {
    for name in ["a", "b"] {
        let mut pod = pod(cluster, name);
        pod["metadata"]["labels"]["app"] = "x".into();
        ready(cluster, pod).await;
    }
    budget(cluster, "b", "x", json!({"minAvailable": 1}), 2, 2).await;
    assert_eq!(cluster.get("poddisruptionbudgets/b").await.ok()["status"]["disruptionsAllowed"], 1);
    // Both at once, so that the budget itself must say that one is gone: nobody counts anew in between.
    let (one, two) = join!(evict(cluster, "a", "", Value::Null), evict(cluster, "b", "", Value::Null));
    let mut codes = [one.code, two.code];
    codes.sort_unstable();
    assert_eq!(codes, [201, 429]);
    let (gone, left) = if one.code == 201 { ("a", "b") } else { ("b", "a") };
    goes(cluster, gone).await;
    stays(cluster, left).await;
}

async fn a_dry_run_of_an_eviction_asks_the_budget_and_changes_nothing(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    let dry = || json!({"dryRun": ["All"]});
    evict(cluster, "a", "", dry()).await.ok();
    stays(cluster, "a").await;
    budget(cluster, "b", "a", json!({"minAvailable": 1}), 1, 1).await;
    evict(cluster, "a", "", dry()).await.refused(429, "TooManyRequests");
}

async fn a_pod_under_two_budgets_is_not_evicted(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    for name in ["b", "c"] {
        budget(cluster, name, "a", json!({"minAvailable": 0}), 1, 1).await;
    }
    let answer = evict(cluster, "a", "", Value::Null).await;
    let why =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((answer.code, answer.body["message"].as_str()), (500, Some(why)));
    stays(cluster, "a").await;
}

async fn a_pending_pod_needs_no_budget(cluster: &Cluster) {
    cluster.post("pods", homeless(cluster, "a")).await.ok();
    budget(cluster, "b", "a", json!({"minAvailable": 1}), 0, 1).await;
    evict(cluster, "a", "", Value::Null).await.ok();
    cluster.get("pods/a").await.refused(404, "NotFound");
}

async fn an_unready_pod_goes_where_the_budget_always_allows_it(cluster: &Cluster) {
    cluster.post("pods", never_ready(cluster, "a")).await.ok();
    until(cluster, "a", "False").await;
    let spec = json!({"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
    budget(cluster, "b", "a", spec, 0, 1).await;
    evict(cluster, "a", "", Value::Null).await.ok();
    goes(cluster, "a").await;
}

async fn an_unready_pod_stays_where_its_budget_is_not_healthy(cluster: &Cluster) {
    cluster.post("pods", never_ready(cluster, "a")).await.ok();
    until(cluster, "a", "False").await;
    budget(cluster, "b", "a", json!({"minAvailable": 1}), 0, 1).await;
    evict(cluster, "a", "", Value::Null).await.refused(429, "TooManyRequests");
    cluster
        .throughout(Duration::from_secs(2), "the pod stays", async || cluster.get("pods/a").await.code == 200)
        .await;
}

async fn an_unready_pod_goes_where_its_budget_is_healthy(cluster: &Cluster) {
    ready(cluster, pod(cluster, "a")).await;
    let mut broken = never_ready(cluster, "b");
    broken["metadata"]["labels"]["app"] = "a".into();
    cluster.post("pods", broken).await.ok();
    until(cluster, "b", "False").await;
    budget(cluster, "b", "a", json!({"minAvailable": 1}), 1, 2).await;
    evict(cluster, "b", "", Value::Null).await.ok();
    goes(cluster, "b").await;
    evict(cluster, "a", "", Value::Null).await.refused(429, "TooManyRequests");
}

async fn a_log_of_a_container_that_waits_is_refused_with_why_it_waits(cluster: &Cluster) {
    let mut broken = pod(cluster, "broken");
    broken["spec"]["containers"][0]["image"] = json!("unavailable.invalid/web:1");
    cluster.post("pods", broken).await.ok();
    cluster
        .eventually("the image cannot be pulled", async || {
            let status = cluster.get("pods/broken").await.ok()["status"]["containerStatuses"][0].clone();
            status["state"]["waiting"]["reason"].as_str().filter(|reason| reason.contains("Pull")).map(|_| ())
        })
        .await;
    let refused = cluster.get("pods/broken/log").await.refused(400, "BadRequest");
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with(r#"container "web" in pod "broken" is waiting to start: "#), "{message}");
    assert!(message.contains("image"), "{message}");
}

async fn a_log_asks_which_container_of_several(cluster: &Cluster) {
    let mut two = homeless(cluster, "two");
    let mut other = two["spec"]["containers"][0].clone();
    other["name"] = json!("other");
    two["spec"]["containers"].as_array_mut().unwrap().push(other);
    cluster.post("pods", two).await.ok();
    let refused = cluster.get("pods/two/log").await.refused(400, "BadRequest");
    assert_eq!(
        refused["message"],
        "a container name must be specified for pod two, choose one of: [web other]"
    );
}

async fn a_log_of_a_container_that_the_pod_lacks_is_a_bad_request(cluster: &Cluster) {
    cluster.post("pods", homeless(cluster, "one")).await.ok();
    let refused = cluster.get("pods/one/log?container=none").await.refused(400, "BadRequest");
    assert_eq!(refused["message"], "container none is not valid for pod one");
}

async fn a_log_of_a_pod_without_a_node_is_empty(cluster: &Cluster) {
    cluster.post("pods", homeless(cluster, "one")).await.ok();
    let log = cluster.get("pods/one/log").await;
    assert_eq!((log.code, log.body), (200, json!("")));
}

async fn a_log_that_is_followed_ends_with_its_container(cluster: &Cluster) {
    let mut web = pod(cluster, "web");
    web["spec"]["terminationGracePeriodSeconds"] = json!(1);
    cluster.post("pods", web).await.ok();
    cluster
        .eventually("it runs", async || {
            let status = cluster.get("pods/web").await.ok()["status"]["phase"].clone();
            (status == "Running").then_some(())
        })
        .await;
    let (log, _) = join!(cluster.get("pods/web/log?follow=true"), async {
        cluster.delete("pods/web", Value::Null).await.ok()
    });
    assert_eq!(log.code, 200);
}
