//! One pod's life: probes, restarts, its environment, its end; and the endpoints that follow it.

use super::*;

fn pod(name: &str, container: Value) -> Value {
    let mut main = json!({"name": "main", "image": "shop/web:1"});
    main.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [main]}})
}

fn endpoint(cluster: &Cluster) -> Value {
    cluster.list(&Resource::endpoint_slices()).remove(0)["endpoints"][0]["conditions"].clone()
}

fn is_ready(cluster: &Cluster) -> bool {
    cluster.ready() == 1
}

#[tokio::test(start_paused = true)]
async fn readiness_gates_the_endpoint_on_the_ticks_of_its_probe() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::services(), service("web"));
    cluster.create(
        &Resource::pods(),
        pod("web", json!({"readinessProbe": {"initialDelaySeconds": 5, "successThreshold": 2}})),
    );
    cluster.until_at(at_s(17).minus(Duration::from_millis(1))).await;
    assert!(!is_ready(&cluster), "started at 2 s, ticks at 7 s and 17 s");
    cluster.until(17).await;
    assert!(is_ready(&cluster));
    assert_eq!(endpoint(&cluster), json!({"ready": true, "serving": true, "terminating": false}));
    cluster.until(30).await;
    cluster.health("web", false);
    cluster.until_at(at_s(57).minus(Duration::from_millis(1))).await;
    assert!(is_ready(&cluster), "failing ticks at 37 s, 47 s and 57 s");
    cluster.until(57).await;
    assert_eq!(endpoint(&cluster)["ready"], false);
    let address =
        cluster.get(&Resource::services(), "web")["status"]["loadBalancer"]["ingress"][0]["ip"].clone();
    assert_eq!(address, "10.1.255.1");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_leaves_the_endpoints_at_once_and_goes_when_its_process_ended() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::services(), service("web"));
    cluster.create(&Resource::pods(), pod("web", json!({})));
    cluster.until(10).await;
    let running = cluster.get(&Resource::pods(), "web");
    assert_eq!(running["status"]["podIP"], "10.1.0.2");
    cluster.delete(&Resource::pods(), "web", &Deletion::default());
    cluster.settle();
    assert_eq!(endpoint(&cluster), json!({"ready": false, "serving": true, "terminating": true}));
    cluster.until(15).await;
    assert_eq!(cluster.pods().len(), 1);
    cluster.exit(&running, Some(0));
    assert_eq!(cluster.pods().len(), 0);
    cluster.create(&Resource::pods(), pod("web", json!({})));
    cluster.until(20).await;
    cluster.delete(&Resource::pods(), "web", &Deletion::default());
    cluster.until_at(at_s(50).minus(Duration::from_millis(1))).await;
    assert_eq!(cluster.pods().len(), 1, "a process that does not end has its whole grace");
    cluster.until(50).await;
    assert_eq!(cluster.pods().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_keeps_exiting_waits_longer_each_time() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::pods(), pod("web", json!({})));
    cluster.until(2).await;
    let web = cluster.get(&Resource::pods(), "web");
    cluster.exit(&web, Some(1));
    let mut starts = vec![];
    let mut last = String::new();
    for second in 3..1300 {
        cluster.until(second).await;
        let web = cluster.get(&Resource::pods(), "web");
        let started = read::text(&web, "/status/containerStatuses/0/state/running/startedAt");
        if !started.is_empty() && started != last {
            last = started.to_owned();
            starts.push(cluster.state.clock.read(started).unwrap());
        }
    }
    // Each run lasts a second: seen at 3 s, restarted at once, then after 10 s, 20 s, … at most 300 s.
    let expected = [3, 14, 35, 76, 157, 318, 619, 920, 1221].map(at_s);
    assert_eq!(starts, expected);
    let web = cluster.get(&Resource::pods(), "web");
    assert_eq!(web["status"]["containerStatuses"][0]["restartCount"], 9);
    assert_eq!(web["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "CrashLoopBackOff");
    cluster.exit(&web, None);
    cluster.until(1600).await;
    assert!(is_ready(&cluster));
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_probe_restarts_and_a_startup_probe_gives_time() {
    let mut cluster = Cluster::new();
    let probes = json!({"livenessProbe": {}, "startupProbe": {"periodSeconds": 5, "failureThreshold": 10}});
    cluster.create(&Resource::pods(), pod("web", probes));
    cluster.health("web", false);
    cluster.until(40).await;
    let restarts = |cluster: &Cluster| {
        cluster.get(&Resource::pods(), "web")["status"]["containerStatuses"][0]["restartCount"].clone()
    };
    assert_eq!((restarts(&cluster), is_ready(&cluster)), (json!(0), false));
    cluster.health("web", true);
    cluster.until(42).await;
    assert!(is_ready(&cluster));
    cluster.until(50).await;
    cluster.health("web", false);
    cluster.until(71).await;
    assert_eq!(restarts(&cluster), 0);
    cluster.until(72).await;
    assert_eq!(restarts(&cluster), 1, "failing ticks at 52 s, 62 s and 72 s");
}

#[tokio::test(start_paused = true)]
async fn a_container_waits_for_its_config_map_and_starts_on_the_next_try() {
    let mut cluster = Cluster::new();
    cluster
        .create(&Resource::pods(), pod("web", json!({"envFrom": [{"configMapRef": {"name": "settings"}}]})));
    cluster.until(20).await;
    let waiting =
        cluster.get(&Resource::pods(), "web")["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(
        waiting,
        json!({"reason": "CreateContainerConfigError", "message": "configmap \"settings\" not found"})
    );
    assert_eq!(cluster.driver.next(), None, "nobody polls for it");
    cluster.create(&Resource::config_maps(), json!({"metadata": {"name": "settings"}, "data": {"A": "1"}}));
    cluster.until(21).await;
    assert!(!is_ready(&cluster));
    cluster.until(22).await;
    assert!(is_ready(&cluster));
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_never_settles_is_reported_and_lets_the_time_go_on() {
    struct Restless;
    impl crate::sandbox::control::Controller for Restless {
        fn name(&self) -> &'static str {
            "restless"
        }
        fn concerns(
            &self,
            _: &crate::sandbox::store::Store,
            change: &crate::sandbox::store::Change,
        ) -> Vec<Key> {
            vec![change.key.clone()]
        }
        fn reconcile(
            &self,
            store: &crate::sandbox::store::Store,
            key: &Key,
            _: At,
            _: &dyn Processes,
        ) -> crate::sandbox::control::Reconciled {
            let status = json!({"seen": store.version()});
            vec![crate::sandbox::store::Write::Status { key: key.clone(), status }].into()
        }
    }
    let mut cluster = Cluster::of(&[]);
    cluster.driver = Driver::new(vec![Box::new(Restless)]);
    cluster.settle();
    assert!(
        cluster.unsettled().iter().any(|line| line == "restless does not settle (namespaces/shop)"),
        "{:?}",
        cluster.unsettled()
    );
    assert_eq!(cluster.driver.next(), Some(at_s(1)));
}
