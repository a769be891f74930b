//! Getting and listing: selectors, pages, and the forms that an answer can take.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{Answer, config, deployment, homeless, names};

behaviours!(
    what_is_not_there_is_not_found_by_its_name,
    a_resource_that_nobody_serves_is_not_found,
    a_verb_that_a_resource_lacks_is_not_allowed,
    a_body_of_an_unknown_type_is_unsupported,
    a_label_selector_means_equality_sets_and_existence,
    a_selector_that_cannot_be_parsed_is_a_bad_request,
    a_field_selector_finds_by_name_and_namespace,
    a_field_selector_finds_pods_by_node_and_phase,
    a_field_selector_finds_events_by_the_object_that_they_are_about,
    a_field_that_no_selector_knows_is_a_bad_request,
    pages_hold_each_object_once_and_say_how_many_are_left,
    a_broken_continue_token_is_a_bad_request,
    a_version_of_the_future_is_too_large,
    a_version_that_is_no_number_is_a_bad_request,
    options_of_a_list_that_do_not_go_together_are_invalid,
    a_limit_below_one_is_none_and_one_that_is_no_number_is_a_bad_request,
    a_list_does_not_hold_another_namespaces_objects,
    a_list_names_its_kind_and_a_version,
    a_table_has_the_columns_that_people_read,
    a_wide_table_shows_more,
    a_table_carries_whole_objects_where_they_are_asked_for,
    only_metadata_is_read_where_only_that_is_asked_for,
);

