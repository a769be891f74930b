//! Custom resources: what a definition declares is served, checked, pruned and defaulted as it says.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::rest::{APPLY, Answer, MERGE, STRATEGIC, names};
use crate::workloads::condition;

behaviours!(
    a_defined_kind_is_served_once_it_is_established,
    a_defined_kind_is_discovered_with_its_names_and_subresources,
    a_definition_says_its_names_and_in_which_versions_objects_are_stored,
    a_definition_has_the_name_of_what_it_defines,
    a_version_that_is_not_served_is_not_found,
    fields_that_the_schema_does_not_know_are_pruned,
    a_strict_write_refuses_what_would_be_pruned,
    an_object_against_its_schema_is_invalid,
    a_schemas_defaults_are_filled_in,
    a_status_subresource_parts_status_from_spec,
    without_a_status_subresource_one_write_changes_everything,
    a_declared_scale_sets_the_replicas_that_it_names,
    a_custom_object_has_no_strategic_merge,
    a_table_of_custom_objects_has_the_columns_of_its_definition,
    a_custom_list_is_applied_by_the_keys_that_its_schema_declares,
    deleting_a_definition_deletes_its_objects_and_ends_its_serving,
    the_stable_version_of_a_kind_is_preferred_and_an_object_is_read_by_each,
);

/// A definition of baskets in a group of the behaviour's own, and the path of their collection.
async fn baskets(cluster: &Cluster, subresources: Value) -> Baskets<'_> {
    let item = json!({"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}}});
    let spec = json!({"type": "object", "required": ["owner"], "properties": {
        "owner": {"type": "string", "minLength": 1},
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "replicas": {"type": "integer"},
        "tags": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "limits": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    }});
    let status = json!({"type": "object", "properties": {
        "phase": {"type": "string"}, "replicas": {"type": "integer"}, "selector": {"type": "string"}}});
    let schema =
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}});
    let group = format!("{}.example", cluster.namespace);
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": format!("baskets.{group}")}, "spec": {"group": group, "scope": "Namespaced",
    "names": {"plural": "baskets", "singular": "basket", "kind": "Basket", "shortNames": ["bsk"]},
    "versions": [
        {"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": subresources,
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Colour", "type": "string", "jsonPath": ".spec.colour", "priority": 1},
                {"name": "First", "type": "string", "jsonPath": ".spec.items[?(@.name==\"a\")].name"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]},
        {"name": "v0", "served": false, "storage": false, "schema": schema},
    ]}});
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.post(all, definition).await.ok();
    let own = format!("{all}/baskets.{group}");
    let path = format!("/apis/{group}/v1/namespaces/{}/baskets", cluster.namespace);
    let served = async || {
        let definition = cluster.get(&own).await.ok();
        let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let established =
            conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True");
        (established && cluster.get(&path).await.code == 200).then_some(())
    };
    cluster.eventually("the definition is served", served).await;
    Baskets { cluster, group, own, path }
}

struct Baskets<'a> {
    cluster: &'a Cluster,
    group: String,
    /// The definition's path.
    own: String,
    path: String,
}

impl Baskets<'_> {
    fn object(&self, name: &str, spec: Value) -> Value {
        json!({"apiVersion": format!("{}/v1", self.group), "kind": "Basket",
            "metadata": {"name": name}, "spec": spec})
    }

    async fn post(&self, query: &str, spec: Value) -> Answer {
        self.cluster.post(&format!("{}{query}", self.path), self.object("b", spec)).await
    }

    fn one(&self) -> String {
        format!("{}/b", self.path)
    }

    /// Definitions stand in no namespace, so that nobody else clears them away.
    async fn end(&self) {
        self.cluster.delete(&self.own, Value::Null).await.ok();
    }
}

async fn a_defined_kind_is_served_once_it_is_established(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let made = baskets.post("", json!({"owner": "me"})).await.ok();
    assert_eq!((&made["kind"], &made["metadata"]["generation"]), (&json!("Basket"), &json!(1)));
    let listed = cluster.get(&baskets.path).await.ok();
    assert_eq!((&listed["kind"], names(&listed)), (&json!("BasketList"), vec!["b".to_owned()]));
    let patch = json!({"spec": {"owner": "you"}});
    let patched = cluster.patch(MERGE, &baskets.one(), patch).await.ok();
    assert_eq!((&patched["spec"]["owner"], &patched["metadata"]["generation"]), (&json!("you"), &json!(2)));
    cluster.delete(&baskets.one(), Value::Null).await.ok();
    cluster.get(&baskets.one()).await.refused(404, "NotFound");
    baskets.end().await;
}

