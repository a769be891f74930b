//! YAML to untyped trees with places, within bounds.
//!
//! Two readers read each text: one by the habits of YAML 1.1 (`yes` is true, `0644` is 420), one by YAML 1.2 (both are
//! words); `older` knows what else readers of YAML 1.1 see. What they read differently is refused: the same file would mean something
//! else to the next tool. Duplicate keys and merge keys (`<<`) are refused for the same reason. Budgets keep alias bombs and deep nesting cheap.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

use super::diagnostic::{Diagnostic, Part, Path};
use super::older;
use super::source::Source;

/// How much a document may hold.
const BOUNDS: &str = "documents have at most 20000 values, 32 levels and 500 aliases; split it up";

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub bytes: Range<usize>,
    pub shape: Shape,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<(Node, Node)>),
    /// Reported already: whatever is asked of it, it is.
    Refused,
}

impl Node {
    /// A key's text, as the file has it.
    pub fn key(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.shape {
            Shape::Map(entries) => entries.iter().find(|(k, _)| k.key() == Some(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        self.key()
    }

    /// Where to point for the whole value: itself, or the first key of a block that has no mark of its own.
    pub fn mark(&self) -> Range<usize> {
        match &self.shape {
            Shape::Map(entries) if self.bytes.is_empty() => {
                entries.first().map_or(self.bytes.clone(), |(key, _)| key.bytes.clone())
            }
            Shape::List(items) if self.bytes.is_empty() => {
                items.first().map_or(self.bytes.clone(), Node::mark)
            }
            _ => self.bytes.clone(),
        }
    }

    /// Where a path leads: to a scalar itself, to the key of anything larger; as near as the text goes.
    pub fn find(&self, path: &Path) -> Range<usize> {
        let (mut node, mut mark) = (self, self.mark());
        for part in &path.0 {
            let step = match (part, &node.shape) {
                (Part::Key(key), Shape::Map(entries)) => entries
                    .iter()
                    .find(|(k, _)| k.key() == Some(key))
                    .map(|(key, value)| (value, key.bytes.clone())),
                (Part::Index(index), Shape::List(items)) => items.get(*index).map(|item| (item, item.mark())),
                _ => None,
            };
            let Some((next, at)) = step else { return mark };
            mark = match &next.shape {
                Shape::Map(_) | Shape::List(_) | Shape::Null => at,
                Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Refused => next.bytes.clone(),
            };
            node = next;
        }
        mark
    }

    /// The key that leads to a path's end; the value's mark where there is none.
    pub fn find_key(&self, path: &Path) -> Range<usize> {
        let Some((Part::Key(last), parents)) = path.0.split_last() else { return self.find(path) };
        let mut node = self;
        for part in parents {
            let next = match (part, &node.shape) {
                (Part::Key(key), _) => node.get(key),
                (Part::Index(index), Shape::List(items)) => items.get(*index),
                (Part::Index(_), _) => None,
            };
            let Some(next) = next else { return self.find(path) };
            node = next;
        }
        match &node.shape {
            Shape::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.key() == Some(last))
                .map_or_else(|| self.find(path), |(key, _)| key.bytes.clone()),
            _ => self.find(path),
        }
    }

    /// Where a scalar with this text stands first.
    pub fn scalar(&self, text: &str) -> Option<Range<usize>> {
        match &self.shape {
            Shape::Text(own) => (own == text).then(|| self.bytes.clone()),
            Shape::List(items) => items.iter().find_map(|item| item.scalar(text)),
            Shape::Map(entries) => entries.iter().find_map(|(_, value)| value.scalar(text)),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Refused => None,
        }
    }

    /// The value without places; what was refused is null.
    pub fn value(&self) -> Value {
        match &self.shape {
            Shape::Null | Shape::Refused => Value::Null,
            Shape::Bool(is) => Value::Bool(*is),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(items) => Value::Array(items.iter().map(Node::value).collect()),
            Shape::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.key()?.to_owned(), value.value())))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        let span = spanned.referenced.span();
        let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
        let length = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
        Ok(Node { bytes: start..start.saturating_add(length), shape: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape)
    }
}

struct AnyShape;

impl<'de> Visitor<'de> for AnyShape {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(is))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Shape, E> {
        Ok(Number::from_f64(number).map_or(Shape::Refused, Shape::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Shape::Map(map))
    }
}

/// One document of a text, and what readers do not agree on in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    pub root: Node,
    pub doubts: Doubts,
}

/// What readers do not agree on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Doubts {
    pub found: Vec<Diagnostic>,
    /// Scalars and keys; what to write instead depends on what is wanted in their place.
    pub ambiguous: Vec<Ambiguous>,
}

/// A scalar or a key that not all readers read alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Ambiguous {
    pub bytes: Range<usize>,
    pub message: String,
    /// The number or the truth value that may be meant.
    pub meant: Option<Shape>,
}

