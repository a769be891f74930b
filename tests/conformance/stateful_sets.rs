//! Stateful sets: the order of pods, their names and claims, and updates that reach them one at a time.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    all, all_ready, change, controller, counts, delete, hold, holds, made, name, names, play, play_ready,
    release, revision, seen, staged, terminating, uid, web, workload,
};

behaviours!(
    pods_start_one_after_the_other_each_when_the_one_before_is_ready,
    the_next_pod_waits_until_the_one_before_is_available,
    pods_that_start_in_parallel_wait_for_nobody,
    a_pod_comes_back_under_its_name,
    a_pod_that_failed_is_made_again,
    ordinals_start_where_the_set_says,
    an_update_begins_at_the_highest_ordinal_and_waits_for_each,
    an_update_leaves_pods_below_the_partition_alone,
    a_partition_counts_from_the_first_ordinal,
    a_pod_below_the_partition_comes_back_as_it_was,
    an_update_on_delete_waits_for_the_deletion,
    a_stuck_update_stays_stuck_when_its_template_is_repaired,
    scaling_down_takes_the_highest_and_waits_until_it_is_gone,
    a_set_says_which_revision_is_current_and_which_is_next,
    claims_stay_when_the_set_shrinks_and_when_it_goes,
    claims_carry_the_labels_of_their_template_and_of_the_selector,
    claims_go_with_their_pods_where_the_set_says_so,
    claims_go_with_the_set_where_it_says_so,
    a_set_adopts_the_pods_of_a_former_one,
);

/// A set of staged pods with a claim each.
fn db(cluster: &Cluster, replicas: u32) -> Value {
    let mut set = workload("db", replicas, staged(cluster));
    set["spec"]["serviceName"] = json!("db");
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data", "labels": {"tier": "gold"}}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}]);
    set
}

/// Waits until just these pods are there, deleted ones among them.
async fn pods(cluster: &Cluster, wanted: &[&str]) -> Vec<Value> {
    cluster
        .eventually(&format!("pods {wanted:?}"), async || {
            Some(all::<Pod>(cluster, "db").await).filter(|pods| names(pods) == wanted)
        })
        .await
}

/// For a few seconds there are just these pods, with these revisions.
async fn stays(cluster: &Cluster, wanted: &[(&str, &str)]) {
    cluster
        .throughout(Duration::from_secs(3), &format!("{wanted:?}"), async || {
            let pods = all::<Pod>(cluster, "db").await;
            let is: Vec<(&str, &str)> = pods.iter().map(|pod| (name(pod), revision_of(pod))).collect();
            is == wanted
        })
        .await;
}

fn revision_of(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["revision"].as_str().unwrap_or("one")
}

/// Waits until a pod of this name has another uid than before, and gives it.
async fn replaced(cluster: &Cluster, before: &Value) -> Value {
    cluster
        .eventually(&format!("another {}", name(before)), async || {
            let now = seen::<Pod>(cluster, name(before)).await;
            (!now.is_null() && uid(&now) != uid(before)).then_some(now)
        })
        .await
}

async fn claims(cluster: &Cluster) -> Vec<Value> {
    all::<PersistentVolumeClaim>(cluster, "db").await
}

async fn pods_start_one_after_the_other_each_when_the_one_before_is_ready(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 3)).await;
    pods(cluster, &["db-0"]).await;
    play_ready(cluster, "db-0", false).await;
    stays(cluster, &[("db-0", "one")]).await;
    play_ready(cluster, "db-0", true).await;
    pods(cluster, &["db-0", "db-1"]).await;
    stays(cluster, &[("db-0", "one"), ("db-1", "one")]).await;
    play_ready(cluster, "db-1", true).await;
    pods(cluster, &["db-0", "db-1", "db-2"]).await;
}

async fn the_next_pod_waits_until_the_one_before_is_available(cluster: &Cluster) {
    let mut set = workload("db", 2, web(cluster));
    set["spec"]["minReadySeconds"] = json!(10);
    made::<StatefulSet>(cluster, set).await;
    cluster
        .eventually("the first is ready", async || {
            holds(&seen::<Pod>(cluster, "db-0").await, "Ready").then_some(())
        })
        .await;
    stays(cluster, &[("db-0", "one")]).await;
    pods(cluster, &["db-0", "db-1"]).await;
}

async fn pods_that_start_in_parallel_wait_for_nobody(cluster: &Cluster) {
    let mut set = db(cluster, 3);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    made::<StatefulSet>(cluster, set).await;
    pods(cluster, &["db-0", "db-1", "db-2"]).await;
    change::<StatefulSet>(cluster, "db", json!({"spec": {"replicas": 1}})).await;
    pods(cluster, &["db-0"]).await;
}

async fn a_pod_comes_back_under_its_name(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 1)).await;
    let before = pods(cluster, &["db-0"]).await.remove(0);
    play_ready(cluster, "db-0", true).await;
    delete::<Pod>(cluster, "db-0").await;
    let after = replaced(cluster, &before).await;
    assert_eq!((&after["spec"]["hostname"], &after["spec"]["subdomain"]), (&json!("db-0"), &json!("db")));
    let labels = &after["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-0");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "0");
    let claims: Vec<&Value> = after["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName"))
        .collect();
    assert_eq!(claims, ["data-db-0"]);
}

