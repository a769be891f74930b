//! Daemon sets: a pod on each node that fits, and updates that take down only so many at once.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::hollow::{Hollow, MOMENT, for_hollow};
use crate::workloads::{
    all, all_ready, change, counts, delete, holds, made, name, play_ready, revision, seen, terminating, uid,
    workload,
};

behaviours!(
    a_daemon_runs_on_each_node_that_fits_and_on_no_other,
    a_daemon_runs_on_a_cordoned_node,
    a_daemon_stays_on_a_node_that_falls_silent,
    a_taint_keeps_new_daemons_away_and_only_one_that_executes_sends_them_off,
    a_daemon_that_is_deleted_comes_back_on_its_node,
    an_update_takes_down_one_daemon_at_a_time,
    an_update_takes_down_as_many_daemons_as_may_be_unavailable,
    an_update_replaces_daemons_that_are_not_ready_first,
    an_update_of_daemons_on_delete_waits_for_the_deletion,
    an_update_with_surge_makes_the_new_daemon_before_the_old_one_goes,
    each_template_of_a_daemon_set_is_kept_as_a_revision,
);

fn agent(cluster: &Cluster) -> Value {
    let mut set = workload("agent", 1, for_hollow(cluster));
    set["spec"].as_object_mut().unwrap().remove("replicas");
    set
}

async fn nodes<const N: usize>(cluster: &Cluster) -> [Hollow; N] {
    let mut all = vec![];
    for name in ["one", "two", "three", "four"].into_iter().take(N) {
        all.push(Hollow::new(cluster, name, "z").await);
    }
    all.try_into().unwrap_or_else(|_| panic!("not so many names"))
}

async fn remove<const N: usize>(cluster: &Cluster, nodes: [Hollow; N]) {
    for node in nodes {
        node.remove(cluster).await;
    }
}

/// Waits until the set's pods that nobody deletes stand on just these nodes, and gives them in this order.
async fn pods(cluster: &Cluster, nodes: &[&Hollow]) -> Vec<Value> {
    cluster
        .eventually("a daemon on each node", async || {
            let mut pods = all::<Pod>(cluster, "agent").await;
            pods.retain(|pod| !terminating(pod));
            let on = |node: &&Hollow| {
                pods.iter().find(|pod| pod["spec"]["nodeName"] == node.name.as_str()).cloned()
            };
            let found: Option<Vec<Value>> = nodes.iter().map(on).collect();
            found.filter(|found| found.len() == pods.len())
        })
        .await
}

/// Lets a hollow node end its pods that are being deleted.
async fn end(cluster: &Cluster) {
    for pod in all::<Pod>(cluster, "agent").await.iter().filter(|pod| terminating(pod)) {
        let force = kube::api::DeleteParams::default().grace_period(0);
        let _ = cluster.api::<Pod>().delete(name(pod), &force).await;
    }
}

/// How many daemons are being deleted.
async fn leaving(cluster: &Cluster) -> usize {
    all::<Pod>(cluster, "agent").await.iter().filter(|pod| terminating(pod)).count()
}

