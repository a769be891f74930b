//! What an object must hold, in the words of Kubernetes' validation: all that is wrong, a line each.
//!
//! Checked is what a cluster refuses and people get wrong in a drill: names and labels, containers, ports, selectors, strategies. Left
//! out: whatever no controller here acts on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::Call;
use super::select::label_selector_matches;
use super::{schema, values};
use crate::sandbox::control::room::quantity;

/// So many bytes may the values of a ConfigMap or of a Secret have.
const LARGEST_DATA: usize = 1 << 20;

/// What is wrong with an object: `spec.replicas: Invalid value: ...`.
pub(super) fn wrong(call: &Call, object: &Value) -> Vec<String> {
    let mut found = metadata(&object["metadata"]);
    let (group, plural) = (call.served.resource.group.as_str(), call.served.resource.plural.as_str());
    let spec = &object["spec"];
    if !call.served.built_in {
        found.extend(schema::wrong(call.served.shape(), object));
        return found;
    }
    if call.served.scale && spec["replicas"].as_i64().is_none_or(|replicas| replicas < 0) {
        let why = "must be greater than or equal to 0";
        found.push(format!("spec.replicas: Invalid value: {}: {why}", spec["replicas"]));
    }
    match (group, plural) {
        ("", "pods") => found.extend(pod(spec, "spec", &Value::Null)),
        ("", "secrets") if object["type"] == "kubernetes.io/tls" => {
            let missing = ["tls.crt", "tls.key"].into_iter().filter(|key| object["data"].get(key).is_none());
            found.extend(data(object));
            found.extend(missing.map(|key| format!("data[{key}]: Required value")));
        }
        ("", "configmaps" | "secrets") => found.extend(data(object)),
        ("", "services") => found.extend(service(spec)),
        ("networking.k8s.io", "ingresses") => found.extend(ingress(spec)),
        ("apps", _) => {
            found.extend(workload(spec));
            found.extend(pod(&spec["template"]["spec"], "spec.template.spec", &spec["volumeClaimTemplates"]));
            found.extend(always(spec));
        }
        ("batch", "jobs") => {
            found.extend(pod(&spec["template"]["spec"], "spec.template.spec", &Value::Null));
            if !matches!(text(&spec["template"]["spec"]["restartPolicy"]), "OnFailure" | "Never") {
                let why = r#"Required value: valid values: "OnFailure", "Never""#;
                found.push(format!("spec.template.spec.restartPolicy: {why}"));
            }
        }
        ("policy", _) if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() => {
            found.push("spec: Invalid value: minAvailable and maxUnavailable cannot be both set".into());
        }
        ("apiextensions.k8s.io", _) => found.extend(definition(object)),
        ("scheduling.k8s.io", "priorityclasses") => found.extend(too_important(object)),
        _ => {}
    }
    found.extend(values::wrong(&call.served.resource, object));
    found
}

/// Only the classes of the system itself are above a thousand million.
fn too_important(class: &Value) -> Option<String> {
    let own = !text(&class["metadata"]["name"]).starts_with("system-");
    let over = class["value"].as_i64().is_some_and(|value| value > 1_000_000_000);
    let why = "value: Forbidden: maximum allowed value of a user defined priority is 1000000000";
    (own && over).then(|| why.to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Letters and digits at both ends, and a few signs between.
fn is_word(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: char| c.is_ascii_alphanumeric();
    word.len() <= 63 && word.starts_with(end) && word.ends_with(end) && word.chars().all(inner)
}

/// `name` or `prefix.example/name`.
fn is_qualified(key: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    match key.split_once('/') {
        Some((prefix, name)) => {
            (1..=253).contains(&prefix.len()) && prefix.chars().all(lower) && is_word(name)
        }
        None => is_word(key),
    }
}

fn metadata(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let (value, why) = (text(value), "must consist of alphanumeric characters, '-', '_' or '.'");
        if !is_qualified(key) {
            found.push(format!("metadata.labels: Invalid value: {key:?}: name part {why}"));
        }
        if !value.is_empty() && !is_word(value) {
            found.push(format!("metadata.labels: Invalid value: {value:?}: a valid label {why}"));
        }
    }
    for (key, _) in metadata["annotations"].as_object().into_iter().flatten() {
        if !is_qualified(&key.to_lowercase()) {
            found.push(format!(
                "metadata.annotations: Invalid value: {key:?}: name part is no qualified name"
            ));
        }
    }
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    if owners.filter(|owner| owner["controller"] == true).count() > 1 {
        let why = "Only one reference can have Controller set to true";
        found
            .push(format!("metadata.ownerReferences: Invalid value: {}: {why}", metadata["ownerReferences"]));
    }
    found
}

/// Each key of a ConfigMap or a Secret may become a file.
fn data(object: &Value) -> Vec<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_file = |key: &str| {
        (1..=253).contains(&key.len()) && key.chars().all(allowed) && key != "." && !key.starts_with("..")
    };
    let keys = |field: &'static str| {
        let keys = object[field].as_object().into_iter().flatten().map(|(key, _)| key);
        keys.filter(|key| !is_file(key)).map(move |key| {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
            format!("{field}[{key}]: Invalid value: {key:?}: {why}")
        })
    };
    let length = |field: &str| {
        let values = object[field].as_object().into_iter().flatten();
        let length = values.map(|(_, value)| text(value).len()).sum::<usize>();
        // In base64 but for the texts of a ConfigMap.
        if field == "data" && object["kind"] == "ConfigMap" { length } else { length / 4 * 3 }
    };
    let long = length("data") + length("binaryData") > LARGEST_DATA;
    let long = long.then(|| format!("[]: Too long: may not be more than {LARGEST_DATA} bytes"));
    keys("data").chain(keys("binaryData")).chain(long).collect()
}

