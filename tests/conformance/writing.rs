//! Replacing objects: versions, what a write may not change, and what it leaves alone.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{MERGE, config, deployment, homeless};

behaviours!(
    an_update_with_a_stale_version_is_a_conflict,
    an_update_without_a_version_overwrites,
    an_update_that_changes_nothing_keeps_the_version,
    an_update_of_what_is_not_there_is_not_found,
    an_update_of_another_uid_is_a_conflict,
    an_update_of_another_name_than_its_path_is_a_bad_request,
    the_generation_moves_with_the_spec_only,
    all_that_is_wrong_with_an_object_and_its_change_is_told_at_once,
    a_write_of_an_object_leaves_its_status,
    a_write_of_a_status_leaves_the_spec,
    a_status_written_at_a_stale_version_is_a_conflict,
    an_update_does_not_change_identity_or_birth,
    an_update_does_not_take_back_a_deletion,
    an_object_that_is_being_deleted_gets_no_new_finalizer,
    a_workloads_selector_cannot_change,
    a_stateful_set_changes_in_few_fields_only,
    a_pod_changes_its_image_and_little_else,
    a_pod_gains_tolerations_and_loses_none,
    a_services_address_cannot_change_and_is_kept_where_an_update_is_silent,
    immutable_configuration_cannot_change,
    a_secret_keeps_its_type,
    negative_replicas_are_invalid,
    a_dry_run_of_an_update_answers_as_if_and_changes_nothing,
);

/// An object that was just made, to be changed and put back.
async fn made(cluster: &Cluster, plural: &str, object: Value) -> (String, Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    (format!("{plural}/{name}"), cluster.post(plural, object).await.ok())
}

/// The object without the version that it was read at, since a controller may write meanwhile.
fn unversioned(mut object: Value) -> Value {
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    object
}

async fn an_update_with_a_stale_version_is_a_conflict(cluster: &Cluster) {
    let (path, mut object) = made(cluster, "configmaps", config("a", "x")).await;
    object["data"]["key"] = "first".into();
    cluster.put(&path, &object).await.ok();
    object["data"]["key"] = "second".into();
    let status = cluster.put(&path, &object).await.refused(409, "Conflict");
    let why = r#"Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#;
    assert_eq!(status["message"], why);
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps"}));
    assert_eq!(cluster.get(&path).await.ok()["data"]["key"], "first");
}

async fn an_update_without_a_version_overwrites(cluster: &Cluster) {
    let (path, object) = made(cluster, "configmaps", config("a", "x")).await;
    let next = json!({"metadata": {"name": "a"}, "data": {"other": "1"}});
    let updated = cluster.put(&path, &next).await.ok();
    assert_eq!((&updated["data"], updated["metadata"].get("labels")), (&json!({"other": "1"}), None));
    assert_eq!(updated["metadata"]["uid"], object["metadata"]["uid"]);
}

async fn an_update_that_changes_nothing_keeps_the_version(cluster: &Cluster) {
    let (path, object) = made(cluster, "configmaps", config("a", "x")).await;
    assert_eq!(cluster.put(&path, &object).await.ok(), object);
    assert_eq!(cluster.patch(MERGE, &path, json!({"data": {"key": "value"}})).await.ok(), object);
}

async fn an_update_of_what_is_not_there_is_not_found(cluster: &Cluster) {
    cluster.put("configmaps/a", &config("a", "x")).await.refused(404, "NotFound");
}

async fn an_update_of_another_uid_is_a_conflict(cluster: &Cluster) {
    let (path, mut object) = made(cluster, "configmaps", config("a", "x")).await;
    let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
    object["metadata"]["uid"] = "other".into();
    let status = cluster.put(&path, &unversioned(object)).await.refused(409, "Conflict");
    let why = format!("Precondition failed: UID in precondition: other, UID in object meta: {uid}");
    assert!(status["message"].as_str().unwrap().contains(&why), "{status}");
}

async fn an_update_of_another_name_than_its_path_is_a_bad_request(cluster: &Cluster) {
    let (path, _) = made(cluster, "configmaps", config("a", "x")).await;
    let status = cluster.put(&path, &config("b", "x")).await.refused(400, "BadRequest");
    assert_eq!(status["message"], "the name of the object (b) does not match the name on the URL (a)");
}

