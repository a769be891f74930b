//! Label and field selectors, as Kubernetes writes them.

use serde_json::Value;

use super::answer::Refusal;
use super::path::{Call, Query};

/// The most requirements that a selector may have.
const MOST: usize = 256;

/// What an object must be like to be listed.
#[derive(Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    /// A dotted path, whether it must be equal, and to what.
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

/// The fields that a kind can be selected by besides its name and namespace: group, plural, fields. The others have none, and say so
/// in other words than those.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "",
        "events",
        &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("", "namespaces", &["name", "status.phase"]),
    ("", "nodes", &["spec.unschedulable"]),
    (
        "",
        "pods",
        &[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
        ],
    ),
    ("", "secrets", &["type"]),
    ("", "services", &["spec.clusterIP", "spec.type"]),
    ("apps", "replicasets", &["status.replicas"]),
    ("batch", "jobs", &["status.successful"]),
];

impl Selector {
    /// The selectors of a request, by fields that its kind can be selected by.
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        let selector = Self::read(&call.query)?;
        let (group, plural) = (call.served.resource.group.as_str(), call.served.resource.plural.as_str());
        let known =
            FIELDS.iter().find(|(of, name, _)| (*of, *name) == (group, plural)).map(|(_, _, fields)| *fields);
        for (path, _, _) in &selector.fields {
            let own = matches!(path.as_str(), "metadata.name" | "metadata.namespace");
            if own || known.is_some_and(|known| known.contains(&path.as_str())) {
                continue;
            }
            return Err(Refusal::bad_request(match known {
                Some(_) => format!("field label not supported: {path}"),
                None => {
                    format!(
                        "\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                }
            }));
        }
        Ok(selector)
    }

    /// Whether every object is meant.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Reads the selectors of a query.
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            labels: read_labels(query.get("labelSelector").unwrap_or_default())?,
            fields: read_fields(query.get("fieldSelector").unwrap_or_default())?,
        })
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.holds(labels))
            && self.fields.iter().all(|(path, equal, value)| (field(object, path) == *value) == *equal)
    }
}

impl Requirement {
    /// As in Kubernetes, a label that is missing is not in any list.
    fn holds(&self, labels: &Value) -> bool {
        let label = labels.get(&self.key).and_then(Value::as_str);
        match &self.test {
            Test::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
            Test::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
            Test::Exists => label.is_some(),
            Test::Missing => label.is_none(),
        }
    }
}

/// Whether a `LabelSelector` object selects labels; an empty one selects everything, a missing one nothing.
pub(super) fn label_selector_matches(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    selector.is_object()
        && equal.into_iter().all(|(key, value)| label(key) == value.as_str())
        && expressions.into_iter().all(|expression| {
            let label = label(expression["key"].as_str().unwrap_or_default());
            let listed = || {
                let mut values = expression["values"].as_array().into_iter().flatten();
                values.any(|value| value.as_str() == label)
            };
            match expression["operator"].as_str() {
                Some("In") => label.is_some() && listed(),
                Some("NotIn") => label.is_none() || !listed(),
                Some("Exists") => label.is_some(),
                Some("DoesNotExist") => label.is_none(),
                _ => false,
            }
        })
}

fn unable(text: &str) -> Refusal {
    let text: String = text.chars().take(80).collect();
    Refusal::bad_request(format!("unable to parse requirement: `{text}`"))
}

/// `a=b, c!=d, e in (f,g), h notin (i), j, !k`.
fn read_labels(text: &str) -> Result<Vec<Requirement>, Refusal> {
    parts(text)?.into_iter().map(read_label).collect()
}

fn read_label(part: &str) -> Result<Requirement, Refusal> {
    let requirement = |key: &str, test| Requirement { key: key.trim().to_owned(), test };
    let (key, test) = if let Some(open) = part.find('(') {
        let inner = part[open + 1..].strip_suffix(')').ok_or_else(|| unable(part))?;
        let values = inner.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = part[..open].split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => (key, Test::In(values)),
            (Some(key), Some("notin"), None) => (key, Test::NotIn(values)),
            _ => return Err(unable(part)),
        }
    } else if let Some((key, value)) = part.split_once("!=") {
        (key, Test::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (key, Test::In(vec![value.trim().to_owned()]))
    } else if let Some(key) = part.strip_prefix('!') {
        (key, Test::Missing)
    } else {
        (part, Test::Exists)
    };
    let key = key.trim();
    let spaced = |text: &str| text.contains(char::is_whitespace);
    let values = match &test {
        Test::In(values) | Test::NotIn(values) => values.as_slice(),
        Test::Exists | Test::Missing => &[],
    };
    if key.is_empty() || spaced(key) || values.iter().any(|value| spaced(value)) {
        return Err(unable(part));
    }
    Ok(requirement(key, test))
}

fn read_fields(text: &str) -> Result<Vec<(String, bool, String)>, Refusal> {
    let read = |part: &str| {
        let not = part.split_once("!=").map(|pair| (pair, false));
        let equal = || part.split_once("==").or_else(|| part.split_once('=')).map(|pair| (pair, true));
        let ((path, value), equal) = not.or_else(equal).ok_or_else(|| unable(part))?;
        Ok((path.trim().to_owned(), equal, value.trim().to_owned()))
    };
    parts(text)?.into_iter().map(read).collect()
}

/// The parts between commas that stand outside parentheses.
fn parts(text: &str) -> Result<Vec<&str>, Refusal> {
    let mut depth = 0_u32;
    let outside = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    let parts: Vec<&str> = text.split(outside).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > MOST { Err(unable(text)) } else { Ok(parts) }
}

/// The text of a field under a dotted path; empty where there is none.
fn field(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |object, part| object.get(part));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        // A switch that is not there is off.
        None if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".into(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(query: &str) -> bool {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "shop", "tier": "web"}},
            "spec": {"nodeName": "n1", "unschedulable": true}, "status": {"phase": "Running"}});
        Selector::read(&Query::read(query)).unwrap().matches(&object)
    }

    #[test]
    fn label_selectors_mean_what_kubernetes_means() {
        for (text, holds) in [
            ("app=shop", true),
            ("app==shop,tier!=db", true),
            ("app in (shop, x),tier notin (db)", true),
            ("app,!zone", true),
            ("zone!=a", true),
            ("zone=a", false),
            ("app in (x)", false),
            ("!app", false),
            ("zone notin (a)", true),
        ] {
            assert_eq!(selects(&format!("labelSelector={text}")), holds, "{text}");
        }
        for text in ["app in (x", "a b=c", "x foo (y)", "=a"] {
            assert!(Selector::read(&Query::read(&format!("labelSelector={text}"))).is_err(), "{text}");
        }
    }

    #[test]
    fn field_selectors_read_any_path_and_a_missing_field_is_empty() {
        for (text, holds) in [
            ("spec.nodeName=n1,status.phase!=Failed", true),
            ("metadata.name==b", false),
            ("spec.unschedulable=true", true),
            ("spec.none=", true),
        ] {
            assert_eq!(selects(&format!("fieldSelector={text}")), holds, "{text}");
        }
    }
}