/// What a controller keeps running is always started again.
fn always(spec: &Value) -> Option<String> {
    let policy = text(&spec["template"]["spec"]["restartPolicy"]);
    let why = format!("Unsupported value: {policy:?}: supported values: \"Always\"");
    (!matches!(policy, "" | "Always")).then(|| format!("spec.template.spec.restartPolicy: {why}"))
}

/// The hosts and the paths of an Ingress.
fn ingress(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (rule, of) in spec["rules"].as_array().into_iter().flatten().enumerate() {
        let host = text(&of["host"]);
        if let Some(why) = no_host(host) {
            found.push(format!("spec.rules[{rule}].host: Invalid value: {host:?}: {why}"));
        }
        for (at, of) in of["http"]["paths"].as_array().into_iter().flatten().enumerate() {
            let here = format!("spec.rules[{rule}].http.paths[{at}]");
            let (path, kind) = (text(&of["path"]), text(&of["pathType"]));
            let absolute = path.starts_with('/') || path.is_empty() && kind == "ImplementationSpecific";
            match kind {
                "" => found.push(format!("{here}.pathType: Required value: pathType must be specified")),
                "Exact" | "ImplementationSpecific" | "Prefix" if !absolute => {
                    found.push(format!("{here}.path: Invalid value: {path:?}: must be an absolute path"));
                }
                "Exact" | "ImplementationSpecific" | "Prefix" => {}
                _ => {
                    let known = r#""Exact", "ImplementationSpecific", "Prefix""#;
                    found.push(format!(
                        "{here}.pathType: Unsupported value: {kind:?}: supported values: {known}"
                    ));
                }
            }
        }
    }
    found
}

/// Why a rule's host is none, if it names one: a DNS name (RFC 1123), or one whose first label is `*`.
fn no_host(host: &str) -> Option<&'static str> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_label);
    if host.is_empty() {
        None
    } else if host.parse::<std::net::IpAddr>().is_ok() {
        Some("must be a DNS name, not an IP address")
    } else if host.contains('*') {
        (!host.strip_prefix("*.").is_some_and(is_name)).then_some(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
             of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        )
    } else {
        (!is_name(host)).then_some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
        )
    }
}

/// Volumes of one name, and mounts of those that there are none of, or at one place.
fn volumes(spec: &Value, path: &str, claims: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let name = text(&volume["name"]);
        if !names.insert(name) {
            found.push(format!("{path}.volumes[{index}].name: Duplicate value: {name:?}"));
        }
    }
    names.extend(claims.as_array().into_iter().flatten().map(|claim| text(&claim["metadata"]["name"])));
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let mut places = BTreeSet::new();
            for (at, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
                let here = format!("{path}.{list}[{index}].volumeMounts[{at}]");
                let (name, place) = (text(&mount["name"]), text(&mount["mountPath"]));
                if !names.contains(name) {
                    found.push(format!("{here}.name: Not found: {name:?}"));
                }
                if !places.insert(place) {
                    found.push(format!("{here}.mountPath: Invalid value: {place:?}: must be unique"));
                }
            }
        }
    }
    found
}

