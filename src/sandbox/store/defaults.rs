//! What an API server fills in where an object is silent, as far as drills, controllers and kubectl rely on it.
//!
//! `at_creation` is what is given once (a first status, the tolerations that admission adds); `fill` is Kubernetes' own defaulting,
//! which runs on every write. Both are idempotent and leave alone what is not the object that they expect (I15).

use serde_json::{Map, Value, json};

use super::Key;
use crate::sandbox::control::room::quality;

/// What a new object starts with.
pub(super) fn at_creation(key: &Key, object: &mut Value) {
    let plural = (key.group(), key.plural());
    match plural {
        ("", "pods") => {
            let wait = |taint: &str| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            at(object, &["spec"], |spec| {
                let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
                let Some(tolerations) = tolerations.as_array_mut() else { return };
                for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
                    let known = |one: &Value| {
                        let effect = one["effect"].as_str().unwrap_or_default();
                        let every = one["key"].is_null() && one["operator"] == "Exists";
                        (one["key"] == taint || every) && (effect.is_empty() || effect == "NoExecute")
                    };
                    if !tolerations.iter().any(known) {
                        tolerations.push(wait(taint));
                    }
                }
            });
            let quality = quality(object);
            default(object, &[], json!({"status": {}}));
            default(object, &["status"], json!({"phase": "Pending", "qosClass": quality}));
        }
        ("", "namespaces") => {
            let name = object["metadata"]["name"].clone();
            default(object, &[], json!({"status": {"phase": "Active"}}));
            default(object, &["metadata"], json!({"labels": {}}));
            default(object, &["metadata", "labels"], json!({"kubernetes.io/metadata.name": name}));
        }
        ("", "persistentvolumeclaims") => default(object, &[], json!({"status": {"phase": "Pending"}})),
        ("", "services") | ("networking.k8s.io", "ingresses") => {
            default(object, &[], json!({"status": {"loadBalancer": {}}}));
        }
        ("apps", _) => default(object, &[], json!({"status": {}})),
        _ => {}
    }
}

