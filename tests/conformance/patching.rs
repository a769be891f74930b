//! Patches: JSON (RFC 6902), merge (RFC 7396), and strategic merge with the keys of the built-in lists.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{JSON, MERGE, STRATEGIC, config};

behaviours!(
    a_json_patch_adds_replaces_and_removes,
    a_json_patch_whose_test_fails_changes_nothing,
    a_json_patch_that_replaces_what_is_not_there_adds_it,
    a_merge_patch_removes_by_null_and_replaces_lists,
    a_patch_of_what_is_not_there_is_not_found,
    a_patch_without_a_version_never_conflicts_and_with_a_stale_one_does,
    a_patch_that_is_no_patch_is_a_bad_request,
    containers_merge_by_their_name,
    environment_volumes_and_mounts_merge_by_their_keys,
    a_new_element_of_a_merged_list_comes_first,
    container_ports_merge_by_their_number,
    service_ports_merge_by_their_number,
    tolerations_are_replaced_as_a_whole,
    an_element_is_deleted_by_its_key,
    a_list_or_a_map_is_replaced_where_the_patch_says_so,
    a_directive_about_a_map_that_is_not_there_says_nothing,
    an_order_that_the_patch_sets_is_kept,
    keys_that_are_not_retained_go,
    finalizers_merge_as_a_set,
    a_strict_patch_refuses_an_unknown_field,
    a_dry_run_of_a_patch_changes_nothing,
    a_json_patch_has_ten_thousand_operations_at_most,
);

async fn a_json_patch_adds_replaces_and_removes(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let patch = json!([
        {"op": "test", "path": "/data/key", "value": "value"},
        {"op": "replace", "path": "/data/key", "value": "other"},
        {"op": "add", "path": "/metadata/labels/drillmaster.dev~1run", "value": "7"},
        {"op": "remove", "path": "/metadata/labels/part"},
    ]);
    let patched = cluster.patch(JSON, "configmaps/a", patch).await.ok();
    assert_eq!(patched["data"], json!({"key": "other"}));
    assert_eq!(patched["metadata"]["labels"], json!({"drillmaster.dev/run": "7"}));
}

async fn a_json_patch_whose_test_fails_changes_nothing(cluster: &Cluster) {
    let object = cluster.post("configmaps", config("a", "x")).await.ok();
    for failing in [
        json!({"op": "test", "path": "/data/key", "value": "other"}),
        json!({"op": "remove", "path": "/data/none"}),
        json!({"op": "replace", "path": "/none/none", "value": "x"}),
    ] {
        let patch = json!([{"op": "add", "path": "/data/more", "value": "x"}, failing]);
        let answer = cluster.patch(JSON, "configmaps/a", patch).await;
        answer.refused(422, "Invalid");
    }
    assert_eq!(cluster.get("configmaps/a").await.ok(), object);
}

async fn a_merge_patch_removes_by_null_and_replaces_lists(cluster: &Cluster) {
    let mut object = config("a", "x");
    object["data"]["more"] = "x".into();
    object["metadata"]["finalizers"] = json!(["drillmaster.dev/one", "drillmaster.dev/two"]);
    cluster.post("configmaps", object).await.ok();
    let patch =
        json!({"data": {"more": null, "new": "y"}, "metadata": {"finalizers": ["drillmaster.dev/two"]}});
    let patched = cluster.patch(MERGE, "configmaps/a", patch).await.ok();
    assert_eq!(patched["data"], json!({"key": "value", "new": "y"}));
    assert_eq!(patched["metadata"]["finalizers"], json!(["drillmaster.dev/two"]));
    let all = cluster.patch(MERGE, "configmaps/a", json!({"data": null})).await.ok();
    assert_eq!(all.get("data"), None);
    cluster.patch(MERGE, "configmaps/a", json!({"metadata": {"finalizers": null}})).await.ok();
}

