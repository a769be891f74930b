//! Fields that hold one of a few words, or a number of a range: a table, in the words of Kubernetes' validation.
//!
//! Source: `pkg/apis/*/validation` of Kubernetes 1.37. A path's `[]` is each element of a list. To add a rule: a line. A field that is not there is
//! nobody's concern unless its rule says so. Left out: enumerations that nobody here acts on.

use serde_json::Value;

use crate::model::effect::Resource;

/// What a field may hold.
#[derive(Clone, Copy)]
enum Rule {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list, and not an empty one, of these words; told of the list as a whole.
    SomeOf(&'static [&'static str]),
    /// One of these words; else invalid, with this reason.
    Else(&'static [&'static str], &'static str),
    /// Not missing, and one of these words.
    Needed(&'static [&'static str]),
    /// Zero or more.
    NotNegative,
    /// 1 to 65535; missing is refused.
    Port,
}

use Rule::{Else, Needed, NotNegative, OneOf, Port, SomeOf};

type Table = &'static [(&'static str, Rule)];

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const ACCESS: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

const POD: Table = &[("restartPolicy", OneOf(&["Always", "OnFailure", "Never"]))];

const CONTAINER: Table = &[
    ("imagePullPolicy", OneOf(&["Always", "IfNotPresent", "Never"])),
    ("ports[].containerPort", Port),
    ("ports[].protocol", OneOf(PROTOCOLS)),
];

const PROBE: Table = &[
    ("initialDelaySeconds", NotNegative),
    ("timeoutSeconds", NotNegative),
    ("periodSeconds", NotNegative),
    ("successThreshold", NotNegative),
    ("failureThreshold", NotNegative),
];

const SERVICE: Table = &[
    ("spec.type", OneOf(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
    ("spec.ports[].protocol", OneOf(PROTOCOLS)),
];

const STATEFUL_SET: Table = &[
    ("spec.podManagementPolicy", Else(&["OrderedReady", "Parallel"], "must be 'OrderedReady' or 'Parallel'")),
    ("spec.volumeClaimTemplates[].spec.accessModes", SomeOf(ACCESS)),
];

/// What is wrong with the fields of a built-in kind's object.
pub(super) fn wrong(resource: &Resource, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |table: Table, value: &Value, path: &str| {
        for (way, rule) in table {
            each(value, way, path, &mut |value, path| found.extend(against(*rule, value, &path)));
        }
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "services") => check(SERVICE, object, ""),
        ("", "persistentvolumeclaims") => check(&[("spec.accessModes", SomeOf(ACCESS))], object, ""),
        ("apps", "statefulsets") => check(STATEFUL_SET, object, ""),
        ("networking.k8s.io", "networkpolicies") => {
            check(&[("spec.policyTypes[]", OneOf(&["Ingress", "Egress"]))], object, "");
        }
        ("discovery.k8s.io", "endpointslices") => {
            check(&[("addressType", Needed(&["FQDN", "IPv4", "IPv6"]))], object, "");
        }
        _ => {}
    }
    let pod = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => "spec",
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") | ("batch", "jobs") => {
            "spec.template.spec"
        }
        ("batch", "cronjobs") => "spec.jobTemplate.spec.template.spec",
        _ => return found,
    };
    each(object, pod, "", &mut |spec, path| check(POD, spec, &path));
    for list in ["initContainers[]", "containers[]"] {
        each(object, &format!("{pod}.{list}"), "", &mut |container, path| {
            check(CONTAINER, container, &path);
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                each(container, probe, &path, &mut |probe, path| {
                    if probe.is_object() {
                        check(PROBE, probe, &path);
                    }
                });
            }
        });
    }
    found
}

/// Calls with each value at a way below a value, and with its path; with `null` where the last field is missing.
fn each(value: &Value, way: &str, path: &str, found: &mut dyn FnMut(&Value, String)) {
    let (step, rest) = way.split_once('.').map_or((way, None), |(step, rest)| (step, Some(rest)));
    let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
    let dot = if path.is_empty() { "" } else { "." };
    let here = format!("{path}{dot}{name}");
    let mut go = |value: &Value, here: String| match rest {
        Some(rest) => each(value, rest, &here, found),
        None => found(value, here),
    };
    match (value.get(name), is_list) {
        (Some(Value::Array(elements)), true) => {
            elements.iter().enumerate().for_each(|(at, element)| go(element, format!("{here}[{at}]")));
        }
        (_, true) => {}
        (value, false) => go(value.unwrap_or(&Value::Null), here),
    }
}

/// What is wrong with one value.
fn against(rule: Rule, value: &Value, path: &str) -> Vec<String> {
    let unsupported = |value: &Value, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        format!("{path}: Unsupported value: {value}: supported values: {}", words.join(", "))
    };
    let is_one = |value: &Value, words: &[&str]| value.as_str().is_some_and(|text| words.contains(&text));
    let is_empty = value.is_null() || value == "" || value == 0;
    let is_port = || value.as_u64().is_some_and(|port| (1..=65_535).contains(&port));
    let why = match rule {
        SomeOf(words) => {
            let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if all.is_empty() {
                return vec![format!("{path}: Required value: at least 1 access mode is required")];
            }
            let wrong = all.iter().filter(|value| !is_one(value, words));
            return wrong.map(|value| unsupported(value, words)).collect();
        }
        Needed(_) | Port if is_empty => format!("{path}: Required value"),
        Port if !is_port() => {
            format!("{path}: Invalid value: {value}: must be between 1 and 65535, inclusive")
        }
        OneOf(words) | Needed(words) if !is_empty && !is_one(value, words) => unsupported(value, words),
        Else(words, why) if !is_empty && !is_one(value, words) => {
            format!("{path}: Invalid value: {value}: {why}")
        }
        NotNegative if value.as_i64().is_some_and(|number| number < 0) => {
            format!("{path}: Invalid value: {value}: must be greater than or equal to 0")
        }
        _ => return vec![],
    };
    vec![why]
}
