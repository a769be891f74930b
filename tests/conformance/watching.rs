//! Watching: events from a version on, what a selector lets through, bookmarks, and the end of a watch.

use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::rest::{MERGE, config};

behaviours!(
    a_watch_tells_the_changes_after_its_version_in_order,
    a_watch_from_no_version_begins_with_what_is_there,
    a_watch_hears_nothing_of_other_namespaces,
    what_begins_to_match_is_added_and_what_ceases_to_is_deleted,
    a_watch_of_one_name_hears_of_that_object_only,
    a_deletion_is_told_with_the_last_state_and_a_new_version,
    initial_events_end_with_a_marked_bookmark,
    initial_events_come_from_a_version_on_too_where_they_are_asked_for,
    a_watch_that_wants_no_initial_events_begins_with_what_comes,
    a_quiet_watch_hears_bookmarks_that_it_can_resume_from,
    a_watch_ends_at_its_timeout,
    a_watch_of_an_unknown_resource_is_not_found,
    a_finalizers_removal_is_told_as_the_deletion,
    a_watch_tells_in_the_form_that_its_list_has,
);

/// How long an event may take that must come.
const SOON: Duration = Duration::from_secs(30);

type Events = futures::stream::LocalBoxStream<'static, Value>;

/// Opens a watch of ConfigMaps.
async fn watch(cluster: &Cluster, query: &str) -> Events {
    watch_at(cluster, &cluster.path("configmaps"), query).await
}

async fn watch_at(cluster: &Cluster, path: &str, query: &str) -> Events {
    open(cluster, &format!("{path}?watch=true&timeoutSeconds=280&{query}")).await
}

async fn open(cluster: &Cluster, path: &str) -> Events {
    let request = http::Request::get(path).body(vec![]).unwrap();
    let lines = cluster.client.request_stream(request).await.unwrap().lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).boxed_local()
}

/// The next event: its type and the object's name.
async fn next(events: &mut Events) -> (String, String) {
    let event = timeout(SOON, events.next()).await.unwrap().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
}

/// The same, where a bookmark without the mark may come at any time, and is passed over.
async fn told(events: &mut Events) -> (String, String) {
    loop {
        let event = timeout(SOON, events.next()).await.unwrap().unwrap();
        let metadata = &event["object"]["metadata"];
        let kind = event["type"].as_str().unwrap_or_default();
        match (kind, metadata["annotations"]["k8s.io/initial-events-end"] == "true") {
            ("BOOKMARK", true) => return said(kind, "marked"),
            ("BOOKMARK", false) => {}
            (_, _) => return said(kind, metadata["name"].as_str().unwrap_or_default()),
        }
    }
}