async fn a_defined_kind_is_discovered_with_its_names_and_subresources(cluster: &Cluster) {
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
    let baskets = baskets(cluster, json!({"status": {}, "scale": scale})).await;
    let listed = cluster.get(&format!("/apis/{}/v1", baskets.group)).await.ok();
    let resources = listed["resources"].as_array().unwrap();
    let named = |name: &str| resources.iter().find(|one| one["name"] == name).unwrap();
    let main = named("baskets");
    assert_eq!((&main["kind"], &main["singularName"]), (&json!("Basket"), &json!("basket")));
    assert_eq!((&main["shortNames"], &main["namespaced"]), (&json!(["bsk"]), &json!(true)));
    assert_eq!(named("baskets/status")["kind"], "Basket");
    assert_eq!(named("baskets/scale")["kind"], "Scale");
    let groups = cluster.get("/apis").await.ok();
    let groups = groups["groups"].as_array().unwrap();
    assert!(groups.iter().any(|group| group["name"] == json!(baskets.group)));
    baskets.end().await;
}

async fn a_definition_says_its_names_and_in_which_versions_objects_are_stored(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let definition = cluster.get(&baskets.own).await.ok();
    let names = json!({"plural": "baskets", "singular": "basket", "kind": "Basket", "listKind": "BasketList",
        "shortNames": ["bsk"]});
    let status = &definition["status"];
    assert_eq!(
        (&definition["spec"]["names"], &definition["spec"]["conversion"]),
        (&names, &json!({"strategy": "None"}))
    );
    assert_eq!((&status["acceptedNames"], &status["storedVersions"]), (&names, &json!(["v1"])));
    for (kind, reason, message) in [
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ] {
        let said = condition(&definition, kind);
        assert_eq!(
            (&said["status"], &said["reason"], &said["message"]),
            (&json!("True"), &json!(reason), &json!(message))
        );
        assert!(said["lastTransitionTime"].is_string(), "{said}");
    }
    let mut versions = definition["spec"]["versions"].clone();
    versions[0]["storage"] = json!(false);
    versions[1]["storage"] = json!(true);
    cluster.patch(MERGE, &baskets.own, json!({"spec": {"versions": versions}})).await.ok();
    let definition = cluster.get(&baskets.own).await.ok();
    assert_eq!(definition["status"]["storedVersions"], json!(["v1", "v0"]));
}

async fn a_definition_has_the_name_of_what_it_defines(cluster: &Cluster) {
    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object"}}});
    let definition = json!({"metadata": {"name": "wrong.shop.example"}, "spec": {"group": "shop.example",
        "scope": "Cluster", "names": {"plural": "toys", "kind": "Toy"}, "versions": [version]}});
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.post(all, definition).await.invalid("FieldValueInvalid", "metadata.name");
}

async fn a_version_that_is_not_served_is_not_found(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    assert_eq!(cluster.get(&baskets.path.replace("/v1/", "/v0/")).await.code, 404);
    assert_eq!(cluster.get(&format!("{}/status", baskets.one())).await.code, 404);
    assert_eq!(cluster.get(&format!("{}/scale", baskets.one())).await.code, 404);
    baskets.end().await;
}

async fn fields_that_the_schema_does_not_know_are_pruned(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let spec = json!({"owner": "me", "unknown": 1, "free": {"any": {"thing": [1]}}, "limits": {"a": "1"},
        "items": [{"name": "x", "unknown": 1}]});
    let made = baskets.post("", spec).await.ok();
    assert_eq!(made["spec"].get("unknown"), None);
    assert_eq!(
        (&made["spec"]["free"], &made["spec"]["limits"]),
        (&json!({"any": {"thing": [1]}}), &json!({"a": "1"}))
    );
    assert_eq!(made["spec"]["items"], json!([{"name": "x", "count": 1}]));
    baskets.end().await;
}

async fn a_strict_write_refuses_what_would_be_pruned(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let answer = baskets.post("?fieldValidation=Strict", json!({"owner": "me", "unknown": 1})).await;
    let status = answer.refused(400, "BadRequest");
    let why = r#"strict decoding error: unknown field "spec.unknown""#;
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    baskets.end().await;
}

