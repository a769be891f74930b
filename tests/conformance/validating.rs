//! What the API server refuses: everything that is wrong with an object, field by field.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{MERGE, config, deployment, homeless};

behaviours!(
    every_wrong_field_is_named_at_once,
    a_label_that_is_no_label_is_invalid,
    an_annotation_whose_key_is_no_name_is_invalid,
    an_object_has_one_controller_at_most,
    a_key_that_could_be_no_file_is_invalid,
    containers_have_names_of_their_own_and_images,
    a_probe_asks_somehow,
    a_service_has_ports_and_names_for_several,
    a_recreated_deployment_has_no_rolling_update,
    a_budget_has_one_limit,
    a_workload_selects_something,
    a_broken_update_is_refused_like_a_creation,
    a_container_mounts_volumes_that_are_there_each_at_a_place_of_its_own,
    a_container_asks_for_no_more_than_it_may_have,
    a_probe_asks_in_one_way_only,
    what_is_kept_running_is_always_restarted_and_what_ends_is_not,
    a_rollout_may_move_at_all,
    a_path_of_an_ingress_has_a_type,
    a_certificates_secret_has_both_its_parts,
    a_config_map_holds_a_mebibyte_at_most,
    a_quantity_that_is_none_does_not_decode,
    a_quantity_that_is_a_number_is_kept_as_a_text,
    fields_of_a_few_words_and_of_a_range_hold_nothing_else,
    all_wrong_words_and_numbers_of_a_container_are_named_at_once,
);

async fn every_wrong_field_is_named_at_once(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    pod["metadata"]["labels"]["a"] = "no label".into();
    pod["spec"]["containers"][0].as_object_mut().unwrap().remove("image");
    let status = cluster.post("pods", pod).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    for field in ["metadata.labels", "spec.containers[0].image"] {
        assert!(causes.iter().any(|cause| cause["field"] == field), "{status}");
    }
    assert!(status["message"].as_str().unwrap().starts_with(r#"Pod "a" is invalid: ["#), "{status}");
}

async fn a_label_that_is_no_label_is_invalid(cluster: &Cluster) {
    for (key, value) in [
        ("fine", "no label"),
        ("fine", "-a"),
        ("fine", &*"x".repeat(64)),
        ("no key", "a"),
        ("/a", "a"),
        ("a/b/c", "a"),
    ] {
        let mut object = config("a", "x");
        object["metadata"]["labels"] = json!({key: value});
        cluster.post("configmaps", object).await.invalid("FieldValueInvalid", "metadata.labels");
    }
    let mut object = config("a", "x");
    object["metadata"]["labels"] = json!({"drillmaster.dev/Run_7": "", "b": "A.b_C-1"});
    cluster.post("configmaps", object).await.ok();
}

async fn an_annotation_whose_key_is_no_name_is_invalid(cluster: &Cluster) {
    let mut object = config("a", "x");
    object["metadata"]["annotations"] = json!({"no key": "any text, of course"});
    let answer = cluster.post("configmaps", object).await;
    answer.invalid("FieldValueInvalid", "metadata.annotations");
}

async fn an_object_has_one_controller_at_most(cluster: &Cluster) {
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name, "controller": true});
    let mut object = config("a", "x");
    object["metadata"]["ownerReferences"] = json!([owner("b"), owner("c")]);
    let answer = cluster.post("configmaps", object).await;
    answer.invalid("FieldValueInvalid", "metadata.ownerReferences");
}

async fn a_key_that_could_be_no_file_is_invalid(cluster: &Cluster) {
    for (plural, key) in [("configmaps", "a/b"), ("configmaps", ".."), ("secrets", "no key")] {
        let object = json!({"metadata": {"name": "a"}, "data": {key: "dmFsdWU="}});
        let field = format!("data[{key}]");
        cluster.post(plural, object).await.invalid("FieldValueInvalid", &field);
    }
}