fn said(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

/// The version of what there is now.
async fn now(cluster: &Cluster) -> String {
    cluster.get("configmaps").await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn a_watch_tells_the_changes_after_its_version_in_order(cluster: &Cluster) {
    cluster.post("configmaps", config("before", "w")).await.ok();
    let version = now(cluster).await;
    cluster.post("configmaps", config("a", "w")).await.ok();
    cluster.patch(MERGE, "configmaps/a", json!({"data": {"key": "2"}})).await.ok();
    let mut events = watch(cluster, &format!("labelSelector=part%3Dw&resourceVersion={version}")).await;
    assert_eq!(next(&mut events).await, said("ADDED", "a"));
    assert_eq!(next(&mut events).await, said("MODIFIED", "a"));
    cluster.delete("configmaps/before", Value::Null).await.ok();
    assert_eq!(next(&mut events).await, said("DELETED", "before"));
    cluster.post("configmaps", config("b", "w")).await.ok();
    assert_eq!(next(&mut events).await, said("ADDED", "b"));
}

async fn a_watch_from_no_version_begins_with_what_is_there(cluster: &Cluster) {
    for name in ["a", "b"] {
        cluster.post("configmaps", config(name, "w")).await.ok();
    }
    for query in ["labelSelector=part%3Dw", "labelSelector=part%3Dw&resourceVersion=0"] {
        let mut events = watch(cluster, query).await;
        let mut first = [next(&mut events).await, next(&mut events).await];
        first.sort();
        assert_eq!(first, [said("ADDED", "a"), said("ADDED", "b")]);
    }
}

async fn a_watch_hears_nothing_of_other_namespaces(cluster: &Cluster) {
    let other = format!("{}-w", cluster.namespace);
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": other}})).await.ok();
    // A label of its own: others may watch for theirs in the same cluster.
    let namespace = cluster.namespace.as_str();
    let version = now(cluster).await;
    let query = format!("labelSelector=part%3D{namespace}&resourceVersion={version}");
    let mut here = watch(cluster, &query).await;
    let mut everywhere = watch_at(cluster, "/api/v1/configmaps", &query).await;
    cluster.post(&format!("/api/v1/namespaces/{other}/configmaps"), config("there", namespace)).await.ok();
    cluster.post("configmaps", config("here", namespace)).await.ok();
    assert_eq!(next(&mut here).await, said("ADDED", "here"));
    assert_eq!(next(&mut everywhere).await, said("ADDED", "there"));
    assert_eq!(next(&mut everywhere).await, said("ADDED", "here"));
    cluster.delete(&format!("/api/v1/namespaces/{other}"), Value::Null).await.ok();
}

async fn what_begins_to_match_is_added_and_what_ceases_to_is_deleted(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "other")).await.ok();
    let version = now(cluster).await;
    let mut events = watch(cluster, &format!("labelSelector=part%3Dw&resourceVersion={version}")).await;
    for (label, kind) in [("w", "ADDED"), ("other", "DELETED"), ("w", "ADDED")] {
        cluster.patch(MERGE, "configmaps/a", json!({"metadata": {"labels": {"part": label}}})).await.ok();
        assert_eq!(next(&mut events).await, said(kind, "a"));
    }
    cluster.patch(MERGE, "configmaps/a", json!({"data": {"key": "2"}})).await.ok();
    assert_eq!(next(&mut events).await, said("MODIFIED", "a"));
}

async fn a_watch_of_one_name_hears_of_that_object_only(cluster: &Cluster) {
    let version = now(cluster).await;
    let mut events =
        watch(cluster, &format!("fieldSelector=metadata.name%3Db&resourceVersion={version}")).await;
    for name in ["a", "b", "c"] {
        cluster.post("configmaps", config(name, "w")).await.ok();
    }
    assert_eq!(next(&mut events).await, said("ADDED", "b"));
    cluster.delete("configmaps/b", Value::Null).await.ok();
    assert_eq!(next(&mut events).await, said("DELETED", "b"));
}