async fn the_generation_moves_with_the_spec_only(cluster: &Cluster) {
    let (path, _) = made(cluster, "deployments", deployment(cluster, "web", 0)).await;
    let after = |patch: Value| async {
        cluster.patch(MERGE, &path, patch).await.ok()["metadata"]["generation"].take()
    };
    assert_eq!(after(json!({"metadata": {"labels": {"a": "b"}}})).await, 1);
    assert_eq!(after(json!({"spec": {"minReadySeconds": 3}})).await, 2);
    assert_eq!(after(json!({"spec": {"minReadySeconds": 3}})).await, 2);
    let status = json!({"status": {"conditions": []}});
    let written = cluster.patch(MERGE, &format!("{path}/status"), status).await.ok();
    assert_eq!(written["metadata"]["generation"], 2);
    assert_eq!(after(json!({"metadata": {"generation": 9}})).await, 2);
}

async fn a_write_of_an_object_leaves_its_status(cluster: &Cluster) {
    let budget = json!({"metadata": {"name": "a"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"no": "pod"}}}});
    let (path, _) = made(cluster, "poddisruptionbudgets", budget).await;
    let counted = async || {
        let budget = cluster.get(&path).await.ok();
        (budget["status"]["observedGeneration"] == 1).then_some(budget)
    };
    let before = cluster.eventually("the budget is counted", counted).await;
    let mut next = unversioned(before.clone());
    next["status"]["expectedPods"] = 77.into();
    assert_eq!(cluster.put(&path, &next).await.ok()["status"], before["status"]);
    let patch = json!({"status": {"expectedPods": 77}, "metadata": {"labels": {"a": "b"}}});
    let patched = cluster.patch(MERGE, &path, patch).await.ok();
    assert_eq!((&patched["status"], &patched["metadata"]["labels"]["a"]), (&before["status"], &json!("b")));
}

async fn a_write_of_a_status_leaves_the_spec(cluster: &Cluster) {
    let (path, object) = made(cluster, "pods", homeless(cluster, "a")).await;
    let mut next = unversioned(object.clone());
    next["spec"]["containers"][0]["image"] = "other:1".into();
    next["status"]["message"] = "written".into();
    let written = cluster.put(&format!("{path}/status"), &next).await.ok();
    assert_eq!((&written["spec"], &written["status"]["message"]), (&object["spec"], &json!("written")));
    let read = cluster.get(&format!("{path}/status")).await.ok();
    assert_eq!((&read["kind"], &read["status"]["message"]), (&json!("Pod"), &json!("written")));
    let patch = json!({"spec": {"activeDeadlineSeconds": 9}, "status": {"message": "again"}});
    let patched = cluster.patch(MERGE, &format!("{path}/status"), patch).await.ok();
    assert_eq!((&patched["spec"], &patched["status"]["message"]), (&object["spec"], &json!("again")));
}

async fn a_status_written_at_a_stale_version_is_a_conflict(cluster: &Cluster) {
    let (path, mut object) = made(cluster, "pods", homeless(cluster, "a")).await;
    cluster.patch(MERGE, &path, json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    object["status"]["message"] = "late".into();
    cluster.put(&format!("{path}/status"), &object).await.refused(409, "Conflict");
}

async fn an_update_does_not_change_identity_or_birth(cluster: &Cluster) {
    let (path, object) = made(cluster, "configmaps", config("a", "x")).await;
    let patch = json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"a": "b"}}});
    let patched = cluster.patch(MERGE, &path, patch).await.ok();
    assert_eq!(patched["metadata"]["creationTimestamp"], object["metadata"]["creationTimestamp"]);
    assert_eq!(patched["metadata"]["uid"], object["metadata"]["uid"]);
}

