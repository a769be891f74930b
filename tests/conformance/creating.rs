//! What the API server does with an object that is created.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster::{Cluster, object, refused};
use crate::rest::{config, deployment, homeless};

behaviours!(
    creating_gives_a_uid_a_version_and_a_time,
    creating_what_exists_is_a_conflict,
    a_generated_name_is_its_prefix_and_five_more_characters,
    an_object_without_a_name_is_invalid,
    a_name_that_is_no_dns_name_is_invalid,
    creating_in_a_missing_namespace_is_not_found,
    creating_in_a_namespace_that_ends_is_forbidden,
    an_object_of_another_namespace_than_its_path_is_a_bad_request,
    what_is_no_json_is_a_bad_request,
    a_client_does_not_give_a_new_object_its_identity_or_its_status,
    a_dry_run_of_a_creation_answers_as_if_and_makes_nothing,
    a_deployment_gets_its_defaults,
    a_namespace_has_its_account_and_the_root_certificate,
    a_new_pod_runs_as_the_default_account_with_its_token,
    a_pod_has_the_priority_of_its_class,
    a_pod_may_not_say_a_priority_that_is_not_its_class,
    a_pod_of_an_account_or_a_class_that_is_not_there_is_forbidden,
    an_object_in_protobuf_is_the_same_as_in_json,
    a_pod_tolerates_an_unready_node_for_five_minutes,
    a_pod_without_containers_is_invalid,
    a_selector_that_does_not_select_its_own_template_is_invalid,
    a_secret_stores_its_texts_as_data,
    a_service_gets_an_address_that_nobody_else_gets,
    a_headless_service_gets_no_address,
    a_namespace_is_labelled_with_its_name,
    an_unknown_field_is_dropped_with_a_warning,
    a_strict_creation_refuses_an_unknown_field_by_name,
    a_field_of_the_wrong_type_is_a_bad_request,
);

async fn creating_gives_a_uid_a_version_and_a_time(cluster: &Cluster) {
    let made: ConfigMap = cluster.make(json!({"metadata": {"name": "settings"}})).await;
    assert!(made.uid().is_some_and(|uid| !uid.is_empty()));
    assert!(made.resource_version().is_some_and(|version| !version.is_empty()));
    assert!(made.creation_timestamp().is_some());
}

