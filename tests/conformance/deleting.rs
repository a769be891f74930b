//! Deleting: preconditions, finalizers, a pod's grace, and what becomes of the objects that the deleted one owns.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{MERGE, config, homeless, names, pod};

behaviours!(
    what_goes_at_once_is_answered_with_a_status_and_what_lingers_with_itself,
    a_deletion_of_another_uid_is_a_conflict,
    a_deletion_of_another_version_is_a_conflict,
    a_finalizer_holds_an_object_until_it_is_removed,
    a_running_pod_gets_its_grace_and_can_only_get_less,
    a_running_pod_is_gone_at_once_without_grace,
    a_pod_that_no_node_took_goes_at_once,
    a_collection_is_deleted_by_its_selector,
    a_dry_run_of_a_deletion_deletes_nothing,
    the_owned_go_after_their_owner,
    an_owner_waits_for_the_owned_that_block_it,
    orphans_stay_and_forget_their_owner,
    what_has_another_owner_left_stays,
    what_a_job_owns_is_orphaned_unless_somebody_says_otherwise,
    what_names_an_owner_that_never_was_is_collected,
    a_namespace_takes_everything_in_it_along,
    the_namespaces_of_every_cluster_stay,
);

async fn make(cluster: &Cluster, name: &str, metadata: Value) -> Value {
    let mut object = config(name, "x");
    for (field, value) in metadata.as_object().unwrap() {
        object["metadata"][field] = value.clone();
    }
    cluster.post("configmaps", object).await.ok()
}

/// A reference to an owner, as a dependent has it.
fn owner(object: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "blockOwnerDeletion": true})
}

async fn gone(cluster: &Cluster, path: &str) {
    let look = async || (cluster.get(path).await.code == 404).then_some(());
    cluster.eventually(&format!("{path} is gone"), look).await;
}

async fn what_goes_at_once_is_answered_with_a_status_and_what_lingers_with_itself(cluster: &Cluster) {
    let object = make(cluster, "a", json!({})).await;
    let status = cluster.delete("configmaps/a", Value::Null).await.ok();
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    let details = json!({"name": "a", "kind": "configmaps", "uid": object["metadata"]["uid"]});
    assert_eq!(status["details"], details);
    make(cluster, "b", json!({"finalizers": ["drillmaster.dev/hold"]})).await;
    let lingers = cluster.delete("configmaps/b", Value::Null).await.ok();
    assert_eq!((&lingers["kind"], &lingers["metadata"]["name"]), (&json!("ConfigMap"), &json!("b")));
    cluster.patch(MERGE, "configmaps/b", json!({"metadata": {"finalizers": null}})).await.ok();
}

async fn a_deletion_of_another_uid_is_a_conflict(cluster: &Cluster) {
    let object = make(cluster, "a", json!({})).await;
    let other = json!({"preconditions": {"uid": "other"}});
    let status = cluster.delete("configmaps/a", other).await.refused(409, "Conflict");
    let why = "the UID in the precondition (other) does not match the UID in record";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    let own = json!({"preconditions": {"uid": object["metadata"]["uid"]}});
    cluster.delete("configmaps/a", own).await.ok();
}

async fn a_deletion_of_another_version_is_a_conflict(cluster: &Cluster) {
    let stale = make(cluster, "a", json!({})).await["metadata"]["resourceVersion"].take();
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let fresh = cluster.patch(MERGE, "configmaps/a", label).await.ok()["metadata"]["resourceVersion"].take();
    let of = |version: &Value| json!({"preconditions": {"resourceVersion": version}});
    cluster.delete("configmaps/a", of(&stale)).await.refused(409, "Conflict");
    cluster.delete("configmaps/a", of(&fresh)).await.ok();
    cluster.get("configmaps/a").await.refused(404, "NotFound");
}

async fn a_finalizer_holds_an_object_until_it_is_removed(cluster: &Cluster) {
    make(cluster, "a", json!({"finalizers": ["drillmaster.dev/one", "drillmaster.dev/two"]})).await;
    let ending = cluster.delete("configmaps/a", Value::Null).await.ok();
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = cluster.delete("configmaps/a", json!({"gracePeriodSeconds": 0})).await.ok();
    assert_eq!(again["metadata"]["deletionTimestamp"], ending["metadata"]["deletionTimestamp"]);
    let less = json!({"metadata": {"finalizers": ["drillmaster.dev/two"]}});
    cluster.patch(MERGE, "configmaps/a", less).await.ok();
    assert_eq!(cluster.get("configmaps/a").await.code, 200);
    let last = cluster.patch(MERGE, "configmaps/a", json!({"metadata": {"finalizers": []}})).await.ok();
    assert_eq!(last["metadata"]["name"], "a");
    cluster.get("configmaps/a").await.refused(404, "NotFound");
}

