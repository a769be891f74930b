//! Kubernetes' protobuf encoding of a body, as Go programs send it: `kubectl create`, `kubectl auth can-i`.
//!
//! The body is an envelope (apimachinery's `runtime.Unknown`) around a message whose fields are known by number only; `messages.txt` says
//! what they are. Answers are JSON: whoever sends protobuf accepts that too. Rejected: to refuse it (415), since client-go has no way back
//! from that; prost's types of all messages, which are megabytes of code for one direction of a few requests. Left out: definitions of
//! custom resources, which are sent as JSON. What `messages.txt` says of types also finds the quantities of any body (`quantities`).

mod quantities;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) use quantities::settle;
use serde_json::{Map, Value, json};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What an encoded body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The deepest that messages nest: deeper than any of Kubernetes' own.
const DEEPEST: usize = 40;

const MESSAGES: &str = include_str!("messages.txt");

type Message = BTreeMap<u64, Field>;

struct Field {
    name: &'static str,
    many: Many,
    of: Type,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Many {
    One,
    /// Left out where it is empty or zero.
    Some,
    List,
    Map,
    /// Its fields stand in the message itself.
    Inline,
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Number,
    Flag,
    Bytes,
    /// An instant, with the fraction of a second or without.
    Time {
        precise: bool,
    },
    Quantity,
    NumberOrText,
    /// JSON within.
    Json,
    /// A list of texts within.
    Texts,
    Message(&'static str),
}

/// By full name: `core.v1.Pod`.
static KNOWN: LazyLock<BTreeMap<String, Message>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    let mut message: Option<(String, Message)> = None;
    for line in MESSAGES.lines().filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix(' '), &mut message) {
            (Some(line), Some((_, fields))) => fields.extend(field(line)),
            _ => all.extend(message.replace((line.to_owned(), Message::new()))),
        }
    }
    all.extend(message);
    all
});

/// Reads a field's line: `7 env *EnvVar`.
fn field(line: &'static str) -> Option<(u64, Field)> {
    let mut words = line.split(' ');
    let (number, name, of) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (many, of) = match of.split_at_checked(1)? {
        ("*", of) => (Many::List, of),
        ("%", of) => (Many::Map, of),
        ("=", of) => (Many::Inline, of),
        ("?", of) => (Many::Some, of),
        _ => (Many::One, of),
    };
    let of = match of {
        "string" => Type::Text,
        "int" => Type::Number,
        "bool" => Type::Flag,
        "bytes" => Type::Bytes,
        "time" => Type::Time { precise: false },
        "microtime" => Type::Time { precise: true },
        "quantity" => Type::Quantity,
        "intstr" => Type::NumberOrText,
        "json" => Type::Json,
        "strings" => Type::Texts,
        message => Type::Message(message),
    };
    Some((number, Field { name, many, of }))
}

