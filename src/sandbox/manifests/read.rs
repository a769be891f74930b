//! From a text to objects, each with its place.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::document::yaml::{self, Node, Shape};
use crate::document::{Diagnostic, Part, Path, Source};

/// The largest manifest that is read.
const LARGEST: usize = 10 << 20;

/// The most objects in one manifest.
const MOST: usize = 5_000;

/// An object as a file gives it.
#[derive(Debug, Clone)]
pub struct Given {
    pub object: Value,
    source: Arc<Source>,
    node: Node,
}

impl Given {
    /// `apps/v1`
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// `Deployment`
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its name, or the beginning of the one that it will get.
    pub fn name(&self) -> &str {
        match self.text("/metadata/name") {
            "" => self.text("/metadata/generateName"),
            name => name,
        }
    }

    /// Empty where it says none.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// The text at a JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `Deployment web in shop`
    pub fn title(&self) -> String {
        match self.namespace() {
            "" => format!("{} {}", self.kind(), self.name()),
            namespace => format!("{} {} in {namespace}", self.kind(), self.name()),
        }
    }

    /// Whether an API server has had it: only there do objects get a uid.
    pub fn is_dumped(&self) -> bool {
        !self.text("/metadata/uid").is_empty()
    }

    /// `web.yaml:12`
    pub fn place(&self) -> String {
        let place = self.source.place(self.node.mark());
        format!("{}:{}", place.file, place.line)
    }

    /// Where the values of a Secret stand.
    pub fn secret_values(&self) -> Vec<Range<usize>> {
        const NOTED: &str = "kubectl.kubernetes.io/last-applied-configuration";
        let values = |node: Option<&Node>| match node.map(|node| &node.shape) {
            Some(Shape::Map(entries)) => entries.iter().map(|(_, value)| value.bytes.clone()).collect(),
            _ => vec![],
        };
        let noted = self.node.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(NOTED));
        let mut places = values(self.node.get("data"));
        places.extend(values(self.node.get("stringData")));
        places.extend(noted.map(|node| node.bytes.clone()));
        places
    }

    /// An error at a way into the object.
    pub fn error_in(&self, way: &Path, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::error(message, Some(self.source.place(self.node.find(way))))
    }

    /// An error at a field: `spec.containers[0].image`.
    pub fn error(&self, field: &str, message: impl AsRef<str>) -> Diagnostic {
        self.error_in(&path(field), message)
    }

    /// An error at a field's name.
    pub fn error_at_key(&self, field: &str, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::error(message, Some(self.source.place(self.node.find_key(&path(field)))))
    }
}

/// A field's path as an API server writes it; a step that is no step of ours ends the way early, which is near enough.
fn path(field: &str) -> Path {
    let mut parts = vec![];
    for step in field.split('.').filter(|step| !step.is_empty()) {
        let mut pieces = step.split(['[', ']']).filter(|piece| !piece.is_empty());
        parts.extend(pieces.next().map(Part::from));
        parts.extend(pieces.map(|piece| piece.parse().map_or_else(|_| Part::from(piece), Part::Index)));
    }
    Path(parts)
}

/// The objects of a text, in its order; those of a list one by one.
///
/// # Errors
/// Where it is no YAML or JSON, too large, or not made of objects.
pub fn read(source: &Arc<Source>) -> Result<Vec<Given>, Vec<Diagnostic>> {
    if source.text.len() > LARGEST {
        let message = format!("`{}` is larger than {} MiB", source.path, LARGEST >> 20);
        return Err(vec![Diagnostic::error(message, None).help("split it into several files of a folder")]);
    }
    let (mut given, mut found) = (vec![], vec![]);
    for node in yaml::objects(source).map_err(|error| vec![error])? {
        for node in listed(node) {
            match object(source, node) {
                Ok(object) => given.push(object),
                Err(error) => found.push(error),
            }
        }
    }
    if given.len() > MOST {
        let message = format!("`{}` holds more than {MOST} objects", source.path);
        found.push(Diagnostic::error(message, None).help("split it into several files of a folder"));
    }
    if found.is_empty() { Ok(given) } else { Err(found) }
}

