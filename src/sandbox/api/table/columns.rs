//! The columns of each kind, a line each, as Kubernetes' own printers have them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Column, Row, pod, said, stored};
use crate::model::effect::Resource;

pub(super) const fn text(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    Column { name, kind: "string", wide: false, cell }
}

const fn wide(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    Column { name, kind: "string", wide: true, cell }
}

pub(super) const fn number(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    Column { name, kind: "integer", wide: false, cell }
}

pub(super) const NAME: Column = text("Name", |row| json!(row.text("/metadata/name")));
pub(super) const AGE: Column = text("Age", |row| json!(row.since(row.text("/metadata/creationTimestamp"))));
const CONTAINERS: Column = wide("Containers", |row| json!(of_containers(row, "", "/name")));
const IMAGES: Column = wide("Images", |row| json!(of_containers(row, "", "/image")));
const SELECTOR: Column =
    wide("Selector", |row| json!(selector(row.object.pointer("/spec/selector")).unwrap_or("<none>".into())));
const READY: Column = text("Ready", |row| {
    json!(format!("{}/{}", row.count("/status/readyReplicas"), row.count("/spec/replicas")))
});

const OTHERS: &[Column] = &[NAME, AGE];

const PODS: &[Column] = &[
    NAME,
    text("Ready", |row| {
        let pod = pod::summary(row);
        json!(format!("{}/{}", pod.ready, pod.containers))
    }),
    text("Status", |row| json!(pod::summary(row).status)),
    text("Restarts", |row| json!(pod::summary(row).restarts)),
    AGE,
    wide("IP", |row| row.text_or("/status/podIP", "<none>")),
    wide("Node", |row| row.text_or("/spec/nodeName", "<none>")),
    wide("Nominated Node", |row| row.text_or("/status/nominatedNodeName", "<none>")),
    wide("Readiness Gates", |row| json!(gates(row))),
];

const SERVICES: &[Column] = &[
    NAME,
    text("Type", |row| json!(row.text("/spec/type"))),
    text("Cluster-IP", |row| row.text_or("/spec/clusterIP", "<none>")),
    text("External-IP", |row| json!(external(row))),
    text("Port(s)", |row| json!(ports(row))),
    AGE,
    wide("Selector", |row| json!(words(row.object.pointer("/spec/selector")))),
];

const NODES: &[Column] = &[
    NAME,
    text("Status", |row| json!(node_status(row))),
    text("Roles", |row| json!(roles(row))),
    AGE,
    text("Version", |row| json!(row.text("/status/nodeInfo/kubeletVersion"))),
    wide("Internal-IP", |row| json!(address(row, "InternalIP"))),
    wide("External-IP", |row| json!(address(row, "ExternalIP"))),
    wide("OS-Image", |row| row.text_or("/status/nodeInfo/osImage", "<unknown>")),
    wide("Kernel-Version", |row| {
        let kernel = row.text_or("/status/nodeInfo/kernelVersion", "<unknown>");
        let kernel = kernel.as_str().unwrap_or_default();
        match row.text("/status/nodeInfo/architecture") {
            "" => json!(kernel),
            architecture => json!(format!("{kernel} ({architecture})")),
        }
    }),
    wide("Container-Runtime", |row| row.text_or("/status/nodeInfo/containerRuntimeVersion", "<unknown>")),
];

const EVENTS: &[Column] = &[
    text("Last Seen", |row| json!(last_seen(row))),
    text("Type", |row| json!(row.text("/type"))),
    text("Reason", |row| json!(row.text("/reason"))),
    text("Object", |row| {
        let (kind, name) =
            (row.text("/involvedObject/kind").to_lowercase(), row.text("/involvedObject/name"));
        json!(if name.is_empty() { kind } else { format!("{kind}/{name}") })
    }),
    wide("Subobject", |row| json!(row.text("/involvedObject/fieldPath"))),
    wide("Source", |row| json!(source(row))),
    text("Message", |row| json!(row.text("/message").trim())),
    wide("First Seen", |row| json!(first_seen(row))),
    wide("Count", |row| {
        let series = row.count("/series/count");
        json!(if series > 0 { series } else { row.count("/count").max(1) })
    }),
    wide("Name", |row| json!(row.text("/metadata/name"))),
];

