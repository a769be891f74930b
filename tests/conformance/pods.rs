//! One pod's life on a kubelet: start, probes, restarts, what it waits for, and its end.

use std::time::Duration;

use chrono::DateTime;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    change, condition, delete, hold, holds, made, mute, name, number, play, pod, release, seen, terminating,
    web,
};

behaviours!(
    a_pod_that_runs_has_an_address_and_all_its_conditions,
    a_pod_whose_probe_fails_runs_and_is_not_ready,
    a_pod_is_ready_when_all_its_containers_are,
    a_pod_is_ready_when_its_gates_are_open_too,
    a_failing_liveness_probe_restarts_the_container_and_then_waits,
    a_failing_startup_probe_restarts_the_container_before_it_is_started,
    a_pod_that_never_restarts_ends_when_its_container_does,
    a_missing_config_map_holds_up_the_container_until_it_is_there,
    a_missing_key_of_a_secret_holds_up_the_container,
    an_optional_config_map_may_be_missing,
    a_volume_of_a_missing_config_map_holds_up_the_pod_until_it_is_there,
    a_volume_of_a_missing_key_holds_up_the_pod_until_it_is_there,
    a_volume_that_no_container_mounts_holds_up_nothing,
    an_init_container_that_cannot_start_holds_up_the_others,
    an_image_that_cannot_be_pulled_keeps_the_pod_pending,
    a_pod_ends_at_its_deadline,
    a_deleted_pod_has_its_grace_and_then_it_is_gone,
    a_pod_without_a_node_goes_at_once,
    a_deleted_pod_that_is_held_ends_all_the_same,
    a_pod_on_the_hosts_network_has_the_hosts_address,
    a_pod_is_asked_whether_it_is_ready_as_soon_as_it_has_started,
    the_times_of_a_status_are_whole_seconds,
);

async fn now(cluster: &Cluster) -> Value {
    seen::<Pod>(cluster, "web").await
}

async fn until(cluster: &Cluster, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    cluster.eventually(what, async || Some(now(cluster).await).filter(|pod| holds(pod))).await
}

async fn ready(cluster: &Cluster) -> Value {
    until(cluster, "the pod is ready", |pod| holds(pod, "Ready")).await
}

/// Waits until the first container waits for this reason.
async fn waits(cluster: &Cluster, reason: &str) -> Value {
    until(cluster, reason, |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
    })
    .await
}

async fn a_pod_that_runs_has_an_address_and_all_its_conditions(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    let web = ready(cluster).await;
    let status = &web["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIPs"], json!([{"ip": status["podIP"]}]));
    for given in ["podIP", "hostIP", "startTime"] {
        assert!(!status[given].is_null(), "{given}");
    }
    for kind in ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"] {
        assert!(holds(&web, kind), "{kind}");
    }
    let container = &status["containerStatuses"][0];
    assert_eq!(
        (&container["ready"], &container["started"], number(container, "/restartCount")),
        (&json!(true), &json!(true), 0)
    );
    assert!(!container["state"]["running"]["startedAt"].is_null());
}

/// The texts in a value that are times with a fraction of a second.
fn fractions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.values().flat_map(fractions).collect(),
        Value::Array(items) => items.iter().flat_map(fractions).collect(),
        Value::String(text) if text.contains('.') && DateTime::parse_from_rfc3339(text).is_ok() => {
            vec![text.clone()]
        }
        _ => vec![],
    }
}

