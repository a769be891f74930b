//! Deployments, stateful sets, daemon sets, jobs, budgets, garbage.

use super::*;
use crate::sandbox::control::{daemon_sets, jobs};
use crate::sandbox::store::Propagation;

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_ready_spread_over_zones_and_says_so() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(4));
    cluster.until(1).await;
    assert_eq!((cluster.pods().len(), cluster.ready()), (4, 0));
    cluster.until(2).await;
    assert_eq!(cluster.ready(), 4);
    assert_eq!(cluster.nodes(), ["a1", "a2", "b1", "c1"]);
    let web = cluster.get(&Resource::deployments(), "web");
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(
        (&web["status"]["availableReplicas"], &web["status"]["observedGeneration"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(read::condition(&web, "Progressing").unwrap()["reason"], "NewReplicaSetAvailable");
    assert!(read::holds(&web, "Available"));
    assert_eq!(cluster.unsettled(), &[] as &[String]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_of_a_bad_image_stalls_within_its_limits_and_undoing_it_restores() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(4));
    cluster.until(10).await;
    let image = |image: &'static str| {
        move |web: &mut Value| web["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image)
    };
    cluster.change(&Resource::deployments(), "web", image("unavailable.example/web:2"));
    cluster.until(60).await;
    assert_eq!((cluster.ready(), cluster.pods().len()), (3, 5), "25 % over, 25 % under");
    let web = cluster.get(&Resource::deployments(), "web");
    assert_eq!(
        (&web["status"]["updatedReplicas"], &web["status"]["availableReplicas"]),
        (&json!(2), &json!(3))
    );
    let reasons: Vec<Value> = cluster
        .pods()
        .iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone())
        .collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "ImagePullBackOff").count(), 2);
    let progress = |cluster: &Cluster| {
        read::condition(&cluster.get(&Resource::deployments(), "web"), "Progressing").unwrap()["reason"]
            .clone()
    };
    cluster.until(609).await;
    assert_eq!(progress(&cluster), "ReplicaSetUpdated");
    cluster.until(700).await;
    assert_eq!(progress(&cluster), "ProgressDeadlineExceeded");
    cluster.change(&Resource::deployments(), "web", image("shop/web:1"));
    cluster.until(760).await;
    let web = cluster.get(&Resource::deployments(), "web");
    assert_eq!((cluster.ready(), cluster.pods().len()), (4, 4));
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(cluster.list(&Resource::replica_sets()).len(), 2, "the old set is found again, none is made");
    assert_eq!(progress(&cluster), "NewReplicaSetAvailable");
    assert_eq!(cluster.unsettled(), &[] as &[String]);
}

