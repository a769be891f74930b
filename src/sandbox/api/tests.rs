//! The API as its users meet it: through `kube::Client`, in virtual time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, pin_mut};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::Eviction;
use kube::api::{
    Api, AttachParams, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::client;
use crate::model::effect::Resource;
use crate::model::time::At;
use crate::sandbox::clock::Clock;
use crate::sandbox::state::{Availability, Containers, Line, Pool, Printed, Ran, RegionState, Settings};
use crate::sandbox::store::{Key, Write};

fn region_that_remembers(changes: usize) -> Arc<RegionState> {
    RegionState::new(Settings {
        name: "east".into(),
        seed: 7,
        clock: Clock::new(Instant::now(), 1_767_225_600_000_000_000),
        services: Pool { network: "10.1.64.0".parse().unwrap(), prefix: 24 },
        remembered_changes: changes,
    })
}

fn region() -> (Arc<RegionState>, kube::Client) {
    let state = region_that_remembers(1000);
    (state.clone(), client(state))
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn config(name: &str, labels: Value) -> ConfigMap {
    object(json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}))
}

fn deployment() -> Deployment {
    object(
        json!({"metadata": {"name": "checkout"}, "spec": {"selector": {"matchLabels": {"app": "checkout"}},
        "template": {"metadata": {"labels": {"app": "checkout"}},
            "spec": {"containers": [{"name": "web", "image": "shop/web:1", "env": [{"name": "A", "value": "1"}]}]}}}}),
    )
}

fn pod() -> Pod {
    object(json!({"metadata": {"name": "ledger-0", "labels": {"app": "ledger"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "ledger", "image": "ledger:1"}]}}))
}

fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not refused by the API: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_created_is_read_back_with_its_defaults_and_metadata() {
    let (_, client) = region();
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let made = api.create(&PostParams::default(), &deployment()).await.unwrap();
    assert_eq!(api.get("checkout").await.unwrap(), made);
    let spec = made.spec.clone();
    assert_eq!((spec.replicas, spec.revision_history_limit), (Some(1), Some(10)));
    assert_eq!(spec.strategy.unwrap().type_.as_deref(), Some("RollingUpdate"));
    assert_eq!(made.metadata.generation, Some(1));
    let shown = serde_json::to_value(&made).unwrap();
    assert_eq!(shown["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(shown["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 30);

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let made = pods.create(&PostParams::default(), &pod()).await.unwrap();
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
    let services: Api<Service> = Api::default_namespaced(client);
    let service = object(json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}));
    let made = services.create(&PostParams::default(), &service).await.unwrap();
    assert!(made.spec.unwrap().cluster_ip.unwrap().starts_with("10.1.64."));
}