async fn creating_what_exists_is_a_conflict(cluster: &Cluster) {
    let _: ConfigMap = cluster.make(json!({"metadata": {"name": "settings"}})).await;
    let again: ConfigMap = object(json!({"metadata": {"name": "settings"}}));
    let (code, reason, message) =
        refused(cluster.api::<ConfigMap>().create(&PostParams::default(), &again).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, r#"configmaps "settings" already exists"#);
}

async fn a_generated_name_is_its_prefix_and_five_more_characters(cluster: &Cluster) {
    let mut seen = vec![];
    for _ in 0..3 {
        let made = cluster.post("configmaps", json!({"metadata": {"generateName": "backup-"}})).await.ok();
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        let suffix = name.strip_prefix("backup-").unwrap();
        assert!(suffix.len() == 5 && suffix.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        assert_eq!(made["metadata"]["generateName"], "backup-");
        assert!(!seen.contains(&name));
        seen.push(name);
    }
}

async fn an_object_without_a_name_is_invalid(cluster: &Cluster) {
    let answer = cluster.post("configmaps", json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert!(answer.body["message"].as_str().unwrap().contains("name or generateName is required"));
    answer.invalid("FieldValueRequired", "metadata.name");
}

async fn a_name_that_is_no_dns_name_is_invalid(cluster: &Cluster) {
    for name in ["Upper", "under_score", "-dash", "dot.", &"x".repeat(254)] {
        let answer = cluster.post("configmaps", json!({"metadata": {"name": name}})).await;
        answer.invalid("FieldValueInvalid", "metadata.name");
    }
    cluster.post("configmaps", config("a.name-with.dots", "x")).await.ok();
}

async fn creating_in_a_missing_namespace_is_not_found(cluster: &Cluster) {
    let answer = cluster.post("/api/v1/namespaces/no-such-place/configmaps", config("a", "x")).await;
    let status = answer.refused(404, "NotFound");
    assert_eq!(status["message"], r#"namespaces "no-such-place" not found"#);
    assert_eq!(status["details"], json!({"name": "no-such-place", "kind": "namespaces"}));
}

async fn creating_in_a_namespace_that_ends_is_forbidden(cluster: &Cluster) {
    let space = format!("{}-ending", cluster.namespace);
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": space}})).await.ok();
    let inside = format!("/api/v1/namespaces/{space}/configmaps");
    let mut held = config("held", "x");
    held["metadata"]["finalizers"] = json!(["drillmaster.dev/hold"]);
    cluster.post(&inside, held).await.ok();
    let own = format!("/api/v1/namespaces/{space}");
    let ending = cluster.delete(&own, Value::Null).await.ok();
    assert_eq!(ending["status"]["phase"], "Terminating");
    let status = cluster.post(&inside, config("late", "x")).await.refused(403, "Forbidden");
    let why = format!(
        r#"configmaps "late" is forbidden: unable to create new content in namespace {space} because it is being terminated"#
    );
    assert_eq!(status["message"], json!(why));
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let release = json!({"metadata": {"finalizers": null}});
    cluster.patch(crate::rest::MERGE, &format!("{inside}/held"), release).await.ok();
    let gone = async || (cluster.get(&own).await.code == 404).then_some(());
    cluster.eventually("the namespace is gone", gone).await;
}

async fn an_object_of_another_namespace_than_its_path_is_a_bad_request(cluster: &Cluster) {
    let mut elsewhere = config("a", "x");
    elsewhere["metadata"]["namespace"] = "elsewhere".into();
    let status = cluster.post("configmaps", elsewhere).await.refused(400, "BadRequest");
    let why = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(status["message"], why);
}

async fn what_is_no_json_is_a_bad_request(cluster: &Cluster) {
    let header = ("content-type", "application/json");
    cluster.ask("POST", "configmaps", header, b"{\"metadata\": ".to_vec()).await.refused(400, "BadRequest");
}

async fn a_client_does_not_give_a_new_object_its_identity_or_its_status(cluster: &Cluster) {
    let mut wanted = deployment(cluster, "web", 1);
    wanted["metadata"]["uid"] = "mine".into();
    wanted["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    wanted["metadata"]["generation"] = 41.into();
    wanted["status"] = json!({"replicas": 9, "readyReplicas": 9, "observedGeneration": 41});
    let made = cluster.post("deployments", wanted).await.ok();
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_ne!(made["metadata"]["creationTimestamp"], "2001-01-01T00:00:00Z");
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["status"], json!({}));
}

async fn a_dry_run_of_a_creation_answers_as_if_and_makes_nothing(cluster: &Cluster) {
    let made = cluster.post("configmaps?dryRun=All", config("a", "x")).await;
    assert_eq!(made.code, 201);
    assert!(made.body["metadata"]["uid"].is_string());
    cluster.get("configmaps/a").await.refused(404, "NotFound");
    assert_eq!(cluster.post("configmaps?dryRun=Some", config("a", "x")).await.code, 422);
}

async fn a_deployment_gets_its_defaults(cluster: &Cluster) {
    let template = json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "web", "image": cluster.web, "ports": [{"containerPort": 8080}]}]}});
    let wanted = json!({"metadata": {"name": "a"},
        "spec": {"paused": true, "selector": {"matchLabels": {"app": "a"}}, "template": template}});
    let spec = cluster.post("deployments", wanted).await.ok()["spec"].take();
    assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(10)));
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    let quarter = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
    assert_eq!(spec["strategy"], json!({"type": "RollingUpdate", "rollingUpdate": quarter}));
    let pod = &spec["template"]["spec"];
    assert_eq!((&pod["restartPolicy"], &pod["dnsPolicy"]), (&json!("Always"), &json!("ClusterFirst")));
    assert_eq!(
        (&pod["terminationGracePeriodSeconds"], &pod["schedulerName"]),
        (&json!(30), &json!("default-scheduler"))
    );
    assert_eq!(pod["containers"][0]["ports"][0]["protocol"], "TCP");
}

async fn a_pod_tolerates_an_unready_node_for_five_minutes(cluster: &Cluster) {
    let made = cluster.post("pods?dryRun=All", homeless(cluster, "a")).await.ok();
    for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let expected =
            json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&expected), "{made}");
    }
    assert_eq!(made["status"]["phase"], "Pending");
}

async fn a_pod_without_containers_is_invalid(cluster: &Cluster) {
    let empty = json!({"metadata": {"name": "a"}, "spec": {"containers": []}});
    cluster.post("pods", empty).await.invalid("FieldValueRequired", "spec.containers");
}

