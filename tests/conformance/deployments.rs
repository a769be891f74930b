//! Deployments: rollouts within their limits, back to an old template, paused, stuck, scaled on the way.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workloads::{
    all, all_ready, change, condition, controller, counts, delete, hold, holds, made, mute, name, names,
    number, release, revision, seen, staged, uid, web, workload,
};

behaviours!(
    a_deployment_whose_pods_are_refused_says_why_until_they_are_made,
    a_deployment_owns_a_replica_set_that_carries_the_hash_of_its_template,
    a_deployment_counts_its_pods_and_says_that_they_are_available,
    a_label_of_the_deployment_itself_rolls_nothing_out,
    recreate_starts_no_new_pod_before_the_last_old_one_is_gone,
    a_paused_deployment_rolls_out_when_it_is_resumed,
    a_paused_deployment_still_scales,
    a_paused_deployment_says_so,
    old_replica_sets_beyond_the_history_limit_go,
    a_percentage_of_surge_rounds_up_and_of_unavailability_down,
    without_surge_a_rollout_takes_away_first,
    a_pod_is_available_only_after_its_min_ready_seconds,
    other_min_ready_seconds_reach_the_replica_set_without_a_rollout,
    a_rollout_without_progress_exceeds_its_deadline,
    an_old_template_is_served_by_its_old_replica_set_again,
    scaling_in_the_middle_of_a_rollout_is_in_proportion,
    a_deleted_replica_set_is_made_again,
    a_deployment_adopts_the_replica_set_of_a_former_one,
    a_replica_set_has_its_deployments_annotations,
);

/// The sizes asked of the replica sets of `web`, by revision.
async fn sizes(cluster: &Cluster) -> Vec<i64> {
    let mut sets: Vec<(i64, i64)> = all::<ReplicaSet>(cluster, "web")
        .await
        .iter()
        .map(|set| {
            let revision = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (revision.as_str().unwrap_or_default().parse().unwrap_or(0), number(set, "/spec/replicas"))
        })
        .collect();
    sets.sort_unstable();
    sets.into_iter().map(|(_, size)| size).collect()
}

async fn web_now(cluster: &Cluster) -> Value {
    seen::<Deployment>(cluster, "web").await
}

/// Waits until the rollout is complete.
async fn complete(cluster: &Cluster) -> Value {
    cluster
        .eventually("a complete rollout", async || {
            let web = web_now(cluster).await;
            let observed = number(&web, "/status/observedGeneration") == number(&web, "/metadata/generation");
            let progressed = condition(&web, "Progressing")["reason"] == "NewReplicaSetAvailable";
            let wanted = number(&web, "/spec/replicas");
            let counts = counts(&web, ["replicas", "updatedReplicas", "availableReplicas"]);
            (observed && progressed && counts == [wanted; 3]).then_some(web)
        })
        .await
}

async fn a_deployment_owns_a_replica_set_that_carries_the_hash_of_its_template(cluster: &Cluster) {
    let web = made::<Deployment>(cluster, workload("web", 2, staged(cluster))).await;
    let pods = cluster
        .eventually("two pods", async || {
            Some(all::<Pod>(cluster, "web").await).filter(|pods| pods.len() == 2)
        })
        .await;
    let set = all::<ReplicaSet>(cluster, "web").await.remove(0);
    assert_eq!(controller(&set), uid(&web));
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(name(&set), format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "web", "pod-template-hash": hash}));
    for pod in &pods {
        assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "pod-template-hash": hash}));
        assert_eq!(controller(pod), uid(&set));
        assert!(name(pod).starts_with(&format!("web-{hash}-")));
    }
}

async fn a_deployment_counts_its_pods_and_says_that_they_are_available(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 3, web(cluster))).await;
    let web = complete(cluster).await;
    assert_eq!(
        counts(&web, ["readyReplicas", "unavailableReplicas", "observedGeneration"]),
        [3, 0, number(&web, "/metadata/generation")]
    );
    assert_eq!(condition(&web, "Available")["reason"], "MinimumReplicasAvailable");
    assert!(holds(&web, "Available") && holds(&web, "Progressing"));
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
}