async fn runs(cluster: &Cluster, name: &str) {
    cluster.post("pods", pod(cluster, name)).await.ok();
    let path = format!("pods/{name}");
    let running = async || (cluster.get(&path).await.ok()["status"]["phase"] == "Running").then_some(());
    cluster.eventually("the pod runs", running).await;
}

async fn a_running_pod_gets_its_grace_and_can_only_get_less(cluster: &Cluster) {
    runs(cluster, "a").await;
    // A finalizer, so that it can be looked at however soon its process ends.
    cluster.patch(MERGE, "pods/a", json!({"metadata": {"finalizers": ["drillmaster.dev/hold"]}})).await.ok();
    let grace = |pod: &Value| pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
    let ending = cluster.delete("pods/a", Value::Null).await.ok();
    assert_eq!(grace(&ending), Some(20));
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    let longer = cluster.delete("pods/a", json!({"gracePeriodSeconds": 50})).await.ok();
    assert!(grace(&longer) <= Some(20));
    let shorter = cluster.delete("pods/a", json!({"gracePeriodSeconds": 3})).await.ok();
    assert!(grace(&shorter) <= Some(3));
    cluster.patch(MERGE, "pods/a", json!({"metadata": {"finalizers": null}})).await.ok();
    gone(cluster, "pods/a").await;
}

async fn a_running_pod_is_gone_at_once_without_grace(cluster: &Cluster) {
    runs(cluster, "a").await;
    cluster.delete("pods/a", json!({"gracePeriodSeconds": 0})).await.ok();
    cluster.get("pods/a").await.refused(404, "NotFound");
}

async fn a_pod_that_no_node_took_goes_at_once(cluster: &Cluster) {
    cluster.post("pods", homeless(cluster, "a")).await.ok();
    cluster.delete("pods/a", Value::Null).await.ok();
    cluster.get("pods/a").await.refused(404, "NotFound");
}

async fn a_collection_is_deleted_by_its_selector(cluster: &Cluster) {
    for (name, labels) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let secret = json!({"metadata": {"name": name, "labels": {"part": labels}}});
        cluster.post("secrets", secret).await.ok();
    }
    let dry = "secrets?labelSelector=part%3Dx&dryRun=All";
    cluster.delete(dry, Value::Null).await.ok();
    assert_eq!(names(&cluster.get("secrets").await.ok()), ["a", "b", "c"]);
    cluster.delete("secrets?labelSelector=part%3Dx", Value::Null).await.ok();
    assert_eq!(names(&cluster.get("secrets").await.ok()), ["b"]);
    cluster.delete("secrets?fieldSelector=metadata.name%3Dother", Value::Null).await.ok();
    assert_eq!(names(&cluster.get("secrets").await.ok()), ["b"]);
    cluster.delete("secrets", Value::Null).await.ok();
    assert_eq!(names(&cluster.get("secrets").await.ok()), [""; 0]);
}

async fn a_dry_run_of_a_deletion_deletes_nothing(cluster: &Cluster) {
    let object = make(cluster, "a", json!({})).await;
    cluster.delete("configmaps/a?dryRun=All", Value::Null).await.ok();
    cluster.delete("configmaps/a", json!({"dryRun": ["All"]})).await.ok();
    assert_eq!(cluster.get("configmaps/a").await.ok(), object);
}

async fn the_owned_go_after_their_owner(cluster: &Cluster) {
    let first = make(cluster, "owner", json!({})).await;
    let middle = make(cluster, "middle", json!({"ownerReferences": [owner(&first)]})).await;
    make(cluster, "last", json!({"ownerReferences": [owner(&middle)]})).await;
    make(cluster, "other", json!({})).await;
    cluster.delete("configmaps/owner", json!({"propagationPolicy": "Background"})).await.ok();
    cluster.get("configmaps/owner").await.refused(404, "NotFound");
    gone(cluster, "configmaps/middle").await;
    gone(cluster, "configmaps/last").await;
    cluster.get("configmaps/other").await.ok();
}