async fn an_update_does_not_take_back_a_deletion(cluster: &Cluster) {
    let mut held = config("a", "x");
    held["metadata"]["finalizers"] = json!(["drillmaster.dev/hold"]);
    let (path, _) = made(cluster, "configmaps", held).await;
    let deleted = cluster.delete(&path, Value::Null).await.ok();
    let mut next = unversioned(deleted.clone());
    next["metadata"].as_object_mut().unwrap().remove("deletionTimestamp");
    next["metadata"].as_object_mut().unwrap().remove("deletionGracePeriodSeconds");
    next["data"]["key"] = "changed".into();
    let updated = cluster.put(&path, &next).await.ok();
    assert_eq!(updated["metadata"]["deletionTimestamp"], deleted["metadata"]["deletionTimestamp"]);
    assert_eq!(updated["data"]["key"], "changed");
    next["metadata"]["finalizers"] = json!([]);
    cluster.put(&path, &next).await.ok();
    cluster.get(&path).await.refused(404, "NotFound");
}

async fn an_object_that_is_being_deleted_gets_no_new_finalizer(cluster: &Cluster) {
    let mut held = config("a", "x");
    held["metadata"]["finalizers"] = json!(["drillmaster.dev/hold"]);
    let (path, _) = made(cluster, "configmaps", held).await;
    cluster.delete(&path, Value::Null).await.ok();
    let more = json!({"metadata": {"finalizers": ["drillmaster.dev/hold", "drillmaster.dev/more"]}});
    cluster.patch(MERGE, &path, more).await.invalid("FieldValueForbidden", "metadata.finalizers");
    cluster.patch(MERGE, &path, json!({"metadata": {"finalizers": null}})).await.ok();
    cluster.get(&path).await.refused(404, "NotFound");
}

async fn a_workloads_selector_cannot_change(cluster: &Cluster) {
    let template = deployment(cluster, "web", 0)["spec"]["template"].take();
    for (plural, replicas) in [("deployments", true), ("replicasets", true), ("daemonsets", false)] {
        let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template});
        if replicas {
            spec["replicas"] = 0.into();
        } else {
            spec["template"]["spec"]["nodeSelector"] = json!({"drillmaster.dev/none": "such"});
        }
        let (path, object) = made(cluster, plural, json!({"metadata": {"name": "web"}, "spec": spec})).await;
        let mut next = unversioned(object);
        for part in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            next.pointer_mut(part).unwrap()["more"] = "yes".into();
        }
        cluster.put(&path, &next).await.invalid("FieldValueInvalid", "spec.selector");
    }
}

