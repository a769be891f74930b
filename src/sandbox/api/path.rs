//! What a request asks for: its path and query, read against what the region serves.

use std::fmt::Write as _;

use http::request::Parts;

use super::answer::Refusal;
use super::resources::{Served, served};
use crate::model::effect::Resource;
use crate::sandbox::store::{Key, Store};

/// What a path asks for.
pub(super) enum Asked {
    /// The server itself: versions, groups, resource lists, health.
    About(Vec<String>),
    Resource(Box<Call>),
}

/// A request for objects.
pub(super) struct Call {
    pub served: Served,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub sub: Option<String>,
    pub query: Query,
    /// Who writes: the field manager, else the user agent's first word.
    pub manager: String,
}

impl Call {
    /// The key of the object that is asked for.
    pub fn key(&self) -> Key {
        Key::new(&self.served.resource, self.namespace.as_deref(), self.name.as_deref().unwrap_or_default())
    }
}

/// A query's pairs, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`.
    pub fn read(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self(text.split('&').filter(|text| !text.is_empty()).map(pair).collect())
    }

    /// The first value of a name, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(known, _)| known == name);
        first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let read =
            |text: &str| text.parse().map_err(|_| Refusal::bad_request(format!("{name}: not a number")));
        self.get(name).map(read).transpose()
    }

    /// Whether nothing shall be stored; options of this kind hold it.
    pub fn dry_run(&self, kind: &str) -> Result<bool, Refusal> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                let why = format!("dryRun: Unsupported value: {other:?}: supported values: \"All\"");
                Err(Refusal::invalid_options(kind, &[why]))
            }
        }
    }
}

/// Percent-decoding (RFC 3986), with `+` for a space as forms have it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (byte, used) = match (first, hex) {
            (b'%', Some(byte)) => (byte, 3),
            (b'+', _) => (b' ', 1),
            (other, _) => (*other, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a request's path against what a region serves.
pub(super) fn read(store: &Store, parts: &Parts) -> Result<Asked, Refusal> {
    let segments: Vec<String> =
        parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Asked::About(segments)),
    };
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        _ => (None, rest),
    };
    let (plural, name, sub) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(name), None),
        [plural, name, sub] => (plural, Some(name), Some(sub)),
        [plural, name, "proxy", ..] => (plural, Some(name), Some(&"proxy")),
        _ => return Err(Refusal::no_such_path()),
    };
    let served = served(store, group, version, plural).ok_or_else(Refusal::no_such_path)?;
    let misplaced = served.namespaced != namespace.is_some() && (name.is_some() || namespace.is_some());
    let known = sub.is_none_or(|sub| match *sub {
        "status" => served.status,
        "scale" => served.scale,
        "finalize" => served.resource.kind == "Namespace",
        "eviction" | "exec" | "log" => served.resource == Resource::pods(),
        _ => false,
    });
    if let Some(sub) = sub.filter(|sub| !misplaced && is_beyond(&served.resource, sub)) {
        return Err(Refusal::not_simulated(plural, sub));
    }
    if misplaced || !known {
        return Err(Refusal::no_such_path());
    }
    let query = Query::read(parts.uri.query().unwrap_or_default());
    let manager = manager(&query, parts);
    Ok(Asked::Resource(Box::new(Call {
        served,
        namespace,
        name: name.map(|text| (*text).to_owned()),
        sub: sub.map(|text| (*text).to_owned()),
        query,
        manager,
    })))
}

/// Whether a cluster has a subresource of a kind, and the sandbox does not simulate it.
fn is_beyond(resource: &Resource, sub: &str) -> bool {
    const BEYOND: [(&str, &[&str]); 4] = [
        ("nodes", &["proxy"]),
        ("pods", &["attach", "binding", "ephemeralcontainers", "portforward", "proxy", "resize"]),
        ("serviceaccounts", &["token"]),
        ("services", &["proxy"]),
    ];
    let of = |(plural, subs): &(&str, &[&str])| *plural == resource.plural && subs.contains(&sub);
    resource.group.is_empty() && BEYOND.iter().any(of)
}

fn manager(query: &Query, parts: &Parts) -> String {
    let agent = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.and_then(|agent| agent.split('/').next()).unwrap_or("unknown");
    let mut manager = String::new();
    let _ = write!(manager, "{:.128}", query.get("fieldManager").unwrap_or(agent));
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_broken_escapes_stay_as_they_are() {
        let query = Query::read("labelSelector=app%3Dshop%2Ctier+in+(a)&watch=1&x=%zz%4&command=a&command=b");
        assert_eq!(query.get("labelSelector"), Some("app=shop,tier in (a)"));
        assert!(query.flag("watch"));
        assert_eq!(query.get("x"), Some("%zz%4"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["a", "b"]);
    }
}