async fn a_patch_of_what_is_not_there_is_not_found(cluster: &Cluster) {
    for kind in [MERGE, STRATEGIC] {
        cluster.patch(kind, "configmaps/none", json!({"data": {}})).await.refused(404, "NotFound");
    }
    cluster.patch(JSON, "configmaps/none", json!([])).await.refused(404, "NotFound");
}

async fn a_patch_without_a_version_never_conflicts_and_with_a_stale_one_does(cluster: &Cluster) {
    let stale = cluster.post("configmaps", config("a", "x")).await.ok()["metadata"]["resourceVersion"].take();
    for value in ["1", "2"] {
        cluster.patch(MERGE, "configmaps/a", json!({"data": {"key": value}})).await.ok();
    }
    for kind in [MERGE, STRATEGIC] {
        let patch = json!({"metadata": {"resourceVersion": stale}, "data": {"key": "3"}});
        cluster.patch(kind, "configmaps/a", patch).await.refused(409, "Conflict");
    }
    assert_eq!(cluster.get("configmaps/a").await.ok()["data"]["key"], "2");
}

async fn a_patch_that_is_no_patch_is_a_bad_request(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    cluster.patch(JSON, "configmaps/a", json!({"data": {}})).await.refused(400, "BadRequest");
    let broken = cluster.ask("PATCH", "configmaps/a", ("content-type", MERGE), b"{".to_vec()).await;
    broken.refused(400, "BadRequest");
}

/// A paused workload, whose template nobody runs.
async fn paused(cluster: &Cluster) {
    let container = |name: &str| {
        json!({"name": name, "image": "shop/web:1",
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]})
    };
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {
        "containers": [container("web"), container("sidecar")],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "tolerations": [{"key": "one", "operator": "Exists"}, {"key": "two", "operator": "Exists"}],
    }});
    let spec = json!({"replicas": 0, "paused": true, "selector": {"matchLabels": {"app": "a"}}, "template": template});
    cluster.post("deployments", json!({"metadata": {"name": "a"}, "spec": spec})).await.ok();
}

/// The pod of the paused workload after a strategic merge patch of it.
async fn merged(cluster: &Cluster, pod: Value) -> Value {
    let patch = json!({"spec": {"template": {"spec": pod}}});
    cluster.patch(STRATEGIC, "deployments/a", patch).await.ok()["spec"]["template"]["spec"].take()
}

fn words<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|each| each[field].as_str().unwrap()).collect()
}

async fn containers_merge_by_their_name(cluster: &Cluster) {
    paused(cluster).await;
    let patch = json!({"containers": [{"name": "sidecar", "image": "shop/sidecar:2"}, {"name": "new", "image": "new:1"}]});
    let pod = merged(cluster, patch).await;
    let mut names = words(&pod["containers"], "name");
    names.sort_unstable();
    assert_eq!(names, ["new", "sidecar", "web"]);
    let of =
        |name: &str| pod["containers"].as_array().unwrap().iter().find(|each| each["name"] == name).unwrap();
    assert_eq!(
        (&of("web")["image"], &of("sidecar")["image"]),
        (&json!("shop/web:1"), &json!("shop/sidecar:2"))
    );
    assert_eq!(words(&of("sidecar")["env"], "name"), ["A", "B"]);
}

async fn environment_volumes_and_mounts_merge_by_their_keys(cluster: &Cluster) {
    paused(cluster).await;
    let web = json!({"name": "web", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
        "volumeMounts": [{"name": "extra", "mountPath": "/extra"}, {"name": "data", "mountPath": "/data", "readOnly": true}]});
    let patch = json!({"containers": [web], "volumes": [{"name": "extra", "configMap": {"name": "c"}}]});
    let pod = merged(cluster, patch).await;
    let web = pod["containers"].as_array().unwrap().iter().find(|each| each["name"] == "web").unwrap();
    let value = |name: &str| {
        &web["env"].as_array().unwrap().iter().find(|each| each["name"] == name).unwrap()["value"]
    };
    assert_eq!((value("A"), value("B"), value("C")), (&json!("1"), &json!("3"), &json!("4")));
    let mut paths = words(&web["volumeMounts"], "mountPath");
    paths.sort_unstable();
    assert_eq!(paths, ["/data", "/extra"]);
    let mut volumes = words(&pod["volumes"], "name");
    volumes.sort_unstable();
    assert_eq!(volumes, ["data", "extra"]);
}