async fn a_deletion_is_told_with_the_last_state_and_a_new_version(cluster: &Cluster) {
    let made = cluster.post("configmaps", config("a", "w")).await.ok();
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = watch(cluster, &format!("labelSelector=part%3Dw&resourceVersion={version}")).await;
    cluster.delete("configmaps/a", Value::Null).await.ok();
    let event = timeout(SOON, events.next()).await.unwrap().unwrap();
    assert_eq!((&event["type"], &event["object"]["data"]), (&json!("DELETED"), &made["data"]));
    assert_ne!(event["object"]["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

async fn initial_events_end_with_a_marked_bookmark(cluster: &Cluster) {
    for name in ["a", "b"] {
        cluster.post("configmaps", config(name, "w")).await.ok();
    }
    let query = "labelSelector=part%3Dw&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = watch(cluster, query).await;
    let mut first = [told(&mut events).await, told(&mut events).await];
    first.sort();
    assert_eq!(first, [said("ADDED", "a"), said("ADDED", "b")]);
    assert_eq!(told(&mut events).await, said("BOOKMARK", "marked"));
    cluster.post("configmaps", config("c", "w")).await.ok();
    assert_eq!(told(&mut events).await, said("ADDED", "c"));
}

async fn initial_events_come_from_a_version_on_too_where_they_are_asked_for(cluster: &Cluster) {
    for name in ["a", "b"] {
        cluster.post("configmaps", config(name, "w")).await.ok();
    }
    let version = now(cluster).await;
    let query = format!(
        "labelSelector=part%3Dw&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true\
         &resourceVersion={version}"
    );
    let mut events = watch(cluster, &query).await;
    let mut first = [told(&mut events).await, told(&mut events).await];
    first.sort();
    assert_eq!(first, [said("ADDED", "a"), said("ADDED", "b")]);
    let mark = timeout(SOON, events.next()).await.unwrap().unwrap();
    let metadata = &mark["object"]["metadata"];
    assert_eq!(
        (&mark["type"], &metadata["annotations"]["k8s.io/initial-events-end"]),
        (&json!("BOOKMARK"), &json!("true"))
    );
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(number(metadata["resourceVersion"].as_str().unwrap()) >= number(&version), "{metadata}");
    cluster.post("configmaps", config("c", "w")).await.ok();
    assert_eq!(told(&mut events).await, said("ADDED", "c"));
}

async fn a_watch_that_wants_no_initial_events_begins_with_what_comes(cluster: &Cluster) {
    cluster.post("configmaps", config("before", "w")).await.ok();
    let query = "labelSelector=part%3Dw&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut events = watch(cluster, query).await;
    cluster.post("configmaps", config("after", "w")).await.ok();
    assert_eq!(next(&mut events).await, said("ADDED", "after"));
}

async fn a_quiet_watch_hears_bookmarks_that_it_can_resume_from(cluster: &Cluster) {
    let version = now(cluster).await;
    let query = format!("labelSelector=part%3Dw&allowWatchBookmarks=true&resourceVersion={version}");
    let mut events = watch(cluster, &query).await;
    let mark = timeout(Duration::from_secs(200), events.next()).await.unwrap().unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    let version = mark["object"]["metadata"]["resourceVersion"].as_str().unwrap();
    cluster.post("configmaps", config("a", "w")).await.ok();
    let mut again = watch(cluster, &format!("labelSelector=part%3Dw&resourceVersion={version}")).await;
    assert_eq!(next(&mut again).await, said("ADDED", "a"));
}

async fn a_watch_ends_at_its_timeout(cluster: &Cluster) {
    let path = format!("{}?watch=true&timeoutSeconds=2", cluster.path("secrets"));
    let events = open(cluster, &path).await;
    let all: Vec<Value> = timeout(SOON, events.collect()).await.unwrap();
    assert!(all.is_empty(), "{all:?}");
}

async fn a_watch_of_an_unknown_resource_is_not_found(cluster: &Cluster) {
    assert_eq!(cluster.get("/apis/shop.example/v1/baskets?watch=true").await.code, 404);
}

async fn a_finalizers_removal_is_told_as_the_deletion(cluster: &Cluster) {
    let mut held = config("a", "w");
    held["metadata"]["finalizers"] = json!(["drillmaster.dev/hold"]);
    cluster.post("configmaps", held).await.ok();
    let version = now(cluster).await;
    let mut events = watch(cluster, &format!("labelSelector=part%3Dw&resourceVersion={version}")).await;
    cluster.delete("configmaps/a", Value::Null).await.ok();
    assert_eq!(next(&mut events).await, said("MODIFIED", "a"));
    cluster.patch(MERGE, "configmaps/a", json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(next(&mut events).await, said("DELETED", "a"));
}

async fn a_watch_tells_in_the_form_that_its_list_has(cluster: &Cluster) {
    cluster.post("configmaps", config("a", "w")).await.ok();
    for (form, kind) in [("Table", "Table"), ("PartialObjectMetadata", "PartialObjectMetadata")] {
        let query = "watch=true&timeoutSeconds=2&labelSelector=part%3Dw";
        let request = http::Request::get(format!("{}?{query}", cluster.path("configmaps")))
            .header("accept", format!("application/json;as={form};v=v1;g=meta.k8s.io"));
        let mut lines = cluster.client.request_stream(request.body(vec![]).unwrap()).await.unwrap().lines();
        let line = timeout(SOON, lines.next()).await.unwrap().unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("ADDED"), &json!(kind)));
        let object = if kind == "Table" { &event["object"]["rows"][0]["object"] } else { &event["object"] };
        assert_eq!(object["metadata"]["name"], "a");
    }
}
