//! YAML text to typed documents: strict, bounded, every error at its line and column, all at once.
//!
//! ```text
//! text ─► yaml      untyped trees with places, within bounds; what two readers read differently is refused
//!           older   what readers of YAML 1.1 see beyond that
//!      ─► envelope  apiVersion, kind, metadata, spec
//!      ─► schema    the tree against the JSON schema of its type: every unknown field, wrong type, missing field
//!      ─► Document  the typed value; a path leads from it back to its place in the text
//!         rest      the same without single fields that are wrong: what else is wrong is said at once
//!         render    diagnostics in rustc's manner
//! ```
//! Why by the schema: serde stops at the first error and loses places inside flattened types; the schema is there anyway, for
//! editors and for `explain`, so the three can never disagree.

pub mod diagnostic;
mod names;
pub mod older;
pub mod render;
mod rest;
pub mod schema;
pub mod source;
pub mod yaml;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use diagnostic::{Diagnostic, Part, Path, Place, Severity, refused};
pub use names::{nearest, unknown};
pub use render::{Look, render};
pub use source::Source;
use yaml::Node;

use crate::model::name::Name;

/// The version of every document.
pub const API_VERSION: &str = "drillmaster.dev/v1alpha1";

/// More than these nobody reads at once.
const MOST_DIAGNOSTICS: usize = 50;

/// A type that stands under `spec` of a kind of document.
pub trait Kind: DeserializeOwned + JsonSchema {
    /// As it stands under `kind`.
    const KIND: &'static str;
}

/// Under which name other documents find this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A name has lower-case letters, digits and `-`, and begins and ends with a letter or a digit.
    #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: Name,
}

/// A typed document, and its text.
#[derive(Debug, Clone)]
pub struct Document<T> {
    pub text: Text,
    pub metadata: Metadata,
    pub spec: T,
}

/// Where a document's values stand.
#[derive(Debug, Clone)]
pub struct Text {
    pub source: Arc<Source>,
    root: Arc<Node>,
}

/// A document whose kind is known, and nothing else.
#[derive(Debug, Clone)]
pub struct Untyped {
    pub source: Arc<Source>,
    /// Empty where it is missing.
    pub kind: String,
    /// Empty where it is missing.
    pub name: Name,
    root: Arc<Node>,
    doubts: yaml::Doubts,
}

/// Every document as it stands in a file, for its JSON schema; `schema_of` lets the kind of document say what it is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Document")]
#[schemars(transform = no_title)]
struct Envelope<T> {
    /// The version of the language: `drillmaster.dev/v1alpha1`.
    #[expect(dead_code, reason = "it stands here for the schema, which has compared it")]
    api_version: String,
    /// What the document is.
    #[expect(dead_code, reason = "as above")]
    kind: String,
    /// Under which name other documents find this one.
    metadata: Metadata,
    /// What it says.
    spec: T,
}

fn no_title(schema: &mut schemars::Schema) {
    schema.remove("title");
}

/// The JSON schema of a kind of document.
pub fn schema_of<T: Kind>() -> Value {
    let mut schema = schemars::schema_for!(Envelope<T>).to_value();
    schema["title"] = json!(T::KIND);
    schema["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    schema["properties"]["kind"]["const"] = json!(T::KIND);
    let spec = schema["properties"]["spec"]["$ref"].as_str().unwrap_or_default();
    let description = schema.pointer(spec.trim_start_matches('#')).map(|spec| spec["description"].clone());
    schema["description"] = description.unwrap_or_default();
    schema
}

/// The documents of a text, by kind and name; not yet their contents.
///
/// # Errors
/// Where it is no YAML, or nothing.
pub fn documents(source: &Arc<Source>) -> Result<Vec<Untyped>, Diagnostic> {
    let word = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let untyped = |tree: yaml::Tree| {
        let root = Arc::new(tree.root);
        let name = word(root.get("metadata").and_then(|metadata| metadata.get("name"))).into();
        Untyped { source: source.clone(), kind: word(root.get("kind")), name, root, doubts: tree.doubts }
    };
    let documents: Vec<Untyped> = yaml::read(source)?.into_iter().map(untyped).collect();
    if documents.is_empty() {
        let message = format!("`{}` has no document in it", source.path);
        return Err(Diagnostic::error(message, None).help("`drillmaster new NAME` writes one to start from"));
    }
    Ok(documents)
}

/// The documents of one kind in a text.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn read<T: Kind>(source: &Arc<Source>) -> Result<Vec<Document<T>>, Vec<Diagnostic>> {
    let (mut read, mut found) = (Vec::new(), Vec::new());
    for document in documents(source).map_err(|error| vec![error])? {
        if document.kind == T::KIND {
            match document.typed() {
                Ok(document) => read.push(document),
                Err(errors) => found.extend(errors),
            }
        }
    }
    if found.is_empty() { Ok(read) } else { Err(found) }
}