async fn container_ports_merge_by_their_number(cluster: &Cluster) {
    paused(cluster).await;
    let ports = json!([{"containerPort": 9090, "name": "metrics"}, {"containerPort": 7070}]);
    let pod = merged(cluster, json!({"containers": [{"name": "web", "ports": ports}]})).await;
    let mut ports: Vec<(u64, &str)> = pod["containers"][0]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["containerPort"].as_u64().unwrap(), port["name"].as_str().unwrap_or_default()))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [(7070, ""), (8080, "http"), (9090, "metrics")]);
}

async fn service_ports_merge_by_their_number(cluster: &Cluster) {
    let ports = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 90}]);
    cluster.post("services", json!({"metadata": {"name": "s"}, "spec": {"ports": ports}})).await.ok();
    let patch = json!({"spec": {"ports": [{"port": 90, "targetPort": 9090}]}});
    let patched = cluster.patch(STRATEGIC, "services/s", patch).await.ok();
    let mut ports: Vec<(u64, u64)> = patched["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["port"].as_u64().unwrap(), port["targetPort"].as_u64().unwrap()))
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [(80, 80), (90, 9090)]);
}

async fn tolerations_are_replaced_as_a_whole(cluster: &Cluster) {
    paused(cluster).await;
    let pod = merged(cluster, json!({"tolerations": [{"key": "three", "operator": "Exists"}]})).await;
    assert_eq!(words(&pod["tolerations"], "key"), ["three"]);
}

async fn an_element_is_deleted_by_its_key(cluster: &Cluster) {
    paused(cluster).await;
    let web = json!({"name": "web", "env": [{"name": "A", "$patch": "delete"}],
        "ports": [{"containerPort": 9090, "$patch": "delete"}]});
    let pod = merged(cluster, json!({"containers": [web, {"name": "sidecar", "$patch": "delete"}]})).await;
    assert_eq!(words(&pod["containers"], "name"), ["web"]);
    assert_eq!(words(&pod["containers"][0]["env"], "name"), ["B"]);
    assert_eq!(words(&pod["containers"][0]["ports"], "name"), ["http"]);
}

async fn a_json_patch_that_replaces_what_is_not_there_adds_it(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let patch = json!([{"op": "replace", "path": "/data/none", "value": "x"}]);
    let patched = cluster.patch(JSON, "configmaps/a", patch).await.ok();
    assert_eq!(patched["data"], json!({"key": "value", "none": "x"}));
}

async fn a_list_or_a_map_is_replaced_where_the_patch_says_so(cluster: &Cluster) {
    paused(cluster).await;
    let web = json!({"name": "web", "env": [{"name": "Z", "value": "9"}, {"$patch": "replace"}]});
    let pod = merged(cluster, json!({"containers": [web]})).await;
    assert_eq!(words(&pod["containers"][0]["env"], "name"), ["Z"]);
    let labels = json!({"metadata": {"labels": {"old": "one"}}});
    cluster.patch(STRATEGIC, "deployments/a", labels).await.ok();
    let labels = json!({"metadata": {"labels": {"$patch": "replace", "only": "this"}}});
    let patched = cluster.patch(STRATEGIC, "deployments/a", labels).await.ok();
    assert_eq!(patched["metadata"]["labels"], json!({"only": "this"}));
}

async fn a_directive_about_a_map_that_is_not_there_says_nothing(cluster: &Cluster) {
    cluster.post("configmaps", json!({"metadata": {"name": "a"}})).await.ok();
    let patch = json!({"data": {"$patch": "replace", "only": "this"}, "metadata": {"labels": {"a": "b"}}});
    let patched = cluster.patch(STRATEGIC, "configmaps/a", patch).await.ok();
    assert_eq!((&patched["data"], &patched["metadata"]["labels"]), (&Value::Null, &json!({"a": "b"})));
}