async fn a_label_of_the_deployment_itself_rolls_nothing_out(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    let before = all::<Pod>(cluster, "web").await;
    change::<Deployment>(cluster, "web", json!({"metadata": {"labels": {"team": "shop"}}})).await;
    cluster
        .throughout(Duration::from_secs(3), "the same pod", async || {
            names(&all::<Pod>(cluster, "web").await) == names(&before)
        })
        .await;
    assert_eq!(sizes(cluster).await, [1]);
}

async fn recreate_starts_no_new_pod_before_the_last_old_one_is_gone(cluster: &Cluster) {
    let mut web = workload("web", 2, staged(cluster));
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    made::<Deployment>(cluster, web).await;
    all_ready(cluster, "web", 2).await;
    let old = name(&all::<Pod>(cluster, "web").await[0]).to_owned();
    hold::<Pod>(cluster, &old).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    let only_old = async || names(&all::<Pod>(cluster, "web").await) == [old.as_str()];
    cluster.eventually("only the held pod", async || only_old().await.then_some(())).await;
    change::<Deployment>(cluster, "web", revision("three")).await;
    // A cluster gives up pods that go and are on no node from time to time, held or not: what has ended holds up nothing.
    let has_ended = async || {
        let pods = all::<Pod>(cluster, "web").await;
        pods.iter().any(|pod| name(pod) == old && pod["status"]["phase"] == "Failed")
    };
    let waits = async || only_old().await || has_ended().await;
    cluster.throughout(Duration::from_secs(5), "only the held pod", waits).await;
    release::<Pod>(cluster, &old).await;
    all_ready(cluster, "web", 2).await;
    for pod in all::<Pod>(cluster, "web").await {
        assert_eq!(pod["metadata"]["annotations"]["revision"], "three");
    }
}

async fn a_paused_deployment_rolls_out_when_it_is_resumed(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"paused": true}})).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    cluster.throughout(Duration::from_secs(3), "no new set", async || sizes(cluster).await == [1]).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"paused": false}})).await;
    cluster
        .eventually("a new set", async || (all::<ReplicaSet>(cluster, "web").await.len() == 2).then_some(()))
        .await;
}

async fn a_paused_deployment_still_scales(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"paused": true}})).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 3}})).await;
    cluster.eventually("three of the old", async || (sizes(cluster).await == [3]).then_some(())).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 2}})).await;
    cluster.eventually("two of the old", async || (sizes(cluster).await == [2]).then_some(())).await;
}

async fn a_paused_deployment_says_so(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    let progressing = |wanted: [&'static str; 2]| async move {
        let what = format!("Progressing is {wanted:?}");
        cluster
            .eventually(&what, async || {
                let web = web_now(cluster).await;
                let is = condition(&web, "Progressing");
                (is["status"] == wanted[0] && is["reason"] == wanted[1]).then_some(())
            })
            .await;
    };
    all_ready(cluster, "web", 1).await;
    progressing(["True", "NewReplicaSetAvailable"]).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"paused": true}})).await;
    progressing(["Unknown", "DeploymentPaused"]).await;
}

async fn old_replica_sets_beyond_the_history_limit_go(cluster: &Cluster) {
    let mut web = workload("web", 1, staged(cluster));
    web["spec"]["revisionHistoryLimit"] = json!(1);
    made::<Deployment>(cluster, web).await;
    all_ready(cluster, "web", 1).await;
    for text in ["two", "three", "four"] {
        change::<Deployment>(cluster, "web", revision(text)).await;
        cluster
            .eventually("a pod of the new revision", async || {
                let pods = all::<Pod>(cluster, "web").await;
                pods.iter().any(|pod| pod["metadata"]["annotations"]["revision"] == text).then_some(())
            })
            .await;
        all_ready(cluster, "web", 1).await;
    }
    cluster.eventually("one old set", async || (sizes(cluster).await == [0, 1]).then_some(())).await;
}