/// What controllers say of a new definition: its names are free, and it is served at once.
pub(super) fn establish(definition: &mut Value, time: &str) {
    let holds = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": time, "reason": reason, "message": message});
    let conditions = [
        holds("NamesAccepted", "NoConflicts", "no conflicts found"),
        holds("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ];
    if let Some(fields) = definition.as_object_mut() {
        fields.insert("status".into(), json!({"conditions": conditions}));
    }
    follow_spec(definition);
}

/// What a definition's status says of its spec: the names, and every version in which objects were stored.
pub(super) fn follow_spec(definition: &mut Value) {
    let names = definition["spec"]["names"].clone();
    let stored: Vec<Value> = each(definition.get_mut("spec"), "versions")
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    default(definition, &["status"], json!({"storedVersions": []}));
    at(definition, &["status"], |status| {
        status.insert("acceptedNames".into(), names);
        if let Some(known) = status.get_mut("storedVersions").and_then(Value::as_array_mut) {
            let new: Vec<Value> = stored.into_iter().filter(|version| !known.contains(version)).collect();
            known.extend(new);
        }
    });
}

/// Whether objects of a key are definitions of kinds.
pub(super) fn is_definition(key: &Key) -> bool {
    (key.group(), key.plural()) == ("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Gives a Job the selector and the labels that tell its pods from those of others, unless somebody chose them.
pub(super) fn own_selector(job: &mut Value, uid: &str) {
    let name = job["metadata"]["name"].clone();
    if job["spec"]["manualSelector"] != true {
        let labels = json!({"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
            "batch.kubernetes.io/job-name": name, "job-name": name});
        default(job, &["spec", "template"], json!({"metadata": {}}));
        default(job, &["spec", "template", "metadata"], json!({"labels": {}}));
        default(job, &["spec", "template", "metadata", "labels"], labels);
        default(job, &["spec"], json!({"selector": {}}));
        default(job, &["spec", "selector"], json!({"matchLabels": {}}));
        let own = json!({"batch.kubernetes.io/controller-uid": uid});
        default(job, &["spec", "selector", "matchLabels"], own);
    }
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    if labels.is_object() {
        default(job, &["metadata"], json!({"labels": labels}));
    }
}

/// Kubernetes' defaults for a kind.
pub(super) fn fill(key: &Key, object: &mut Value) {
    match (key.group(), key.plural()) {
        // Only an empty list, as the namespace's controller writes it at the end, lets a namespace go.
        ("", "namespaces") => {
            default(object, &[], json!({"spec": {}}));
            default(object, &["spec"], json!({"finalizers": ["kubernetes"]}));
        }
        ("", "pods") => fill_pod(object.get_mut("spec")),
        ("", "services") => fill_service(object),
        ("", "secrets") => fill_secret(object),
        ("", "persistentvolumeclaims") => default(object, &["spec"], json!({"volumeMode": "Filesystem"})),
        ("apps", "deployments") => {
            default(
                object,
                &["spec"],
                json!({"replicas": 1, "strategy": {}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}),
            );
            default(object, &["spec", "strategy"], json!({"type": "RollingUpdate"}));
            if object["spec"]["strategy"]["type"] == "RollingUpdate" {
                default(object, &["spec", "strategy"], json!({"rollingUpdate": {}}));
                let quarter = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
                default(object, &["spec", "strategy", "rollingUpdate"], quarter);
            }
        }
        ("apps", "replicasets") => default(object, &["spec"], json!({"replicas": 1})),
        ("apps", "statefulsets") => {
            let spec = json!({
                "replicas": 1, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            });
            default(object, &["spec"], spec);
        }
        ("apps", "daemonsets") => {
            let strategy =
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
            default(object, &["spec"], json!({"updateStrategy": strategy, "revisionHistoryLimit": 10}));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            let kind = object["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
            let names = json!({"singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
            default(object, &["spec", "names"], names);
            default(object, &["spec"], json!({"conversion": {"strategy": "None"}}));
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            default(object, &[], json!({"preemptionPolicy": "PreemptLowerPriority"}));
        }
        ("batch", "jobs") => {
            let spec = json!({"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": false,
                "completionMode": "NonIndexed"});
            default(object, &["spec"], spec);
        }
        ("networking.k8s.io", "networkpolicies") => {
            let egress = object["spec"].get("egress").is_some();
            let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            default(object, &["spec"], json!({"podSelector": {}, "policyTypes": types}));
        }
        _ => {}
    }
    if matches!(key.group(), "apps" | "batch") {
        fill_pod(object.pointer_mut("/spec/template/spec"));
    }
}

/// A Service's address is given once: a write that is silent about it keeps it.
pub(super) fn keep_address(key: &Key, next: &mut Value, current: &Value) {
    if !key.group().is_empty() || key.plural() != "services" || next["spec"]["type"] == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs"] {
        if let Some(value) = current["spec"].get(field) {
            let mut kept = Map::new();
            kept.insert(field.into(), value.clone());
            default(next, &["spec"], kept.into());
        }
    }
}

fn fill_service(object: &mut Value) {
    let spec = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"});
    default(object, &["spec"], spec);
    match object["spec"]["type"].as_str() {
        Some("LoadBalancer") => {
            let more = json!({"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true});
            default(object, &["spec"], more);
        }
        Some("NodePort") => default(object, &["spec"], json!({"externalTrafficPolicy": "Cluster"})),
        _ => {}
    }
    if object["spec"]["type"] != "ExternalName" {
        default(object, &["spec"], json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}));
    }
    for port in each(object.get_mut("spec"), "ports") {
        let number = port["port"].clone();
        default(port, &[], json!({"protocol": "TCP", "targetPort": number}));
    }
}

/// `stringData` is only a way to write `data`.
fn fill_secret(object: &mut Value) {
    default(object, &[], json!({"type": "Opaque"}));
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|fields| fields.remove("stringData"))
    else {
        return;
    };
    default(object, &[], json!({"data": {}}));
    at(object, &["data"], |data| {
        for (name, text) in texts {
            let bytes = k8s_openapi::ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
            data.insert(name, serde_json::to_value(bytes).unwrap_or_default());
        }
    });
}

fn fill_pod(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    let defaults = json!({
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler", "securityContext": {},
    });
    default(spec, &[], defaults);
    for volume in each(Some(spec), "volumes") {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            default(volume, &[source], json!({"defaultMode": 420}));
        }
        default(volume, &["hostPath"], json!({"type": ""}));
    }
    for list in ["initContainers", "containers"] {
        for container in each(Some(spec), list) {
            let image = container["image"].as_str().unwrap_or_default();
            let latest = image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or("").contains(':');
            let pull = if latest { "Always" } else { "IfNotPresent" };
            let more = json!({"imagePullPolicy": pull, "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"});
            default(container, &[], more);
            for port in each(Some(container), "ports") {
                default(port, &[], json!({"protocol": "TCP"}));
            }
            for variable in each(Some(container), "env") {
                default(variable, &["valueFrom", "fieldRef"], json!({"apiVersion": "v1"}));
            }
            for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
                let every = json!({"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3});
                default(container, &[probe], every);
                default(container, &[probe, "httpGet"], json!({"scheme": "HTTP", "path": "/"}));
            }
        }
    }
}

/// The elements of a list field; none where it is no list.
fn each<'a>(object: Option<&'a mut Value>, list: &str) -> impl Iterator<Item = &'a mut Value> {
    object.and_then(|object| object.get_mut(list)).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Acts on the object under a path of fields; nothing where there is none.
fn at(object: &mut Value, path: &[&str], act: impl FnOnce(&mut Map<String, Value>)) {
    let found = path.iter().try_fold(object, |object, field| object.get_mut(*field));
    if let Some(fields) = found.and_then(Value::as_object_mut) {
        act(fields);
    }
}

/// Sets those fields of the object under a path that it lacks.
fn default(object: &mut Value, path: &[&str], fields: Value) {
    let Value::Object(fields) = fields else { return };
    at(object, path, |object| {
        for (field, value) in fields {
            object.entry(field).or_insert(value);
        }
    });
}