async fn an_owner_waits_for_the_owned_that_block_it(cluster: &Cluster) {
    let first = make(cluster, "owner", json!({})).await;
    let held = json!({"ownerReferences": [owner(&first)], "finalizers": ["drillmaster.dev/hold"]});
    make(cluster, "held", held).await;
    let ending = cluster.delete("configmaps/owner", json!({"propagationPolicy": "Foreground"})).await.ok();
    assert_eq!(ending["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let ends = async || {
        cluster.get("configmaps/held").await.ok()["metadata"]["deletionTimestamp"].as_str().map(drop)
    };
    cluster.eventually("the owned is being deleted", ends).await;
    let waits = async || cluster.get("configmaps/owner").await.code == 200;
    cluster.throughout(Duration::from_secs(3), "the owner waits", waits).await;
    cluster.patch(MERGE, "configmaps/held", json!({"metadata": {"finalizers": null}})).await.ok();
    gone(cluster, "configmaps/owner").await;
}

async fn orphans_stay_and_forget_their_owner(cluster: &Cluster) {
    let first = make(cluster, "owner", json!({})).await;
    make(cluster, "child", json!({"ownerReferences": [owner(&first)]})).await;
    cluster.delete("configmaps/owner", json!({"propagationPolicy": "Orphan"})).await.ok();
    gone(cluster, "configmaps/owner").await;
    let child = cluster.get("configmaps/child").await.ok();
    let left = child["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    assert_eq!(left, Vec::<Value>::new());
    let stays = async || cluster.get("configmaps/child").await.code == 200;
    cluster.throughout(Duration::from_secs(3), "the orphan stays", stays).await;
}

async fn what_has_another_owner_left_stays(cluster: &Cluster) {
    let (one, two) = (make(cluster, "one", json!({})).await, make(cluster, "two", json!({})).await);
    make(cluster, "child", json!({"ownerReferences": [owner(&one), owner(&two)]})).await;
    cluster.delete("configmaps/one", Value::Null).await.ok();
    let stays = async || cluster.get("configmaps/child").await.code == 200;
    cluster.throughout(Duration::from_secs(3), "the child stays", stays).await;
    cluster.delete("configmaps/two", Value::Null).await.ok();
    gone(cluster, "configmaps/child").await;
}

async fn what_a_job_owns_is_orphaned_unless_somebody_says_otherwise(cluster: &Cluster) {
    let template =
        json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": cluster.web}]}});
    for (name, options, left) in
        [("plain", Value::Null, 200), ("told", json!({"propagationPolicy": "Background"}), 404)]
    {
        let job = json!({"metadata": {"name": name}, "spec": {"suspend": true, "template": template}});
        let job = cluster.post("jobs", job).await.ok();
        let mut reference = owner(&job);
        reference["apiVersion"] = "batch/v1".into();
        reference["kind"] = "Job".into();
        make(cluster, &format!("of-{name}"), json!({"ownerReferences": [reference]})).await;
        cluster.delete(&format!("jobs/{name}"), options).await.ok();
        gone(cluster, &format!("jobs/{name}")).await;
        let child = format!("configmaps/of-{name}");
        let done = async || {
            let child = cluster.get(&child).await;
            let free = child.body["metadata"].get("ownerReferences").is_none_or(|list| *list == json!([]));
            (child.code == left && free).then_some(())
        };
        cluster.eventually("the owned stays or goes", done).await;
    }
}

async fn what_names_an_owner_that_never_was_is_collected(cluster: &Cluster) {
    let nobody = json!({"metadata": {"name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}});
    make(cluster, "child", json!({"ownerReferences": [owner(&nobody)]})).await;
    gone(cluster, "configmaps/child").await;
}

async fn a_namespace_takes_everything_in_it_along(cluster: &Cluster) {
    let space = format!("{}-full", cluster.namespace);
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": space}})).await.ok();
    let inside = format!("/api/v1/namespaces/{space}/secrets");
    cluster.post(&inside, json!({"metadata": {"name": "a"}})).await.ok();
    let own = format!("/api/v1/namespaces/{space}");
    let ending = cluster.delete(&own, Value::Null).await.ok();
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    gone(cluster, &own).await;
    cluster.get(&format!("{inside}/a")).await.refused(404, "NotFound");
}

async fn the_namespaces_of_every_cluster_stay(cluster: &Cluster) {
    for name in ["default", "kube-system", "kube-public"] {
        let all = json!({"dryRun": ["All"]});
        let answer = cluster.delete(&format!("/api/v1/namespaces/{name}"), all).await;
        let status = answer.refused(403, "Forbidden");
        let why = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!(status["message"], why);
    }
}