/// What a container asks for beyond what it may have.
fn greedy(resources: &Value, here: &str) -> Vec<String> {
    let asked = resources["requests"].as_object().into_iter().flatten();
    let over = asked.filter_map(|(resource, asked)| {
        let limit = resources["limits"].get(resource)?;
        let (asks, may) = (quantity(asked)?, quantity(limit)?);
        let (asked, limit) = (text(asked), text(limit));
        let why = format!("must be less than or equal to {resource} limit of {limit}");
        (asks > may).then(|| format!("{here}.resources.requests: Invalid value: {asked:?}: {why}"))
    });
    over.collect()
}

fn pod(spec: &Value, path: &str, claims: &Value) -> Vec<String> {
    let mut found = volumes(spec, path, claims);
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        found.push(format!("{path}.containers: Required value"));
    }
    let mut names = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let (here, name) = (format!("{path}.{list}[{index}]"), text(&container["name"]));
            if name.is_empty() {
                found.push(format!("{here}.name: Required value"));
            } else if !names.insert(name) {
                found.push(format!("{here}.name: Duplicate value: {name:?}"));
            }
            if text(&container["image"]).is_empty() {
                found.push(format!("{here}.image: Required value"));
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
                let given = container.get(probe).filter(|probe| !probe.is_null());
                let handlers = |probe: &Value| handlers.iter().filter(|one| probe.get(one).is_some()).count();
                match given.map(handlers) {
                    Some(0) => {
                        found.push(format!("{here}.{probe}: Required value: must specify a handler type"));
                    }
                    Some(2..) => {
                        let why = "may not specify more than 1 handler type";
                        found.push(format!("{here}.{probe}: Forbidden: {why}"));
                    }
                    Some(1) | None => {}
                }
            }
            found.extend(greedy(&container["resources"], &here));
        }
    }
    found
}

fn workload(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let selector = &spec["selector"];
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        found.push("spec.selector: Required value".into());
    } else if !label_selector_matches(selector, &spec["template"]["metadata"]["labels"]) {
        let why = "`selector` does not match template `labels`";
        let labels = &spec["template"]["metadata"]["labels"];
        found.push(format!("spec.template.metadata.labels: Invalid value: {labels}: {why}"));
    }
    if spec["strategy"]["type"] == "Recreate" && spec["strategy"].get("rollingUpdate").is_some() {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        found.push(format!("spec.strategy.rollingUpdate: Forbidden: {why}"));
    }
    found.extend(stuck(&spec["strategy"]["rollingUpdate"]));
    found
}

/// A rollout that may neither add a pod nor do without one never begins.
fn stuck(rolling: &Value) -> Option<String> {
    let none = |field: &str| {
        matches!(&rolling[field], Value::Number(number) if number.as_i64() == Some(0))
            || rolling[field] == "0%"
    };
    let why =
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0";
    (none("maxSurge") && none("maxUnavailable")).then(|| why.to_owned())
}

fn service(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && spec["clusterIP"] != "None" && spec["type"] != "ExternalName" {
        found.push("spec.ports: Required value".into());
    }
    if spec["type"] == "ExternalName" && text(&spec["externalName"]).is_empty() {
        found.push("spec.externalName: Required value".into());
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let here = format!("spec.ports[{index}]");
        if ports.len() > 1 && text(&port["name"]).is_empty() {
            found.push(format!("{here}.name: Required value"));
        }
        if !port["port"].as_u64().is_some_and(|number| (1..=65_535).contains(&number)) {
            let why = "must be between 1 and 65535, inclusive";
            found.push(format!("{here}.port: Invalid value: {}: {why}", port["port"]));
        }
        if !seen.insert((port["port"].to_string(), text(&port["protocol"]))) {
            found.push(format!("{here}: Duplicate value: {port}"));
        }
    }
    found
}

fn definition(object: &Value) -> Option<String> {
    let (name, spec) = (text(&object["metadata"]["name"]), &object["spec"]);
    let expected = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    let why = r#"must be spec.names.plural+"."+spec.group"#;
    (name != expected).then(|| format!("metadata.name: Invalid value: {name:?}: {why}"))
}