impl Untyped {
    /// As a document of a kind.
    ///
    /// # Errors
    /// Everything that is wrong with its shape, at once, in the order of the text.
    pub fn typed<T: Kind>(&self) -> Result<Document<T>, Vec<Diagnostic>> {
        let mut found = self.doubts.found.clone();
        found.extend(self.checked::<T>().found);
        if found.is_empty() {
            match self.of_tree(self.root.clone()) {
                Ok(document) => return Ok(document),
                Err(error) => found.push(self.unfit(&error)),
            }
        }
        Err(ordered(found))
    }

    /// A document that is not of its type, without the single fields that are wrong, and the places around those: what its meaning lacks
    /// there may follow from that. `None` where more is wrong than single fields.
    pub fn rest<T: Kind>(&self) -> Option<(Document<T>, Vec<Place>)> {
        let aside = self.checked::<T>().aside.filter(|_| self.doubts.found.is_empty())?;
        let rest = rest::without(&self.root, &aside);
        let around = rest.around.into_iter().map(|bytes| self.source.place(bytes));
        Some((self.of_tree(Arc::new(rest.tree)).ok()?, around.collect()))
    }

    /// Everything that is wrong with its shape and, as far as that allows to say, with its meaning.
    pub fn wrong<T: Kind>(&self, meaning: impl Fn(&Document<T>) -> Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut errors = match self.typed() {
            Ok(document) => return meaning(&document),
            Err(errors) => errors,
        };
        if let Some((document, around)) = self.rest() {
            errors.extend(unless_it_follows(meaning(&document), &around));
        }
        ordered(errors)
    }

    fn checked<T: Kind>(&self) -> schema::Checked {
        schema::check(&self.source, &self.root, &self.doubts.ambiguous, &schema_of::<T>())
    }

    fn of_tree<T: Kind>(&self, root: Arc<Node>) -> Result<Document<T>, serde_json::Error> {
        let envelope = serde_json::from_value::<Envelope<T>>(root.value())?;
        Ok(Document {
            text: Text { source: self.source.clone(), root },
            metadata: envelope.metadata,
            spec: envelope.spec,
        })
    }

    /// What to say where nothing reads this kind.
    pub fn unknown_kind(&self, known: &[&str]) -> Vec<Diagnostic> {
        let mut found = self.doubts.found.clone();
        let at = Path::default();
        let (message, help, at) = match self.root.get("kind") {
            Some(_) => {
                let (message, help) =
                    unknown("kind of document", &self.kind, known.iter().copied(), known.iter().copied());
                (message, help, at.then("kind"))
            }
            None => {
                let help = format!("every document begins with `apiVersion: {API_VERSION}` and `kind: …`");
                ("`kind` is missing".to_owned(), Some(help), at)
            }
        };
        let diagnostic = Diagnostic::error(message, Some(self.source.place(self.root.find(&at))));
        found.push(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
        ordered(found)
    }

    /// An error at a path.
    pub fn error(&self, path: &Path, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::error(message, Some(self.source.place(self.root.find(path))))
    }

    /// What only the type itself refused; it quotes the text, which leads back to the place.
    fn unfit(&self, error: &serde_json::Error) -> Diagnostic {
        let message = error.to_string();
        let quoted = message.split('`').nth(1).unwrap_or_default();
        let bytes = self.root.scalar(quoted).unwrap_or_else(|| self.root.mark());
        Diagnostic::error(message, Some(self.source.place(bytes)))
    }
}

impl Text {
    /// The place of a path's value.
    pub fn place(&self, path: &Path) -> Place {
        self.source.place(self.root.find(path))
    }

    /// The place of the key at a path's end.
    pub fn place_of_key(&self, path: &Path) -> Place {
        self.source.place(self.root.find_key(path))
    }

    /// An error at a path.
    pub fn error(&self, path: &Path, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::error(message, Some(self.place(path)))
    }

    /// A warning at a path.
    pub fn warning(&self, path: &Path, message: impl AsRef<str>) -> Diagnostic {
        Diagnostic::warning(message, Some(self.place(path)))
    }

    /// A name that nothing has, with the one that was meant, if one is near.
    pub fn unknown<'a>(
        &self,
        path: &Path,
        what: &str,
        name: &str,
        all: impl Iterator<Item = &'a str> + Clone,
    ) -> Diagnostic {
        let (message, help) = unknown(what, name, all.clone(), all);
        self.error(path, message).help(help.unwrap_or_else(|| format!("there is no {what} here at all")))
    }
}

/// What is wrong with a meaning, without what may follow from a field nearby that was left out.
pub fn unless_it_follows(found: Vec<Diagnostic>, around: &[Place]) -> impl Iterator<Item = Diagnostic> {
    let follows =
        |one: &Diagnostic| one.place.as_ref().is_some_and(|at| around.iter().any(|around| around.holds(at)));
    found.into_iter().filter(move |one| !follows(one))
}

/// In the order of the text, errors without a place first; not more than anybody reads.
pub fn ordered(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|diagnostic| {
        diagnostic.place.as_ref().map(|place| (place.file.clone(), place.bytes.start, place.bytes.end))
    });
    if found.len() > MOST_DIAGNOSTICS {
        let rest = found.len() - MOST_DIAGNOSTICS;
        found.truncate(MOST_DIAGNOSTICS);
        found.push(Diagnostic::error(format!("{rest} more are wrong"), None).help("mend these first"));
    }
    found
}