#[tokio::test(start_paused = true)]
async fn a_good_rollout_never_has_fewer_ready_pods_than_promised() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(8));
    cluster.until(10).await;
    cluster.change(&Resource::deployments(), "web", |web| {
        web["spec"]["template"]["spec"]["containers"][0]["image"] = json!("shop/web:2");
    });
    for tick in 0..600 {
        cluster.until_at(at_s(10).plus(Duration::from_millis(tick * 100))).await;
        assert!(cluster.ready() >= 6, "{} ready at {tick}", cluster.ready());
        let alive = cluster.pods().iter().filter(|pod| !read::terminating(pod)).count();
        assert!(alive <= 10, "{alive} alive at {tick}");
    }
    let images = cluster.pods();
    assert!(images.iter().all(|pod| pod["spec"]["containers"][0]["image"] == "shop/web:2"));
    assert_eq!((images.len(), cluster.ready()), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_starts_in_order_and_ends_in_reverse() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::stateful_sets(), stateful_set(3));
    let names =
        |cluster: &Cluster| cluster.pods().iter().map(|pod| read::name(pod).to_owned()).collect::<Vec<_>>();
    cluster.until(1).await;
    assert_eq!(names(&cluster), ["ledger-0"]);
    cluster.until(2).await;
    assert_eq!(names(&cluster), ["ledger-0", "ledger-1"], "the second starts when the first is ready");
    cluster.until(6).await;
    assert_eq!((names(&cluster).len(), cluster.ready()), (3, 3));
    assert_eq!(cluster.get(&Resource::claims(), "data-ledger-2")["status"]["phase"], "Bound");
    cluster.change(&Resource::stateful_sets(), "ledger", |set| set["spec"]["replicas"] = json!(1));
    cluster.until(7).await;
    let going: Vec<bool> = cluster.pods().iter().map(read::terminating).collect();
    assert_eq!(going, [false, false, true], "one at a time, the highest first");
    cluster.until(70).await;
    assert_eq!(names(&cluster), ["ledger-0"]);
    assert_eq!(cluster.get(&Resource::stateful_sets(), "ledger")["status"]["readyReplicas"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stateful_pod_comes_back_under_its_name_in_the_zone_of_its_claim() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::stateful_sets(), stateful_set(1));
    cluster.until(10).await;
    let before = cluster.get(&Resource::pods(), "ledger-0");
    assert_eq!(before["spec"]["nodeName"], "a1");
    cluster.change(&Resource::nodes(), "a1", |node| node["spec"]["unschedulable"] = json!(true));
    cluster.delete(&Resource::pods(), "ledger-0", &Deletion::default());
    cluster.until(39).await;
    assert_eq!(
        read::uid(&cluster.get(&Resource::pods(), "ledger-0")),
        read::uid(&before),
        "it has its grace"
    );
    cluster.until(42).await;
    let after = cluster.get(&Resource::pods(), "ledger-0");
    assert_eq!((&after["spec"]["nodeName"], read::holds(&after, "Ready")), (&json!("a2"), true));
    for node in ["a1", "a2"] {
        cluster.change(&Resource::nodes(), node, |node| node["spec"]["unschedulable"] = json!(true));
    }
    cluster.delete(&Resource::pods(), "ledger-0", &Deletion::default());
    cluster.until(200).await;
    let stuck = cluster.get(&Resource::pods(), "ledger-0");
    let why = read::condition(&stuck, "PodScheduled").unwrap();
    assert!(read::text(why, "/message").contains("volume node affinity conflict"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_runs_on_every_node_and_a_job_until_it_is_done() {
    let mut cluster = Cluster::of(&["a1", "b1", "c1"]);
    let mut daemon = deployment(0);
    daemon["metadata"]["name"] = json!("agent");
    cluster.create(&daemon_sets(), daemon);
    cluster.create(
        &jobs(),
        json!({"metadata": {"name": "restore"}, "spec": {"template": {"metadata": {"labels": {"job": "restore"}}, "spec":
            {"restartPolicy": "Never", "containers": [{"name": "main", "image": "restore:1"}]}}}}),
    );
    cluster.until(5).await;
    assert_eq!(cluster.get(&daemon_sets(), "agent")["status"]["numberReady"], 3);
    let pods = cluster.pods();
    let worker = pods.iter().find(|pod| read::label(pod, "job") == "restore").unwrap();
    assert_eq!(cluster.get(&jobs(), "restore")["status"]["active"], 1);
    cluster.exit(worker, Some(0));
    assert!(read::holds(&cluster.get(&jobs(), "restore"), "Complete"));
    assert_eq!(cluster.get(&Resource::pods(), read::name(worker))["status"]["phase"], "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_what_may_be_disrupted() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(4));
    cluster.create(
        &Resource::disruption_budgets(),
        json!({"metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
    );
    let numbers = |cluster: &Cluster| {
        let status = cluster.get(&Resource::disruption_budgets(), "web")["status"].clone();
        ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
            .map(|field| status[field].as_i64().unwrap())
    };
    cluster.until(1).await;
    assert_eq!(numbers(&cluster), [4, 3, 0, 0]);
    cluster.until(3).await;
    assert_eq!(numbers(&cluster), [4, 3, 4, 1]);
    let name = read::name(&cluster.pods()[0]).to_owned();
    cluster.delete(&Resource::pods(), &name, &Deletion::default());
    cluster.settle();
    assert_eq!(numbers(&cluster), [4, 3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_owner_leaves_behind_goes_waits_or_stays_as_asked() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(2));
    cluster.until(5).await;
    let orphan = Deletion { propagation: Propagation::Orphan, ..Deletion::default() };
    cluster.delete(&Resource::deployments(), "web", &orphan);
    cluster.settle();
    assert_eq!(cluster.get(&Resource::deployments(), "web"), Value::Null);
    let set = read::name(&cluster.list(&Resource::replica_sets())[0]).to_owned();
    let foreground = Deletion { propagation: Propagation::Foreground, ..Deletion::default() };
    cluster.delete(&Resource::replica_sets(), &set, &foreground);
    cluster.settle();
    assert!(read::terminating(&cluster.get(&Resource::replica_sets(), &set)), "it waits for its pods");
    cluster.until(40).await;
    assert_eq!((cluster.list(&Resource::replica_sets()).len(), cluster.pods().len()), (0, 0));
    cluster.create(&Resource::deployments(), deployment(2));
    cluster.until(50).await;
    cluster.delete(&Resource::deployments(), "web", &Deletion::default());
    cluster.until(90).await;
    assert_eq!((cluster.list(&Resource::replica_sets()).len(), cluster.pods().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_goes_when_it_is_empty() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(2));
    cluster.until(5).await;
    let key = Key::new(&Resource::namespaces(), None, "shop");
    cluster.state.write(|store| store.delete(&key, &Deletion::default())).unwrap();
    cluster.until(6).await;
    assert!(cluster.state.read(|store| store.get(&key).is_some()), "pods still have their grace");
    cluster.until(40).await;
    assert!(cluster.state.read(|store| store.get(&key).is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_cost_a_thousand_times_one_pod() {
    let mut counts = vec![];
    for replicas in [10, 100, 1000] {
        let mut cluster = Cluster::new();
        for node in ["a1", "a2", "b1", "b2", "c1", "c2"] {
            cluster.change(&Resource::nodes(), node, |node| {
                let number = node["spec"]["podCIDR"].as_str().unwrap().split('.').nth(2).unwrap().to_owned();
                node["spec"]["podCIDR"] = json!(format!("10.{number}.0.0/16"));
            });
        }
        cluster.settle();
        let before = cluster.driver.reconciles();
        cluster.create(&Resource::deployments(), deployment(replicas));
        cluster.create(&Resource::services(), service("web"));
        cluster.until(10).await;
        assert_eq!(cluster.ready(), replicas as usize);
        counts.push((cluster.driver.reconciles() - before) / u64::from(replicas));
    }
    assert!(counts[2] <= counts[1] && counts[2] < 8, "reconciles per pod: {counts:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_refused_are_tried_again_after_ever_longer_waits() {
    let mut cluster = Cluster::new();
    let mut web = deployment(4);
    web["spec"]["template"]["spec"]["serviceAccountName"] = json!("clerk");
    cluster.create(&Resource::deployments(), web);
    cluster.until(1).await;
    let before = cluster.driver.reconciles();
    cluster.until(600).await;
    assert!(cluster.driver.reconciles() - before < 20, "{}", cluster.driver.reconciles() - before);
    assert_eq!((cluster.pods().len(), cluster.unsettled().len() > 5), (0, true));
    let account = Resource::new("", "v1", "serviceaccounts", "ServiceAccount");
    cluster.create(&account, json!({"metadata": {"name": "clerk"}}));
    cluster.until(1_400).await;
    assert_eq!(cluster.ready(), 4);
    let web = cluster.get(&Resource::deployments(), "web");
    assert!(read::condition(&web, "ReplicaFailure").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pods_are_refused_has_none_that_is_active() {
    let mut cluster = Cluster::new();
    let spec = json!({"serviceAccountName": "clerk", "restartPolicy": "Never",
        "containers": [{"name": "one", "image": "shop/one:1"}]});
    let job = json!({"metadata": {"name": "one"}, "spec": {"parallelism": 3, "completions": 3,
        "template": {"spec": spec}}});
    cluster.create(&jobs(), job);
    cluster.until(1).await;
    assert_eq!(cluster.get(&jobs(), "one")["status"]["active"], 0);
}