/// Every document of a text that is not empty.
///
/// # Errors
/// Where it is no YAML at all, or too much of it.
pub fn read(source: &Source) -> Result<Vec<Tree>, Diagnostic> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: 20_000,
            max_depth: 32,
            max_aliases: 500,
            max_documents: 64,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: false,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let mut trees: Vec<Tree> = match serde_saphyr::from_multiple_with_options::<Node>(&source.text, options) {
        Ok(nodes) => nodes.into_iter().map(|root| Tree { root, doubts: Doubts::default() }).collect(),
        Err(error) => return Err(unreadable(source, &error, BOUNDS)),
    };
    let second = second_reading(&source.text);
    for (index, tree) in trees.iter_mut().enumerate() {
        let value = second.as_ref().ok().and_then(|values| values.get(index));
        compare(source, &mut tree.root, value, &mut tree.doubts);
    }
    match second {
        // The second reader stops at a duplicate key, which `compare` names better.
        Err(error) if trees.iter().all(|tree| tree.doubts == Doubts::default()) => {
            let at = error.location().map_or(0, |at| source.byte_at(at.line(), at.column()));
            let place = Some(source.place(at..at + 1));
            let said = error.to_string();
            let why =
                if said.contains("integer") { "the number is too large" } else { "one of them refuses it" };
            let message = format!("YAML readers do not agree on this: {why}");
            Err(Diagnostic::error(message, place)
                .help("write it more plainly; text in quotes is read alike by all"))
        }
        Ok(_) | Err(_) => Ok(trees),
    }
}

/// Every object of a text of Kubernetes manifests that is not empty, as kubectl reads it: by the habits of YAML 1.1, with merge keys.
///
/// A cluster's dump is far larger than any document of ours, and what two readers read differently is kubectl's to decide.
///
/// # Errors
/// Where it is no YAML at all, or too much of it.
pub fn objects(source: &Source) -> Result<Vec<Node>, Diagnostic> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: 4_000_000,
            max_depth: 128,
            max_aliases: 500,
            max_documents: 5_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 200_000 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: false,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Node>(&source.text, options).map_err(|error| {
        unreadable(source, &error, "a manifest nests at most 128 levels and 500 aliases; split it up")
    })
}

/// Why the first reader stopped.
fn unreadable(source: &Source, error: &serde_saphyr::Error, bounds: &str) -> Diagnostic {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    let too_much = ["budget", "limit", "depth"].iter().any(|word| message.contains(word));
    let message = if too_much {
        "there is too much of it"
    } else if message.contains("recursive reference") {
        "an alias stands within what it repeats"
    } else {
        message
    };
    let is_tab = message.contains("tab");
    let place = error.location().map(|at| {
        let byte = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let start = source.byte_at(byte(at.line()), byte(at.column()));
        let start =
            if is_tab { source.text[start..].find('\t').map_or(start, |tab| start + tab) } else { start };
        let length = source.text[start..].chars().next().map_or(0, char::len_utf8);
        source.place(start..start + length)
    });
    let help = if is_tab {
        "indent with spaces"
    } else if too_much {
        bounds
    } else if message.contains("unclosed") {
        "close it"
    } else if message.contains("mapping values are not allowed") {
        "text with `: ` in it stands in quotes; or a line above is not indented as this one"
    } else if message.contains("non-finite") {
        "write a number"
    } else if message.contains("unknown anchor") || message.contains("alias") {
        "text that begins with `*` or `&` stands in quotes"
    } else {
        "this is not YAML; text with special characters stands in quotes"
    };
    Diagnostic::error(format!("cannot read the YAML: {message}"), place).help(help)
}

/// The documents as YAML 1.2 reads them.
fn second_reading(text: &str) -> Result<Vec<serde_yaml::Value>, serde_yaml::Error> {
    let mut values = Vec::new();
    // Its iterator repeats an error for ever, so the first one ends it.
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = serde_yaml::Value::deserialize(document)?;
        if !value.is_null() {
            values.push(value);
        }
    }
    Ok(values)
}

/// Refuses what the second reader reads differently, duplicate keys, merge keys and keys that are no text.
fn compare(source: &Source, node: &mut Node, second: Option<&serde_yaml::Value>, doubts: &mut Doubts) {
    if let Some(serde_yaml::Value::Tagged(_)) = second {
        let place = Some(source.place(node.mark()));
        doubts.found.push(
            Diagnostic::error("a document has no YAML tags", place).help("remove the `!…` in front of it"),
        );
        node.shape = Shape::Refused;
        return;
    }
    match &mut node.shape {
        Shape::List(items) => {
            let seconds = second.and_then(serde_yaml::Value::as_sequence);
            for (index, item) in items.iter_mut().enumerate() {
                compare(source, item, seconds.and_then(|seconds| seconds.get(index)), doubts);
            }
        }
        Shape::Map(entries) => compare_entries(source, entries, second, doubts),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Refused => {
            if let Some(message) = disagreement(source, node, second) {
                let meant = meant(source, node);
                doubts.ambiguous.push(Ambiguous { bytes: node.bytes.clone(), message, meant });
                node.shape = Shape::Refused;
            }
        }
    }
}