async fn a_selector_that_does_not_select_its_own_template_is_invalid(cluster: &Cluster) {
    let mut wanted = deployment(cluster, "web", 1);
    wanted["spec"]["template"]["metadata"]["labels"]["app"] = "other".into();
    let answer = cluster.post("deployments", wanted).await;
    answer.invalid("FieldValueInvalid", "spec.template.metadata.labels");
}

async fn a_secret_stores_its_texts_as_data(cluster: &Cluster) {
    let texts = json!({"metadata": {"name": "a"}, "stringData": {"password": "secret"}});
    let made = cluster.post("secrets", texts).await.ok();
    assert_eq!((&made["data"], &made["type"]), (&json!({"password": "c2VjcmV0"}), &json!("Opaque")));
    assert_eq!(made.get("stringData"), None);
}

async fn a_service_gets_an_address_that_nobody_else_gets(cluster: &Cluster) {
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let first = cluster.post("services", service("a")).await.ok()["spec"].take();
    assert!(first["clusterIP"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
    assert_eq!(first["clusterIPs"], json!([first["clusterIP"]]));
    assert_eq!((&first["type"], &first["sessionAffinity"]), (&json!("ClusterIP"), &json!("None")));
    assert_eq!(first["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    let second = cluster.post("services", service("b")).await.ok();
    assert_ne!(second["spec"]["clusterIP"], first["clusterIP"]);
    let mut taken = service("c");
    taken["spec"]["clusterIP"] = first["clusterIP"].clone();
    assert_eq!(cluster.post("services", taken).await.refused(422, "Invalid")["details"]["name"], "c");
}

async fn a_headless_service_gets_no_address(cluster: &Cluster) {
    let spec = json!({"clusterIP": "None", "ports": [{"port": 80}]});
    let made = cluster.post("services", json!({"metadata": {"name": "a"}, "spec": spec})).await.ok();
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
}

async fn a_namespace_is_labelled_with_its_name(cluster: &Cluster) {
    let own = cluster.wide::<Namespace>().get(&cluster.namespace).await.unwrap();
    assert_eq!(own.labels()["kubernetes.io/metadata.name"], cluster.namespace);
    assert_eq!(own.status.unwrap().phase.as_deref(), Some("Active"));
}

async fn an_unknown_field_is_dropped_with_a_warning(cluster: &Cluster) {
    let mut wanted = deployment(cluster, "web", 0);
    wanted["spec"]["template"]["spec"]["containers"][0]["imagee"] = "typo".into();
    wanted["spec"]["replica"] = 3.into();
    let made = cluster.post("deployments", wanted).await;
    let warnings: Vec<&str> =
        made.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    for field in ["spec.replica", "spec.template.spec.containers[0].imagee"] {
        let text = format!(r#"unknown field \"{field}\""#);
        assert!(warnings.iter().any(|warning| warning.contains(&text)), "{warnings:?}");
    }
    let made = made.ok();
    assert_eq!(made["spec"].get("replica"), None);
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0].get("imagee"), None);
}

async fn a_strict_creation_refuses_an_unknown_field_by_name(cluster: &Cluster) {
    let mut wanted = deployment(cluster, "web", 0);
    wanted["spec"]["template"]["spec"]["containers"][0]["imagee"] = "typo".into();
    let answer = cluster.post("deployments?fieldValidation=Strict", wanted.clone()).await;
    let status = answer.refused(400, "BadRequest");
    let why = r#"strict decoding error: unknown field "spec.template.spec.containers[0].imagee""#;
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    cluster.get("deployments/web").await.refused(404, "NotFound");
    let silent = cluster.post("deployments?fieldValidation=Ignore", wanted).await;
    assert_eq!((silent.code, silent.headers.get("warning")), (201, None));
}

async fn a_field_of_the_wrong_type_is_a_bad_request(cluster: &Cluster) {
    let mut wanted = deployment(cluster, "web", 0);
    wanted["spec"]["replicas"] = "many".into();
    cluster.post("deployments", wanted).await.refused(400, "BadRequest");
}

async fn a_namespace_has_its_account_and_the_root_certificate(cluster: &Cluster) {
    for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
        cluster.eventually(path, async || (cluster.get(path).await.code == 200).then_some(())).await;
        cluster.delete(path, Value::Null).await.ok();
        cluster.eventually("it is back", async || (cluster.get(path).await.code == 200).then_some(())).await;
    }
    assert!(cluster.get("configmaps/kube-root-ca.crt").await.ok()["data"]["ca.crt"].is_string());
}

async fn a_new_pod_runs_as_the_default_account_with_its_token(cluster: &Cluster) {
    let account = "serviceaccounts/default";
    cluster.eventually(account, async || (cluster.get(account).await.code == 200).then_some(())).await;
    let spec = cluster.post("pods", homeless(cluster, "a")).await.ok()["spec"].clone();
    assert_eq!((&spec["serviceAccountName"], &spec["enableServiceLinks"]), (&json!("default"), &json!(true)));
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    let mount = &spec["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(spec["volumes"][0]["name"], mount["name"]);
    let mut without = homeless(cluster, "b");
    without["spec"]["automountServiceAccountToken"] = json!(false);
    let spec = cluster.post("pods", without).await.ok()["spec"].clone();
    assert_eq!((spec.get("volumes"), spec["containers"][0].get("volumeMounts")), (None, None));
}

async fn a_pod_has_the_priority_of_its_class(cluster: &Cluster) {
    let name = format!("high-{}", cluster.namespace);
    let all = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = json!({"metadata": {"name": name}, "value": 7, "preemptionPolicy": "Never"});
    cluster.post(all, class).await.ok();
    let account = "serviceaccounts/default";
    cluster.eventually(account, async || (cluster.get(account).await.code == 200).then_some(())).await;
    let mut pod = homeless(cluster, "a");
    pod["spec"]["priorityClassName"] = json!(name);
    let spec = cluster.post("pods", pod).await.ok()["spec"].clone();
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(7), &json!("Never")));
    cluster.delete(&format!("{all}/{name}"), Value::Null).await.ok();
}

async fn a_pod_may_not_say_a_priority_that_is_not_its_class(cluster: &Cluster) {
    let mut critical = homeless(cluster, "critical");
    critical["spec"]["priorityClassName"] = json!("system-cluster-critical");
    let account = "serviceaccounts/default";
    cluster.eventually(account, async || (cluster.get(account).await.code == 200).then_some(())).await;
    let spec = cluster.post("pods", critical).await.ok()["spec"].clone();
    assert_eq!(spec["priority"], json!(2_000_000_000));
    let mut loud = homeless(cluster, "loud");
    loud["spec"]["priority"] = json!(5);
    let status = cluster.post("pods", loud).await.refused(403, "Forbidden");
    let why = "pods \"loud\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission \
               controller computed 0 from the given PriorityClass name";
    assert_eq!(status["message"], why);
}

async fn a_pod_of_an_account_or_a_class_that_is_not_there_is_forbidden(cluster: &Cluster) {
    let account = "serviceaccounts/default";
    cluster.eventually(account, async || (cluster.get(account).await.code == 200).then_some(())).await;
    let space = cluster.namespace.as_str();
    for (field, why) in [
        (
            "serviceAccountName",
            format!(
                "error looking up service account {space}/none-such: serviceaccount \"none-such\" not found"
            ),
        ),
        ("priorityClassName", "no PriorityClass with name none-such was found".to_owned()),
        ("runtimeClassName", "pod rejected: RuntimeClass \"none-such\" not found".to_owned()),
    ] {
        let mut pod = homeless(cluster, "a");
        pod["spec"][field] = json!("none-such");
        let status = cluster.post("pods", pod.clone()).await.refused(403, "Forbidden");
        assert_eq!(status["message"], format!("pods \"a\" is forbidden: {why}"));
        assert_eq!(status["details"], json!({"name": "a", "kind": "pods"}));
        pod["metadata"] = json!({"generateName": "a-"});
        let status = cluster.post("pods", pod).await.refused(403, "Forbidden");
        assert_eq!(status["message"], format!("pods \"a-\" is forbidden: {why}"), "it has no name yet");
    }
}

async fn an_object_in_protobuf_is_the_same_as_in_json(cluster: &Cluster) {
    // A field with bytes; all of them are short.
    let with =
        |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let entry = |key: &[u8], value: &[u8]| [with(1, key), with(2, value)].concat();
    let metadata = [with(1, b"a"), with(2, b""), with(11, &entry(b"part", b"x"))].concat();
    let raw = [with(1, &metadata), with(2, &entry(b"key", b"value"))].concat();
    let names = entry(b"v1", b"ConfigMap");
    let body = [b"k8s\0".to_vec(), with(1, &names), with(2, &raw)].concat();
    let form = ("content-type", "application/vnd.kubernetes.protobuf");
    let made = cluster.ask("POST", "configmaps", form, body).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let read = cluster.get("configmaps/a").await.ok();
    assert_eq!(
        (&read["data"], &read["metadata"]["labels"]),
        (&json!({"key": "value"}), &json!({"part": "x"}))
    );
}
