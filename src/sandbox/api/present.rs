//! The form that a reader asks for: the objects, only their metadata, or the table that kubectl prints.
//!
//! `Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json`: the first form that is known is given. A table's columns are
//! those of Kubernetes' own printers, for the kinds that people watch during a drill; another kind shows name and age. Ages count whole
//! seconds of the region's clock.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use super::path::Call;
use crate::sandbox::state::RegionState;

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Metadata,
    Table,
}

impl Form {
    /// The form that a request accepts.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for media_type in accepted.split(',') {
            for parameter in media_type.split(';').map(str::trim) {
                match parameter {
                    "as=Table" => return Self::Table,
                    "as=PartialObjectMetadata" | "as=PartialObjectMetadataList" => return Self::Metadata,
                    _ => {}
                }
            }
            if matches!(media_type.trim(), "application/json" | "*/*") {
                return Self::Whole;
            }
        }
        Self::Whole
    }
}

/// An object's metadata as an object.
pub(super) fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list of them.
pub(super) fn metadata_list(items: &[Arc<Value>], list: &Value) -> Value {
    let items: Vec<Value> = items.iter().map(|item| metadata(item)).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list, "items": items})
}

/// A column's name, and whether it is shown only in wide output.
type Column = (&'static str, bool);

/// A table of objects.
pub(super) fn table(state: &RegionState, call: &Call, items: &[Arc<Value>], list: &Value) -> Value {
    let columns = columns(call);
    let column = |(name, wide): &Column| {
        let kind = if matches!(*name, "Up-to-date" | "Available" | "Data" | "Desired" | "Current") {
            "integer"
        } else {
            "string"
        };
        let format = if *name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": "", "priority": u8::from(*wide)})
    };
    let row = |item: &Arc<Value>| {
        let cells: Vec<Value> = columns.iter().map(|(name, _)| cell(state, call, item, name)).collect();
        json!({"cells": cells, "object": metadata(item)})
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list,
        "columnDefinitions": columns.iter().map(column).collect::<Vec<_>>(),
        "rows": items.iter().map(row).collect::<Vec<_>>()})
}

fn columns(call: &Call) -> &'static [Column] {
    match (call.served.resource.group.as_str(), call.served.resource.plural.as_str()) {
        ("", "pods") => &[
            ("Name", false),
            ("Ready", false),
            ("Status", false),
            ("Restarts", false),
            ("Age", false),
            ("IP", true),
            ("Node", true),
        ],
        ("", "services") => &[
            ("Name", false),
            ("Type", false),
            ("Cluster-IP", false),
            ("External-IP", false),
            ("Port(s)", false),
            ("Age", false),
            ("Selector", true),
        ],
        ("", "nodes") => {
            &[("Name", false), ("Status", false), ("Roles", false), ("Age", false), ("Version", false)]
        }
        ("", "configmaps") => &[("Name", false), ("Data", false), ("Age", false)],
        ("", "namespaces") => &[("Name", false), ("Status", false), ("Age", false)],
        ("apps", "deployments") => {
            &[("Name", false), ("Ready", false), ("Up-to-date", false), ("Available", false), ("Age", false)]
        }
        ("apps", "replicasets") => {
            &[("Name", false), ("Desired", false), ("Current", false), ("Ready", false), ("Age", false)]
        }
        ("apps", "statefulsets") => &[("Name", false), ("Ready", false), ("Age", false)],
        _ => &[("Name", false), ("Age", false)],
    }
}