async fn the_times_of_a_status_are_whole_seconds(cluster: &Cluster) {
    // In virtual time a behaviour begins with a second, and what follows comes in whole ones.
    cluster.throughout(Duration::from_millis(250), "a part of a second", async || true).await;
    let created = cluster.post("deployments", crate::rest::deployment(cluster, "web", 2)).await.ok();
    let seen = async || cluster.get("deployments/web").await.ok();
    let deployed = cluster
        .eventually("it is ready", async || {
            Some(seen().await).filter(|web| number(web, "/status/readyReplicas") == 2)
        })
        .await;
    let pods = cluster.get("pods?labelSelector=app%3Dweb").await.ok();
    let one = cluster.get(&format!("pods/{}", name(&pods["items"][0]))).await.ok();
    let label = json!({"metadata": {"labels": {"more": "yes"}}});
    let patched = cluster.patch(crate::rest::MERGE, &format!("pods/{}", name(&one)), label).await.ok();
    let mut deployment = seen().await;
    deployment["metadata"]["labels"] = json!({"more": "yes"});
    let put = cluster.put("deployments/web", &deployment).await.ok();
    assert!(one["status"]["startTime"].is_string());
    for object in [&created, &deployed, &pods, &one, &patched, &put] {
        assert_eq!(fractions(object), [] as [String; 0]);
    }
}

async fn a_pod_whose_probe_fails_runs_and_is_not_ready(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", mute(cluster))).await;
    until(cluster, "it runs", |pod| pod["status"]["phase"] == "Running").await;
    cluster
        .throughout(Duration::from_secs(5), "it is not ready and not restarted", async || {
            let pod = now(cluster).await;
            condition(&pod, "Ready")["reason"] == "ContainersNotReady"
                && number(&pod, "/status/containerStatuses/0/restartCount") == 0
        })
        .await;
}

async fn a_pod_is_ready_when_all_its_containers_are(cluster: &Cluster) {
    let mut spec = web(cluster);
    let probe = json!({"tcpSocket": {"port": 9}, "periodSeconds": 1});
    let more = json!({"name": "mute", "image": cluster.web, "readinessProbe": probe,
        "ports": [{"containerPort": 8081}]});
    spec["containers"].as_array_mut().unwrap().push(more);
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = until(cluster, "the first container is ready", |pod| {
        let all = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        all.into_iter().any(|each| each["name"] == "web" && each["ready"] == true)
    })
    .await;
    for kind in ["ContainersReady", "Ready"] {
        assert_eq!(condition(&web, kind)["status"], "False");
        assert_eq!(condition(&web, kind)["message"], "containers with unready status: [mute]");
    }
}