async fn what_is_not_there_is_not_found_by_its_name(cluster: &Cluster) {
    let status = cluster.get("deployments/none").await.refused(404, "NotFound");
    assert_eq!(status["message"], r#"deployments.apps "none" not found"#);
    assert_eq!(status["details"], json!({"name": "none", "group": "apps", "kind": "deployments"}));
    let deleted = cluster.delete("configmaps/none", Value::Null).await.refused(404, "NotFound");
    assert_eq!(deleted["message"], r#"configmaps "none" not found"#);
}

async fn a_resource_that_nobody_serves_is_not_found(cluster: &Cluster) {
    for path in ["/apis/shop.example/v1/baskets", "/apis/apps/v1/toasters", "/api/v2/pods"] {
        assert_eq!(cluster.get(path).await.code, 404, "{path}");
    }
    let wrong = cluster.post("toasters", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(wrong.code, 404);
}

async fn a_verb_that_a_resource_lacks_is_not_allowed(cluster: &Cluster) {
    let answer = cluster.put("configmaps", &config("a", "x")).await;
    answer.refused(405, "MethodNotAllowed");
    let everywhere = cluster.post("/api/v1/configmaps", config("a", "x")).await;
    assert_eq!(everywhere.code, 405);
}

async fn a_body_of_an_unknown_type_is_unsupported(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let patch = cluster.patch("application/json", "configmaps/a", json!({"data": {"k": "w"}})).await;
    patch.refused(415, "UnsupportedMediaType");
    let text = cluster.ask("POST", "configmaps", ("content-type", "text/plain"), b"{}".to_vec()).await;
    text.refused(415, "UnsupportedMediaType");
}

/// Asks for a list with a query that has to be encoded.
async fn list(cluster: &Cluster, plural: &str, selector: &str, text: &str) -> Answer {
    let text: String = text
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    cluster.get(&format!("{plural}?{selector}={text}")).await
}

async fn a_label_selector_means_equality_sets_and_existence(cluster: &Cluster) {
    for (name, labels) in [
        ("a", json!({"ours": "1", "tier": "web", "zone": "east"})),
        ("b", json!({"ours": "1", "tier": "db"})),
        ("c", json!({"ours": "1"})),
    ] {
        cluster.post("configmaps", json!({"metadata": {"name": name, "labels": labels}})).await.ok();
    }
    for (text, found) in [
        ("ours,tier=web", vec!["a"]),
        ("ours,tier==web", vec!["a"]),
        ("ours,tier!=web", vec!["b", "c"]),
        ("ours,tier in (web, db)", vec!["a", "b"]),
        ("ours,tier notin (web)", vec!["b", "c"]),
        ("ours,zone", vec!["a"]),
        ("ours,!zone", vec!["b", "c"]),
        ("ours=1,tier,!zone", vec!["b"]),
        ("ours=2", vec![]),
    ] {
        let listed = list(cluster, "configmaps", "labelSelector", text).await.ok();
        assert_eq!(names(&listed), found, "{text}");
    }
}

async fn a_selector_that_cannot_be_parsed_is_a_bad_request(cluster: &Cluster) {
    for text in ["tier in (web", "a b=c", "=a", "tier=in valid"] {
        list(cluster, "configmaps", "labelSelector", text).await.refused(400, "BadRequest");
    }
}

async fn a_field_selector_finds_by_name_and_namespace(cluster: &Cluster) {
    for name in ["a", "b"] {
        cluster.post("configmaps", config(name, "fields")).await.ok();
    }
    let found = |text: &'static str| async move {
        let path = format!("configmaps?labelSelector=part%3Dfields&fieldSelector={text}");
        names(&cluster.get(&path).await.ok())
    };
    assert_eq!(found("metadata.name%3Da").await, ["a"]);
    assert_eq!(found("metadata.name!%3Da").await, ["b"]);
    assert_eq!(found("metadata.name%3Da,metadata.name!%3Da").await, [""; 0]);
    let selector = format!("metadata.namespace={}", cluster.namespace);
    let path = "/api/v1/configmaps";
    let listed = list(cluster, path, "fieldSelector", &selector).await.ok();
    assert!(names(&listed).contains(&"a".to_owned()));
    let others = listed["items"].as_array().unwrap().iter();
    assert!(others.map(|one| &one["metadata"]["namespace"]).all(|space| *space == json!(cluster.namespace)));
}

async fn a_field_selector_finds_pods_by_node_and_phase(cluster: &Cluster) {
    cluster.post("pods", homeless(cluster, "waits")).await.ok();
    cluster.post("pods", crate::rest::pod(cluster, "runs")).await.ok();
    let running = async || {
        let pod = cluster.get("pods/runs").await.ok();
        (pod["status"]["phase"] == "Running").then_some(pod)
    };
    let pod = cluster.eventually("the pod runs", running).await;
    let node = pod["spec"]["nodeName"].as_str().unwrap();
    for (text, found) in [
        (format!("spec.nodeName={node}"), vec!["runs"]),
        ("spec.nodeName=".to_owned(), vec!["waits"]),
        ("status.phase=Pending".to_owned(), vec!["waits"]),
        ("status.phase!=Pending".to_owned(), vec!["runs"]),
        (format!("status.phase=Running,spec.nodeName={node}"), vec!["runs"]),
        ("spec.restartPolicy=Always".to_owned(), vec!["runs", "waits"]),
    ] {
        assert_eq!(names(&list(cluster, "pods", "fieldSelector", &text).await.ok()), found, "{text}");
    }
}

async fn a_field_selector_finds_events_by_the_object_that_they_are_about(cluster: &Cluster) {
    for (name, about) in [("a.1", "a"), ("b.1", "b")] {
        let event = json!({"metadata": {"name": name}, "type": "Normal", "reason": "Drilled", "involvedObject":
            {"kind": "Basket", "name": about, "namespace": cluster.namespace}});
        cluster.post("events", event).await.ok();
    }
    for (text, found) in [
        ("involvedObject.kind=Basket,involvedObject.name=a", vec!["a.1"]),
        ("involvedObject.kind=Basket,reason=Drilled", vec!["a.1", "b.1"]),
        ("involvedObject.kind=Basket,type=Warning", vec![]),
    ] {
        assert_eq!(names(&list(cluster, "events", "fieldSelector", text).await.ok()), found, "{text}");
    }
}

async fn a_field_that_no_selector_knows_is_a_bad_request(cluster: &Cluster) {
    for (plural, text, why) in [
        (
            "configmaps",
            "data.key=value",
            r#""data.key" is not a known field selector: only "metadata.name", "metadata.namespace""#,
        ),
        ("pods", "spec.hostname=a", "field label not supported: spec.hostname"),
    ] {
        let status = list(cluster, plural, "fieldSelector", text).await.refused(400, "BadRequest");
        assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    }
}

async fn pages_hold_each_object_once_and_say_how_many_are_left(cluster: &Cluster) {
    let all: Vec<String> = (0..5).map(|number| format!("s{number}")).collect();
    for name in &all {
        cluster.post("secrets", json!({"metadata": {"name": name, "labels": {"a": "b"}}})).await.ok();
    }
    let mut seen = vec![];
    let mut token = String::new();
    for left in [json!(3), json!(1), Value::Null] {
        let page = cluster.get(&format!("secrets?limit=2&continue={token}")).await.ok();
        assert_eq!(page["metadata"]["remainingItemCount"], left);
        seen.extend(names(&page));
        token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        assert_eq!(token.is_empty(), left.is_null());
    }
    assert_eq!(seen, all);
    let selected = cluster.get("secrets?limit=2&labelSelector=a%3Db").await.ok();
    assert_eq!(selected["metadata"].get("remainingItemCount"), None, "unknown where there is a selector");
}

async fn a_broken_continue_token_is_a_bad_request(cluster: &Cluster) {
    cluster.get("configmaps?limit=1&continue=nonsense").await.refused(400, "BadRequest");
}

async fn a_list_does_not_hold_another_namespaces_objects(cluster: &Cluster) {
    let other = format!("{}-b", cluster.namespace);
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": other}})).await.ok();
    let inside = format!("/api/v1/namespaces/{other}/configmaps");
    cluster.post(&inside, config("there", "neighbour")).await.ok();
    cluster.post("configmaps", config("here", "neighbour")).await.ok();
    let query = "?labelSelector=part%3Dneighbour";
    assert_eq!(names(&cluster.get(&format!("configmaps{query}")).await.ok()), ["here"]);
    let everywhere = names(&cluster.get(&format!("/api/v1/configmaps{query}")).await.ok());
    assert!(["here", "there"].iter().all(|name| everywhere.contains(&(*name).to_owned())));
    cluster.get("configmaps/there").await.refused(404, "NotFound");
    cluster.delete(&format!("/api/v1/namespaces/{other}"), Value::Null).await.ok();
}

async fn a_list_names_its_kind_and_a_version(cluster: &Cluster) {
    let before = cluster.get("deployments").await.ok();
    assert_eq!(
        (&before["kind"], &before["apiVersion"], &before["items"]),
        (&json!("DeploymentList"), &json!("apps/v1"), &json!([]))
    );
    cluster.post("deployments", deployment(cluster, "web", 0)).await.ok();
    let after = cluster.get("deployments").await.ok();
    assert_ne!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
}

async fn a_table_has_the_columns_that_people_read(cluster: &Cluster) {
    cluster.post("deployments", deployment(cluster, "web", 1)).await.ok();
    cluster.post("configmaps", config("a", "x")).await.ok();
    cluster
        .post("services", json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}))
        .await
        .ok();
    let table = |path: &'static str| async move {
        let form = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
        let table = cluster.ask("GET", path, form, vec![]).await.ok();
        assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
        let shown = table["columnDefinitions"].as_array().unwrap().iter();
        let shown = shown.filter(|column| column["priority"] == 0);
        let columns: Vec<String> = shown.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (columns, table["rows"].clone())
    };
    let (columns, rows) = table("deployments").await;
    assert_eq!(columns, ["Name", "Ready", "Up-to-date", "Available", "Age"]);
    assert_eq!((rows[0]["cells"][0].as_str(), rows.as_array().unwrap().len()), (Some("web"), 1));
    assert!(rows[0]["cells"][1].as_str().unwrap().ends_with("/1"));
    assert_eq!(rows[0]["object"]["kind"], "PartialObjectMetadata");
    let (columns, _) = table("pods").await;
    assert_eq!(columns, ["Name", "Ready", "Status", "Restarts", "Age"]);
    let (columns, rows) = table("services").await;
    assert_eq!(columns, ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]);
    assert_eq!((&rows[0]["cells"][1], &rows[0]["cells"][3]), (&json!("ClusterIP"), &json!("<none>")));
    assert_eq!(rows[0]["cells"][4], "80/TCP");
    let (columns, rows) = table("/api/v1/nodes").await;
    assert_eq!(columns, ["Name", "Status", "Roles", "Age", "Version"]);
    // Others may be losing nodes of theirs.
    assert!(rows.as_array().unwrap().iter().any(|row| row["cells"][1] == "Ready"), "{rows}");
    let (columns, rows) = table("configmaps/a").await;
    assert_eq!(
        (columns, &rows[0]["cells"][1]),
        (vec!["Name".into(), "Data".into(), "Age".into()], &json!(1))
    );
}

