//! The form that a reader asks for: the objects, only their metadata, or the table that kubectl prints (`table`).
//!
//! `Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json`: the first form that is known is given.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Metadata,
    Table,
}

impl Form {
    /// The form that a request accepts.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for media_type in accepted.split(',') {
            for parameter in media_type.split(';').map(str::trim) {
                match parameter {
                    "as=Table" => return Self::Table,
                    "as=PartialObjectMetadata" | "as=PartialObjectMetadataList" => return Self::Metadata,
                    _ => {}
                }
            }
            if matches!(media_type.trim(), "application/json" | "*/*") {
                return Self::Whole;
            }
        }
        Self::Whole
    }
}

/// An object's metadata as an object.
pub(super) fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list of them.
pub(super) fn metadata_list(items: &[Arc<Value>], list: &Value) -> Value {
    let items: Vec<Value> = items.iter().map(|item| metadata(item)).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list, "items": items})
}
