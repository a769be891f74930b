//! The columns of kinds that are stored and served while nothing here acts on them: a dump's status shows in them as it was.

use serde_json::{Value, json};

use super::columns::{AGE, NAME, number, text};
use super::{Column, Row};
use crate::model::effect::Resource;

const AUTOSCALERS: &[Column] = &[
    NAME,
    text("Reference", |row| {
        let target = |field: &str| row.text(&format!("/spec/scaleTargetRef/{field}"));
        json!(format!("{}/{}", target("kind"), target("name")))
    }),
    text("Targets", |row| json!(targets(row))),
    text("MinPods", |row| match row.count("/spec/minReplicas") {
        0 => json!("<unset>"),
        least => json!(least.to_string()),
    }),
    text("MaxPods", |row| json!(row.count("/spec/maxReplicas"))),
    text("Replicas", |row| json!(row.count("/status/currentReplicas"))),
    AGE,
];

const INGRESS_CLASSES: &[Column] = &[
    text("Name", |row| {
        let default = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";
        let name = row.text("/metadata/name");
        json!(if row.text(default) == "true" { format!("{name} (default)") } else { name.to_owned() })
    }),
    text("Controller", |row| json!(row.text("/spec/controller"))),
    text("Parameters", |row| {
        let field = |field: &str| row.text(&format!("/spec/parameters/{field}"));
        json!(match (field("kind"), field("apiGroup")) {
            ("", _) => "<none>".to_owned(),
            (kind, "") => format!("{kind}/{}", field("name")),
            (kind, group) => format!("{kind}.{group}/{}", field("name")),
        })
    }),
    AGE,
];

const QUOTAS: &[Column] = &[
    NAME,
    text("Request", |row| json!(used(row, |name| !name.starts_with("limits.")))),
    text("Limit", |row| json!(used(row, |name| name.starts_with("limits.")))),
    AGE,
];

const CREATED: &[Column] = &[NAME, text("Created At", |row| json!(row.text("/metadata/creationTimestamp")))];

const RUNTIME_CLASSES: &[Column] = &[NAME, text("Handler", |row| json!(row.text("/handler"))), AGE];

const WEBHOOKS: &[Column] = &[NAME, number("Webhooks", |row| json!(row.list("/webhooks").len())), AGE];

const REPLICATION_CONTROLLERS: &[Column] = &[
    NAME,
    number("Desired", |row| json!(row.count("/spec/replicas"))),
    number("Current", |row| json!(row.count("/status/replicas"))),
    number("Ready", |row| json!(row.count("/status/readyReplicas"))),
    AGE,
];

/// The columns of a kind; none where it has no more than name and age.
pub(super) fn of(resource: &Resource) -> Option<&'static [Column]> {
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "limitranges") => CREATED,
        ("", "replicationcontrollers") => REPLICATION_CONTROLLERS,
        ("", "resourcequotas") => QUOTAS,
        ("admissionregistration.k8s.io", _) => WEBHOOKS,
        ("autoscaling", _) => AUTOSCALERS,
        ("networking.k8s.io", "ingressclasses") => INGRESS_CLASSES,
        ("node.k8s.io", _) => RUNTIME_CLASSES,
        _ => return None,
    })
}

/// What of a quota is used: `pods: 3/20, services: 1/5`.
fn used(row: &Row<'_>, shows: impl Fn(&str) -> bool) -> String {
    let hard = row.object.pointer("/status/hard").and_then(Value::as_object).into_iter().flatten();
    let used = |name: &str| row.object.pointer("/status/used").and_then(|used| used[name].as_str());
    let said = |(name, hard): (&String, &Value)| {
        format!("{name}: {}/{}", used(name).unwrap_or("0"), hard.as_str().unwrap_or("0"))
    };
    hard.filter(|(name, _)| shows(name)).map(said).collect::<Vec<_>>().join(", ")
}

/// What an autoscaler sees and wants, of its first two metrics: `cpu: 12%/70%`.
fn targets(row: &Row<'_>) -> String {
    let (metrics, seen) = (row.list("/spec/metrics"), row.list("/status/currentMetrics"));
    if metrics.is_empty() {
        return "<none>".into();
    }
    let said = metrics.iter().enumerate().map(|(index, metric)| target(metric, seen.get(index)));
    let said: Vec<String> = said.collect();
    match said.len().saturating_sub(2) {
        0 => said.join(", "),
        rest => format!("{} + {rest} more...", said[..2].join(", ")),
    }
}

fn target(metric: &Value, seen: Option<&Value>) -> String {
    let field = match metric["type"].as_str() {
        Some("ContainerResource") => "containerResource",
        Some("Resource") => "resource",
        Some("Pods") => "pods",
        Some("Object") => "object",
        Some("External") => "external",
        _ => return "<unknown type>".into(),
    };
    let (wanted, name) = (&metric[field]["target"], metric[field]["name"].as_str());
    let current = seen.map(|seen| &seen[field]["current"]).unwrap_or(&Value::Null);
    let percent = |of: &Value| of["averageUtilization"].as_i64().map(|percent| format!("{percent}%"));
    let amount = |of: &Value, field: &str| of[field].as_str().map(str::to_owned);
    let unknown = || "<unknown>".to_owned();
    let averaged = wanted.get("averageValue").is_some();
    let (now, goal) = match (name, averaged) {
        (Some(_), false) => (percent(current), percent(wanted).unwrap_or_else(|| "<auto>".into())),
        (_, true) => {
            (amount(current, "averageValue"), amount(wanted, "averageValue").unwrap_or_else(unknown))
        }
        (None, false) => (amount(current, "value"), amount(wanted, "value").unwrap_or_else(unknown)),
    };
    let values = format!("{}/{goal}", now.unwrap_or_else(unknown));
    match (name, field) {
        (Some(name), _) => format!("{name}: {values}"),
        (None, "object" | "external") if averaged => format!("{values} (avg)"),
        (None, _) => values,
    }
}