#[tokio::test(start_paused = true)]
async fn an_update_with_an_old_version_conflicts_and_one_without_changes_is_no_change() {
    let (state, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let first = api.create(&PostParams::default(), &config("c", json!({}))).await.unwrap();
    let mut next = first.clone();
    next.data.as_mut().unwrap().insert("a".into(), "2".into());
    let second = api.replace("c", &PostParams::default(), &next).await.unwrap();
    assert_ne!(second.metadata.resource_version, first.metadata.resource_version);
    let (code, reason, message) = refused(api.replace("c", &PostParams::default(), &next).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.starts_with("Operation cannot be fulfilled on configmaps \"c\""), "{message}");
    let version = state.read(|store| store.version());
    api.replace("c", &PostParams::default(), &second).await.unwrap();
    assert_eq!(state.read(|store| store.version()), version);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_patch_changes_what_it_names_and_the_generation_counts_the_spec() {
    let (_, client) = region();
    let api: Api<Deployment> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &deployment()).await.unwrap();
    let params = PatchParams::apply("drill");
    let merge = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let patched = api.patch("checkout", &params, &merge).await.unwrap();
    assert_eq!((patched.spec.replicas, patched.metadata.generation), (Some(3), Some(2)));
    let strategic = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "B", "value": "2"}]}]}}}});
    let patched = api.patch("checkout", &params, &Patch::Strategic(strategic)).await.unwrap();
    let container = patched.spec.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("shop/web:1"));
    assert_eq!(container.env.unwrap().len(), 2);
    let test = |value: u32| {
        let ops = json!([{"op": "test", "path": "/spec/replicas", "value": value},
            {"op": "replace", "path": "/spec/replicas", "value": 5}]);
        Patch::Json::<()>(serde_json::from_value(ops).unwrap())
    };
    assert_eq!(refused(api.patch("checkout", &params, &test(4)).await).0, 422);
    let patched = api.patch("checkout", &params, &test(3)).await.unwrap();
    assert_eq!(patched.spec.replicas, Some(5));
    let labelled = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"x": "y"}}});
    let patched = api.patch("checkout", &params, &Patch::Apply(labelled)).await.unwrap();
    assert_eq!(patched.metadata.generation, Some(4));
    let status = Patch::Merge(json!({"status": {"replicas": 2}, "spec": {"replicas": 9}}));
    let patched = api.patch_status("checkout", &params, &status).await.unwrap();
    assert_eq!((patched.spec.replicas, patched.status.unwrap().replicas), (Some(5), Some(2)));
    let fresh =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"k": "v"}});
    let maps: Api<ConfigMap> = Api::default_namespaced(api.into_client());
    assert!(maps.patch("n", &params, &Patch::Apply(fresh)).await.unwrap().metadata.uid.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_then_a_bookmark_each_minute_and_resumes_from_it() {
    let (_, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let params = WatchParams::default().labels("app=shop").timeout(280);
    let events = api.watch(&params, &from).await.unwrap().fuse();
    pin_mut!(events);
    let started = Instant::now();
    api.create(&PostParams::default(), &config("other", json!({}))).await.unwrap();
    api.create(&PostParams::default(), &config("c", json!({"app": "shop"}))).await.unwrap();
    let label = |app: &str| Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
    api.patch("c", &PatchParams::default(), &label("x")).await.unwrap();
    assert!(
        matches!(events.next().await, Some(Ok(WatchEvent::Added(c))) if c.metadata.name.as_deref() == Some("c"))
    );
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Deleted(_)))));
    let Some(Ok(WatchEvent::Bookmark(bookmark))) = events.next().await else { panic!("no bookmark") };
    assert_eq!(started.elapsed(), Duration::from_secs(60));
    api.patch("c", &PatchParams::default(), &label("shop")).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Added(_)))));
    let again = api.watch(&params, &bookmark.metadata.resource_version).await.unwrap();
    pin_mut!(again);
    assert!(matches!(again.next().await, Some(Ok(WatchEvent::Added(_)))));
    while events.next().await.is_some() {}
    assert_eq!(started.elapsed(), Duration::from_secs(280));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_version_gets_410_and_a_new_list_goes_on() {
    let state = region_that_remembers(3);
    let api: Api<ConfigMap> = Api::default_namespaced(client(state));
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    for number in 0..5 {
        api.create(&PostParams::default(), &config(&format!("c{number}"), json!({}))).await.unwrap();
    }
    let events = api.watch(&WatchParams::default(), &from).await.unwrap();
    pin_mut!(events);
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Error(status))) if status.code == 410));
    assert!(events.next().await.is_none());
    let list = api.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let events = api.watch(&WatchParams::default(), &version).await.unwrap();
    pin_mut!(events);
    assert!(events.next().now_or_never().is_none());
    api.delete("c0", &DeleteParams::default()).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Deleted(_)))));
}