async fn a_wide_table_shows_more(cluster: &Cluster) {
    cluster.post("deployments", deployment(cluster, "web", 0)).await.ok();
    let table = async |path: &str| {
        let form = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
        let table = cluster.ask("GET", path, form, vec![]).await.ok();
        let shown = table["columnDefinitions"].as_array().unwrap().iter();
        let wide = shown
            .filter(|column| column["priority"] == 1)
            .map(|one| one["name"].as_str().unwrap().to_owned());
        (wide.collect::<Vec<_>>(), table["rows"].clone())
    };
    let (wide, rows) = table("deployments").await;
    assert_eq!(wide, ["Containers", "Images", "Selector"]);
    assert_eq!((&rows[0]["cells"][5], &rows[0]["cells"][7]), (&json!("web"), &json!("app=web")));
    let (wide, _) = table("pods").await;
    assert_eq!(wide, ["IP", "Node", "Nominated Node", "Readiness Gates"]);
    let (wide, _) = table("/api/v1/nodes").await;
    assert_eq!(wide, ["Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"]);
}

async fn a_table_carries_whole_objects_where_they_are_asked_for(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let form = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let whole = cluster.ask("GET", "configmaps/a?includeObject=Object", form, vec![]).await.ok();
    assert_eq!(whole["rows"][0]["object"]["data"]["key"], "value");
    let none = cluster.ask("GET", "configmaps/a?includeObject=None", form, vec![]).await.ok();
    assert_eq!(none["rows"][0]["cells"][0], "a");
    assert!(none["rows"][0]["object"].is_null());
}

