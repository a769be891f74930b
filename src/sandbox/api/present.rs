//! The form that a reader asks for: the objects, only their metadata, or the table that kubectl prints (`table`).
//!
//! A whole object is written with the times of its status in whole seconds, as Kubernetes' `Time` has them: the store keeps them to the millisecond,
//! since its controllers have no other memory to tell times from. `MicroTime`s (of Leases and Events) and custom resources stay as they are.
//!
//! `Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json`: the first form that is known is given.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use super::path::Call;

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

/// A value as a server writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    value: &'a Value,
    times: Times,
}

/// Where a value's times are in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Nowhere,
    InStatus,
    Everywhere,
}

/// An object as a server writes it.
pub(super) fn seen<'a>(call: &Call, object: &'a Value) -> Seen<'a> {
    let times = match (call.served.built_in, call.served.resource.kind.as_str()) {
        (false, _) | (true, "Lease" | "Event") => Times::Nowhere,
        // Its taints have times.
        (true, "Node") => Times::Everywhere,
        (true, _) => Times::InStatus,
    };
    Seen { value: object, times }
}

impl Serialize for Seen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let within = |value, times| Seen { value, times };
        match (self.value, self.times) {
            (Value::Object(fields), Times::InStatus) => {
                let times = |name: &str| if name == "status" { Times::Everywhere } else { Times::Nowhere };
                serializer.collect_map(fields.iter().map(|(name, value)| (name, within(value, times(name)))))
            }
            (Value::Object(fields), Times::Everywhere) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, within(value, self.times))))
            }
            (Value::Array(items), Times::Everywhere) => {
                serializer.collect_seq(items.iter().map(|item| within(item, self.times)))
            }
            (Value::String(text), Times::Everywhere) => match whole_seconds(text) {
                Some(seconds) => serializer.collect_str(&format_args!("{seconds}Z")),
                None => serializer.serialize_str(text),
            },
            (value, _) => value.serialize(serializer),
        }
    }
}

/// A time with a fraction of a second (`2026-01-01T00:00:00.250000Z`) without it and its zone; none where the text is no such time.
fn whole_seconds(text: &str) -> Option<&str> {
    let (seconds, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let digit_or = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    let is_time = seconds.len() == 19 && seconds.bytes().enumerate().all(digit_or);
    (is_time && fraction.bytes().all(|byte| byte.is_ascii_digit())).then_some(seconds)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_loses_its_fraction() {
        assert_eq!(whole_seconds("2026-01-01T00:00:00.250000Z"), Some("2026-01-01T00:00:00"));
        for other in ["2026-01-01T00:00:00Z", "at 2026-01-01T00:00:00.25Z", "1.5", "registry.example/a:1.2Z"]
        {
            assert_eq!(whole_seconds(other), None, "{other}");
        }
    }
}