/// The object of a body.
///
/// # Errors
/// Where the bytes are no such message, or of a kind that is not known here.
pub(super) fn decode(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(MAGIC).ok_or("provided data does not appear to be a protobuf message")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in parts(body) {
        match part? {
            (1, Wire::Bytes(of)) => {
                for part in parts(of) {
                    match part? {
                        (1, Wire::Bytes(text)) => api_version = words(text)?,
                        (2, Wire::Bytes(text)) => kind = words(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let own = full(&api_version, &kind);
    let name = if kind == "DeleteOptions" { "meta.v1.DeleteOptions" } else { &own };
    let mut object = message(name, raw, 0)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(object.into())
}

/// The full name of a kind's message.
fn full(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next().unwrap_or_default();
    format!("{package}.{version}.{kind}")
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    if depth > DEEPEST {
        return Err("the messages are nested too deeply".into());
    }
    let known = KNOWN.get(name).ok_or_else(|| format!("no kind \"{name}\" is registered"))?;
    let package = name.rsplit_once('.').map(|(package, _)| package).unwrap_or_default();
    let mut object = Map::new();
    for part in parts(bytes) {
        let (number, wire) = part?;
        // A field that is not known is of a newer Kubernetes: dropped, as in JSON.
        let Some(field) = known.get(&number) else { continue };
        match (field.many, wire) {
            (Many::Map, Wire::Bytes(entry)) => {
                let (key, value) = pair(field, package, entry, depth)?;
                let map = object.entry(field.name).or_insert_with(|| json!({}));
                if let Some(map) = map.as_object_mut() {
                    map.insert(key, value);
                }
            }
            (Many::Map, _) => return Err(format!("{name}.{}: no map", field.name)),
            (Many::List, wire) => {
                let value = value(field.of, package, wire, depth)?;
                if let Some(list) = object.entry(field.name).or_insert_with(|| json!([])).as_array_mut() {
                    list.push(value);
                }
            }
            (Many::Inline, wire) => match value(field.of, package, wire, depth)? {
                Value::Object(fields) => object.extend(fields),
                _ => return Err(format!("{name}: no message")),
            },
            (many, wire) => {
                let value = value(field.of, package, wire, depth)?;
                let nothing = value == "" || value == 0 || value == false;
                if !(value.is_null() || many == Many::Some && nothing) {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(object)
}

/// A key and its value: fields 1 and 2 of a map's entry.
fn pair(field: &Field, package: &str, entry: &[u8], depth: usize) -> Result<(String, Value), String> {
    let (mut key, mut of) = (String::new(), Value::String(String::new()));
    for part in parts(entry) {
        match part? {
            (1, Wire::Bytes(text)) => key = words(text)?,
            (2, wire) => of = value(field.of, package, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, of))
}

fn value(of: Type, package: &str, wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (of, wire) {
        (Type::Text, Wire::Bytes(bytes)) => words(bytes)?.into(),
        (Type::Bytes, Wire::Bytes(bytes)) => json!(k8s_openapi::ByteString(bytes.to_vec())),
        (Type::Json, Wire::Bytes(bytes)) => match inner(bytes)? {
            [Some(Wire::Bytes(text)), ..] => {
                serde_json::from_slice(text).map_err(|error| error.to_string())?
            }
            _ => Value::Null,
        },
        (Type::Texts, Wire::Bytes(bytes)) => {
            let mut all = Vec::new();
            for part in parts(bytes) {
                if let (1, Wire::Bytes(text)) = part? {
                    all.push(Value::from(words(text)?));
                }
            }
            all.into()
        }
        (Type::Quantity, Wire::Bytes(bytes)) => match inner(bytes)? {
            [Some(Wire::Bytes(text)), ..] => words(text)?.into(),
            _ => "0".into(),
        },
        (Type::NumberOrText, Wire::Bytes(bytes)) => match inner(bytes)? {
            [Some(Wire::Number(1)), _, Some(Wire::Bytes(text))] => words(text)?.into(),
            [_, Some(Wire::Number(number)), _] => signed(number).into(),
            _ => 0.into(),
        },
        (Type::Time { precise }, Wire::Bytes(bytes)) => time(bytes, precise)?,
        (Type::Message(name), Wire::Bytes(bytes)) => match name.contains('.') {
            true => message(name, bytes, depth + 1)?.into(),
            false => message(&format!("{package}.{name}"), bytes, depth + 1)?.into(),
        },
        (Type::Number, Wire::Number(number)) => signed(number).into(),
        (Type::Flag, Wire::Number(number)) => (number != 0).into(),
        _ => return Err("a field is not of its type".into()),
    })
}

/// Fields 1, 2 and 3 of a small message.
fn inner(bytes: &[u8]) -> Result<[Option<Wire<'_>>; 3], String> {
    let mut all = [None; 3];
    for part in parts(bytes) {
        match part? {
            (1, wire) => all[0] = Some(wire),
            (2, wire) => all[1] = Some(wire),
            (3, wire) => all[2] = Some(wire),
            _ => {}
        }
    }
    Ok(all)
}

/// An instant: seconds since 1970 and nanoseconds; one that was never set is an empty message.
fn time(bytes: &[u8], precise: bool) -> Result<Value, String> {
    let [seconds, nanos, _] = inner(bytes)?;
    let number = |wire: Option<Wire<'_>>| match wire {
        Some(Wire::Number(number)) => signed(number),
        _ => 0,
    };
    if seconds.is_none() {
        return Ok(Value::Null);
    }
    let nanos = u32::try_from(number(nanos)).unwrap_or(0);
    let at = chrono::DateTime::from_timestamp(number(seconds), nanos).ok_or("a time is out of range")?;
    let to = if precise { chrono::SecondsFormat::Micros } else { chrono::SecondsFormat::Secs };
    Ok(at.to_rfc3339_opts(to, true).into())
}

fn words(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is no UTF-8".to_owned())
}

/// Protobuf's plain integers are two's complement in 64 bits.
fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// A value as it stands in the bytes.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by number.
fn parts(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let part = part(&mut rest);
        if part.is_none() {
            rest = &[];
        }
        Some(part.ok_or_else(|| "unexpected end of a protobuf message".to_owned()))
    })
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(rest)?;
    let wire = match tag & 7 {
        0 => Wire::Number(varint(rest)?),
        1 => Wire::Bytes(taken(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(taken(rest, length)?)
        }
        5 => Wire::Bytes(taken(rest, 4)?),
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field with bytes.
    fn with(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            all.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        all.push(u8::try_from(length).unwrap());
        all.extend(bytes);
        all
    }

    fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let names = [with(1, api_version.as_bytes()), with(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), with(1, &names), with(2, raw)].concat()
    }

    #[test]
    fn every_message_that_a_field_names_is_known() {
        assert!(KNOWN.len() > 300);
        for (name, fields) in &*KNOWN {
            let package = name.rsplit_once('.').unwrap().0;
            for field in fields.values() {
                let Type::Message(of) = field.of else { continue };
                let full = if of.contains('.') { of.to_owned() } else { format!("{package}.{of}") };
                assert!(KNOWN.contains_key(&full), "{name}.{}: {full}", field.name);
            }
        }
    }

    #[test]
    fn a_body_becomes_the_object_that_its_json_would_be() {
        let labels = with(11, &[with(1, b"app"), with(2, b"shop")].concat());
        // Go writes names that are empty, and a time that was never set.
        let metadata = [with(1, b"shop"), with(2, b""), with(8, b""), labels].concat();
        let selector = with(1, &[with(1, b"app"), with(2, b"shop")].concat());
        let port = |kind: &[u8], of: &[u8]| [kind, of].concat();
        let probe = |port: &[u8]| with(10, &with(1, &with(2, &[with(1, b"/"), with(2, port)].concat())));
        let named = port(&[0x08, 1], &with(3, b"http"));
        let memory = with(2, &[with(1, b"memory"), with(2, &with(1, b"64Mi"))].concat());
        let container = [with(1, b"web"), with(2, b"shop/web:1"), with(8, &memory), probe(&named)].concat();
        let template = with(2, &with(2, &container));
        // Replicas: 2, and a surge of 1.
        let strategy = with(4, &with(2, &with(2, &[0x08, 0, 0x10, 1])));
        let spec = [vec![0x08, 2], with(2, &selector), with(3, &template), strategy].concat();
        let raw = [with(1, &metadata), with(2, &spec)].concat();
        let object = decode(&enveloped("apps/v1", "Deployment", &raw)).unwrap();
        let container = json!({"name": "web", "image": "shop/web:1", "resources": {"requests": {"memory": "64Mi"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}}});
        assert_eq!(
            object,
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "shop", "labels": {"app": "shop"}},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}},
                    "strategy": {"rollingUpdate": {"maxSurge": 1}},
                    "template": {"spec": {"containers": [container]}}}})
        );
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&[MAGIC, &bytes].concat());
            let _ = decode(&enveloped("v1", "Pod", &bytes));
        }
    }
}