async fn a_stateful_set_changes_in_few_fields_only(cluster: &Cluster) {
    let template = deployment(cluster, "db", 0)["spec"]["template"].take();
    let spec = json!({"replicas": 0, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template});
    let (path, _) = made(cluster, "statefulsets", json!({"metadata": {"name": "db"}, "spec": spec})).await;
    for patch in [json!({"serviceName": "other"}), json!({"podManagementPolicy": "Parallel"})] {
        cluster.patch(MERGE, &path, json!({"spec": patch})).await.invalid("FieldValueForbidden", "spec");
    }
    let allowed = json!({"spec": {"minReadySeconds": 1, "revisionHistoryLimit": 3, "updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
    assert_eq!(cluster.patch(MERGE, &path, allowed).await.ok()["spec"]["minReadySeconds"], 1);
}

async fn a_pod_changes_its_image_and_little_else(cluster: &Cluster) {
    let (path, object) = made(cluster, "pods", homeless(cluster, "a")).await;
    for change in [
        json!({"hostname": "other"}),
        json!({"nodeName": "elsewhere", "restartPolicy": "Never"}),
        json!({"terminationGracePeriodSeconds": 5}),
        json!({"containers": null}),
    ] {
        let answer = cluster.patch(MERGE, &path, json!({"spec": change})).await;
        assert_eq!((answer.code, &answer.body["reason"]), (422, &json!("Invalid")), "{change}");
    }
    let mut next = unversioned(object);
    next["spec"]["containers"][0]["command"] = json!(["other"]);
    cluster.put(&path, &next).await.invalid("FieldValueForbidden", "spec");
    next["spec"]["containers"][0].as_object_mut().unwrap().remove("command");
    next["spec"]["containers"][0]["image"] = "shop/web:2".into();
    let updated = cluster.put(&path, &next).await.ok();
    assert_eq!(updated["spec"]["containers"][0]["image"], "shop/web:2");
}

async fn a_pod_gains_tolerations_and_loses_none(cluster: &Cluster) {
    let (path, object) = made(cluster, "pods", homeless(cluster, "a")).await;
    let mut more = unversioned(object);
    let one = json!({"key": "drill", "operator": "Exists", "effect": "NoSchedule"});
    more["spec"]["tolerations"].as_array_mut().unwrap().push(one);
    let updated = cluster.put(&path, &more).await.ok();
    assert_eq!(updated["spec"]["tolerations"], more["spec"]["tolerations"]);
    let mut less = unversioned(updated);
    less["spec"]["tolerations"] = json!([]);
    assert_eq!(cluster.put(&path, &less).await.code, 422);
}

async fn a_services_address_cannot_change_and_is_kept_where_an_update_is_silent(cluster: &Cluster) {
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let (path, object) = made(cluster, "services", service.clone()).await;
    let patch = json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
    cluster.patch(MERGE, &path, patch).await.invalid("FieldValueInvalid", "spec.clusterIPs[0]");
    let updated = cluster.put(&path, &service).await.ok();
    assert_eq!(updated["spec"]["clusterIP"], object["spec"]["clusterIP"]);
    assert_eq!(updated["spec"]["clusterIPs"], object["spec"]["clusterIPs"]);
}

async fn immutable_configuration_cannot_change(cluster: &Cluster) {
    for (plural, value) in [("configmaps", "value"), ("secrets", "dmFsdWU=")] {
        let object = json!({"metadata": {"name": "a"}, "data": {"key": value}});
        let (path, _) = made(cluster, plural, object).await;
        cluster.patch(MERGE, &path, json!({"immutable": true})).await.ok();
        let changed = json!({"data": {"key": "b3RoZXI="}});
        cluster.patch(MERGE, &path, changed).await.invalid("FieldValueForbidden", "data");
        let thawed = json!({"immutable": false});
        cluster.patch(MERGE, &path, thawed).await.invalid("FieldValueForbidden", "immutable");
        cluster.patch(MERGE, &path, json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    }
}

async fn a_secret_keeps_its_type(cluster: &Cluster) {
    let (path, _) = made(cluster, "secrets", json!({"metadata": {"name": "a"}})).await;
    let patch = json!({"type": "drillmaster.dev/other"});
    cluster.patch(MERGE, &path, patch).await.invalid("FieldValueInvalid", "type");
}

async fn negative_replicas_are_invalid(cluster: &Cluster) {
    let (path, _) = made(cluster, "deployments", deployment(cluster, "web", 0)).await;
    let patch = json!({"spec": {"replicas": -1}});
    cluster.patch(MERGE, &path, patch).await.invalid("FieldValueInvalid", "spec.replicas");
}

async fn a_dry_run_of_an_update_answers_as_if_and_changes_nothing(cluster: &Cluster) {
    let (path, object) = made(cluster, "configmaps", config("a", "x")).await;
    let mut next = object.clone();
    next["data"]["key"] = "other".into();
    let dry = format!("{path}?dryRun=All");
    assert_eq!(cluster.put(&dry, &next).await.ok()["data"]["key"], "other");
    let patch = json!({"data": {"key": "another"}});
    assert_eq!(cluster.patch(MERGE, &dry, patch).await.ok()["data"]["key"], "another");
    assert_eq!(cluster.get(&path).await.ok(), object);
}

async fn all_that_is_wrong_with_an_object_and_its_change_is_told_at_once(cluster: &Cluster) {
    cluster.post("deployments", deployment(cluster, "web", 0)).await.ok();
    let patch = json!({"spec": {"replicas": -1, "selector": {"matchLabels": {"app": "other"}}}});
    let refused = cluster.patch(MERGE, "deployments/web", patch).await.refused(422, "Invalid");
    let causes = refused["details"]["causes"].as_array().unwrap();
    for field in ["spec.replicas", "spec.template.metadata.labels", "spec.selector"] {
        assert!(causes.iter().any(|cause| cause["field"] == field), "{field}: {refused}");
    }
}