async fn a_pod_that_failed_is_made_again(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 1)).await;
    let before = pods(cluster, &["db-0"]).await.remove(0);
    play(cluster, "db-0", json!({"phase": "Failed"})).await;
    replaced(cluster, &before).await;
}

async fn ordinals_start_where_the_set_says(cluster: &Cluster) {
    let mut set = db(cluster, 2);
    set["spec"]["ordinals"] = json!({"start": 5});
    made::<StatefulSet>(cluster, set).await;
    pods(cluster, &["db-5"]).await;
    play_ready(cluster, "db-5", true).await;
    pods(cluster, &["db-5", "db-6"]).await;
}

async fn an_update_begins_at_the_highest_ordinal_and_waits_for_each(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 3)).await;
    all_ready(cluster, "db", 3).await;
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    let last = replaced(cluster, &before[2]).await;
    assert_eq!(revision_of(&last), "two");
    stays(cluster, &[("db-0", "one"), ("db-1", "one"), ("db-2", "two")]).await;
    play_ready(cluster, "db-2", true).await;
    replaced(cluster, &before[1]).await;
    stays(cluster, &[("db-0", "one"), ("db-1", "two"), ("db-2", "two")]).await;
}

async fn an_update_leaves_pods_below_the_partition_alone(cluster: &Cluster) {
    let mut set = db(cluster, 3);
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 3).await;
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    replaced(cluster, &before[2]).await;
    play_ready(cluster, "db-2", true).await;
    stays(cluster, &[("db-0", "one"), ("db-1", "one"), ("db-2", "two")]).await;
    let lower = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}});
    change::<StatefulSet>(cluster, "db", lower).await;
    replaced(cluster, &before[1]).await;
    play_ready(cluster, "db-1", true).await;
    stays(cluster, &[("db-0", "one"), ("db-1", "two"), ("db-2", "two")]).await;
}

async fn a_partition_counts_from_the_first_ordinal(cluster: &Cluster) {
    let mut set = db(cluster, 2);
    set["spec"]["ordinals"] = json!({"start": 5});
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 2).await;
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    replaced(cluster, &before[1]).await;
    play_ready(cluster, "db-6", true).await;
    stays(cluster, &[("db-5", "one"), ("db-6", "two")]).await;
}

async fn a_pod_below_the_partition_comes_back_as_it_was(cluster: &Cluster) {
    let mut set = db(cluster, 2);
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 2).await;
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    replaced(cluster, &before[1]).await;
    play_ready(cluster, "db-1", true).await;
    delete::<Pod>(cluster, "db-0").await;
    let again = replaced(cluster, &before[0]).await;
    assert_eq!(revision_of(&again), "one");
    let hash = |pod: &Value| pod["metadata"]["labels"]["controller-revision-hash"].clone();
    assert_eq!(hash(&again), hash(&before[0]));
}

async fn an_update_on_delete_waits_for_the_deletion(cluster: &Cluster) {
    let mut set = db(cluster, 1);
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 1).await;
    let before = all::<Pod>(cluster, "db").await.remove(0);
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    stays(cluster, &[("db-0", "one")]).await;
    delete::<Pod>(cluster, "db-0").await;
    assert_eq!(revision_of(&replaced(cluster, &before).await), "two");
}

/// The documentation calls it a known issue: a set in order waits for the broken pod and does not touch it.
async fn a_stuck_update_stays_stuck_when_its_template_is_repaired(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 2)).await;
    all_ready(cluster, "db", 2).await;
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("broken")).await;
    let broken = replaced(cluster, &before[1]).await;
    change::<StatefulSet>(cluster, "db", revision("repaired")).await;
    stays(cluster, &[("db-0", "one"), ("db-1", "broken")]).await;
    delete::<Pod>(cluster, "db-1").await;
    assert_eq!(revision_of(&replaced(cluster, &broken).await), "repaired");
}

async fn scaling_down_takes_the_highest_and_waits_until_it_is_gone(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 3)).await;
    all_ready(cluster, "db", 3).await;
    hold::<Pod>(cluster, "db-2").await;
    change::<StatefulSet>(cluster, "db", json!({"spec": {"replicas": 1}})).await;
    cluster
        .eventually("the highest is deleted", async || {
            terminating(&seen::<Pod>(cluster, "db-2").await).then_some(())
        })
        .await;
    cluster
        .throughout(Duration::from_secs(3), "the next is not", async || {
            !terminating(&seen::<Pod>(cluster, "db-1").await)
        })
        .await;
    release::<Pod>(cluster, "db-2").await;
    pods(cluster, &["db-0"]).await;
}