async fn containers_have_names_of_their_own_and_images(cluster: &Cluster) {
    let mut twice = homeless(cluster, "a");
    let one = twice["spec"]["containers"][0].clone();
    twice["spec"]["containers"].as_array_mut().unwrap().push(one);
    cluster.post("pods", twice).await.invalid("FieldValueDuplicate", "spec.containers[1].name");
    let mut nameless = homeless(cluster, "a");
    nameless["spec"]["containers"][0].as_object_mut().unwrap().remove("name");
    cluster.post("pods", nameless).await.invalid("FieldValueRequired", "spec.containers[0].name");
    let mut imageless = deployment(cluster, "a", 0);
    imageless["spec"]["template"]["spec"]["containers"][0]["image"] = "".into();
    let field = "spec.template.spec.containers[0].image";
    cluster.post("deployments", imageless).await.invalid("FieldValueRequired", field);
}

async fn a_probe_asks_somehow(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"periodSeconds": 1});
    let field = "spec.containers[0].readinessProbe";
    cluster.post("pods", pod).await.invalid("FieldValueRequired", field);
}

async fn a_service_has_ports_and_names_for_several(cluster: &Cluster) {
    for (ports, reason, field) in [
        (json!([]), "FieldValueRequired", "spec.ports"),
        (json!([{"port": 80}, {"port": 81, "name": "b"}]), "FieldValueRequired", "spec.ports[0].name"),
        (json!([{"port": 0}]), "FieldValueInvalid", "spec.ports[0].port"),
        (
            json!([{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]),
            "FieldValueDuplicate",
            "spec.ports[1]",
        ),
    ] {
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": ports}});
        cluster.post("services", service).await.invalid(reason, field);
    }
}

async fn a_recreated_deployment_has_no_rolling_update(cluster: &Cluster) {
    cluster.post("deployments", deployment(cluster, "a", 0)).await.ok();
    let kept = json!({"spec": {"strategy": {"type": "Recreate"}}});
    let answer = cluster.patch(MERGE, "deployments/a", kept).await;
    answer.invalid("FieldValueForbidden", "spec.strategy.rollingUpdate");
    let dropped = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    let patched = cluster.patch(MERGE, "deployments/a", dropped).await.ok();
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
}

async fn a_budget_has_one_limit(cluster: &Cluster) {
    let spec = json!({"minAvailable": 1, "maxUnavailable": 1, "selector": {}});
    let budget = json!({"metadata": {"name": "a"}, "spec": spec});
    cluster.post("poddisruptionbudgets", budget).await.invalid("FieldValueInvalid", "spec");
}

async fn a_workload_selects_something(cluster: &Cluster) {
    let mut object = deployment(cluster, "a", 0);
    object["spec"]["selector"] = Value::Null;
    cluster.post("deployments", object).await.invalid("FieldValueRequired", "spec.selector");
}

async fn a_broken_update_is_refused_like_a_creation(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let patch = json!({"metadata": {"labels": {"a": "no label"}}});
    cluster.patch(MERGE, "configmaps/a", patch).await.invalid("FieldValueInvalid", "metadata.labels");
    assert_eq!(cluster.get("configmaps/a").await.ok()["metadata"]["labels"], json!({"part": "x"}));
}

async fn a_container_mounts_volumes_that_are_there_each_at_a_place_of_its_own(cluster: &Cluster) {
    let with = |volumes: Value, mounts: Value| {
        let mut pod = homeless(cluster, "a");
        pod["spec"]["volumes"] = volumes;
        pod["spec"]["containers"][0]["volumeMounts"] = mounts;
        pod
    };
    let volume = json!({"name": "v", "emptyDir": {}});
    for (volumes, mounts, reason, field) in [
        (
            json!([]),
            json!([{"name": "v", "mountPath": "/v"}]),
            "FieldValueNotFound",
            "spec.containers[0].volumeMounts[0].name",
        ),
        (
            json!([volume]),
            json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
            "FieldValueInvalid",
            "spec.containers[0].volumeMounts[1].mountPath",
        ),
        (json!([volume, volume]), json!([]), "FieldValueDuplicate", "spec.volumes[1].name"),
    ] {
        cluster.post("pods", with(volumes, mounts)).await.invalid(reason, field);
    }
}

async fn a_container_asks_for_no_more_than_it_may_have(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}});
    let field = "spec.containers[0].resources.requests";
    cluster.post("pods", pod).await.invalid("FieldValueInvalid", field);
}