async fn a_percentage_of_surge_rounds_up_and_of_unavailability_down(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 5, staged(cluster))).await;
    all_ready(cluster, "web", 5).await;
    complete(cluster).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    // A quarter of five: two more at most, and one less.
    cluster.eventually("four old, three new", async || (sizes(cluster).await == [4, 3]).then_some(())).await;
    cluster.throughout(Duration::from_secs(3), "that", async || sizes(cluster).await == [4, 3]).await;
    assert!(holds(&web_now(cluster).await, "Available"));
}

async fn without_surge_a_rollout_takes_away_first(cluster: &Cluster) {
    let mut web = workload("web", 3, staged(cluster));
    web["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
    made::<Deployment>(cluster, web).await;
    all_ready(cluster, "web", 3).await;
    complete(cluster).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    cluster.eventually("two old, one new", async || (sizes(cluster).await == [2, 1]).then_some(())).await;
    cluster.throughout(Duration::from_secs(3), "that", async || sizes(cluster).await == [2, 1]).await;
}

async fn a_pod_is_available_only_after_its_min_ready_seconds(cluster: &Cluster) {
    let mut web = workload("web", 1, web(cluster));
    web["spec"]["minReadySeconds"] = json!(10);
    made::<Deployment>(cluster, web).await;
    let numbers = async || counts(&web_now(cluster).await, ["readyReplicas", "availableReplicas"]);
    cluster.eventually("ready", async || (numbers().await[0] == 1).then_some(())).await;
    cluster
        .throughout(Duration::from_secs(5), "ready and not available", async || numbers().await == [1, 0])
        .await;
    cluster.eventually("available", async || (numbers().await == [1, 1]).then_some(())).await;
}

async fn other_min_ready_seconds_reach_the_replica_set_without_a_rollout(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"minReadySeconds": 7}})).await;
    cluster
        .eventually("the replica set has them", async || {
            let sets = all::<ReplicaSet>(cluster, "web").await;
            (sets.len() == 1 && number(&sets[0], "/spec/minReadySeconds") == 7).then_some(())
        })
        .await;
}

async fn a_rollout_without_progress_exceeds_its_deadline(cluster: &Cluster) {
    let mut web = workload("web", 1, mute(cluster));
    web["spec"]["progressDeadlineSeconds"] = json!(8);
    made::<Deployment>(cluster, web).await;
    cluster
        .eventually("the deadline is exceeded", async || {
            let web = web_now(cluster).await;
            let is = condition(&web, "Progressing");
            (is["status"] == "False" && is["reason"] == "ProgressDeadlineExceeded").then_some(())
        })
        .await;
    let web = web_now(cluster).await;
    assert_eq!(condition(&web, "Available")["reason"], "MinimumReplicasUnavailable");
}

async fn an_old_template_is_served_by_its_old_replica_set_again(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    let sets = async || {
        let mut sets: Vec<String> =
            all::<ReplicaSet>(cluster, "web").await.iter().map(|set| uid(set).to_owned()).collect();
        sets.sort();
        sets
    };
    let mut before = Vec::new();
    for text in ["one", "two"] {
        change::<Deployment>(cluster, "web", revision(text)).await;
        serves(cluster, text).await;
        before = sets().await;
    }
    change::<Deployment>(cluster, "web", revision("one")).await;
    serves(cluster, "one").await;
    assert_eq!(sets().await, before);
}

/// Makes staged pods ready until the only one is of this revision.
async fn serves(cluster: &Cluster, revision: &str) {
    cluster
        .eventually(&format!("one pod, of revision {revision}"), async || {
            all_ready(cluster, "web", 1).await;
            let pods = all::<Pod>(cluster, "web").await;
            let of = |pod: &Value| pod["metadata"]["annotations"]["revision"] == revision;
            (pods.len() == 1 && pods.iter().all(of)).then_some(())
        })
        .await;
}

