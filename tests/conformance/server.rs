//! What a server says about itself: version, health, discovery, and what its client may do.

use serde_json::{Value, json};

use crate::cluster::Cluster;

behaviours!(
    a_server_tells_its_version,
    a_healthy_server_says_ok,
    the_core_group_lists_its_resources_with_their_verbs,
    a_group_lists_its_versions,
    subresources_are_discovered_with_their_kinds,
    a_group_that_is_not_served_is_not_found,
    a_client_learns_what_it_may_do,
    a_client_learns_which_parameters_a_patch_takes,
);

async fn a_server_tells_its_version(cluster: &Cluster) {
    let version = cluster.get("/version").await.ok();
    assert_eq!(version["major"], "1");
    let minor: String = version["minor"].as_str().unwrap().chars().take_while(char::is_ascii_digit).collect();
    assert!(minor.parse::<u32>().unwrap() >= 30, "{version}");
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1."));
}

async fn a_healthy_server_says_ok(cluster: &Cluster) {
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = cluster.get(path).await;
        assert_eq!((answer.code, answer.body), (200, json!("ok")), "{path}");
    }
}

fn resource<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["resources"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

async fn the_core_group_lists_its_resources_with_their_verbs(cluster: &Cluster) {
    let versions = cluster.get("/api").await.ok();
    assert_eq!((&versions["kind"], &versions["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    let list = cluster.get("/api/v1").await.ok();
    assert_eq!((&list["kind"], &list["groupVersion"]), (&json!("APIResourceList"), &json!("v1")));
    for (name, kind, singular, namespaced, short) in [
        ("pods", "Pod", "pod", true, "po"),
        ("services", "Service", "service", true, "svc"),
        ("nodes", "Node", "node", false, "no"),
        ("configmaps", "ConfigMap", "configmap", true, "cm"),
        ("persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaim", true, "pvc"),
    ] {
        let one = resource(&list, name);
        assert_eq!((&one["kind"], &one["singularName"]), (&json!(kind), &json!(singular)));
        assert_eq!((&one["namespaced"], &one["shortNames"]), (&json!(namespaced), &json!([short])));
        let verbs =
            json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
        assert_eq!(one["verbs"], verbs);
    }
    let namespaces = resource(&list, "namespaces");
    assert_eq!(namespaces["verbs"], json!(["create", "delete", "get", "list", "patch", "update", "watch"]));
}

async fn a_group_lists_its_versions(cluster: &Cluster) {
    let group = cluster.get("/apis/apps").await.ok();
    assert_eq!((&group["kind"], &group["name"]), (&json!("APIGroup"), &json!("apps")));
    let version = json!({"groupVersion": "apps/v1", "version": "v1"});
    assert_eq!((&group["versions"][0], &group["preferredVersion"]), (&version, &version));
    let groups = cluster.get("/apis").await.ok();
    assert_eq!(groups["kind"], "APIGroupList");
    for name in ["apps", "batch", "policy", "networking.k8s.io", "apiextensions.k8s.io"] {
        assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == name), "{name}");
    }
}

async fn subresources_are_discovered_with_their_kinds(cluster: &Cluster) {
    let apps = cluster.get("/apis/apps/v1").await.ok();
    let scale = resource(&apps, "deployments/scale");
    assert_eq!((&scale["kind"], &scale["group"]), (&json!("Scale"), &json!("autoscaling")));
    assert_eq!(resource(&apps, "statefulsets/status")["verbs"], json!(["get", "patch", "update"]));
    let core = cluster.get("/api/v1").await.ok();
    let eviction = resource(&core, "pods/eviction");
    assert_eq!((&eviction["kind"], &eviction["group"]), (&json!("Eviction"), &json!("policy")));
    assert_eq!(eviction["verbs"], json!(["create"]));
    assert_eq!(resource(&core, "pods/exec")["kind"], "PodExecOptions");
    assert_eq!(resource(&core, "pods/log")["kind"], "Pod");
}

async fn a_group_that_is_not_served_is_not_found(cluster: &Cluster) {
    for path in ["/apis/shop.example", "/apis/shop.example/v1", "/apis/apps/v9", "/nothing"] {
        assert_eq!(cluster.get(path).await.code, 404, "{path}");
    }
}

async fn a_client_learns_what_it_may_do(cluster: &Cluster) {
    let attributes = json!({"namespace": cluster.namespace, "verb": "delete", "resource": "pods"});
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = cluster.post(reviews, review).await;
    assert_eq!((answer.code, &answer.body["status"]["allowed"]), (201, &json!(true)));
    assert_eq!(answer.body["spec"]["resourceAttributes"]["verb"], "delete");
    assert_eq!(cluster.get(reviews).await.code, 405);
    let nothing =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}});
    assert_eq!(cluster.post(reviews, nothing).await.code, 422);
}

async fn a_client_learns_which_parameters_a_patch_takes(cluster: &Cluster) {
    let index = cluster.get("/openapi/v3").await.ok();
    for (version, kind) in [("apis/apps/v1", "Deployment"), ("api/v1", "ConfigMap")] {
        let url = index["paths"][version]["serverRelativeURL"].as_str().unwrap();
        let document = cluster.get(url).await.ok();
        let mut patches = document["paths"].as_object().unwrap().values().map(|path| &path["patch"]);
        let patch = patches.find(|patch| patch["x-kubernetes-group-version-kind"]["kind"] == kind).unwrap();
        let parameters = patch["parameters"].as_array().unwrap();
        for name in ["fieldValidation", "dryRun"] {
            assert!(parameters.iter().any(|one| one["name"] == name), "{kind}: {name}");
        }
    }
}