async fn an_order_that_the_patch_sets_is_kept(cluster: &Cluster) {
    paused(cluster).await;
    let order = json!([{"name": "sidecar"}, {"name": "new"}, {"name": "web"}]);
    let patch =
        json!({"$setElementOrder/containers": order, "containers": [{"name": "new", "image": "new:1"}]});
    let pod = merged(cluster, patch).await;
    assert_eq!(words(&pod["containers"], "name"), ["sidecar", "new", "web"]);
}

async fn keys_that_are_not_retained_go(cluster: &Cluster) {
    paused(cluster).await;
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let patched = cluster.patch(STRATEGIC, "deployments/a", patch).await.ok();
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
    let volume = json!({"name": "data", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}});
    let pod = merged(cluster, json!({"volumes": [volume]})).await;
    assert_eq!(
        (&pod["volumes"][0]["secret"]["secretName"], pod["volumes"][0].get("emptyDir")),
        (&json!("s"), None)
    );
}

async fn finalizers_merge_as_a_set(cluster: &Cluster) {
    let mut object = config("a", "x");
    object["metadata"]["finalizers"] = json!(["drillmaster.dev/one", "drillmaster.dev/two"]);
    cluster.post("configmaps", object).await.ok();
    let more = json!({"metadata": {"finalizers": ["drillmaster.dev/two", "drillmaster.dev/three"]}});
    let patched = cluster.patch(STRATEGIC, "configmaps/a", more).await.ok();
    assert_eq!(patched["metadata"]["finalizers"].as_array().unwrap().len(), 3);
    let gone = ["drillmaster.dev/one", "drillmaster.dev/two", "drillmaster.dev/three"];
    let fewer = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": gone}});
    let patched = cluster.patch(STRATEGIC, "configmaps/a", fewer).await.ok();
    assert!(patched["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty));
}

async fn a_strict_patch_refuses_an_unknown_field(cluster: &Cluster) {
    paused(cluster).await;
    for kind in [MERGE, STRATEGIC] {
        let patch = json!({"spec": {"replica": 3}});
        let answer = cluster.patch(kind, "deployments/a?fieldValidation=Strict", patch.clone()).await;
        let status = answer.refused(422, "Invalid");
        assert!(status["message"].as_str().unwrap().contains(r#"unknown field "spec.replica""#), "{status}");
        let lenient = cluster.patch(kind, "deployments/a", patch).await.ok();
        assert_eq!(lenient["spec"].get("replica"), None);
    }
}

async fn a_dry_run_of_a_patch_changes_nothing(cluster: &Cluster) {
    let object = cluster.post("configmaps", config("a", "x")).await.ok();
    for kind in [MERGE, STRATEGIC] {
        let patched =
            cluster.patch(kind, "configmaps/a?dryRun=All", json!({"data": {"key": "dry"}})).await.ok();
        assert_eq!(patched["data"]["key"], "dry");
    }
    assert_eq!(cluster.get("configmaps/a").await.ok(), object);
}

async fn a_new_element_of_a_merged_list_comes_first(cluster: &Cluster) {
    let mut web = crate::rest::deployment(cluster, "web", 0);
    web["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A"}, {"name": "B"}]);
    cluster.post("deployments", web).await.ok();
    let env = json!([{"name": "C", "value": "1"}, {"name": "B", "value": "2"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": env}]}}}});
    let patched = cluster.patch(STRATEGIC, "deployments/web", patch).await.ok();
    let env = patched["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let names: Vec<&str> = env.iter().map(|each| each["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["C", "A", "B"]);
}

async fn a_json_patch_has_ten_thousand_operations_at_most(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let operation = json!({"op": "test", "path": "/data/key", "value": "value"});
    let patch = |length: usize| Value::Array(vec![operation.clone(); length]);
    cluster.patch(JSON, "configmaps/a", patch(10_000)).await.ok();
    cluster.patch(JSON, "configmaps/a", patch(10_001)).await.refused(413, "RequestEntityTooLarge");
}