async fn a_daemon_runs_on_each_node_that_fits_and_on_no_other(cluster: &Cluster) {
    let [one, two] = nodes(cluster).await;
    one.change(cluster, json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    let mut set = agent(cluster);
    set["spec"]["template"]["spec"]["nodeSelector"]["disk"] = json!("ssd");
    made::<DaemonSet>(cluster, set).await;
    let first = pods(cluster, &[&one]).await;
    play_ready(cluster, name(&first[0]), true).await;
    cluster
        .eventually("it counts", async || {
            let set = seen::<DaemonSet>(cluster, "agent").await;
            let fields =
                ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable"];
            (counts(&set, fields) == [1; 4]).then_some(())
        })
        .await;
    two.change(cluster, json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    pods(cluster, &[&one, &two]).await;
    one.change(cluster, json!({"metadata": {"labels": {"disk": null}}})).await;
    pods(cluster, &[&two]).await;
    remove(cluster, [one, two]).await;
}

async fn a_daemon_runs_on_a_cordoned_node(cluster: &Cluster) {
    let [one] = nodes(cluster).await;
    one.change(cluster, json!({"spec": {"unschedulable": true}})).await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    pods(cluster, &[&one]).await;
    remove(cluster, [one]).await;
}

async fn a_daemon_stays_on_a_node_that_falls_silent(cluster: &Cluster) {
    let [one] = nodes(cluster).await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    pods(cluster, &[&one]).await;
    one.silent(cluster).await;
    cluster.throughout(MOMENT, "nobody deletes it", async || leaving(cluster).await == 0).await;
    remove(cluster, [one]).await;
}

async fn a_taint_keeps_new_daemons_away_and_only_one_that_executes_sends_them_off(cluster: &Cluster) {
    let [one, two] = nodes(cluster).await;
    two.taint(cluster, "drill", "NoSchedule").await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    pods(cluster, &[&one]).await;
    one.taint(cluster, "drill", "NoSchedule").await;
    cluster
        .throughout(MOMENT, "the one that runs stays", async || {
            leaving(cluster).await == 0 && all::<Pod>(cluster, "agent").await.len() == 1
        })
        .await;
    one.taint(cluster, "gone", "NoExecute").await;
    pods(cluster, &[]).await;
    remove(cluster, [one, two]).await;
}

async fn a_daemon_that_is_deleted_comes_back_on_its_node(cluster: &Cluster) {
    let [one] = nodes(cluster).await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    let before = pods(cluster, &[&one]).await.remove(0);
    delete::<Pod>(cluster, name(&before)).await;
    end(cluster).await;
    let after = pods(cluster, &[&one]).await.remove(0);
    assert_ne!(uid(&after), uid(&before));
    remove(cluster, [one]).await;
}

async fn an_update_takes_down_one_daemon_at_a_time(cluster: &Cluster) {
    let three = nodes::<3>(cluster).await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    pods(cluster, &three.each_ref()).await;
    all_ready(cluster, "agent", 3).await;
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    cluster.eventually("one leaves", async || (leaving(cluster).await == 1).then_some(())).await;
    cluster.throughout(MOMENT, "only one", async || leaving(cluster).await == 1).await;
    end(cluster).await;
    pods(cluster, &three.each_ref()).await;
    cluster
        .throughout(MOMENT, "none before the new one is ready", async || leaving(cluster).await == 0)
        .await;
    let all = all::<Pod>(cluster, "agent").await;
    let new = all.iter().find(|pod| !holds(pod, "Ready")).unwrap();
    play_ready(cluster, name(new), true).await;
    cluster.eventually("the next leaves", async || (leaving(cluster).await == 1).then_some(())).await;
    remove(cluster, three).await;
}

async fn an_update_takes_down_as_many_daemons_as_may_be_unavailable(cluster: &Cluster) {
    let three = nodes::<3>(cluster).await;
    let mut set = agent(cluster);
    // Half of three, rounded up.
    set["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}});
    made::<DaemonSet>(cluster, set).await;
    pods(cluster, &three.each_ref()).await;
    all_ready(cluster, "agent", 3).await;
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    cluster.eventually("two leave", async || (leaving(cluster).await == 2).then_some(())).await;
    cluster.throughout(MOMENT, "only two", async || leaving(cluster).await == 2).await;
    remove(cluster, three).await;
}

async fn an_update_replaces_daemons_that_are_not_ready_first(cluster: &Cluster) {
    let [one, two] = nodes(cluster).await;
    made::<DaemonSet>(cluster, agent(cluster)).await;
    let both = pods(cluster, &[&one, &two]).await;
    play_ready(cluster, name(&both[0]), true).await;
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    cluster
        .eventually("the one that is not ready leaves", async || {
            let pod = seen::<Pod>(cluster, name(&both[1])).await;
            (pod.is_null() || terminating(&pod)).then_some(())
        })
        .await;
    cluster
        .throughout(MOMENT, "the other stays", async || {
            !terminating(&seen::<Pod>(cluster, name(&both[0])).await)
        })
        .await;
    remove(cluster, [one, two]).await;
}

async fn an_update_of_daemons_on_delete_waits_for_the_deletion(cluster: &Cluster) {
    let [one] = nodes(cluster).await;
    let mut set = agent(cluster);
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    made::<DaemonSet>(cluster, set).await;
    let before = pods(cluster, &[&one]).await.remove(0);
    play_ready(cluster, name(&before), true).await;
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    cluster.throughout(MOMENT, "nobody leaves", async || leaving(cluster).await == 0).await;
    delete::<Pod>(cluster, name(&before)).await;
    end(cluster).await;
    let after = pods(cluster, &[&one]).await.remove(0);
    assert_eq!(after["metadata"]["annotations"]["revision"], "two");
    remove(cluster, [one]).await;
}

async fn an_update_with_surge_makes_the_new_daemon_before_the_old_one_goes(cluster: &Cluster) {
    let two = nodes::<2>(cluster).await;
    let mut set = agent(cluster);
    set["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    made::<DaemonSet>(cluster, set).await;
    pods(cluster, &two.each_ref()).await;
    all_ready(cluster, "agent", 2).await;
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    let daemons = async || all::<Pod>(cluster, "agent").await;
    cluster.eventually("one more", async || (daemons().await.len() == 3).then_some(())).await;
    let quiet = async || daemons().await.len() == 3 && leaving(cluster).await == 0;
    cluster.throughout(MOMENT, "only one more, and nobody goes", quiet).await;
    let all = daemons().await;
    let new = all.iter().find(|pod| !holds(pod, "Ready")).unwrap();
    play_ready(cluster, name(new), true).await;
    let old = cluster
        .eventually("the old one beside it goes", async || daemons().await.into_iter().find(terminating))
        .await;
    assert_eq!(old["spec"]["nodeName"], new["spec"]["nodeName"]);
    remove(cluster, two).await;
}

async fn each_template_of_a_daemon_set_is_kept_as_a_revision(cluster: &Cluster) {
    made::<DaemonSet>(cluster, agent(cluster)).await;
    let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", cluster.namespace);
    let kept = async |count: usize| {
        cluster
            .eventually("the revisions", async || {
                let all = cluster.get(&path).await.ok()["items"].as_array().cloned().unwrap();
                (all.len() == count).then_some(all)
            })
            .await
    };
    let first = kept(1).await;
    let set = seen::<DaemonSet>(cluster, "agent").await;
    assert_eq!((&first[0]["revision"], crate::workloads::controller(&first[0])), (&json!(1), uid(&set)));
    change::<DaemonSet>(cluster, "agent", revision("two")).await;
    let mut numbers: Vec<i64> = kept(2).await.iter().filter_map(|each| each["revision"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}