async fn a_set_says_which_revision_is_current_and_which_is_next(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 2)).await;
    all_ready(cluster, "db", 2).await;
    let now = async || seen::<StatefulSet>(cluster, "db").await;
    let revisions = |set: &Value| {
        let [current, next] = ["currentRevision", "updateRevision"].map(|field| set["status"][field].clone());
        (current, next)
    };
    let fields = ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"];
    let whole = cluster
        .eventually("two replicas of one revision", async || {
            let set = now().await;
            let (current, next) = revisions(&set);
            (counts(&set, fields) == [2; 5] && current == next).then_some(set)
        })
        .await;
    let (first, _) = revisions(&whole);
    let before = all::<Pod>(cluster, "db").await;
    change::<StatefulSet>(cluster, "db", revision("two")).await;
    let last = replaced(cluster, &before[1]).await;
    let second = last["metadata"]["labels"]["controller-revision-hash"].clone();
    cluster
        .eventually("one replica of each revision", async || {
            let set = now().await;
            (counts(&set, fields) == [2, 1, 1, 1, 1] && revisions(&set) == (first.clone(), second.clone()))
                .then_some(())
        })
        .await;
    play_ready(cluster, "db-1", true).await;
    replaced(cluster, &before[0]).await;
    cluster
        .throughout(Duration::from_secs(3), "the first is current", async || {
            revisions(&now().await).0 == first
        })
        .await;
    play_ready(cluster, "db-0", true).await;
    cluster
        .eventually("the second is current", async || (revisions(&now().await).0 == second).then_some(()))
        .await;
}

async fn claims_stay_when_the_set_shrinks_and_when_it_goes(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 2)).await;
    all_ready(cluster, "db", 2).await;
    let before = claims(cluster).await;
    assert_eq!(names(&before), ["data-db-0", "data-db-1"]);
    change::<StatefulSet>(cluster, "db", json!({"spec": {"replicas": 1}})).await;
    pods(cluster, &["db-0"]).await;
    delete::<StatefulSet>(cluster, "db").await;
    pods(cluster, &[]).await;
    cluster
        .throughout(Duration::from_secs(3), "both claims", async || {
            names(&claims(cluster).await) == ["data-db-0", "data-db-1"]
        })
        .await;
    made::<StatefulSet>(cluster, db(cluster, 2)).await;
    all_ready(cluster, "db", 2).await;
    let uids = |claims: &[Value]| claims.iter().map(|claim| uid(claim).to_owned()).collect::<Vec<_>>();
    assert_eq!(uids(&claims(cluster).await), uids(&before), "used again");
}

async fn claims_carry_the_labels_of_their_template_and_of_the_selector(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 1)).await;
    pods(cluster, &["db-0"]).await;
    assert_eq!(claims(cluster).await[0]["metadata"]["labels"], json!({"app": "db", "tier": "gold"}));
}

async fn claims_go_with_their_pods_where_the_set_says_so(cluster: &Cluster) {
    let mut set = db(cluster, 2);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 2).await;
    change::<StatefulSet>(cluster, "db", json!({"spec": {"replicas": 1}})).await;
    cluster
        .eventually("only the first claim", async || {
            (names(&claims(cluster).await) == ["data-db-0"]).then_some(())
        })
        .await;
    delete::<StatefulSet>(cluster, "db").await;
    pods(cluster, &[]).await;
    cluster
        .throughout(Duration::from_secs(3), "the first claim", async || {
            names(&claims(cluster).await) == ["data-db-0"]
        })
        .await;
}

async fn claims_go_with_the_set_where_it_says_so(cluster: &Cluster) {
    let mut set = db(cluster, 2);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete"});
    made::<StatefulSet>(cluster, set).await;
    all_ready(cluster, "db", 2).await;
    change::<StatefulSet>(cluster, "db", json!({"spec": {"replicas": 1}})).await;
    pods(cluster, &["db-0"]).await;
    assert_eq!(claims(cluster).await.len(), 2, "the set shrank, it did not go");
    delete::<StatefulSet>(cluster, "db").await;
    cluster.eventually("no claims", async || claims(cluster).await.is_empty().then_some(())).await;
}

async fn a_set_adopts_the_pods_of_a_former_one(cluster: &Cluster) {
    made::<StatefulSet>(cluster, db(cluster, 2)).await;
    all_ready(cluster, "db", 2).await;
    let before = all::<Pod>(cluster, "db").await;
    cluster.api::<StatefulSet>().delete("db", &DeleteParams::orphan()).await.unwrap();
    cluster
        .eventually("gone", async || seen::<StatefulSet>(cluster, "db").await.is_null().then_some(()))
        .await;
    let again = made::<StatefulSet>(cluster, db(cluster, 2)).await;
    cluster
        .eventually("both pods are the new set's", async || {
            let pods = all::<Pod>(cluster, "db").await;
            pods.iter().all(|pod| controller(pod) == uid(&again)).then_some(())
        })
        .await;
    let after = all::<Pod>(cluster, "db").await;
    assert_eq!(after.iter().map(uid).collect::<Vec<_>>(), before.iter().map(uid).collect::<Vec<_>>());
}