#[tokio::test(start_paused = true)]
async fn selectors_and_pages_list_what_they_name_once_each() {
    let (_, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    for number in 0..7 {
        let labels = json!({"parity": if number % 2 == 0 { "even" } else { "odd" }});
        api.create(&PostParams::default(), &config(&format!("c{number}"), labels)).await.unwrap();
    }
    let names = |list: &kube::api::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.iter().filter_map(|item| item.metadata.name.clone()).collect()
    };
    let odd = api.list(&ListParams::default().labels("parity in (odd)")).await.unwrap();
    assert_eq!(names(&odd), ["c1", "c3", "c5"]);
    let one = api.list(&ListParams::default().fields("metadata.name=c2")).await.unwrap();
    assert_eq!(names(&one), ["c2"]);
    let mut params = ListParams::default().limit(2).labels("parity=even");
    let mut seen = Vec::new();
    loop {
        let page = api.list(&params).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(names(&page));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(seen, ["c0", "c2", "c4", "c6"]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_as_if_and_stores_nothing() {
    let (state, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let version = || state.read(|store| store.version());
    let before = version();
    assert!(api.create(&dry, &config("c", json!({}))).await.unwrap().metadata.uid.is_some());
    assert_eq!(refused(api.get("c").await).0, 404);
    assert_eq!(version(), before);
    api.create(&PostParams::default(), &config("c", json!({}))).await.unwrap();
    let before = version();
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patched = api.patch("c", &params, &Patch::Merge(json!({"data": {"a": "2"}}))).await.unwrap();
    assert_eq!(patched.data.unwrap()["a"], "2");
    api.delete("c", &DeleteParams::default().dry_run()).await.unwrap();
    assert_eq!(version(), before);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_kubernetes_own_status_objects() {
    let (_, client) = region();
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let (code, reason, message) = refused(api.get("none").await);
    assert_eq!((code, reason.as_str()), (404, "NotFound"));
    assert_eq!(message, "deployments.apps \"none\" not found");
    let mut unselected = deployment();
    unselected.spec.selector.match_labels.as_mut().unwrap().insert("app".into(), "x".into());
    let (code, reason, message) = refused(api.create(&PostParams::default(), &unselected).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(
        message.starts_with("Deployment.apps \"checkout\" is invalid: spec.template.metadata.labels"),
        "{message}"
    );
    let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let (_, _, message) = refused(nowhere.create(&PostParams::default(), &config("c", json!({}))).await);
    assert_eq!(message, "namespaces \"nowhere\" not found");
    let here: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let (code, _, _) = refused(here.create(&PostParams::default(), &config("No/Name", json!({}))).await);
    assert_eq!(code, 422);
    here.create(&PostParams::default(), &config("c", json!({}))).await.unwrap();
    let (code, reason, _) = refused(here.create(&PostParams::default(), &config("c", json!({}))).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    for body in ["[]", "{\"metadata\": 3}", "nonsense", "{\"spec\": [1], \"metadata\": {\"name\": \"p\"}}"] {
        let request = http::Request::post("/api/v1/namespaces/default/pods").body(body.into()).unwrap();
        let (code, _, _) = refused(client.request::<Value>(request).await);
        assert!((400..500).contains(&code), "{body}: {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_over_the_budget_is_refused_with_429_and_one_within_it_takes_from_it() {
    let (state, client) = region();
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &pod()).await.unwrap();
    let key = |resource: Resource, name: &str| Key::new(&resource, Some("default"), name);
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let budget = json!({"metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "ledger"}}}});
    let allow = |allowed: u32| Write::Status {
        key: key(Resource::disruption_budgets(), "b"),
        status: json!({"disruptionsAllowed": allowed, "observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1}),
    };
    let writes = [
        Write::Status { key: key(Resource::pods(), "ledger-0"), status: ready },
        Write::Create { resource: Resource::disruption_budgets(), object: budget },
        allow(0),
    ];
    assert!(state.write(|store| store.apply(&writes)).is_empty());
    let eviction: Eviction = object(json!({"metadata": {"name": "ledger-0"}}));
    let evict = || {
        let body = serde_json::to_vec(&eviction).unwrap();
        let request = http::Request::post("/api/v1/namespaces/default/pods/ledger-0/eviction");
        client.request::<Value>(request.body(body).unwrap())
    };
    let (code, reason, message) = refused(evict().await);
    assert_eq!((code, reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(message, "Cannot evict pod as it would violate the pod's disruption budget.");
    // Allowed, but counted before the budget's spec changed.
    let stale =
        json!({"disruptionsAllowed": 1, "observedGeneration": 0, "currentHealthy": 1, "desiredHealthy": 1});
    let writes = [Write::Status { key: key(Resource::disruption_budgets(), "b"), status: stale }];
    assert!(state.write(|store| store.apply(&writes)).is_empty());
    assert_eq!(refused(evict().await).0, 429);
    state.write(|store| store.apply(&[allow(1)]));
    evict().await.unwrap();
    let budget = state.read(|store| store.get(&key(Resource::disruption_budgets(), "b")).cloned()).unwrap();
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    let pod = api.get("ledger-0").await.unwrap();
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(30));
    state.write(|store| store.apply(&[Write::Remove { key: key(Resource::pods(), "ledger-0") }]));
    assert_eq!(refused(api.get("ledger-0").await).0, 404);
}

struct Echo;

impl Containers for Echo {
    fn exec<'a>(
        &'a self,
        _: &'a Value,
        container: Option<&'a str>,
        argv: &'a [String],
    ) -> BoxFuture<'a, io::Result<Ran>> {
        let stdout = format!("{}: {}", container.unwrap_or("-"), argv.join(" "));
        let code = if argv[0] == "fail" { 3 } else { 0 };
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Ran { stdout: stdout.into_bytes(), stderr: b"noise".to_vec(), code })
        }
        .boxed()
    }

    fn logs(&self, _: &Value, _: &str, _: bool, _: bool) -> io::Result<Printed> {
        let line = |text: &str| Line { at: At(0), text: text.to_owned() };
        Ok(Printed { so_far: ["one", "two", "three"].map(line).into(), more: None })
    }
}

#[tokio::test(start_paused = true)]
async fn exec_carries_output_and_exit_status_and_a_log_its_last_lines() {
    let (state, client) = region();
    state.set_containers(Arc::new(Echo));
    let api: Api<Pod> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &pod()).await.unwrap();
    for (command, status) in [("say", "Success"), ("fail", "Failure")] {
        let params = AttachParams::default().container("ledger");
        let mut attached = api.exec("ledger-0", [command, "hello you"], &params).await.unwrap();
        let mut out = String::new();
        let mut stdout = attached.stdout().unwrap();
        let ended = attached.take_status().unwrap();
        stdout.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, format!("ledger: {command} hello you"));
        let ended = ended.await.unwrap();
        assert_eq!(ended.status.as_deref(), Some(status));
        if command == "fail" {
            let cause = ended.details.unwrap().causes.unwrap().remove(0);
            assert_eq!((cause.reason.as_deref(), cause.message.as_deref()), (Some("ExitCode"), Some("3")));
        }
        attached.join().await.unwrap();
    }
    let running = json!([{"name": "ledger", "state": {"running": {}}}]);
    let status = json!({"phase": "Running", "containerStatuses": running});
    let key = Key::new(&Resource::pods(), Some("default"), "ledger-0");
    assert!(state.write(|store| store.apply(&[Write::Status { key, status }])).is_empty());
    let params = kube::api::LogParams { tail_lines: Some(2), ..Default::default() };
    assert_eq!(api.logs("ledger-0", &params).await.unwrap(), "two\nthree\n");
}

#[tokio::test(start_paused = true)]
async fn the_scale_subresource_reads_and_sets_replicas() {
    let (_, client) = region();
    let api: Api<Deployment> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &deployment()).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let scale = api.patch_scale("checkout", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
    assert_eq!(api.get("checkout").await.unwrap().spec.replicas, Some(4));
    let negative = Patch::Merge(json!({"spec": {"replicas": -1}}));
    assert_eq!(refused(api.patch_scale("checkout", &PatchParams::default(), &negative).await).0, 422);
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_a_deleted_object_until_they_are_gone() {
    let (_, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let mut held = config("c", json!({}));
    held.metadata.finalizers = Some(vec!["drillmaster.dev/x".into()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    assert!(api.delete("c", &DeleteParams::default()).await.unwrap().is_left());
    assert!(api.get("c").await.unwrap().metadata.deletion_timestamp.is_some());
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("c", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(refused(api.get("c").await).0, 404);
    api.create(&PostParams::default(), &config("c", json!({}))).await.unwrap();
    let other = DeleteParams {
        preconditions: Some(kube::api::Preconditions { uid: Some("other".into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(refused(api.delete("c", &other).await).0, 409);
    assert!(api.delete("c", &DeleteParams::default()).await.unwrap().is_right());
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_deleted_by_its_selector_only() {
    let (_, client) = region();
    let api: Api<Secret> = Api::default_namespaced(client);
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let secret = json!({"metadata": {"name": name, "labels": {"l": label}}, "stringData": {"k": "v"}});
        let made = api.create(&PostParams::default(), &object(secret)).await.unwrap();
        assert_eq!(made.data.unwrap()["k"].0, b"v");
    }
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("l=x")).await.unwrap();
    let left = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().filter_map(|each| each.metadata.name.as_deref()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_custom_resource_is_served_once_it_is_declared_and_discovered_with_the_rest() {
    let (_, client) = region();
    let kind = ApiResource {
        group: "shop.example".into(),
        version: "v1".into(),
        api_version: "shop.example/v1".into(),
        kind: "Basket".into(),
        plural: "baskets".into(),
    };
    let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &kind);
    assert_eq!(refused(api.list(&ListParams::default()).await).0, 404);
    let definitions: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            plural: "customresourcedefinitions".into(),
        },
    );
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "baskets.shop.example"}, "spec": {"group": "shop.example", "scope": "Namespaced",
        "names": {"plural": "baskets", "kind": "Basket"}, "versions": [{"name": "v1", "served": true, "storage": true}]}});
    definitions.create(&PostParams::default(), &object(definition)).await.unwrap();
    let basket = json!({"apiVersion": "shop.example/v1", "kind": "Basket", "metadata": {"name": "b"}, "spec": {"n": 1}});
    api.create(&PostParams::default(), &object(basket)).await.unwrap();
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let listed = client.list_api_group_resources("shop.example/v1").await.unwrap();
    assert_eq!(listed.resources[0].name, "baskets");
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    assert!(
        client
            .list_core_api_resources("v1")
            .await
            .unwrap()
            .resources
            .iter()
            .any(|one| one.name == "pods/exec")
    );
}

#[tokio::test(start_paused = true)]
async fn everybody_may_do_everything() {
    use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
    let (_, client) = region();
    let api: Api<SelfSubjectAccessReview> = Api::all(client);
    let review = object(
        json!({"metadata": {}, "spec": {"resourceAttributes": {"verb": "delete", "resource": "pods"}}}),
    );
    assert!(api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed);
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_hangs_until_the_callers_timeout_and_a_failing_server_says_so() {
    let (state, client) = region();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let events = api.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap();
    pin_mut!(events);
    state.set_availability(Availability::BlackHole);
    let started = Instant::now();
    assert!(timeout(Duration::from_millis(2_500), api.list(&ListParams::default())).await.is_err());
    assert_eq!(started.elapsed(), Duration::from_millis(2_500));
    let lost = api.create(&PostParams::default(), &config("c", json!({}))).now_or_never();
    assert!(lost.is_none());
    let resource = Resource::config_maps();
    let object = json!({"metadata": {"name": "d", "namespace": "default"}});
    state.write(|store| store.apply(&[Write::Create { resource, object }]));
    assert!(timeout(Duration::from_secs(5), events.next()).await.is_err());
    state.set_availability(Availability::Up);
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Added(_)))));
    let names = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(names.items.len(), 1, "a request whose caller gave up was done all the same");
    state.set_availability(Availability::Failing(503));
    assert_eq!(refused(api.list(&ListParams::default()).await).0, 503);
    assert!(events.next().await.is_none());
}

/// Several clients at once, in one region: every byte that they were told.
async fn transcript() -> String {
    let (state, first) = region();
    let second = client(state.clone());
    let watched: Api<ConfigMap> = Api::default_namespaced(second.clone());
    let params = WatchParams::default().timeout(100);
    let events =
        watched.watch(&params, "0").await.unwrap().map(|event| format!("{event:?}")).collect::<Vec<_>>();
    let writes = async {
        let api: Api<ConfigMap> = Api::default_namespaced(first);
        for number in 0..20 {
            let made = config(&format!("c{number}"), json!({}));
            let other = config(&format!("d{number}"), json!({}));
            let other_api: Api<ConfigMap> = Api::default_namespaced(second.clone());
            let params = PostParams::default();
            let (a, b) = futures::join!(api.create(&params, &made), other_api.create(&params, &other));
            assert!(a.is_ok() && b.is_ok());
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    };
    let (events, ()) = futures::join!(events, writes);
    let objects = state.read(|store| {
        store.list("", "configmaps", None).map(|(_, each)| each.to_string()).collect::<Vec<_>>()
    });
    format!("{events:?}{objects:?}")
}

#[test]
fn the_same_run_twice_gives_the_same_bytes() {
    let run = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(transcript())
    };
    let first = run();
    assert!(first.contains("c19"));
    assert_eq!(first, run());
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_healthy_node_is_fresh_whenever_somebody_reads_it_and_nothing_writes_it() {
    use k8s_openapi::api::coordination::v1::Lease;
    let (state, client) = region();
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let lease =
        json!({"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}});
    leases.create(&PostParams::default(), &object(lease)).await.unwrap();
    let version = state.read(|store| store.version());
    tokio::time::advance(Duration::from_secs(3600)).await;
    let read = leases.get("n1").await.unwrap();
    let listed = leases.list(&ListParams::default()).await.unwrap().items.remove(0);
    assert_eq!(read, listed);
    let renewed = read.spec.unwrap().renew_time.unwrap().0.as_second();
    let now = 1_767_225_600 + 3600;
    assert!((now - 10..=now).contains(&renewed), "{renewed} at {now}");
    assert_eq!(state.read(|store| store.version()), version);
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_has_and_the_sandbox_does_not_simulate_is_said_in_words() {
    let (_, client) = region();
    for (method, path, what) in [
        ("POST", "pods/a/portforward", "pods/portforward"),
        ("GET", "pods/a/attach", "pods/attach"),
        ("PATCH", "pods/a/ephemeralcontainers", "pods/ephemeralcontainers"),
        ("GET", "services/a:80/proxy/health/live", "services/proxy"),
        ("POST", "serviceaccounts/a/token", "serviceaccounts/token"),
    ] {
        let path = format!("/api/v1/namespaces/default/{path}");
        let request = http::Request::builder().method(method).uri(path).body(vec![]).unwrap();
        let Err(kube::Error::Api(status)) = client.request::<Value>(request).await else { panic!("{what}") };
        assert_eq!((status.code, status.reason.as_str()), (405, "MethodNotAllowed"), "{what}");
        assert_eq!(status.message, format!("the sandbox does not simulate {what}"));
    }
    let unknown = http::Request::get("/api/v1/namespaces/default/configmaps/a/proxy").body(vec![]).unwrap();
    let Err(kube::Error::Api(status)) = client.request::<Value>(unknown).await else {
        panic!("no such path")
    };
    assert_eq!(status.code, 404);
}

#[tokio::test(start_paused = true)]
async fn nobody_acts_in_the_name_of_somebody_else() {
    let (_, client) = region();
    for header in ["Impersonate-User", "Impersonate-Group", "Impersonate-Extra-scopes"] {
        let request = http::Request::get("/api/v1/pods").header(header, "eve");
        let request = request.body(kube::client::Body::empty()).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status(), 403, "{header}");
    }
}