const DEPLOYMENTS: &[Column] = &[
    NAME,
    READY,
    number("Up-to-date", |row| json!(row.count("/status/updatedReplicas"))),
    number("Available", |row| json!(row.count("/status/availableReplicas"))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REPLICA_SETS: &[Column] = &[
    NAME,
    number("Desired", |row| json!(row.count("/spec/replicas"))),
    number("Current", |row| json!(row.count("/status/replicas"))),
    number("Ready", |row| json!(row.count("/status/readyReplicas"))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const STATEFUL_SETS: &[Column] = &[NAME, READY, AGE, CONTAINERS, IMAGES];

const DAEMON_SETS: &[Column] = &[
    NAME,
    number("Desired", |row| json!(row.count("/status/desiredNumberScheduled"))),
    number("Current", |row| json!(row.count("/status/currentNumberScheduled"))),
    number("Ready", |row| json!(row.count("/status/numberReady"))),
    number("Up-to-date", |row| json!(row.count("/status/updatedNumberScheduled"))),
    number("Available", |row| json!(row.count("/status/numberAvailable"))),
    text("Node Selector", |row| json!(words(row.object.pointer("/spec/template/spec/nodeSelector")))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const CONTROLLER_REVISIONS: &[Column] = &[
    NAME,
    text("Controller", |row| {
        let mut owners = row.list("/metadata/ownerReferences").iter();
        let owner = owners.find(|each| each["controller"] == true);
        let part = |owner: &Value, field: &str| owner[field].as_str().unwrap_or_default().to_owned();
        json!(owner.map_or_else(
            || "<none>".into(),
            |owner| {
                let version = part(owner, "apiVersion");
                let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
                format!("{}{group}/{}", part(owner, "kind").to_lowercase(), part(owner, "name"))
            }
        ))
    }),
    text("Revision", |row| json!(row.count("/revision"))),
    AGE,
];

const JOBS: &[Column] = &[
    NAME,
    text("Status", |row| json!(job_status(row))),
    text("Completions", |row| json!(completions(row))),
    text("Duration", |row| json!(duration(row))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const CRON_JOBS: &[Column] = &[
    NAME,
    text("Schedule", |row| json!(row.text("/spec/schedule"))),
    text("Timezone", |row| row.text_or("/spec/timeZone", "<none>")),
    text("Suspend", |row| json!(if row.object["spec"]["suspend"] == true { "True" } else { "False" })),
    number("Active", |row| json!(row.list("/status/active").len())),
    text("Last Schedule", |row| match row.text("/status/lastScheduleTime") {
        "" => json!("<none>"),
        time => json!(row.since(time)),
    }),
    AGE,
    wide("Containers", |row| json!(of_containers(row, "/spec/jobTemplate", "/name"))),
    wide("Images", |row| json!(of_containers(row, "/spec/jobTemplate", "/image"))),
    wide("Selector", |_| json!("<none>")),
];

const SECRETS: &[Column] =
    &[NAME, text("Type", |row| json!(row.text("/type"))), text("Data", |row| json!(keys(row, "data"))), AGE];

const CONFIG_MAPS: &[Column] =
    &[NAME, text("Data", |row| json!(keys(row, "data") + keys(row, "binaryData"))), AGE];

const NAMESPACES: &[Column] = &[NAME, text("Status", |row| json!(row.text("/status/phase"))), AGE];

const CLAIMS: &[Column] = &[
    NAME,
    text("Status", phase),
    text("Volume", |row| json!(row.text("/spec/volumeName"))),
    text("Capacity", |row| match row.text("/spec/volumeName") {
        "" => json!(""),
        _ => json!(row.text("/status/capacity/storage")),
    }),
    text("Access Modes", |row| match row.text("/spec/volumeName") {
        "" => json!(""),
        _ => json!(access_modes(row, "/status/accessModes")),
    }),
    text("StorageClass", |row| json!(row.text("/spec/storageClassName"))),
    text("VolumeAttributesClass", |row| row.text_or("/spec/volumeAttributesClassName", "<unset>")),
    AGE,
    wide("VolumeMode", |row| row.text_or("/spec/volumeMode", "<unset>")),
];

const VOLUMES: &[Column] = &[
    NAME,
    text("Capacity", |row| json!(row.text("/spec/capacity/storage"))),
    text("Access Modes", |row| json!(access_modes(row, "/spec/accessModes"))),
    text("Reclaim Policy", |row| json!(row.text("/spec/persistentVolumeReclaimPolicy"))),
    text("Status", phase),
    text("Claim", |row| {
        let claim = (row.text("/spec/claimRef/namespace"), row.text("/spec/claimRef/name"));
        json!(if claim.1.is_empty() { String::new() } else { format!("{}/{}", claim.0, claim.1) })
    }),
    text("StorageClass", |row| json!(row.text("/spec/storageClassName"))),
    text("VolumeAttributesClass", |row| row.text_or("/spec/volumeAttributesClassName", "<unset>")),
    text("Reason", |row| json!(row.text("/status/reason"))),
    AGE,
    wide("VolumeMode", |row| row.text_or("/spec/volumeMode", "<unset>")),
];

const BUDGETS: &[Column] = &[
    NAME,
    text("Min Available", |row| json!(amount(row, "/spec/minAvailable"))),
    text("Max Unavailable", |row| json!(amount(row, "/spec/maxUnavailable"))),
    number("Allowed Disruptions", |row| json!(row.count("/status/disruptionsAllowed"))),
    AGE,
];

const INGRESSES: &[Column] = &[
    NAME,
    text("Class", |row| row.text_or("/spec/ingressClassName", "<none>")),
    text("Hosts", |row| json!(hosts(row))),
    text("Address", |row| json!(balanced(row))),
    text("Ports", |row| json!(if row.list("/spec/tls").is_empty() { "80" } else { "80, 443" })),
    AGE,
];

const NETWORK_POLICIES: &[Column] = &[
    NAME,
    text("Pod-Selector", |row| {
        json!(selector(row.object.pointer("/spec/podSelector")).unwrap_or("<none>".into()))
    }),
    AGE,
];

const ENDPOINTS: &[Column] = &[
    NAME,
    text("Endpoints", |row| {
        let all: Vec<String> = row.list("/subsets").iter().flat_map(subset).collect();
        json!(if all.is_empty() { "<none>".into() } else { first_three(&all) })
    }),
    AGE,
];

const SLICES: &[Column] = &[
    NAME,
    text("AddressType", |row| json!(row.text("/addressType"))),
    text("Ports", |row| {
        let number = |port: &Value| port["port"].as_i64().map_or("*".to_owned(), |port| port.to_string());
        json!(first_three(&row.list("/ports").iter().map(number).collect::<Vec<_>>()))
    }),
    text("Endpoints", |row| {
        let addresses = |each: &Value| each["addresses"].as_array().cloned().unwrap_or_default();
        let all = row.list("/endpoints").iter().flat_map(addresses);
        let all: Vec<String> = all.filter_map(|each| each.as_str().map(str::to_owned)).collect();
        json!(first_three(&all))
    }),
    AGE,
];

const LEASES: &[Column] = &[NAME, text("Holder", |row| json!(row.text("/spec/holderIdentity"))), AGE];

const BINDINGS: &[Column] = &[
    NAME,
    text("Role", |row| json!(format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name")))),
    AGE,
    wide("Users", |row| json!(subjects(row, "User"))),
    wide("Groups", |row| json!(subjects(row, "Group"))),
    wide("ServiceAccounts", |row| json!(subjects(row, "ServiceAccount"))),
];

/// Roles and definitions show when they were made, and not how long ago.
const CREATED: &[Column] = &[NAME, text("Created At", |row| json!(row.text("/metadata/creationTimestamp")))];

const PRIORITY_CLASSES: &[Column] = &[
    NAME,
    number("Value", |row| json!(row.count("/value"))),
    Column {
        kind: "boolean",
        ..text("Global-Default", |row| json!(row.object.pointer("/globalDefault") == Some(&json!(true))))
    },
    AGE,
    text("PreemptionPolicy", |row| json!(row.text("/preemptionPolicy"))),
];

const STORAGE_CLASSES: &[Column] = &[
    text("Name", |row| {
        let default = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
        let name = row.text("/metadata/name");
        json!(if row.text(default) == "true" { format!("{name} (default)") } else { name.to_owned() })
    }),
    text("Provisioner", |row| json!(row.text("/provisioner"))),
    text("ReclaimPolicy", |row| row.text_or("/reclaimPolicy", "Delete")),
    text("VolumeBindingMode", |row| row.text_or("/volumeBindingMode", "Immediate")),
    text("AllowVolumeExpansion", |row| json!(row.object["allowVolumeExpansion"] == true)),
    AGE,
];

/// The columns of a kind.
pub(super) fn of(resource: &Resource) -> &'static [Column] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps") => CONFIG_MAPS,
        ("", "endpoints") => ENDPOINTS,
        ("", "events") => EVENTS,
        ("", "namespaces") => NAMESPACES,
        ("", "nodes") => NODES,
        ("", "persistentvolumeclaims") => CLAIMS,
        ("", "persistentvolumes") => VOLUMES,
        ("", "pods") => PODS,
        ("", "secrets") => SECRETS,
        ("", "services") => SERVICES,
        ("apiextensions.k8s.io", _) => CREATED,
        ("apps", "controllerrevisions") => CONTROLLER_REVISIONS,
        ("apps", "daemonsets") => DAEMON_SETS,
        ("apps", "deployments") => DEPLOYMENTS,
        ("apps", "replicasets") => REPLICA_SETS,
        ("apps", "statefulsets") => STATEFUL_SETS,
        ("batch", "cronjobs") => CRON_JOBS,
        ("batch", "jobs") => JOBS,
        ("coordination.k8s.io", "leases") => LEASES,
        ("discovery.k8s.io", "endpointslices") => SLICES,
        ("events.k8s.io", "events") => EVENTS,
        ("networking.k8s.io", "ingresses") => INGRESSES,
        ("networking.k8s.io", "networkpolicies") => NETWORK_POLICIES,
        ("policy", "poddisruptionbudgets") => BUDGETS,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => BINDINGS,
        ("rbac.authorization.k8s.io", "clusterroles" | "roles") => CREATED,
        ("scheduling.k8s.io", "priorityclasses") => PRIORITY_CLASSES,
        ("storage.k8s.io", "storageclasses") => STORAGE_CLASSES,
        _ => stored::of(resource).unwrap_or(OTHERS),
    }
}

/// A field of the containers of a template, which stands in the spec of an object or of a part of it.
fn of_containers(row: &Row<'_>, part: &str, field: &str) -> String {
    let containers = row.list(&format!("{part}/spec/template/spec/containers")).iter();
    containers.filter_map(|each| each.pointer(field)?.as_str()).collect::<Vec<_>>().join(",")
}

fn joined(mut words: Vec<String>) -> Option<String> {
    words.sort();
    (!words.is_empty()).then(|| words.join(","))
}

/// Labels as words: `app=web,tier=front`.
fn words(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let word = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    joined(labels.map(word).collect()).unwrap_or_else(|| "<none>".into())
}

/// A label selector as words: `app=web,tier in (api,web),!old`.
fn selector(selector: Option<&Value>) -> Option<String> {
    let selector = selector?;
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let rule = |rule: &Value| {
        let key = rule["key"].as_str().unwrap_or_default();
        let values = rule["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let values = values.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",");
        match rule["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        }
    };
    let rules = selector["matchExpressions"].as_array().into_iter().flatten().map(rule);
    joined(equal.chain(rules).collect())
}

fn gates(row: &Row<'_>) -> String {
    let gates = row.list("/spec/readinessGates");
    let open = |gate: &&Value| {
        let mut conditions = row.list("/status/conditions").iter();
        conditions.any(|each| each["type"] == gate["conditionType"] && each["status"] == "True")
    };
    match gates {
        [] => "<none>".into(),
        gates => format!("{}/{}", gates.iter().filter(open).count(), gates.len()),
    }
}

/// The addresses of a load balancer.
fn balanced(row: &Row<'_>) -> String {
    let given = row.list("/status/loadBalancer/ingress").iter();
    let given = given.filter_map(|one| one["ip"].as_str().or_else(|| one["hostname"].as_str()));
    given.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

fn external(row: &Row<'_>) -> String {
    let own = row.list("/spec/externalIPs").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let given = balanced(row);
    match (row.text("/spec/type"), own.as_str(), given.as_str()) {
        ("ExternalName", ..) => row.text("/spec/externalName").to_owned(),
        ("LoadBalancer", "", "") => "<pending>".into(),
        ("LoadBalancer", "", given) => given.to_owned(),
        ("LoadBalancer", own, given) if !given.is_empty() => format!("{given},{own}"),
        (_, "", _) => "<none>".into(),
        (_, own, _) => own.to_owned(),
    }
}

fn ports(row: &Row<'_>) -> String {
    let said = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_u64().filter(|node| *node > 0) {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<String> = row.list("/spec/ports").iter().map(said).collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",") }
}

fn node_status(row: &Row<'_>) -> String {
    let ready = row.list("/status/conditions").iter().find(|one| one["type"] == "Ready");
    let status = match ready.map(|ready| ready["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    let cordoned = row.object.pointer("/spec/unschedulable") == Some(&json!(true));
    format!("{status}{}", if cordoned { ",SchedulingDisabled" } else { "" })
}

fn roles(row: &Row<'_>) -> String {
    let labels = row.object["metadata"]["labels"].as_object().into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.as_str() {
        "kubernetes.io/role" => value.as_str().map(str::to_owned),
        key => key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned),
    };
    let roles = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    joined(roles).unwrap_or_else(|| "<none>".into())
}

fn address<'a>(row: &'a Row<'_>, kind: &str) -> &'a str {
    let mut addresses = row.list("/status/addresses").iter();
    addresses.find(|each| each["type"] == kind).and_then(|each| each["address"].as_str()).unwrap_or("<none>")
}

fn first_seen(row: &Row<'_>) -> String {
    match row.text("/firstTimestamp") {
        "" => row.since(row.text("/eventTime")),
        time => row.since(time),
    }
}

fn last_seen(row: &Row<'_>) -> String {
    match (row.text("/series/lastObservedTime"), row.text("/lastTimestamp")) {
        ("", "") => first_seen(row),
        ("", time) | (time, _) => row.since(time),
    }
}

fn source(row: &Row<'_>) -> String {
    let (component, host) = match row.text("/source/component") {
        "" => (row.text("/reportingComponent"), row.text("/reportingInstance")),
        component => (component, row.text("/source/host")),
    };
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

fn job_status(row: &Row<'_>) -> &'static str {
    let holds = |kind: &str| {
        let mut conditions = row.list("/status/conditions").iter();
        conditions.any(|each| each["type"] == kind && each["status"] == "True")
    };
    let leaves = row.object.pointer("/metadata/deletionTimestamp").is_some();
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if leaves => "Terminating",
        () if holds("Suspended") => "Suspended",
        () if holds("FailureTarget") => "FailureTarget",
        () if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(row: &Row<'_>) -> String {
    let succeeded = row.count("/status/succeeded");
    match (row.object.pointer("/spec/completions"), row.count("/spec/parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(row: &Row<'_>) -> String {
    let begin = row.clock.read(row.text("/status/startTime"));
    let end = row.clock.read(row.text("/status/completionTime")).unwrap_or(row.now);
    begin.map_or_else(String::new, |begin| said((end.0 - begin.0) / 1_000_000_000))
}

fn keys(row: &Row<'_>, field: &str) -> usize {
    row.object[field].as_object().map_or(0, serde_json::Map::len)
}

fn phase(row: &Row<'_>) -> Value {
    let leaves = row.object.pointer("/metadata/deletionTimestamp").is_some();
    if leaves { json!("Terminating") } else { json!(row.text("/status/phase")) }
}

fn access_modes(row: &Row<'_>, path: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |(mode, _): &&(&str, &str)| row.list(path).iter().any(|each| each == mode);
    SHORT.iter().filter(has).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// A number or a share of pods.
fn amount(row: &Row<'_>, path: &str) -> String {
    match row.object.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "N/A".into(),
    }
}

fn hosts(row: &Row<'_>) -> String {
    let rules = row.list("/spec/rules");
    let hosts: Vec<String> =
        rules.iter().filter_map(|rule| rule["host"].as_str().map(str::to_owned)).collect();
    match hosts.len() {
        0 => "*".into(),
        1..=3 => hosts.join(","),
        _ => format!("{} + {} more...", hosts[..3].join(","), rules.len() - 3),
    }
}

/// The addresses of a subset of Endpoints, with their ports.
fn subset(subset: &Value) -> Vec<String> {
    let list = |field: &str| subset[field].as_array().cloned().unwrap_or_default();
    let addresses = list("addresses");
    let addresses = addresses.iter().filter_map(|each| each["ip"].as_str());
    match list("ports").as_slice() {
        [] => addresses.map(str::to_owned).collect(),
        ports => {
            let with = |port: &Value| addresses.clone().map(|ip| format!("{ip}:{}", port["port"])).collect();
            ports.iter().flat_map::<Vec<String>, _>(with).collect()
        }
    }
}

fn first_three(all: &[String]) -> String {
    match all.len() {
        0 => "<unset>".into(),
        1..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

fn subjects(row: &Row<'_>, kind: &str) -> String {
    let of_kind = row.list("/subjects").iter().filter(|each| each["kind"] == kind);
    let said = |each: &Value| {
        let name = each["name"].as_str().unwrap_or_default();
        match each["namespace"].as_str() {
            Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        }
    };
    of_kind.map(said).collect::<Vec<_>>().join(", ")
}