async fn an_object_against_its_schema_is_invalid(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    for (spec, reason, field) in [
        (json!({}), "FieldValueRequired", "spec.owner"),
        (json!({"owner": 3}), "FieldValueTypeInvalid", "spec.owner"),
        (json!({"owner": "me", "size": 10}), "FieldValueInvalid", "spec.size"),
        (json!({"owner": "me", "size": 0}), "FieldValueInvalid", "spec.size"),
        (json!({"owner": "me", "colour": "green"}), "FieldValueNotSupported", "spec.colour"),
        (json!({"owner": "me", "code": "A1"}), "FieldValueInvalid", "spec.code"),
        (json!({"owner": "me", "tags": ["a", "b", "c", "d"]}), "FieldValueTooMany", "spec.tags"),
        (json!({"owner": "me", "items": [{"count": 2}]}), "FieldValueRequired", "spec.items[0].name"),
        (
            json!({"owner": "me", "items": [{"name": "x"}, {"name": "x"}]}),
            "FieldValueDuplicate",
            "spec.items[1]",
        ),
    ] {
        baskets.post("", spec).await.invalid(reason, field);
    }
    baskets.post("", json!({"owner": "me", "size": 9})).await.ok();
    let patch = json!({"spec": {"size": 11}});
    cluster.patch(MERGE, &baskets.one(), patch).await.invalid("FieldValueInvalid", "spec.size");
    baskets.end().await;
}

async fn a_schemas_defaults_are_filled_in(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let made = baskets.post("", json!({"owner": "me", "items": [{"name": "x"}]})).await.ok();
    assert_eq!((&made["spec"]["colour"], &made["spec"]["items"][0]["count"]), (&json!("red"), &json!(1)));
    let patch = json!({"spec": {"colour": null}});
    assert_eq!(cluster.patch(MERGE, &baskets.one(), patch).await.ok()["spec"]["colour"], "red");
    baskets.end().await;
}

async fn a_status_subresource_parts_status_from_spec(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({"status": {}})).await;
    let mut object = baskets.object("b", json!({"owner": "me"}));
    object["status"] = json!({"phase": "early"});
    let made = cluster.post(&baskets.path, object).await.ok();
    assert_eq!(made.get("status"), None);
    let both = json!({"spec": {"owner": "you"}, "status": {"phase": "late"}});
    let main = cluster.patch(MERGE, &baskets.one(), both).await.ok();
    assert_eq!((&main["spec"]["owner"], main.get("status")), (&json!("you"), None));
    let both =
        json!({"spec": {"owner": "they"}, "status": {"phase": "late"}, "metadata": {"labels": {"a": "b"}}});
    let status = cluster.patch(MERGE, &format!("{}/status", baskets.one()), both).await.ok();
    assert_eq!((&status["spec"]["owner"], &status["status"]["phase"]), (&json!("you"), &json!("late")));
    assert_eq!((&status["metadata"]["generation"], status["metadata"].get("labels")), (&json!(2), None));
    baskets.end().await;
}

async fn without_a_status_subresource_one_write_changes_everything(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let mut object = baskets.object("b", json!({"owner": "me"}));
    object["status"] = json!({"phase": "early"});
    let made = cluster.post(&baskets.path, object).await.ok();
    assert_eq!((&made["status"]["phase"], &made["metadata"]["generation"]), (&json!("early"), &json!(1)));
    let patched = cluster.patch(MERGE, &baskets.one(), json!({"status": {"phase": "late"}})).await.ok();
    assert_eq!(
        (&patched["status"]["phase"], &patched["metadata"]["generation"]),
        (&json!("late"), &json!(2))
    );
    baskets.end().await;
}

async fn a_declared_scale_sets_the_replicas_that_it_names(cluster: &Cluster) {
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector"});
    let baskets = baskets(cluster, json!({"status": {}, "scale": scale})).await;
    baskets.post("", json!({"owner": "me", "replicas": 1})).await.ok();
    let status = json!({"status": {"replicas": 4, "selector": "app=b"}});
    cluster.patch(MERGE, &format!("{}/status", baskets.one()), status).await.ok();
    let path = format!("{}/scale", baskets.one());
    let scale = cluster.get(&path).await.ok();
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]),
        (&json!(1), &json!({"replicas": 4, "selector": "app=b"}))
    );
    let patched = cluster.patch(MERGE, &path, json!({"spec": {"replicas": 3}})).await.ok();
    assert_eq!(patched["spec"]["replicas"], 3);
    assert_eq!(cluster.get(&baskets.one()).await.ok()["spec"]["replicas"], 3);
    baskets.end().await;
}

