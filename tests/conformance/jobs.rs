//! Jobs: how many pods at a time, until enough have succeeded, too many have failed, or the time is over.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::MERGE;
use crate::workloads::{
    all, change, condition, counts, delete, holds, made, name, names, play, seen, staged, terminating, uid,
};

behaviours!(
    a_job_is_complete_when_enough_pods_have_succeeded,
    a_job_runs_so_many_pods_at_a_time,
    a_jobs_pods_carry_its_name_and_its_uid,
    a_job_selects_its_own_pods_by_its_uid,
    a_job_makes_another_pod_some_time_after_one_failed,
    a_job_fails_when_more_pods_failed_than_it_may_retry,
    a_job_fails_when_its_containers_were_restarted_more_often_than_it_may_retry,
    a_job_fails_at_its_deadline_and_its_pods_go,
    a_finished_job_goes_after_its_time_to_live,
    a_suspended_job_has_no_pods_and_starts_when_it_is_resumed,
    a_pod_that_succeeded_counts_after_it_is_deleted,
    an_indexed_job_gives_each_pod_its_index,
    a_deleted_job_takes_its_pods_along,
    a_jobs_template_and_its_completions_stay_as_they_are,
);

fn job(cluster: &Cluster, more: Value) -> Value {
    let mut pod = staged(cluster);
    pod["restartPolicy"] = json!("Never");
    let mut spec = json!({"template": {"metadata": {"labels": {"app": "copy"}}, "spec": pod}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "copy"}, "spec": spec})
}

async fn copy(cluster: &Cluster) -> Value {
    seen::<Job>(cluster, "copy").await
}

/// Waits until so many pods run or wait, and gives them.
async fn active(cluster: &Cluster, count: usize) -> Vec<Value> {
    cluster
        .eventually(&format!("{count} active pods"), async || {
            let mut pods = all::<Pod>(cluster, "copy").await;
            pods.retain(|pod| {
                !terminating(pod)
                    && !["Succeeded", "Failed"].map(Into::into).contains(&pod["status"]["phase"])
            });
            (pods.len() == count).then_some(pods)
        })
        .await
}

async fn finish(cluster: &Cluster, pod: &Value, phase: &str) {
    play(cluster, name(pod), json!({"phase": phase})).await;
}

/// Waits until a condition of the job holds, and gives the job.
async fn until(cluster: &Cluster, kind: &str) -> Value {
    cluster.eventually(kind, async || Some(copy(cluster).await).filter(|job| holds(job, kind))).await
}

async fn a_job_is_complete_when_enough_pods_have_succeeded(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"completions": 2}))).await;
    let first = active(cluster, 1).await.remove(0);
    cluster
        .eventually("it has started", async || {
            copy(cluster).await["status"]["startTime"].is_string().then_some(())
        })
        .await;
    finish(cluster, &first, "Succeeded").await;
    let second = active(cluster, 1).await.remove(0);
    assert!(!holds(&copy(cluster).await, "Complete"));
    finish(cluster, &second, "Succeeded").await;
    let done = until(cluster, "Complete").await;
    assert_eq!(counts(&done, ["succeeded", "failed", "active"]), [2, 0, 0]);
    assert!(!done["status"]["completionTime"].is_null());
    assert_eq!(condition(&done, "Complete")["reason"], "CompletionsReached");
    assert!(holds(&done, "SuccessCriteriaMet"));
    assert_eq!(all::<Pod>(cluster, "copy").await.len(), 2, "its pods stay to be read");
}

async fn a_job_runs_so_many_pods_at_a_time(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"completions": 3, "parallelism": 2}))).await;
    let both = active(cluster, 2).await;
    cluster
        .throughout(Duration::from_secs(2), "two", async || all::<Pod>(cluster, "copy").await.len() == 2)
        .await;
    finish(cluster, &both[0], "Succeeded").await;
    let rest = active(cluster, 2).await;
    finish(cluster, &rest[0], "Succeeded").await;
    active(cluster, 1).await;
}