/// The items of a list, or the object itself. Items of a typed list need not say what they are.
fn listed(node: Node) -> Vec<Node> {
    let kind = node.get("kind").and_then(Node::text).unwrap_or_default().to_owned();
    let Some(kind) = kind.strip_suffix("List") else { return vec![node] };
    let Some(Node { shape: Shape::List(items), .. }) = node.get("items") else { return vec![node] };
    let words = [("apiVersion", node.get("apiVersion").cloned()), ("kind", node.get("kind").cloned())];
    let named = |mut item: Node| {
        for (word, of_list) in &words {
            if item.get(word).is_none()
                && let (Shape::Map(entries), Some(of_list)) = (&mut item.shape, of_list)
            {
                let text = if *word == "kind" { Shape::Text(kind.to_owned()) } else { of_list.shape.clone() };
                let at = |shape: Shape| Node { bytes: of_list.bytes.clone(), shape };
                entries.push((at(Shape::Text((*word).to_owned())), at(text)));
            }
        }
        item
    };
    items.iter().cloned().map(named).collect()
}

fn object(source: &Arc<Source>, node: Node) -> Result<Given, Diagnostic> {
    let given = Given { object: node.value(), source: source.clone(), node };
    if !given.object.is_object() {
        return Err(given
            .error("", "this is no object of Kubernetes")
            .help("each has `apiVersion`, `kind` and `metadata`"));
    }
    for (field, pointer) in [("apiVersion", "/apiVersion"), ("kind", "/kind")] {
        if given.text(pointer).is_empty() {
            let message = format!("`{field}` is missing");
            return Err(given
                .error(field, message)
                .help("each object says what it is: `apiVersion: apps/v1`, `kind: Deployment`"));
        }
    }
    if given.name().is_empty() && given.api_version() != "kustomize.config.k8s.io/v1beta1" {
        let message = format!("this {} has no name", given.kind());
        return Err(given.error("metadata", message).help("add `metadata: {name: …}`"));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        let source = Arc::new(Source::new("a.yaml", text));
        read(&source)
            .unwrap()
            .iter()
            .map(|given| format!("{} {}", given.api_version(), given.title()))
            .collect()
    }

    #[test]
    fn documents_lists_and_json_are_read_in_order() {
        let text = "# a comment\n---\n{apiVersion: v1, kind: A, metadata: {name: a}}\n---\n---\nkind: List\napiVersion: v1\nitems: \
                    [{apiVersion: v1, kind: B, metadata: {name: b, namespace: shop}}]\n---\n\
                    {\"apiVersion\": \"apps/v1\", \"kind\": \"CList\", \"items\": [{\"metadata\": {\"name\": \"c\"}}]}\n";
        assert_eq!(kinds(text), ["v1 A a", "v1 B b in shop", "apps/v1 C c"]);
        assert_eq!(kinds("kind: List\napiVersion: v1\nitems: []\n"), Vec::<String>::new());
    }

    #[test]
    fn texts_are_read_as_kubectl_reads_them() {
        let text =
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {mode: 0644, is: yes, text: \"yes\"}\n";
        let given = read(&Arc::new(Source::new("a.yaml", text))).unwrap();
        assert_eq!(given[0].object["spec"], serde_json::json!({"mode": 420, "is": true, "text": "yes"}));
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec:\n  containers:\n  - image: b\n  - imagee: c\n";
        let given = read(&Arc::new(Source::new("a.yaml", text))).unwrap().remove(0);
        let line = |error: Diagnostic| error.place.map(|place| (place.line, place.column));
        assert_eq!(line(given.error("spec.containers[1].imagee", "")), Some((7, 13)));
        assert_eq!(line(given.error_at_key("spec.containers[1].imagee", "")), Some((7, 5)));
        assert_eq!(line(given.error("spec.volumes[0].name", "")), Some((4, 1)), "as near as the text goes");
    }
}