fn cell(state: &RegionState, call: &Call, item: &Value, column: &str) -> Value {
    let text = |path: &str| item.pointer(path).and_then(Value::as_str);
    let count = |path: &str| item.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let or_none = |text: Option<&str>| json!(text.filter(|text| !text.is_empty()).unwrap_or("<none>"));
    match (call.served.resource.plural.as_str(), column) {
        (_, "Name") => json!(text("/metadata/name")),
        (_, "Age") => json!(age(state, item)),
        ("pods", "Ready") => {
            let ready = containers(item).filter(|each| each["ready"] == true).count();
            let all = item["spec"]["containers"].as_array().map_or(0, Vec::len);
            json!(format!("{ready}/{all}"))
        }
        ("pods", "Status") => json!(pod_status(item)),
        ("pods", "Restarts") => {
            json!(containers(item).filter_map(|each| each["restartCount"].as_u64()).sum::<u64>().to_string())
        }
        ("pods", "IP") => or_none(text("/status/podIP")),
        ("pods", "Node") => or_none(text("/spec/nodeName")),
        ("nodes", "Status") => json!(node_status(item)),
        ("nodes", "Roles") => json!(roles(item)),
        ("nodes", "Version") => json!(text("/status/nodeInfo/kubeletVersion").unwrap_or_default()),
        ("namespaces", "Status") => json!(text("/status/phase")),
        ("services", "Type") => json!(text("/spec/type")),
        ("services", "Cluster-IP") => or_none(text("/spec/clusterIP")),
        ("services", "External-IP") => json!(external_address(item)),
        ("services", "Port(s)") => json!(ports(item)),
        ("services", "Selector") => json!(words(&item["spec"]["selector"])),
        ("configmaps", "Data") => {
            let keys = |field: &str| item[field].as_object().map_or(0, serde_json::Map::len);
            json!(keys("data") + keys("binaryData"))
        }
        ("replicasets", "Desired") => json!(count("/spec/replicas")),
        ("replicasets", "Current") => json!(count("/status/replicas")),
        ("replicasets", "Ready") => json!(count("/status/readyReplicas")),
        (_, "Ready") => json!(format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"))),
        (_, "Up-to-date") => json!(count("/status/updatedReplicas")),
        (_, "Available") => json!(count("/status/availableReplicas")),
        _ => Value::Null,
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten()
}

/// What kubectl shows of a pod: that it ends, why it waits, or its phase.
fn pod_status(pod: &Value) -> String {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if pod["metadata"].get("deletionTimestamp").is_some() {
        return "Terminating".into();
    }
    let reason = |state: &Value| {
        let waits = state["waiting"]["reason"].as_str();
        waits.or_else(|| state["terminated"]["reason"].as_str()).map(str::to_owned)
    };
    let found = containers(pod).find_map(|each| reason(&each["state"]));
    found.or_else(|| pod["status"]["reason"].as_str().map(str::to_owned)).unwrap_or_else(|| phase.to_owned())
}

fn node_status(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.filter(|one| one["type"] == "Ready").find_map(|one| one["status"].as_str());
    let mut status = match ready {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node["spec"]["unschedulable"] == true {
        status += ",SchedulingDisabled";
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> =
        labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { "<none>".into() } else { roles.join(",") }
}

fn external_address(service: &Value) -> String {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let given = ingress.filter_map(|one| one["ip"].as_str().or_else(|| one["hostname"].as_str()));
    let given: Vec<&str> = given.collect();
    match service["spec"]["type"].as_str() {
        Some("LoadBalancer") if given.is_empty() => "<pending>".into(),
        Some("LoadBalancer") => given.join(","),
        Some("ExternalName") => service["spec"]["externalName"].as_str().unwrap_or_default().to_owned(),
        _ => "<none>".into(),
    }
}

fn ports(service: &Value) -> String {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let said = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_u64() {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<String> = ports.map(said).collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",") }
}

fn words(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let words: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if words.is_empty() { "<none>".into() } else { words.join(",") }
}

/// How long an object has been there, in its two largest units as kubectl rounds.
fn age(state: &RegionState, item: &Value) -> String {
    let born = item["metadata"]["creationTimestamp"].as_str();
    let born = born.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    let now = state.clock.time(state.clock.now());
    let now = chrono::DateTime::parse_from_rfc3339(&now).ok();
    let Some((born, now)) = born.zip(now) else { return "<unknown>".into() };
    let seconds = (now - born).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..28_800 if seconds / 60 % 60 != 0 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