async fn a_custom_object_has_no_strategic_merge(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    baskets.post("", json!({"owner": "me"})).await.ok();
    let answer = cluster.patch(STRATEGIC, &baskets.one(), json!({"spec": {"owner": "you"}})).await;
    answer.refused(415, "UnsupportedMediaType");
    baskets.end().await;
}

async fn a_custom_list_is_applied_by_the_keys_that_its_schema_declares(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let path = |manager: &str| format!("{}?fieldManager={manager}", baskets.one());
    let one = json!({"owner": "me", "items": [{"name": "x", "count": 2}], "tags": ["a"]});
    cluster.patch(APPLY, &path("one"), baskets.object("b", one)).await.ok();
    let two = json!({"owner": "me", "items": [{"name": "y", "count": 3}]});
    let both = cluster.patch(APPLY, &path("two"), baskets.object("b", two)).await.ok();
    assert_eq!(both["spec"]["items"], json!([{"name": "x", "count": 2}, {"name": "y", "count": 3}]));
    let tags = json!({"owner": "me", "tags": ["b"]});
    let status = cluster.patch(APPLY, &path("two"), baskets.object("b", tags)).await.refused(409, "Conflict");
    assert_eq!(status["details"]["causes"][0]["field"], ".spec.tags");
    baskets.end().await;
}

async fn deleting_a_definition_deletes_its_objects_and_ends_its_serving(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    baskets.post("", json!({"owner": "me"})).await.ok();
    baskets.end().await;
    let gone = async || (cluster.get(&baskets.own).await.code == 404).then_some(());
    cluster.eventually("the definition is gone", gone).await;
    let unserved = async || (cluster.get(&baskets.path).await.code == 404).then_some(());
    cluster.eventually("its kind is no longer served", unserved).await;
    let again = self::baskets(cluster, json!({})).await;
    assert_eq!(names(&cluster.get(&again.path).await.ok()), [""; 0]);
    again.end().await;
}

async fn a_table_of_custom_objects_has_the_columns_of_its_definition(cluster: &Cluster) {
    let baskets = baskets(cluster, json!({})).await;
    let spec = json!({"owner": "me", "size": 3, "items": [{"name": "b"}, {"name": "a"}]});
    baskets.post("", spec).await.ok();
    let form = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let table = cluster.ask("GET", &baskets.path, form, vec![]).await.ok();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Size", "Colour", "First", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..4], [json!("b"), json!(3), json!("red"), json!("a")]);
    assert!(cells[4].as_str().unwrap().ends_with('s'));
    baskets.end().await;
}

async fn the_stable_version_of_a_kind_is_preferred_and_an_object_is_read_by_each(cluster: &Cluster) {
    let group = format!("versions.{}.example", cluster.namespace);
    let version = |name: &str, storage: bool| {
        let schema =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        json!({"name": name, "served": true, "storage": storage, "schema": schema})
    };
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("jars.{group}")}, "spec": {"group": group, "scope": "Namespaced",
        "names": {"plural": "jars", "singular": "jar", "kind": "Jar"},
        "versions": [version("v1", true), version("v1beta1", false), version("v2alpha1", false)]}});
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.post(all, definition).await.ok();
    let served = cluster
        .eventually("the group", async || {
            let found = cluster.get(&format!("/apis/{group}")).await;
            Some(found.body).filter(|body| body["versions"].as_array().is_some_and(|all| all.len() == 3))
        })
        .await;
    assert_eq!(served["preferredVersion"]["version"], "v1");
    let names: Vec<&Value> =
        served["versions"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(names, ["v1", "v1beta1", "v2alpha1"]);
    let path = |version: &str| format!("/apis/{group}/{version}/namespaces/{}/jars", cluster.namespace);
    let jar = json!({"apiVersion": format!("{group}/v1beta1"), "kind": "Jar", "metadata": {"name": "a"}, "size": 3});
    cluster
        .eventually("its serving", async || {
            let answer = cluster.post(&path("v1beta1"), jar.clone()).await;
            (answer.code == 201).then_some(())
        })
        .await;
    for version in ["v1", "v1beta1", "v2alpha1"] {
        let found = cluster.get(&format!("{}/a", path(version))).await.ok();
        assert_eq!((&found["apiVersion"], &found["size"]), (&json!(format!("{group}/{version}")), &json!(3)));
        let listed = cluster.get(&path(version)).await.ok();
        assert_eq!(listed["items"][0]["apiVersion"], json!(format!("{group}/{version}")));
    }
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    cluster.patch(MERGE, &format!("{}/a", path("v1")), labelled).await.ok();
    cluster.delete(&format!("{all}/jars.{group}"), json!({})).await.ok();
}
