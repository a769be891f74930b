//! YAML text to typed documents: strict, bounded, every error at its line and column, all at once.
//!
//! ```text
//! text ─► yaml      untyped trees with places, within bounds; what two readers read differently is refused
//!      ─► envelope  apiVersion, kind, metadata, spec
//!      ─► schema    the tree against the JSON schema of its type: every unknown field, wrong type, missing field
//!      ─► Document  the typed value; a path leads from it back to its place in the text
//!         render    diagnostics in rustc's manner
//! ```
//! Why by the schema: serde stops at the first error and loses places inside flattened types; the schema is there anyway, for
//! editors and for `explain`, so the three can never disagree.

pub mod diagnostic;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use diagnostic::{Diagnostic, Part, Path, Place, Severity};

use crate::model::name::Name;

/// The version of every document.
pub const API_VERSION: &str = "drillmaster.dev/v1alpha1";

/// A text and where it came from; nobody opens the path here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// A type that stands under `spec` of a kind of document.
pub trait Kind: serde::de::DeserializeOwned + schemars::JsonSchema {
    /// As it stands under `kind`.
    const KIND: &'static str;
}

/// Under which name other documents find this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The document's name: lower-case letters, digits and `-`.
    pub name: Name,
}

/// A typed document, with its text.
#[derive(Debug, Clone)]
pub struct Document<T> {
    pub source: Arc<Source>,
    pub metadata: Metadata,
    pub spec: T,
}
