//! What a server says about itself: version, groups, resource lists, health. The legacy lists suffice for kubectl and kube.

use std::collections::BTreeMap;

use axum::body::Body;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_response, response};
use super::openapi;
use super::resources::{self, Served};
use crate::sandbox::KUBERNETES;
use crate::sandbox::store::Store;

/// Answers a path that names no object.
pub(super) fn answer(store: &Store, path: &[String]) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let body = match path.as_slice() {
        ["version"] => json!({"major": "1", "minor": "37", "gitVersion": format!("{KUBERNETES}+drillmaster"),
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
            "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"}),
        ["openapi", "v2"] => return Ok(openapi::older()),
        ["openapi", "v3", rest @ ..] => return openapi::answer(store, rest),
        ["healthz" | "livez" | "readyz", ..] => return Ok(response(200, "text/plain", Body::from("ok"))),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "kubernetes:443"}]}),
        ["api", "v1"] => resource_list(store, "", "v1")?,
        ["apis"] => {
            let groups: Vec<Value> =
                groups(store).iter().map(|(name, versions)| group(name, versions)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["apis", name] => {
            let groups = groups(store);
            let versions = groups.get(*name).ok_or_else(Refusal::no_such_path)?;
            let mut body = group(name, versions);
            body["kind"] = "APIGroup".into();
            body["apiVersion"] = "v1".into();
            body
        }
        ["apis", name, version] => resource_list(store, name, version)?,
        _ => return Err(Refusal::no_such_path()),
    };
    Ok(json_response(200, &body))
}

/// The versions of each group but the core one.
fn groups(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Served { resource, .. } in resources::all(store) {
        if resource.group.is_empty() {
            continue;
        }
        let versions = groups.entry(resource.group).or_default();
        if !versions.contains(&resource.version) {
            versions.push(resource.version);
        }
    }
    groups
}

/// A group's versions, the preferred one first: general availability before beta before alpha, and of each the highest.
fn group(name: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let mut versions = versions.to_vec();
    versions.sort_by_cached_key(|version| std::cmp::Reverse(priority(version)));
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// How much a version is preferred (Kubernetes' documentation, "Versions in CustomResourceDefinitions", "Version priority").
fn priority(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse::<u32>().ok();
    let parsed = version.strip_prefix('v').and_then(|rest| {
        for (rank, stage) in [(2, "beta"), (1, "alpha")] {
            if let Some((major, minor)) = rest.split_once(stage) {
                return Some((rank, number(major)?, number(minor)?));
            }
        }
        Some((3, number(rest)?, 0))
    });
    parsed.unwrap_or((0, 0, 0))
}

fn resource_list(store: &Store, group: &str, version: &str) -> Result<Value, Refusal> {
    let all = resources::all(store);
    let of_version: Vec<&Served> =
        all.iter().filter(|one| one.resource.group == group && one.resource.version == version).collect();
    let first = of_version.first().ok_or_else(Refusal::no_such_path)?;
    let api_version = first.resource.api_version();
    let resources: Vec<Value> = of_version.iter().flat_map(|served| entries(served)).collect();
    Ok(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}),
    )
}

/// A kind's entry and those of its subresources.
fn entries(served: &Served) -> Vec<Value> {
    const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let plural = &served.resource.plural;
    let entry = |name: String, kind: &str, verbs: &[&str]| json!({"name": name, "singularName": "", "namespaced": served.namespaced, "kind": kind, "verbs": verbs});
    let kind = served.resource.kind.as_str();
    let verbs = match kind {
        _ if served.review => vec!["create"],
        // A cluster does not delete all its namespaces at once.
        "Namespace" => ALL.iter().copied().filter(|verb| *verb != "deletecollection").collect(),
        _ => ALL.to_vec(),
    };
    let mut main = entry(plural.clone(), kind, &verbs);
    main["singularName"] = served.singular().into();
    if !served.short.is_empty() {
        main["shortNames"] = served.short.clone().into();
    }
    let categories = served.categories();
    if !categories.is_empty() {
        main["categories"] = categories.into();
    }
    let mut entries = vec![main];
    if served.status {
        entries.push(entry(format!("{plural}/status"), kind, &["get", "patch", "update"]));
    }
    if served.scale {
        let mut scale = entry(format!("{plural}/scale"), "Scale", &["get", "patch", "update"]);
        scale["group"] = "autoscaling".into();
        scale["version"] = "v1".into();
        entries.push(scale);
    }
    if kind == "Pod" {
        let mut eviction = entry("pods/eviction".into(), "Eviction", &["create"]);
        eviction["group"] = "policy".into();
        eviction["version"] = "v1".into();
        entries.push(eviction);
        entries.push(entry("pods/exec".into(), "PodExecOptions", &["create", "get"]));
        entries.push(entry("pods/log".into(), "Pod", &["get"]));
    }
    entries
}