async fn only_metadata_is_read_where_only_that_is_asked_for(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "meta")).await.ok();
    let one = ("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let read = cluster.ask("GET", "configmaps/a", one, vec![]).await.ok();
    assert_eq!((&read["kind"], read.get("data")), (&json!("PartialObjectMetadata"), None));
    assert_eq!(read["metadata"]["labels"]["part"], "meta");
    let many = ("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let read = cluster.ask("GET", "configmaps?labelSelector=part%3Dmeta", many, vec![]).await.ok();
    assert_eq!((&read["kind"], names(&read)), (&json!("PartialObjectMetadataList"), vec!["a".to_owned()]));
    assert_eq!(read["items"][0].get("data"), None);
}

async fn a_version_of_the_future_is_too_large(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "x")).await.ok();
    let version = cluster.get("configmaps").await.ok()["metadata"]["resourceVersion"].clone();
    let future = version.as_str().unwrap().parse::<u64>().unwrap() + 1_000_000_000;
    for path in ["configmaps", "configmaps/a"] {
        let status = cluster.get(&format!("{path}?resourceVersion={future}")).await.refused(504, "Timeout");
        let message = status["message"].as_str().unwrap();
        let begins = format!("Timeout: Too large resource version: {future}, current: ");
        assert!(message.starts_with(&begins), "{message}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        assert_eq!(status["details"]["causes"], json!([cause]));
    }
    for version in ["0", version.as_str().unwrap()] {
        let path = format!("configmaps?labelSelector=part%3Dx&resourceVersion={version}");
        assert!(cluster.get(&path).await.ok()["items"].is_array());
    }
}

async fn a_version_that_is_no_number_is_a_bad_request(cluster: &Cluster) {
    let status = cluster.get("configmaps?resourceVersion=abc").await.refused(400, "BadRequest");
    let why = "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
    assert_eq!(status["message"], why);
}

async fn options_of_a_list_that_do_not_go_together_are_invalid(cluster: &Cluster) {
    for (query, field, reason) in [
        ("resourceVersionMatch=Exact", "resourceVersionMatch", "FieldValueForbidden"),
        ("resourceVersionMatch=Newest&resourceVersion=1", "resourceVersionMatch", "FieldValueNotSupported"),
        ("resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch", "FieldValueForbidden"),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=a",
            "resourceVersionMatch",
            "FieldValueForbidden",
        ),
        ("sendInitialEvents=true", "sendInitialEvents", "FieldValueForbidden"),
        ("watch=1&sendInitialEvents=true", "resourceVersionMatch", "FieldValueForbidden"),
        (
            "watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1",
            "resourceVersionMatch",
            "FieldValueForbidden",
        ),
        (
            "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
            "resourceVersionMatch",
            "FieldValueNotSupported",
        ),
    ] {
        cluster.get(&format!("configmaps?{query}")).await.invalid(reason, field);
    }
    for name in ["a", "b"] {
        cluster.post("configmaps", config(name, "x")).await.ok();
    }
    let first = cluster.get("configmaps?limit=1").await.ok()["metadata"].clone();
    let token = first["continue"].as_str().unwrap();
    let version = first["resourceVersion"].as_str().unwrap();
    let path = format!("configmaps?limit=1&continue={token}&resourceVersion={version}");
    let status = cluster.get(&path).await.refused(400, "BadRequest");
    assert_eq!(status["message"], "specifying resource version is not allowed when using continue");
}

async fn a_limit_below_one_is_none_and_one_that_is_no_number_is_a_bad_request(cluster: &Cluster) {
    for name in ["a", "b", "c"] {
        cluster.post("configmaps", config(name, "x")).await.ok();
    }
    for limit in ["0", "-1"] {
        let path = format!("configmaps?labelSelector=part%3Dx&limit={limit}");
        assert_eq!(names(&cluster.get(&path).await.ok()), ["a", "b", "c"], "{limit}");
    }
    let status = cluster.get("configmaps?limit=many").await.refused(400, "BadRequest");
    assert_eq!(status["message"], "strconv.ParseInt: parsing \"many\": invalid syntax");
}
