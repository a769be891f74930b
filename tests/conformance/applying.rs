//! Server-side apply: who owns which field, what conflicts, and what goes when nobody names it any longer.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{APPLY, Answer, MERGE, config};

behaviours!(
    an_apply_makes_what_is_missing,
    an_apply_owns_the_fields_that_it_names,
    an_update_owns_the_fields_that_it_changes,
    an_apply_without_a_manager_is_invalid,
    an_apply_that_brings_managed_fields_is_a_bad_request,
    an_apply_of_another_name_is_a_bad_request,
    another_managers_field_is_a_conflict_that_names_it,
    several_conflicts_are_named_together,
    a_forced_apply_takes_the_field_over,
    equal_values_are_owned_by_both,
    a_field_that_its_only_owner_drops_is_deleted,
    a_field_that_somebody_else_owns_too_stays,
    a_default_that_was_owned_by_an_apply_comes_back_when_it_is_dropped,
    an_apply_leaves_what_it_never_owned,
    an_update_takes_a_field_from_its_applier,
    containers_are_owned_one_by_one,
    ports_are_owned_by_number_and_protocol,
    finalizers_are_owned_one_by_one,
    a_list_without_keys_is_owned_as_a_whole,
    an_apply_that_changes_nothing_keeps_the_version,
    an_apply_with_a_stale_version_is_a_conflict,
    a_status_that_is_applied_is_owned_apart,
    a_dry_run_of_an_apply_changes_nothing,
);

/// Applies as a manager.
async fn apply(cluster: &Cluster, manager: &str, path: &str, object: Value) -> Answer {
    let parted = if path.contains('?') { '&' } else { '?' };
    cluster.patch(APPLY, &format!("{path}{parted}fieldManager={manager}"), object).await
}

fn data(fields: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": fields})
}

/// What a manager owns by an operation; `null` where it owns nothing.
fn owned(object: &Value, manager: &str, operation: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    let mut own = entries.filter(|entry| entry["manager"] == manager && entry["operation"] == operation);
    own.next().map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
}

async fn an_apply_makes_what_is_missing(cluster: &Cluster) {
    let made = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await;
    assert_eq!(made.code, 201);
    assert_eq!(made.body["data"], json!({"key": "1"}));
    let again = apply(cluster, "one", "configmaps/a", data(json!({"key": "2"}))).await;
    assert_eq!((again.code, &again.body["data"]), (200, &json!({"key": "2"})));
}

async fn an_apply_owns_the_fields_that_it_names(cluster: &Cluster) {
    let mut object = data(json!({"key": "1"}));
    object["metadata"]["labels"] = json!({"app": "a"});
    let made = apply(cluster, "one", "configmaps/a", object).await.ok();
    let fields = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {"f:key": {}}});
    assert_eq!(owned(&made, "one", "Apply"), fields);
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["apiVersion"], &entry["fieldsType"]), (&json!("v1"), &json!("FieldsV1")));
    assert!(entry["time"].is_string());
}

async fn an_update_owns_the_fields_that_it_changes(cluster: &Cluster) {
    apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    let patch = json!({"data": {"more": "2"}});
    let patched = cluster.patch(MERGE, "configmaps/a?fieldManager=two", patch).await.ok();
    assert_eq!(owned(&patched, "two", "Update"), json!({"f:data": {"f:more": {}}}));
    assert_eq!(owned(&patched, "one", "Apply"), json!({"f:data": {"f:key": {}}}));
    let made = cluster.post("configmaps?fieldManager=three", config("b", "x")).await.ok();
    let fields = owned(&made, "three", "Update");
    assert!(fields["f:data"]["f:key"].is_object() && fields["f:metadata"]["f:labels"]["f:part"].is_object());
}

async fn an_apply_without_a_manager_is_invalid(cluster: &Cluster) {
    let answer = cluster.patch(APPLY, "configmaps/a", data(json!({}))).await;
    answer.invalid("FieldValueRequired", "fieldManager");
    let forced = cluster.patch(MERGE, "configmaps/a?force=true", json!({})).await;
    forced.invalid("FieldValueForbidden", "force");
}

async fn an_apply_that_brings_managed_fields_is_a_bad_request(cluster: &Cluster) {
    let made = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    let mut object = data(json!({"key": "1"}));
    object["metadata"]["managedFields"] = made["metadata"]["managedFields"].clone();
    let status = apply(cluster, "one", "configmaps/a", object).await.refused(400, "BadRequest");
    assert!(status["message"].as_str().unwrap().contains("metadata.managedFields must be nil"), "{status}");
}