async fn a_pod_is_ready_when_its_gates_are_open_too(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["readinessGates"] = json!([{"conditionType": "behaviour.example/open"}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = until(cluster, "its containers are ready", |pod| holds(pod, "ContainersReady")).await;
    assert_eq!(condition(&web, "Ready")["reason"], "ReadinessGatesNotReady");
    let mut conditions = web["status"]["conditions"].as_array().unwrap().clone();
    conditions.push(json!({"type": "behaviour.example/open", "status": "True"}));
    play(cluster, "web", json!({"conditions": conditions})).await;
    ready(cluster).await;
}

async fn a_failing_liveness_probe_restarts_the_container_and_then_waits(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["terminationGracePeriodSeconds"] = json!(1);
    spec["containers"][0]["livenessProbe"] =
        json!({"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 2});
    made::<Pod>(cluster, pod("web", spec)).await;
    let web =
        until(cluster, "a restart", |pod| number(pod, "/status/containerStatuses/0/restartCount") > 0).await;
    assert!(!web["status"]["containerStatuses"][0]["lastState"]["terminated"].is_null());
    let web = waits(cluster, "CrashLoopBackOff").await;
    assert_eq!(web["status"]["phase"], "Running");
    assert!(!holds(&web, "Ready"));
    until(cluster, "another", |pod| number(pod, "/status/containerStatuses/0/restartCount") > 1).await;
}

async fn a_failing_startup_probe_restarts_the_container_before_it_is_started(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["terminationGracePeriodSeconds"] = json!(1);
    spec["containers"][0]["startupProbe"] =
        json!({"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 3});
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = until(cluster, "it runs", |pod| pod["status"]["phase"] == "Running").await;
    assert_eq!(web["status"]["containerStatuses"][0]["started"], false);
    assert!(!holds(&web, "Ready"));
    until(cluster, "a restart", |pod| number(pod, "/status/containerStatuses/0/restartCount") > 0).await;
}

async fn a_pod_that_never_restarts_ends_when_its_container_does(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["terminationGracePeriodSeconds"] = json!(1);
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["livenessProbe"] =
        json!({"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 2});
    made::<Pod>(cluster, pod("web", spec)).await;
    // What a server exits with when it is told to stop is its own affair.
    let web = until(cluster, "it is over", |pod| {
        pod["status"]["phase"] != "Pending" && pod["status"]["phase"] != "Running"
    })
    .await;
    let container = &web["status"]["containerStatuses"][0];
    assert!(!container["state"]["terminated"]["finishedAt"].is_null());
    assert_eq!(number(container, "/restartCount"), 0);
    let (phase, reason) = match container["state"]["terminated"]["exitCode"].as_i64() {
        Some(0) => ("Succeeded", "PodCompleted"),
        _ => ("Failed", "PodFailed"),
    };
    assert_eq!(web["status"]["phase"], phase);
    assert_eq!(condition(&web, "Ready")["reason"], reason);
}

async fn a_missing_config_map_holds_up_the_container_until_it_is_there(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = waits(cluster, "CreateContainerConfigError").await;
    let waiting = &web["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], r#"configmap "settings" not found"#);
    assert_eq!(web["status"]["phase"], "Pending");
    made::<ConfigMap>(cluster, json!({"metadata": {"name": "settings"}})).await;
    ready(cluster).await;
}

async fn a_missing_key_of_a_secret_holds_up_the_container(cluster: &Cluster) {
    made::<Secret>(cluster, json!({"metadata": {"name": "login"}, "stringData": {"user": "me"}})).await;
    let mut spec = web(cluster);
    spec["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    waits(cluster, "CreateContainerConfigError").await;
    let more = json!({"stringData": {"password": "secret"}});
    crate::workloads::change::<Secret>(cluster, "login", more).await;
    ready(cluster).await;
}

async fn an_optional_config_map_may_be_missing(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings", "optional": true}}]);
    spec["volumes"] = json!([{"name": "more", "configMap": {"name": "more", "optional": true}}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    ready(cluster).await;
}

async fn a_volume_of_a_missing_config_map_holds_up_the_pod_until_it_is_there(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "settings", "mountPath": "/settings"},
        {"name": "login", "mountPath": "/login"}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    made::<ConfigMap>(cluster, json!({"metadata": {"name": "settings"}})).await;
    waits(cluster, "ContainerCreating").await;
    cluster
        .throughout(Duration::from_secs(10), "it waits", async || {
            now(cluster).await["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "ContainerCreating"
        })
        .await;
    made::<Secret>(cluster, json!({"metadata": {"name": "login"}})).await;
    ready(cluster).await;
}

async fn a_volume_of_a_missing_key_holds_up_the_pod_until_it_is_there(cluster: &Cluster) {
    let mut spec = web(cluster);
    let items = json!([{"key": "there", "path": "a"}, {"key": "late", "path": "b"}]);
    let whole = json!([{"key": "never", "path": "c"}]);
    spec["volumes"] = json!([
        {"name": "optional", "configMap": {"name": "settings", "items": whole, "optional": true}},
        {"name": "settings", "configMap": {"name": "settings", "items": items}},
        {"name": "login", "secret": {"secretName": "login", "items": items}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "settings", "mountPath": "/settings"},
        {"name": "login", "mountPath": "/login"}, {"name": "optional", "mountPath": "/optional"}]);
    made::<ConfigMap>(cluster, json!({"metadata": {"name": "settings"}, "data": {"there": "1"}})).await;
    made::<Secret>(cluster, json!({"metadata": {"name": "login"}, "stringData": {"there": "1"}})).await;
    made::<Pod>(cluster, pod("web", spec)).await;
    waits(cluster, "ContainerCreating").await;
    change::<ConfigMap>(cluster, "settings", json!({"binaryData": {"late": "Mg=="}})).await;
    cluster
        .throughout(Duration::from_secs(10), "it waits", async || {
            now(cluster).await["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "ContainerCreating"
        })
        .await;
    change::<Secret>(cluster, "login", json!({"stringData": {"late": "2"}})).await;
    ready(cluster).await;
}

async fn an_init_container_that_cannot_start_holds_up_the_others(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["initContainers"] = json!([{"name": "wait", "image": cluster.web,
        "envFrom": [{"configMapRef": {"name": "settings"}}]}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = until(cluster, "the init container waits", |pod| {
        pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"]
            == "CreateContainerConfigError"
    })
    .await;
    assert_eq!(web["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&web, "Initialized")["status"], "False");
    assert_eq!(condition(&web, "Initialized")["reason"], "ContainersNotInitialized");
    assert_eq!(web["status"]["phase"], "Pending");
}

async fn an_image_that_cannot_be_pulled_keeps_the_pod_pending(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["containers"][0]["image"] = json!("registry.invalid/web:1");
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = waits(cluster, "ImagePullBackOff").await;
    assert_eq!(web["status"]["phase"], "Pending");
    assert_eq!(number(&web, "/status/containerStatuses/0/restartCount"), 0);
}

async fn a_volume_that_no_container_mounts_holds_up_nothing(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    ready(cluster).await;
}

async fn a_pod_ends_at_its_deadline(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["activeDeadlineSeconds"] = json!(40);
    made::<Pod>(cluster, pod("web", spec)).await;
    ready(cluster).await;
    let web = until(cluster, "it failed", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(web["status"]["reason"], "DeadlineExceeded");
    assert!(!holds(&web, "Ready"));
}

async fn a_deleted_pod_has_its_grace_and_then_it_is_gone(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    ready(cluster).await;
    let left = cluster.api::<Pod>().delete("web", &Default::default()).await.unwrap().left().unwrap();
    assert_eq!(left.metadata.deletion_grace_period_seconds, Some(5));
    assert!(left.metadata.deletion_timestamp.is_some());
    until(cluster, "it is gone", Value::is_null).await;
}

async fn a_pod_without_a_node_goes_at_once(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", crate::workloads::staged(cluster))).await;
    delete::<Pod>(cluster, "web").await;
    assert!(now(cluster).await.is_null());
}

async fn a_deleted_pod_that_is_held_ends_all_the_same(cluster: &Cluster) {
    made::<Pod>(cluster, pod("web", web(cluster))).await;
    ready(cluster).await;
    hold::<Pod>(cluster, "web").await;
    delete::<Pod>(cluster, "web").await;
    let web = until(cluster, "it is over", |pod| {
        pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
    })
    .await;
    assert!(terminating(&web) && !holds(&web, "Ready"), "{}", name(&web));
    assert!(!web["status"]["containerStatuses"][0]["state"]["terminated"].is_null());
    release::<Pod>(cluster, "web").await;
    until(cluster, "it is gone", Value::is_null).await;
}

async fn a_pod_on_the_hosts_network_has_the_hosts_address(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["hostNetwork"] = json!(true);
    spec["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": 8080}]);
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = ready(cluster).await;
    assert_eq!(web["status"]["podIP"], web["status"]["hostIP"]);
}

async fn a_pod_is_asked_whether_it_is_ready_as_soon_as_it_has_started(cluster: &Cluster) {
    let mut spec = web(cluster);
    let asks = json!({"path": "/", "port": 8080});
    let container = &mut spec["containers"][0];
    container["startupProbe"] = json!({"httpGet": asks, "periodSeconds": 1, "failureThreshold": 50});
    container["readinessProbe"] = json!({"httpGet": asks, "periodSeconds": 100});
    made::<Pod>(cluster, pod("web", spec)).await;
    let web = ready(cluster).await;
    let time = |text: &Value| DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap();
    let started = time(&web["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
    let waited = time(&condition(&web, "Ready")["lastTransitionTime"]) - started;
    assert!(waited.num_seconds() < 60, "{waited}");
}