async fn a_jobs_pods_carry_its_name_and_its_uid(cluster: &Cluster) {
    let job = made::<Job>(cluster, job(cluster, json!({}))).await;
    let pod = active(cluster, 1).await.remove(0);
    let labels = &pod["metadata"]["labels"];
    for (label, value) in [("job-name", "copy"), ("controller-uid", uid(&job))] {
        assert_eq!(labels[label], value);
        assert_eq!(labels[format!("batch.kubernetes.io/{label}")], value);
    }
}

async fn a_job_makes_another_pod_some_time_after_one_failed(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({}))).await;
    let first = active(cluster, 1).await.remove(0);
    finish(cluster, &first, "Failed").await;
    // Ten seconds after the failure, which counts in whole seconds.
    cluster
        .throughout(Duration::from_secs(5), "no other pod", async || {
            names(&all::<Pod>(cluster, "copy").await) == [name(&first)]
        })
        .await;
    active(cluster, 1).await;
    assert_eq!(counts(&copy(cluster).await, ["failed"]), [1]);
}

async fn a_job_fails_when_more_pods_failed_than_it_may_retry(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"backoffLimit": 0}))).await;
    let first = active(cluster, 1).await.remove(0);
    finish(cluster, &first, "Failed").await;
    let failed = until(cluster, "Failed").await;
    assert_eq!(condition(&failed, "Failed")["reason"], "BackoffLimitExceeded");
    assert!(holds(&failed, "FailureTarget"));
    assert_eq!(counts(&failed, ["failed", "active"]), [1, 0]);
    assert!(failed["status"]["completionTime"].is_null());
}

async fn a_job_fails_when_its_containers_were_restarted_more_often_than_it_may_retry(cluster: &Cluster) {
    let mut job = job(cluster, json!({"backoffLimit": 2}));
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    made::<Job>(cluster, job).await;
    let pod = active(cluster, 1).await.remove(0);
    let restarted = |times: u32| {
        json!({"phase": "Running", "containerStatuses": [{"name": "web", "image": "web", "imageID": "",
            "ready": false, "restartCount": times, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})
    };
    play(cluster, name(&pod), restarted(1)).await;
    cluster
        .throughout(Duration::from_secs(2), "the pod is left alone", async || {
            !terminating(&seen::<Pod>(cluster, name(&pod)).await)
        })
        .await;
    play(cluster, name(&pod), restarted(3)).await;
    let failed = until(cluster, "Failed").await;
    assert_eq!(condition(&failed, "Failed")["reason"], "BackoffLimitExceeded");
    active(cluster, 0).await;
}

async fn a_job_fails_at_its_deadline_and_its_pods_go(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"activeDeadlineSeconds": 5}))).await;
    active(cluster, 1).await;
    let failed = until(cluster, "Failed").await;
    assert_eq!(condition(&failed, "Failed")["reason"], "DeadlineExceeded");
    active(cluster, 0).await;
}

async fn a_finished_job_goes_after_its_time_to_live(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"ttlSecondsAfterFinished": 5}))).await;
    let pod = active(cluster, 1).await.remove(0);
    finish(cluster, &pod, "Succeeded").await;
    until(cluster, "Complete").await;
    cluster
        .throughout(Duration::from_secs(3), "it is still there", async || !copy(cluster).await.is_null())
        .await;
    cluster
        .eventually("job and pod are gone", async || {
            (copy(cluster).await.is_null() && all::<Pod>(cluster, "copy").await.is_empty()).then_some(())
        })
        .await;
}

