//! How the work grows with a region, counted in objects looked at, and slices of many endpoints.

use std::collections::BTreeMap;

use super::*;

/// How many objects the controllers look at until so many deployments of ten, each with a service and a budget, are ready and one pod of each has been
/// replaced.
async fn work(deployments: u32) -> u64 {
    let mut cluster = Cluster::new();
    for number in 0..deployments {
        let name = format!("web-{number}");
        let labels = json!({"app": name, "part-of": "shop"});
        let mut web = deployment(10);
        web["metadata"]["name"] = json!(name);
        web["spec"]["selector"]["matchLabels"] = labels.clone();
        web["spec"]["template"]["metadata"]["labels"] = labels.clone();
        web["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}}]);
        cluster.create(&Resource::deployments(), web);
        let mut service = service(&name);
        service["spec"]["selector"] = labels.clone();
        cluster.create(&Resource::services(), service);
        let budget = json!({"metadata": {"name": name},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}});
        cluster.create(&Resource::disruption_budgets(), budget);
    }
    cluster.until(10).await;
    let mut firsts = BTreeMap::new();
    for pod in cluster.pods() {
        firsts.entry(read::label(&pod, "app").to_owned()).or_insert(read::name(&pod).to_owned());
    }
    for pod in firsts.values() {
        cluster.delete(&Resource::pods(), pod, &Deletion::default());
    }
    cluster.until(60).await;
    assert_eq!(cluster.ready(), 10 * usize::try_from(deployments).unwrap());
    assert_eq!(cluster.unsettled(), &[] as &[String]);
    cluster.state.read(|store| store.visited())
}

#[tokio::test(start_paused = true)]
async fn eight_times_the_pods_are_about_eight_times_the_work() {
    let (few, many) = (work(5).await, work(40).await);
    assert!(many < 10 * few, "50 pods: {few} objects looked at, 400 pods: {many}");
}

#[tokio::test(start_paused = true)]
async fn a_service_of_many_pods_has_slices_of_a_hundred_endpoints_and_few_of_them_change() {
    let mut cluster = Cluster::new();
    cluster.create(&Resource::deployments(), deployment(250));
    cluster.create(&Resource::services(), service("web"));
    cluster.until(10).await;
    let slices = |cluster: &Cluster| -> BTreeMap<String, Vec<String>> {
        let all = cluster.list(&Resource::endpoint_slices()).into_iter();
        let names = |slice: &Value| {
            let all = read::list(slice, "/endpoints").iter();
            all.map(|endpoint| read::text(endpoint, "/targetRef/name").to_owned()).collect()
        };
        all.map(|slice| (read::name(&slice).to_owned(), names(&slice))).collect()
    };
    let sizes = |slices: &BTreeMap<String, Vec<String>>| {
        let mut sizes: Vec<usize> = slices.values().map(Vec::len).collect();
        sizes.sort_unstable();
        sizes
    };
    let first = slices(&cluster);
    assert_eq!(sizes(&first), [50, 100, 100]);
    for slice in cluster.list(&Resource::endpoint_slices()) {
        assert!(read::name(&slice).starts_with("web-"));
        assert_eq!(read::label(&slice, "kubernetes.io/service-name"), "web");
        assert_eq!(
            read::label(&slice, "endpointslice.kubernetes.io/managed-by"),
            "endpointslice-controller.k8s.io"
        );
    }
    let (full, gone) = first.iter().find(|(_, pods)| pods.len() == 100).unwrap();
    cluster.delete(&Resource::pods(), &gone[0], &Deletion::default());
    cluster.until(60).await;
    let second = slices(&cluster);
    assert_eq!(sizes(&second), [51, 99, 100], "the new one comes before the old one is gone");
    let changed = first.keys().filter(|name| first[*name] != second[*name]);
    assert_eq!((changed.count(), second[full].len()), (2, 99));
    cluster.change(&Resource::deployments(), "web", |web| web["spec"]["replicas"] = json!(0));
    cluster.until(120).await;
    assert_eq!(sizes(&slices(&cluster)), [0], "one stays");
}