async fn a_probe_asks_in_one_way_only(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"tcpSocket": {"port": 80}, "httpGet": {"port": 80, "path": "/"}});
    let status = cluster.post("pods", pod).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueForbidden", "{status}");
}

async fn what_is_kept_running_is_always_restarted_and_what_ends_is_not(cluster: &Cluster) {
    let field = "spec.template.spec.restartPolicy";
    let mut never = deployment(cluster, "a", 0);
    never["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    let answer = cluster.post("deployments", never).await;
    answer.invalid("FieldValueNotSupported", field);
    let pod = homeless(cluster, "a")["spec"].clone();
    let job = json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": pod}}});
    cluster.post("jobs", job).await.invalid("FieldValueRequired", field);
}

async fn a_rollout_may_move_at_all(cluster: &Cluster) {
    let mut stuck = deployment(cluster, "a", 0);
    stuck["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
    let field = "spec.strategy.rollingUpdate.maxUnavailable";
    cluster.post("deployments", stuck).await.invalid("FieldValueInvalid", field);
}

async fn a_path_of_an_ingress_has_a_type(cluster: &Cluster) {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let rules = json!([{"http": {"paths": [{"path": "/", "backend": backend}]}}]);
    let ingress = json!({"metadata": {"name": "a"}, "spec": {"rules": rules}});
    let field = "spec.rules[0].http.paths[0].pathType";
    cluster.post("ingresses", ingress).await.invalid("FieldValueRequired", field);
}

async fn a_certificates_secret_has_both_its_parts(cluster: &Cluster) {
    let secret = json!({"metadata": {"name": "a"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}});
    cluster.post("secrets", secret).await.invalid("FieldValueRequired", "data[tls.key]");
}

async fn a_config_map_holds_a_mebibyte_at_most(cluster: &Cluster) {
    let of = |bytes: usize| json!({"metadata": {"name": "a"}, "data": {"key": "x".repeat(bytes)}});
    cluster.post("configmaps", of((1 << 20) + 1)).await.invalid("FieldValueTooLong", "[]");
    cluster.post("configmaps", of(1 << 20)).await.ok();
}

async fn a_quantity_that_is_none_does_not_decode(cluster: &Cluster) {
    let mut greedy = homeless(cluster, "a");
    greedy["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2 cores"}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1 Gi"}}}});
    let mut worker = deployment(cluster, "a", 0);
    worker["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "1GB"}});
    for (plural, object) in
        [("pods", greedy), ("persistentvolumeclaims", claim), ("deployments", worker.clone())]
    {
        let status = cluster.post(plural, object).await.refused(400, "BadRequest");
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("cannot be handled as a"), "{message}");
        let why =
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        assert!(message.contains(why), "{message}");
    }
    worker["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "1K"}});
    let status = cluster.post("deployments", worker).await.refused(400, "BadRequest");
    assert!(status["message"].as_str().unwrap().contains("unable to parse quantity's suffix"), "{status}");
}

async fn a_quantity_that_is_a_number_is_kept_as_a_text(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    pod["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": 0.5, "memory": 1000}, "limits": {"cpu": 2, "memory": 2048}});
    let made = cluster.post("pods", pod).await.ok();
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"], json!({"cpu": "500m", "memory": "1k"}));
    assert_eq!(resources["limits"], json!({"cpu": "2", "memory": "2048"}));
    let mut greedy = homeless(cluster, "b");
    greedy["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": 2}, "limits": {"cpu": 1}});
    let status = cluster.post("pods", greedy).await.refused(422, "Invalid");
    assert!(status["message"].as_str().unwrap().contains(r#"Invalid value: "2""#), "{status}");
}

async fn fields_of_a_few_words_and_of_a_range_hold_nothing_else(cluster: &Cluster) {
    const WORD: &str = "FieldValueNotSupported";
    const NEEDED: &str = "FieldValueRequired";
    const WRONG: &str = "FieldValueInvalid";
    let service = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let claim = |modes: Value| {
        let spec = json!({"accessModes": modes, "resources": {"requests": {"storage": "1Mi"}}});
        json!({"metadata": {"name": "a"}, "spec": spec})
    };
    let ingress = |host: &str, path: &str| {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let paths = json!([{"path": path, "pathType": "Prefix", "backend": backend}]);
        json!({"metadata": {"name": "a"}, "spec": {"rules": [{"host": host, "http": {"paths": paths}}]}})
    };
    let mut set = deployment(cluster, "a", 0);
    set["apiVersion"] = "apps/v1".into();
    set["kind"] = "StatefulSet".into();
    set["spec"]["serviceName"] = "a".into();
    set["spec"]["podManagementPolicy"] = "Sometimes".into();
    let policy = json!({"metadata": {"name": "a"}, "spec": {"podSelector": {}, "policyTypes": ["Sideways"]}});
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", cluster.namespace);
    let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv5", "endpoints": []});
    let class = json!({"metadata": {"name": cluster.namespace}, "value": 1_000_000_001});
    for (path, object, reason, field) in [
        ("services", service(json!({"type": "Cluster", "ports": [{"port": 80}]})), WORD, "spec.type"),
        (
            "services",
            service(json!({"ports": [{"port": 80, "protocol": "tcp"}]})),
            WORD,
            "spec.ports[0].protocol",
        ),
        ("services", service(json!({"type": "ExternalName"})), NEEDED, "spec.externalName"),
        ("statefulsets", set, WRONG, "spec.podManagementPolicy"),
        ("persistentvolumeclaims", claim(json!(["Often"])), WORD, "spec.accessModes"),
        ("persistentvolumeclaims", claim(json!([])), NEEDED, "spec.accessModes"),
        ("networkpolicies", policy, WORD, "spec.policyTypes[0]"),
        (&slices, slice, WORD, "addressType"),
        ("ingresses", ingress("shop.example", "shop"), WRONG, "spec.rules[0].http.paths[0].path"),
        ("ingresses", ingress("Shop_1", "/"), WRONG, "spec.rules[0].host"),
        ("ingresses", ingress("a.*.example", "/"), WRONG, "spec.rules[0].host"),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", class, "FieldValueForbidden", "value"),
    ] {
        cluster.post(path, object).await.invalid(reason, field);
    }
    cluster.post("ingresses", ingress("*.shop.example", "/")).await.ok();
}

async fn all_wrong_words_and_numbers_of_a_container_are_named_at_once(cluster: &Cluster) {
    let mut pod = homeless(cluster, "a");
    let container = &mut pod["spec"]["containers"][0];
    container["imagePullPolicy"] = "Sometimes".into();
    container["ports"] = json!([{"containerPort": 65_536}, {"containerPort": 80, "protocol": "HTTP"}]);
    container["readinessProbe"]["periodSeconds"] = json!(-1);
    let status = cluster.post("pods", pod).await.refused(422, "Invalid");
    let mut causes = status["details"]["causes"].as_array().unwrap().clone();
    causes.sort_by_key(|cause| cause["field"].to_string());
    let here = |field: &str| format!("spec.containers[0].{field}");
    let words = r#"Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#;
    let expected = json!([
        {"reason": "FieldValueNotSupported", "message": words, "field": here("imagePullPolicy")},
        {"reason": "FieldValueInvalid", "field": here("ports[0].containerPort"),
            "message": "Invalid value: 65536: must be between 1 and 65535, inclusive"},
        {"reason": "FieldValueNotSupported", "field": here("ports[1].protocol"),
            "message": r#"Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP""#},
        {"reason": "FieldValueInvalid", "field": here("readinessProbe.periodSeconds"),
            "message": "Invalid value: -1: must be greater than or equal to 0"},
    ]);
    assert_eq!(Value::from(causes), expected);
}