async fn a_suspended_job_has_no_pods_and_starts_when_it_is_resumed(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"suspend": true}))).await;
    let suspended = until(cluster, "Suspended").await;
    assert_eq!(condition(&suspended, "Suspended")["reason"], "JobSuspended");
    assert!(suspended["status"]["startTime"].is_null());
    active(cluster, 0).await;
    change::<Job>(cluster, "copy", json!({"spec": {"suspend": false}})).await;
    active(cluster, 1).await;
    cluster
        .eventually("resumed", async || {
            let job = copy(cluster).await;
            let is = condition(&job, "Suspended");
            (is["status"] == "False" && is["reason"] == "JobResumed").then_some(())
        })
        .await;
    change::<Job>(cluster, "copy", json!({"spec": {"suspend": true}})).await;
    active(cluster, 0).await;
    until(cluster, "Suspended").await;
    assert_eq!(counts(&copy(cluster).await, ["failed"]), [0], "that is no failure");
}

async fn a_pod_that_succeeded_counts_after_it_is_deleted(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({"completions": 2}))).await;
    let first = active(cluster, 1).await.remove(0);
    finish(cluster, &first, "Succeeded").await;
    cluster
        .eventually("one success", async || {
            (counts(&copy(cluster).await, ["succeeded"]) == [1]).then_some(())
        })
        .await;
    let second = active(cluster, 1).await.remove(0);
    delete::<Pod>(cluster, name(&first)).await;
    cluster
        .eventually("the first pod is gone", async || {
            seen::<Pod>(cluster, name(&first)).await.is_null().then_some(())
        })
        .await;
    finish(cluster, &second, "Succeeded").await;
    assert_eq!(counts(&until(cluster, "Complete").await, ["succeeded"]), [2]);
}

async fn an_indexed_job_gives_each_pod_its_index(cluster: &Cluster) {
    let more = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 2});
    made::<Job>(cluster, job(cluster, more)).await;
    let key = "batch.kubernetes.io/job-completion-index";
    let indexes = |pods: &[Value]| {
        let mut all: Vec<String> = pods
            .iter()
            .map(|pod| pod["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned())
            .collect();
        all.sort();
        all
    };
    let both = active(cluster, 2).await;
    assert_eq!(indexes(&both), ["0", "1"]);
    let zero = both.iter().find(|pod| pod["metadata"]["annotations"][key] == "0").unwrap();
    assert_eq!(
        (&zero["metadata"]["labels"][key], &zero["spec"]["hostname"]),
        (&json!("0"), &json!("copy-0"))
    );
    finish(cluster, zero, "Succeeded").await;
    cluster
        .eventually("the last index", async || {
            (indexes(&active(cluster, 2).await) == ["1", "2"]).then_some(())
        })
        .await;
    cluster
        .eventually("the first index is done", async || {
            (copy(cluster).await["status"]["completedIndexes"] == "0").then_some(())
        })
        .await;
}

async fn a_deleted_job_takes_its_pods_along(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({}))).await;
    active(cluster, 1).await;
    cluster.api::<Job>().delete("copy", &kube::api::DeleteParams::background()).await.unwrap();
    cluster
        .eventually("job and pods are gone", async || {
            (copy(cluster).await.is_null() && all::<Pod>(cluster, "copy").await.is_empty()).then_some(())
        })
        .await;
}

async fn a_job_selects_its_own_pods_by_its_uid(cluster: &Cluster) {
    let mut spec = crate::workloads::staged(cluster);
    spec["restartPolicy"] = json!("Never");
    let job =
        made::<Job>(cluster, json!({"metadata": {"name": "once"}, "spec": {"template": {"spec": spec}}}))
            .await;
    let own = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}});
    assert_eq!(job["spec"]["selector"], own);
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["job-name"], &labels["controller-uid"]), (&json!("once"), &job["metadata"]["uid"]));
    assert_eq!(&job["metadata"]["labels"], labels);
}

async fn a_jobs_template_and_its_completions_stay_as_they_are(cluster: &Cluster) {
    made::<Job>(cluster, job(cluster, json!({}))).await;
    let image = json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}});
    for (patch, field) in
        [(image, "spec.template"), (json!({"spec": {"completions": 3}}), "spec.completions")]
    {
        cluster.patch(MERGE, "jobs/copy", patch).await.invalid("FieldValueInvalid", field);
    }
}