fn compare_entries(
    source: &Source,
    entries: &mut [(Node, Node)],
    second: Option<&serde_yaml::Value>,
    doubts: &mut Doubts,
) {
    let seconds = second.and_then(serde_yaml::Value::as_mapping);
    let mut seen: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for (index, (key, value)) in entries.iter_mut().enumerate() {
        let second_value = match (&key.shape, seconds) {
            (Shape::Text(text), Some(seconds)) => seconds.get(text.as_str()),
            // A mapping keeps its order in both readers.
            (_, Some(seconds)) => seconds.iter().nth(index).map(|(_, value)| value),
            (_, None) => None,
        };
        compare(source, value, second_value, doubts);
        let refused = |message: &str, help: &str| {
            Diagnostic::error(message, Some(source.place(key.bytes.clone()))).help(help)
        };
        match &key.shape {
            Shape::Text(text) if text == "<<" => {
                let message = "merge keys are not read alike by all YAML readers";
                doubts.found.push(refused(message, "write the fields out"));
            }
            Shape::Text(text) if seen.contains_key(text) => {
                let first = seen.get(text).copied().unwrap_or_default();
                let line = source.place(first..first).line;
                let message = format!("`{text}` stands here twice; first on line {line}");
                doubts.found.push(refused(&message, "keep one of them"));
            }
            Shape::Text(text) if !is_plain(source, key, text) || older::sees(text).is_none() => {
                seen.insert(text.clone(), key.bytes.start);
                continue;
            }
            Shape::List(_) | Shape::Map(_) => {
                doubts
                    .found
                    .push(refused("a key is text, not a list or a mapping", "every entry is `key: value`"));
            }
            Shape::Text(_) | Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Refused => {
                let written = source.text.get(key.bytes.clone()).unwrap_or_default();
                let message = format!("the key `{written}` is not text to all YAML readers");
                doubts.ambiguous.push(Ambiguous { bytes: key.bytes.clone(), message, meant: None });
            }
        }
        key.shape = Shape::Refused;
    }
}

/// Whether a text stands there as it is, without quotes.
fn is_plain(source: &Source, node: &Node, text: &str) -> bool {
    source.text.get(node.bytes.clone()) == Some(text)
}

/// What readers do not agree on in a scalar.
fn disagreement(source: &Source, node: &Node, second: Option<&serde_yaml::Value>) -> Option<String> {
    let written = source.text.get(node.bytes.clone()).unwrap_or_default();
    let differ = second.is_some_and(|second| !agree(&node.shape, second));
    // An alias is not the number that it stands for.
    let is_number = written.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    match &node.shape {
        Shape::Bool(is) if differ || (second.is_none() && !is_plain_word(written)) => {
            Some(format!("`{written}` is `{is}` to some YAML readers and a word to others"))
        }
        Shape::Number(number) if differ || (is_number && !older::agrees(written)) => {
            Some(format!("`{written}` is the number {number} to some YAML readers, and not to others"))
        }
        Shape::Text(text) if !differ && is_plain(source, node, text) => older::sees(text)
            .map(|what| format!("`{text}` is {what} to some YAML readers, and text to others")),
        Shape::Refused => Some(format!("`{written}` is no number that anything here can be")),
        Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::List(_) | Shape::Map(_) => {
            differ.then(|| format!("`{written}` is not read alike by all YAML readers"))
        }
    }
}

fn is_plain_word(written: &str) -> bool {
    matches!(written, "true" | "false" | "True" | "False")
}

/// The truth value, or the number in decimal, that somebody may have meant.
fn meant(source: &Source, node: &Node) -> Option<Shape> {
    let written = source.text.get(node.bytes.clone()).unwrap_or_default();
    let digits = written.replace('_', "");
    // Whoever writes leading zeros seldom means base 8.
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.parse::<u64>().ok().map(|number| Shape::Number(number.into()));
    }
    match &node.shape {
        Shape::Bool(is) => Some(Shape::Bool(*is)),
        // `1e3` is the whole number 1000 to whom counts.
        Shape::Number(number) => {
            let whole =
                number.as_f64().map(|value| format!("{value}")).and_then(|text| text.parse::<i64>().ok());
            Some(Shape::Number(whole.map_or_else(|| number.clone(), Number::from)))
        }
        Shape::Null | Shape::Text(_) | Shape::List(_) | Shape::Map(_) | Shape::Refused => None,
    }
}

/// Whether the second reader sees the same scalar.
fn agree(first: &Shape, second: &serde_yaml::Value) -> bool {
    match (first, second) {
        (Shape::Null, serde_yaml::Value::Null) | (Shape::Refused, _) => true,
        (Shape::Bool(a), serde_yaml::Value::Bool(b)) => a == b,
        (Shape::Text(a), serde_yaml::Value::String(b)) => a == b,
        (Shape::Number(a), serde_yaml::Value::Number(b)) => {
            a.as_i64() == b.as_i64() && a.as_u64() == b.as_u64() && a.as_f64() == b.as_f64()
        }
        _ => false,
    }
}
