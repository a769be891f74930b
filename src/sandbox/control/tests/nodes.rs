//! Node loss, taints, cordons, and what an idle hour costs.

use super::*;
use crate::sandbox::control::{drive, node};

fn unready(cluster: &Cluster, node: &str) -> bool {
    read::condition(&cluster.get(&Resource::nodes(), node), "Ready")
        .is_some_and(|ready| ready["status"] == "Unknown")
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_unknown_after_its_grace_and_its_pods_leave_five_minutes_later() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(3));
    cluster.create(&Resource::services(), service("web"));
    cluster.until(100).await;
    assert_eq!(cluster.nodes(), ["a1", "b1", "c1"]);
    cluster.power("a1", false);
    let lease = Key::new(&Resource::leases(), Some("kube-node-lease"), "a1");
    let last = cluster
        .state
        .read(|store| store.clock().read(read::text(at(store, &lease).unwrap(), "/spec/renewTime")))
        .unwrap();
    assert!(last <= at_s(100) && last > at_s(90), "the last heartbeat was at {last}");
    let lost = last.plus(Duration::from_secs(50));
    cluster.until_at(lost.minus(Duration::from_millis(1))).await;
    assert!(!unready(&cluster, "a1"));
    assert_eq!(cluster.ready(), 3);
    cluster.until_at(lost).await;
    assert!(unready(&cluster, "a1"));
    assert_eq!(cluster.ready(), 2, "its pods no longer count");
    let ready = |cluster: &Cluster| {
        let slice = cluster.list(&Resource::endpoint_slices()).remove(0);
        read::list(&slice, "/endpoints").iter().filter(|each| read::flag(each, "/conditions/ready")).count()
    };
    assert_eq!(ready(&cluster), 2);
    let evicted = lost.plus(Duration::from_secs(300));
    cluster.until_at(evicted.minus(Duration::from_millis(1))).await;
    assert_eq!(cluster.nodes(), ["a1", "b1", "c1"]);
    cluster.until_at(evicted.plus(Duration::from_secs(2))).await;
    assert_eq!((cluster.nodes(), cluster.ready()), (vec!["a2".to_owned(), "b1".into(), "c1".into()], 3));
    assert_eq!(cluster.pods().iter().filter(|pod| read::terminating(pod)).count(), 1, "nobody ends it there");
    cluster.power("a1", true);
    cluster.until_at(evicted.plus(Duration::from_secs(60))).await;
    assert_eq!(cluster.pods().len(), 3, "the node is back and ends the old pod");
    let node = cluster.get(&Resource::nodes(), "a1");
    assert!(read::holds(&node, "Ready") && read::list(&node, "/spec/taints").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_on_a_lost_node_is_replaced_only_when_it_is_really_gone() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::stateful_sets(), stateful_set(1));
    cluster.until(10).await;
    let before = cluster.get(&Resource::pods(), "ledger-0");
    cluster.power("a1", false);
    cluster.until(3600).await;
    let stuck = cluster.get(&Resource::pods(), "ledger-0");
    assert_eq!((read::uid(&stuck), read::terminating(&stuck)), (read::uid(&before), true));
    cluster.delete(
        &Resource::pods(),
        "ledger-0",
        &Deletion { grace_seconds: Some(0), ..Deletion::default() },
    );
    cluster.until(3603).await;
    let after = cluster.get(&Resource::pods(), "ledger-0");
    assert_eq!((&after["spec"]["nodeName"], read::holds(&after, "Ready")), (&json!("a2"), true));
}

#[tokio::test(start_paused = true)]
async fn where_every_node_is_silent_nobody_is_evicted() {
    let mut cluster = Cluster::of(&["a1", "b1"]);
    cluster.create(&Resource::deployments(), deployment(2));
    cluster.until(10).await;
    cluster.power("a1", false);
    cluster.power("b1", false);
    cluster.until(3600).await;
    assert!(unready(&cluster, "a1") && unready(&cluster, "b1"));
    assert!(cluster.pods().iter().all(|pod| !read::terminating(pod)));
    cluster.power("a1", true);
    cluster.power("b1", true);
    cluster.settle();
    assert_eq!(cluster.ready(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_zones_taint_moves_its_pods_at_once_and_a_cordon_moves_none() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(3));
    cluster.until(10).await;
    cluster.change(&Resource::nodes(), "b1", |node| node["spec"]["unschedulable"] = json!(true));
    cluster.until(11).await;
    assert_eq!(cluster.nodes(), ["a1", "b1", "c1"]);
    for node in ["a1", "a2"] {
        cluster.change(&Resource::nodes(), node, |node| {
            node["spec"]["taints"] = json!([{"key": "drill", "value": "zone-a", "effect": "NoExecute"}]);
        });
    }
    cluster.settle();
    assert_eq!(cluster.nodes(), ["b1", "b2", "c1"]);
    cluster.until(13).await;
    assert_eq!(cluster.ready(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_costs_nothing_and_its_heartbeats_are_there_for_who_reads_them() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(6));
    cluster.create(&Resource::stateful_sets(), stateful_set(2));
    cluster.create(&Resource::services(), service("web"));
    cluster.until(60).await;
    let before = (cluster.driver.reconciles(), cluster.state.read(|store| store.version()));
    assert_eq!(cluster.driver.next(), None);
    cluster.until(3660).await;
    assert_eq!((cluster.driver.reconciles(), cluster.state.read(|store| store.version())), before);
    let key = Key::new(&Resource::leases(), Some("kube-node-lease"), "b2");
    let mut lease = cluster.state.read(|store| at(store, &key).cloned()).unwrap();
    node::as_read(&cluster.state.clock, &mut lease, at_s(3660));
    let renewed = cluster.state.clock.read(read::text(&lease, "/spec/renewTime")).unwrap();
    assert!(renewed > at_s(3650) && renewed <= at_s(3660));
}

#[tokio::test(start_paused = true)]
async fn the_driver_runs_as_a_task_of_its_own_and_hears_of_health() {
    let Cluster { state, .. } = Cluster::new();
    let pool = |third: u8| Pool { network: Ipv4Addr::new(10, 1, third, 0), prefix: 24 };
    let told = Arc::new(Told::default());
    let (wake, wakes) = tokio::sync::mpsc::unbounded_channel();
    let addresses = Addresses { pods: pool(0), load_balancers: pool(255), machines: pool(253) };
    let task = tokio::spawn(drive(state.clone(), told.clone(), wakes, addresses));
    let mut web = deployment(1);
    web["metadata"]["namespace"] = json!("shop");
    state.write(|store| store.create(&Resource::deployments(), web)).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let pod = |state: &RegionState| {
        state.read(|store| every(store, &Resource::pods(), None).next().cloned()).unwrap()
    };
    assert!(read::holds(&pod(&state), "Ready"));
    let name = read::name(&pod(&state)).to_owned();
    told.unwell.lock().unwrap().insert(name.clone());
    wake.send(Key::new(&Resource::pods(), Some("shop"), &name)).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    assert!(!read::holds(&pod(&state), "Ready"));
    drop(wake);
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    task.abort();
}