async fn an_apply_of_another_name_is_a_bad_request(cluster: &Cluster) {
    let answer = apply(cluster, "one", "configmaps/b", data(json!({}))).await;
    answer.refused(400, "BadRequest");
}

async fn another_managers_field_is_a_conflict_that_names_it(cluster: &Cluster) {
    apply(cluster, "one", "configmaps/a", data(json!({"key": "1", "own": "x"}))).await.ok();
    let answer = apply(cluster, "two", "configmaps/a", data(json!({"key": "2"}))).await;
    let status = answer.refused(409, "Conflict");
    let why = r#"Apply failed with 1 conflict: conflict with "one": .data.key"#;
    assert_eq!(status["message"], why);
    let cause =
        json!({"reason": "FieldManagerConflict", "message": r#"conflict with "one""#, "field": ".data.key"});
    assert_eq!(status["details"]["causes"], json!([cause]));
    assert_eq!(cluster.get("configmaps/a").await.ok()["data"]["key"], "1");
    let patch = json!({"data": {"key": "3"}});
    cluster.patch(MERGE, "configmaps/a?fieldManager=three", patch).await.ok();
    let answer = apply(cluster, "two", "configmaps/a", data(json!({"key": "2"}))).await;
    let why = r#"Apply failed with 1 conflict: conflict with "three" using v1: .data.key"#;
    assert_eq!(answer.refused(409, "Conflict")["message"], why);
}

async fn several_conflicts_are_named_together(cluster: &Cluster) {
    apply(cluster, "one", "configmaps/a", data(json!({"b": "1", "c": "1", "d": "1"}))).await.ok();
    let answer = apply(cluster, "two", "configmaps/a", data(json!({"b": "2", "c": "2", "d": "1"}))).await;
    let status = answer.refused(409, "Conflict");
    let why = "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.b\n- .data.c";
    assert_eq!(status["message"], why);
    assert_eq!(status["details"]["causes"].as_array().unwrap().len(), 2);
}

async fn a_forced_apply_takes_the_field_over(cluster: &Cluster) {
    apply(cluster, "one", "configmaps/a", data(json!({"key": "1", "own": "x"}))).await.ok();
    let forced = apply(cluster, "two", "configmaps/a?force=true", data(json!({"key": "2"}))).await.ok();
    assert_eq!(forced["data"], json!({"key": "2", "own": "x"}));
    assert_eq!(owned(&forced, "two", "Apply"), json!({"f:data": {"f:key": {}}}));
    assert_eq!(owned(&forced, "one", "Apply"), json!({"f:data": {"f:own": {}}}));
    let back = apply(cluster, "one", "configmaps/a", data(json!({"key": "1", "own": "x"}))).await;
    back.refused(409, "Conflict");
}

async fn equal_values_are_owned_by_both(cluster: &Cluster) {
    apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    let both = apply(cluster, "two", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    for manager in ["one", "two"] {
        assert_eq!(owned(&both, manager, "Apply"), json!({"f:data": {"f:key": {}}}));
    }
    let alone = apply(cluster, "one", "configmaps/a", data(json!({"key": "2"}))).await;
    assert!(alone.refused(409, "Conflict")["message"].as_str().unwrap().contains(r#"conflict with "two""#));
}

async fn a_field_that_its_only_owner_drops_is_deleted(cluster: &Cluster) {
    let mut object = data(json!({"key": "1", "more": "2"}));
    object["metadata"]["labels"] = json!({"app": "a"});
    object["metadata"]["annotations"] = json!({"note": "a", "other": "b"});
    apply(cluster, "one", "configmaps/a", object).await.ok();
    let mut less = data(json!({"key": "1"}));
    less["metadata"]["annotations"] = json!({"other": "b"});
    let after = apply(cluster, "one", "configmaps/a", less).await.ok();
    assert_eq!((&after["data"], after["metadata"].get("labels")), (&json!({"key": "1"}), None));
    assert_eq!(after["metadata"]["annotations"], json!({"other": "b"}));
}

async fn a_field_that_somebody_else_owns_too_stays(cluster: &Cluster) {
    for manager in ["one", "two"] {
        apply(cluster, manager, "configmaps/a", data(json!({"key": "1"}))).await.ok();
    }
    let after = apply(cluster, "one", "configmaps/a", data(json!({"own": "x"}))).await.ok();
    assert_eq!(after["data"], json!({"key": "1", "own": "x"}));
    let last = apply(cluster, "two", "configmaps/a", data(json!({}))).await.ok();
    assert_eq!(last["data"], json!({"own": "x"}));
    assert_eq!(owned(&last, "one", "Apply"), json!({"f:data": {"f:own": {}}}));
}

/// A workload to be applied, that runs nothing.
fn workload(spec: Value, containers: Value) -> Value {
    let mut object =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec});
    object["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
    object["spec"]["template"] =
        json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}});
    object
}

async fn a_default_that_was_owned_by_an_apply_comes_back_when_it_is_dropped(cluster: &Cluster) {
    let web = json!([{"name": "web", "image": "shop/web:1"}]);
    let spec = json!({"paused": true, "replicas": 0, "revisionHistoryLimit": 3});
    apply(cluster, "one", "deployments/a", workload(spec, web.clone())).await.ok();
    let spec = json!({"paused": true, "replicas": 0});
    let after = apply(cluster, "one", "deployments/a", workload(spec, web)).await.ok();
    assert_eq!(after["spec"]["revisionHistoryLimit"], 10);
}

async fn an_apply_leaves_what_it_never_owned(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let applied = apply(cluster, "one", "configmaps/a", data(json!({"mine": "1"}))).await.ok();
    assert_eq!(applied["data"], json!({"key": "value", "mine": "1"}));
    let dropped = apply(cluster, "one", "configmaps/a", data(json!({}))).await.ok();
    assert_eq!(dropped["data"], json!({"key": "value"}));
    assert_eq!(dropped["metadata"]["labels"]["part"], "x");
}

async fn an_update_takes_a_field_from_its_applier(cluster: &Cluster) {
    let web = json!([{"name": "web", "image": "shop/web:1"}]);
    let spec = json!({"paused": true, "replicas": 0, "minReadySeconds": 5});
    apply(cluster, "one", "deployments/a", workload(spec, web)).await.ok();
    let patch = json!({"spec": {"minReadySeconds": 7}});
    let patched = cluster.patch(MERGE, "deployments/a?fieldManager=two", patch).await.ok();
    assert_eq!(owned(&patched, "two", "Update"), json!({"f:spec": {"f:minReadySeconds": {}}}));
    assert_eq!(owned(&patched, "one", "Apply")["f:spec"].get("f:minReadySeconds"), None);
    assert!(owned(&patched, "one", "Apply")["f:spec"]["f:replicas"].is_object());
}

async fn containers_are_owned_one_by_one(cluster: &Cluster) {
    let spec = json!({"paused": true, "replicas": 0});
    let web = json!({"name": "web", "image": "shop/web:1", "env": [{"name": "A", "value": "1"}]});
    apply(cluster, "one", "deployments/a", workload(spec, json!([web]))).await.ok();
    let side = |containers: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"template": {"spec": {"containers": containers}}}})
    };
    let both =
        json!([{"name": "web", "env": [{"name": "B", "value": "2"}]}, {"name": "side", "image": "side:1"}]);
    let applied = apply(cluster, "two", "deployments/a", side(both)).await.ok();
    let containers = applied["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let named = |list: &[Value]| {
        list.iter().map(|each| each["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(containers), ["web", "side"]);
    assert_eq!(containers[0]["image"], "shop/web:1");
    assert_eq!(named(containers[0]["env"].as_array().unwrap()), ["A", "B"]);
    let fields = owned(&applied, "two", "Apply");
    let list = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"];
    let side_fields = json!({".": {}, "f:name": {}, "f:image": {}});
    assert_eq!(list[r#"k:{"name":"side"}"#], side_fields);
    let image = json!([{"name": "web", "image": "other:1"}]);
    let status = apply(cluster, "two", "deployments/a", side(image)).await.refused(409, "Conflict");
    let field = r#".spec.template.spec.containers[name="web"].image"#;
    assert_eq!(status["details"]["causes"][0]["field"], field);
    let dropped = apply(cluster, "two", "deployments/a", side(json!([]))).await.ok();
    let containers = dropped["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(named(containers), ["web"]);
    assert_eq!(named(containers[0]["env"].as_array().unwrap()), ["A"]);
}

async fn ports_are_owned_by_number_and_protocol(cluster: &Cluster) {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {"ports": ports}});
    let tcp = json!([{"name": "tcp", "port": 53}]);
    apply(cluster, "one", "services/dns", service(tcp)).await.ok();
    let udp = json!([{"name": "udp", "port": 53, "protocol": "UDP"}]);
    let both = apply(cluster, "two", "services/dns", service(udp)).await.ok();
    let ports = both["spec"]["ports"].as_array().unwrap();
    let protocols: Vec<&str> = ports.iter().map(|port| port["protocol"].as_str().unwrap()).collect();
    assert_eq!(protocols, ["TCP", "UDP"]);
    let fields = owned(&both, "one", "Apply");
    assert!(fields["f:spec"]["f:ports"][r#"k:{"port":53,"protocol":"TCP"}"#].is_object(), "{fields}");
}

async fn finalizers_are_owned_one_by_one(cluster: &Cluster) {
    let with = |finalizers: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": finalizers}});
    apply(cluster, "one", "configmaps/a", with(json!(["drillmaster.dev/one"]))).await.ok();
    let both = apply(cluster, "two", "configmaps/a", with(json!(["drillmaster.dev/two"]))).await.ok();
    assert_eq!(both["metadata"]["finalizers"], json!(["drillmaster.dev/one", "drillmaster.dev/two"]));
    let fields = json!({"f:metadata": {"f:finalizers": {r#"v:"drillmaster.dev/two""#: {}}}});
    assert_eq!(owned(&both, "two", "Apply"), fields);
    let less = apply(cluster, "one", "configmaps/a", with(json!([]))).await.ok();
    assert_eq!(less["metadata"]["finalizers"], json!(["drillmaster.dev/two"]));
    apply(cluster, "two", "configmaps/a", data(json!({}))).await.ok();
}

async fn a_list_without_keys_is_owned_as_a_whole(cluster: &Cluster) {
    let spec = || json!({"paused": true, "replicas": 0});
    let web = |args: Value| json!([{"name": "web", "image": "shop/web:1", "args": args}]);
    apply(cluster, "one", "deployments/a", workload(spec(), web(json!(["a", "b"])))).await.ok();
    let answer = apply(cluster, "two", "deployments/a", workload(spec(), web(json!(["a", "c"])))).await;
    let status = answer.refused(409, "Conflict");
    let field = r#".spec.template.spec.containers[name="web"].args"#;
    assert_eq!(status["details"]["causes"][0]["field"], field);
    let forced = apply(cluster, "two", "deployments/a?force=true", workload(spec(), web(json!(["c"])))).await;
    assert_eq!(forced.ok()["spec"]["template"]["spec"]["containers"][0]["args"], json!(["c"]));
}

async fn an_apply_that_changes_nothing_keeps_the_version(cluster: &Cluster) {
    let first = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    let second = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    assert_eq!(second, first);
}

async fn an_apply_with_a_stale_version_is_a_conflict(cluster: &Cluster) {
    let first = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    apply(cluster, "one", "configmaps/a", data(json!({"key": "2"}))).await.ok();
    let mut stale = data(json!({"key": "3"}));
    stale["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"].clone();
    let status = apply(cluster, "one", "configmaps/a", stale).await.refused(409, "Conflict");
    assert!(status["message"].as_str().unwrap().contains("the object has been modified"), "{status}");
}

async fn a_status_that_is_applied_is_owned_apart(cluster: &Cluster) {
    let made = cluster.post("pods?fieldManager=maker", crate::rest::homeless(cluster, "a")).await.ok();
    let status =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "status": {"message": "hello"}});
    let applied = apply(cluster, "one", "pods/a/status", status).await.ok();
    assert_eq!((&applied["status"]["message"], &applied["spec"]), (&json!("hello"), &made["spec"]));
    let entries = applied["metadata"]["managedFields"].as_array().unwrap();
    let own = entries.iter().find(|entry| entry["manager"] == "one").unwrap();
    assert_eq!((&own["subresource"], &own["operation"]), (&json!("status"), &json!("Apply")));
    assert_eq!(own["fieldsV1"], json!({"f:status": {"f:message": {}}}));
    assert_eq!(owned(&applied, "maker", "Update").get("f:status"), None);
}

async fn a_dry_run_of_an_apply_changes_nothing(cluster: &Cluster) {
    let dry = apply(cluster, "one", "configmaps/a?dryRun=All", data(json!({"key": "1"}))).await;
    assert_eq!(dry.ok()["data"]["key"], "1");
    cluster.get("configmaps/a").await.refused(404, "NotFound");
    let made = apply(cluster, "one", "configmaps/a", data(json!({"key": "1"}))).await.ok();
    let dry = apply(cluster, "one", "configmaps/a?dryRun=All", data(json!({"key": "2"}))).await;
    assert_eq!(dry.ok()["data"]["key"], "2");
    assert_eq!(cluster.get("configmaps/a").await.ok(), made);
}