/// The numbers are those of the Kubernetes documentation of proportional scaling.
async fn scaling_in_the_middle_of_a_rollout_is_in_proportion(cluster: &Cluster) {
    let mut web = workload("web", 10, staged(cluster));
    web["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    made::<Deployment>(cluster, web).await;
    all_ready(cluster, "web", 10).await;
    complete(cluster).await;
    change::<Deployment>(cluster, "web", revision("two")).await;
    cluster.eventually("eight old, five new", async || (sizes(cluster).await == [8, 5]).then_some(())).await;
    change::<Deployment>(cluster, "web", json!({"spec": {"replicas": 15}})).await;
    cluster
        .eventually("eleven old, seven new", async || (sizes(cluster).await == [11, 7]).then_some(()))
        .await;
}

async fn a_deleted_replica_set_is_made_again(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 1, staged(cluster))).await;
    all_ready(cluster, "web", 1).await;
    let before = all::<ReplicaSet>(cluster, "web").await.remove(0);
    delete::<ReplicaSet>(cluster, name(&before)).await;
    cluster
        .eventually("another of the same name", async || {
            let now = seen::<ReplicaSet>(cluster, name(&before)).await;
            (!now.is_null() && uid(&now) != uid(&before)).then_some(())
        })
        .await;
}

async fn a_deployment_adopts_the_replica_set_of_a_former_one(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 2, staged(cluster))).await;
    all_ready(cluster, "web", 2).await;
    let before = all::<Pod>(cluster, "web").await;
    cluster.api::<Deployment>().delete("web", &DeleteParams::orphan()).await.unwrap();
    cluster.eventually("gone", async || web_now(cluster).await.is_null().then_some(())).await;
    let again = made::<Deployment>(cluster, workload("web", 2, staged(cluster))).await;
    cluster
        .eventually("adopted", async || {
            let sets = all::<ReplicaSet>(cluster, "web").await;
            sets.iter().any(|set| controller(set) == uid(&again)).then_some(())
        })
        .await;
    cluster
        .throughout(Duration::from_secs(3), "the same pods", async || {
            names(&all::<Pod>(cluster, "web").await) == names(&before)
        })
        .await;
    assert_eq!(sizes(cluster).await, [2]);
}

async fn a_replica_set_has_its_deployments_annotations(cluster: &Cluster) {
    made::<Deployment>(cluster, workload("web", 0, staged(cluster))).await;
    change::<Deployment>(
        cluster,
        "web",
        json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "a test"}}}),
    )
    .await;
    cluster
        .eventually("the annotation", async || {
            let sets = all::<ReplicaSet>(cluster, "web").await;
            let noted =
                |set: &Value| set["metadata"]["annotations"]["kubernetes.io/change-cause"] == "a test";
            sets.iter().all(noted).then_some(())
        })
        .await;
}

async fn a_deployment_whose_pods_are_refused_says_why_until_they_are_made(cluster: &Cluster) {
    let mut spec = web(cluster);
    spec["serviceAccountName"] = json!("clerk");
    made::<Deployment>(cluster, workload("web", 2, spec)).await;
    let failing = cluster
        .eventually("it says why", async || {
            Some(seen::<Deployment>(cluster, "web").await).filter(|web| holds(web, "ReplicaFailure"))
        })
        .await;
    let said = condition(&failing, "ReplicaFailure").clone();
    let sets = all::<ReplicaSet>(cluster, "web").await;
    let why = format!(
        "pods \"{}-\" is forbidden: error looking up service account {}/clerk: serviceaccount \"clerk\" not found",
        name(&sets[0]),
        cluster.namespace
    );
    assert_eq!((&said["reason"], &said["message"]), (&json!("FailedCreate"), &json!(why)));
    assert_eq!(condition(&sets[0], "ReplicaFailure")["message"], json!(why));
    made::<ServiceAccount>(cluster, json!({"metadata": {"name": "clerk"}})).await;
    cluster
        .eventually("its pods are ready, and nothing is said", async || {
            let web = seen::<Deployment>(cluster, "web").await;
            let silent = condition(&web, "ReplicaFailure").is_null();
            (number(&web, "/status/readyReplicas") == 2 && silent).then_some(())
        })
        .await;
}
