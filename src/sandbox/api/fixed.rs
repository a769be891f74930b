//! What an update may not change, kind by kind, in the words of Kubernetes' validation.

use serde_json::{Value, json};

use super::resources::Served;
use crate::model::effect::Resource;

/// Fields that stay as they are: group, plural, field.
const IMMUTABLE: &[(&str, &str, &str)] = &[
    ("apps", "daemonsets", "spec.selector"),
    ("apps", "deployments", "spec.selector"),
    ("apps", "replicasets", "spec.selector"),
    ("apps", "statefulsets", "spec.selector"),
    ("apps", "statefulsets", "spec.volumeClaimTemplates"),
    ("apps", "statefulsets", "spec.serviceName"),
    ("apps", "statefulsets", "spec.podManagementPolicy"),
    ("batch", "jobs", "spec.completionMode"),
    ("batch", "jobs", "spec.selector"),
    ("", "secrets", "type"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "roleRef"),
    ("rbac.authorization.k8s.io", "rolebindings", "roleRef"),
    ("storage.k8s.io", "storageclasses", "provisioner"),
];

/// Kinds whose objects are replaced only by who names the version: group, plural. So are all custom resources.
const VERSIONED: &[(&str, &str)] = &[
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("coordination.k8s.io", "leases"),
    ("policy", "poddisruptionbudgets"),
];

/// Whether an object of a kind may be replaced without naming its version.
pub(super) fn unconditional(served: &Served) -> bool {
    let kind = (served.resource.group.as_str(), served.resource.plural.as_str());
    served.built_in && !VERSIONED.contains(&kind)
}

/// What is wrong with a change, if anything: `spec.selector: Invalid value: field is immutable`.
pub(super) fn wrong(resource: &Resource, before: &Value, next: &Value) -> Option<String> {
    let kind = (resource.group.as_str(), resource.plural.as_str());
    let mut fields = IMMUTABLE.iter().filter(|(group, plural, _)| (*group, *plural) == kind);
    let changed = fields.find(|(_, _, field)| at(before, field) != at(next, field));
    if let Some((_, _, field)) = changed {
        return Some(format!("{field}: Invalid value: {}: field is immutable", at(next, field)));
    }
    finalizers(before, next).or_else(|| match kind {
        ("", "pods") => pod(&before["spec"], &next["spec"]),
        ("", "services") => service(&before["spec"], &next["spec"]),
        ("", "configmaps" | "secrets") => frozen(before, next),
        ("", "persistentvolumeclaims") => claim(&before["spec"], &next["spec"]),
        ("batch", "jobs") => job(&before["spec"], &next["spec"]),
        _ => None,
    })
}

fn at<'a>(object: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(object, |object, field| &object[field])
}

/// An object without some of its fields.
fn without(object: &Value, fields: &[&str]) -> Value {
    let mut object = object.clone();
    if let Some(inner) = object.as_object_mut() {
        inner.retain(|field, _| !fields.contains(&field.as_str()));
    }
    object
}

/// A Job's template stays as it is while it may run, and how often it is to succeed, unless each time has a number of its own.
fn job(before: &Value, next: &Value) -> Option<String> {
    let changed = |field: &str| before[field] != next[field];
    let field = match () {
        () if changed("template") && before["suspend"] != true => "template",
        () if changed("completions") && before["completionMode"] != "Indexed" => "completions",
        () => return None,
    };
    Some(format!("spec.{field}: Invalid value: {}: field is immutable", next[field]))
}

/// What is being deleted waits for nobody new.
fn finalizers(before: &Value, next: &Value) -> Option<String> {
    before["metadata"].get("deletionTimestamp")?;
    let list = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let known = list(before);
    let new: Vec<String> =
        list(next).iter().filter(|each| !known.contains(each)).map(Value::to_string).collect();
    let why = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted";
    (!new.is_empty()).then(|| format!("{why}, found new finalizers []string{{{}}}", new.join(", ")))
}

/// A pod may get other images, more tolerations, and a deadline, and lose scheduling gates.
fn pod(before: &Value, next: &Value) -> Option<String> {
    let gates = |spec: &Value| spec["schedulingGates"].as_array().cloned().unwrap_or_default();
    let known = gates(before);
    if gates(next).iter().any(|gate| !known.contains(gate)) {
        return Some("spec.schedulingGates: Forbidden: only deletion is allowed".to_owned());
    }
    let list = |spec: &Value| spec["tolerations"].as_array().cloned().unwrap_or_default();
    let lasting = |toleration: &Value| without(toleration, &["tolerationSeconds"]);
    let after: Vec<Value> = list(next).iter().map(lasting).collect();
    if !list(before).iter().all(|known| after.contains(&lasting(known))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        return Some(format!("spec.tolerations: Forbidden: {why}"));
    }
    let fixed = |spec: &Value| {
        let mut spec = without(spec, &["tolerations", "activeDeadlineSeconds", "schedulingGates"]);
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                *container = without(container, &["image"]);
            }
        }
        spec
    };
    (fixed(before) != fixed(next)).then(|| {
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`, \
         `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing \
         tolerations), `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
            .to_owned()
    })
}

/// A Service keeps its address while it has one.
fn service(before: &Value, next: &Value) -> Option<String> {
    let named = |spec: &Value| spec["type"] == "ExternalName";
    let (was, is) = (&before["clusterIP"], &next["clusterIP"]);
    let changed = was.is_string() && was != is && !named(before) && !named(next);
    changed.then(|| format!("spec.clusterIPs[0]: Invalid value: {}: may not change once set", json!([is])))
}

/// Configuration that says it is immutable.
fn frozen(before: &Value, next: &Value) -> Option<String> {
    if before["immutable"] != true {
        return None;
    }
    let mut fields = ["immutable", "data", "binaryData"].into_iter();
    let changed = fields.find(|field| before[*field] != next[*field])?;
    Some(format!("{changed}: Forbidden: field is immutable when `immutable` is set"))
}

fn claim(before: &Value, next: &Value) -> Option<String> {
    const FREE: &[&str] = &["resources", "volumeAttributesClassName", "volumeName", "storageClassName"];
    (without(before, FREE) != without(next, FREE)).then(|| {
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for \
         bound claims"
            .to_owned()
    })
}
