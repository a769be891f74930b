//! A tree against the JSON schema of its type: everything that is wrong with its shape, at once.
//!
//! It knows the part of JSON Schema that `schemars` writes for the documents' types: structs, maps, lists, scalars with a
//! pattern or a range, externally tagged enums, and enums flattened into a struct (a step's action, a probe's kind), of
//! which exactly one key must stand. Rejected: a general validator, whose words (`oneOf` failed) help nobody.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use regex::Regex;
use serde_json::{Map, Value};

use super::diagnostic::Diagnostic;
use super::names::{list, nearest, unknown};
use super::rest::{Aside, Meant};
use super::source::Source;
use super::yaml::{Ambiguous, Node, Shape};
use crate::model::target::Share;
use crate::model::time::Duration;

/// What a check of a shape found.
pub struct Checked {
    /// Everything that is wrong with it.
    pub found: Vec<Diagnostic>,
    /// What its document can do without, or means, if each error is of such a field.
    pub aside: Option<Vec<Aside>>,
}

/// Everything that is wrong with a tree's shape, and what to write for what is ambiguous in it.
pub fn check(source: &Source, tree: &Node, ambiguous: &[Ambiguous], schema: &Value) -> Checked {
    let untold = ambiguous.iter().map(|one| (one.bytes.start, one)).collect();
    let mut checker = Checker { source, root: schema, untold, found: Vec::new(), aside: Vec::new() };
    checker.value(tree, tree.mark(), &View::of(schema, schema));
    // Beside fields that are unknown themselves.
    for one in std::mem::take(&mut checker.untold).into_values() {
        checker.error(one.bytes.clone(), &one.message, Some("put text in quotes".to_owned()));
    }
    let Checker { found, aside, .. } = checker;
    let aside = (found.len() == aside.len()).then_some(aside);
    Checked { found, aside }
}

struct Checker<'a> {
    source: &'a Source,
    root: &'a Value,
    /// What is ambiguous, by where it begins, as far as it was not met yet.
    untold: BTreeMap<usize, &'a Ambiguous>,
    found: Vec<Diagnostic>,
    /// One for each error of a field that a document can do without, or that is only misspelt.
    aside: Vec<Aside>,
}

/// A schema with its references followed.
pub(crate) struct View<'a> {
    /// The name of the type that it was referred to by.
    name: Option<&'a str>,
    /// From the reference to what it refers to.
    layers: Vec<&'a Map<String, Value>>,
}

/// The keys that a mapping may have.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    pub(crate) known: BTreeMap<&'a str, &'a Value>,
    pub(crate) required: Vec<&'a str>,
    /// Exactly one of these stands there.
    pub(crate) choice: BTreeMap<&'a str, &'a Value>,
    /// The type of the values of any other key.
    pub(crate) others: Option<&'a Value>,
    closed: bool,
}

impl<'a> View<'a> {
    pub(crate) fn of(schema: &'a Value, root: &'a Value) -> View<'a> {
        let mut view = View { name: None, layers: Vec::new() };
        let mut next = Some(schema);
        while let Some(Value::Object(layer)) = next
            && view.layers.len() < 16
        {
            view.layers.push(layer);
            next = match layer.get("$ref").and_then(Value::as_str) {
                Some(to) => {
                    view.name = to.rsplit('/').next().filter(|name| *name != "#").or(view.name);
                    root.pointer(to.trim_start_matches('#'))
                }
                // `Option<T>`. An explicit null is none: what somebody forgot to write would be a promise that nobody judges.
                None => layer.get("anyOf").and_then(Value::as_array).and_then(|any| {
                    let mut some = any.iter().filter(|schema| schema["type"] != "null");
                    some.next().filter(|_| some.next().is_none())
                }),
            };
        }
        view
    }

    pub(crate) fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.layers.iter().find_map(|layer| layer.get(keyword))
    }

    pub(crate) fn text(&self, keyword: &str) -> Option<&'a str> {
        self.get(keyword).and_then(Value::as_str)
    }

    /// Times, shares, numbers: what a document says without.
    fn is_measure(&self) -> bool {
        matches!(self.name, Some("Duration" | "Share"))
            || matches!(self.kind(), Some("integer" | "number" | "boolean"))
    }

    /// The JSON type, without null.
    fn kind(&self) -> Option<&'a str> {
        match self.get("type")? {
            Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
            other => other.as_str(),
        }
    }

    pub(crate) fn alternatives(&self) -> &'a [Value] {
        self.get("oneOf").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The words that an enum may be.
    fn words(&self) -> Vec<&'a str> {
        let of = |schema: &'a Value| {
            let one = schema.get("const").into_iter();
            one.chain(schema.get("enum").and_then(Value::as_array).into_iter().flatten())
                .filter_map(Value::as_str)
        };
        let own = self
            .get("const")
            .into_iter()
            .chain(self.get("enum").and_then(Value::as_array).into_iter().flatten());
        own.filter_map(Value::as_str).chain(self.alternatives().iter().flat_map(of)).collect()
    }

    pub(crate) fn fields(&self) -> Fields<'a> {
        let mut fields = Fields::default();
        for layer in &self.layers {
            if let Some(Value::Object(properties)) = layer.get("properties") {
                fields.known.extend(properties.iter().map(|(name, schema)| (name.as_str(), schema)));
            }
            let required = layer.get("required").and_then(Value::as_array).into_iter().flatten();
            fields.required.extend(required.filter_map(Value::as_str));
        }
        for alternative in self.alternatives() {
            if let Some(Value::Object(properties)) = alternative.get("properties") {
                fields.choice.extend(properties.iter().map(|(name, schema)| (name.as_str(), schema)));
            }
        }
        fields.others = self.get("additionalProperties").filter(|others| others.is_object());
        fields.closed = self.get("additionalProperties") == Some(&Value::Bool(false))
            || self.get("unevaluatedProperties") == Some(&Value::Bool(false))
            || (fields.known.is_empty() && !fields.choice.is_empty());
        fields
    }

    /// What it wants, in words.
    pub(crate) fn wants(&self) -> String {
        let words = self.words();
        let choice = self.fields().choice;
        if !choice.is_empty() && self.kind() != Some("object") {
            return format!("one of {}", list(choice.keys().copied().chain(words)));
        }
        if !words.is_empty() {
            return if words.len() == 1 { list(words) } else { format!("one of {}", list(words)) };
        }
        match (self.name.filter(|_| self.get("pattern").is_some()), self.kind()) {
            (Some(name), Some("string")) => with_article(&in_words(name)),
            (_, Some("string")) => "text".to_owned(),
            (_, Some("integer")) => "a whole number".to_owned(),
            (_, Some("number")) => "a number".to_owned(),
            (_, Some("boolean")) => "`true` or `false`".to_owned(),
            (_, Some("array")) => "a list".to_owned(),
            (_, Some("object")) => "a mapping".to_owned(),
            (_, _) => "any value".to_owned(),
        }
    }
}

impl Checker<'_> {
    /// An error of a value, if it is a measure, is no more than that value's.
    fn set_aside(&mut self, node: &Node, view: &View<'_>) {
        if view.is_measure() && !node.bytes.is_empty() {
            self.takes_for(node, Meant::Unknown);
        }
    }

    /// An error of a value of which it is known what was meant is no more than that value's.
    fn takes_for(&mut self, node: &Node, meant: Meant) {
        self.aside.push(Aside { begins: node.bytes.start, meant });
    }

    fn error(&mut self, at: Range<usize>, message: impl AsRef<str>, help: Option<String>) {
        let mut diagnostic = Diagnostic::error(message, Some(self.source.place(at)));
        diagnostic = match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        };
        self.found.push(diagnostic);
    }

    /// A value; `at` is where to point when it lacks something: the key that leads to it.
    fn value(&mut self, node: &Node, at: Range<usize>, view: &View<'_>) {
        let enumerates = !view.alternatives().is_empty() || !view.words().is_empty();
        match &node.shape {
            Shape::Refused => self.ambiguous(node, view),
            Shape::Map(entries) if enumerates || matches!(view.kind(), Some("object") | None) => {
                if view.layers.iter().all(|layer| layer.is_empty())
                    || (enumerates && view.fields().choice.is_empty())
                {
                    if enumerates {
                        self.wrong_type(node, at, view);
                    }
                } else {
                    self.mapping(entries, at, view);
                }
            }
            Shape::Text(text) if enumerates => self.word(node, text, view),
            Shape::Null if enumerates || view.kind().is_some() => self.wrong_type(node, at, view),
            Shape::List(items) if view.kind() == Some("array") => self.items(items, at, view),
            Shape::Text(text) if view.kind() == Some("string") => self.string(node, text, view),
            Shape::Number(_) if view.name == Some("Duration") => {
                let text = self.source.text.get(node.bytes.clone()).unwrap_or_default().to_owned();
                self.string(node, &text, view);
            }
            Shape::Number(number) if matches!(view.kind(), Some("integer" | "number")) => {
                self.number(node, number, view);
            }
            Shape::Bool(_) if view.kind() == Some("boolean") => {}
            Shape::Null
            | Shape::Bool(_)
            | Shape::Number(_)
            | Shape::Text(_)
            | Shape::List(_)
            | Shape::Map(_) => {
                if enumerates || view.kind().is_some() {
                    self.wrong_type(node, at, view);
                }
            }
        }
    }

    /// A scalar that not all readers read alike: what to write depends on what is wanted.
    fn ambiguous(&mut self, node: &Node, view: &View<'_>) {
        let Some(one) = self.untold.remove(&node.bytes.start) else { return };
        self.set_aside(node, view);
        let written = self.source.text.get(node.bytes.clone()).unwrap_or_default();
        let meant = one.meant.as_ref().filter(|meant| self.refusal(meant, view).is_none());
        let refusal = self.refusal(&Shape::Text(written.to_owned()), view);
        let help = match (meant, refusal) {
            (Some(Shape::Bool(is)), _) => Some(format!("write `{is}`")),
            (Some(Shape::Number(number)), _) => Some(format!("write `{number}`")),
            (_, None) => Some(format!("put it in quotes: `\"{written}\"`")),
            (_, Some(_)) if view.kind() != Some("string") => Some(format!("write {}", view.wants())),
            (_, Some(refusal)) => refusal.help.or(Some(refusal.message)),
        };
        self.error(one.bytes.clone(), &one.message, help);
    }

    /// The first thing that would be wrong with another value in this place.
    fn refusal(&self, shape: &Shape, view: &View<'_>) -> Option<Diagnostic> {
        let node = Node { bytes: 0..0, shape: shape.clone() };
        let nothing = BTreeMap::new();
        let (source, root) = (self.source, self.root);
        let mut other = Checker { source, root, untold: nothing, found: Vec::new(), aside: Vec::new() };
        other.value(&node, 0..0, view);
        other.found.into_iter().next()
    }

    /// A key that not all readers read as text.
    fn ambiguous_key(&mut self, key: &Node, fields: &Fields<'_>) {
        let Some(one) = self.untold.remove(&key.bytes.start) else { return };
        let written = self.source.text.get(key.bytes.clone()).unwrap_or_default();
        let all = || fields.known.keys().chain(fields.choice.keys()).copied();
        let help = if written.is_empty() {
            Some("every entry is `key: value`".to_owned())
        } else if fields.others.is_some() || all().any(|name| name == written) {
            Some(format!("put it in quotes: `\"{written}\"`"))
        } else {
            unknown("field", written, all(), all()).1
        };
        self.error(one.bytes.clone(), &one.message, help);
    }

    fn wrong_type(&mut self, node: &Node, at: Range<usize>, view: &View<'_>) {
        let (is, scalar) = match &node.shape {
            Shape::Null => ("nothing", false),
            Shape::Bool(_) => ("`true` or `false`", true),
            Shape::Number(_) => ("a number", true),
            Shape::Text(_) => ("text", true),
            Shape::List(_) => ("a list", false),
            Shape::Map(_) => ("a mapping", false),
            Shape::Refused => return,
        };
        let written = self.source.text.get(node.bytes.clone()).unwrap_or_default();
        let short = scalar && written.len() <= 60 && !written.contains('\n');
        let choice = view.fields().choice;
        let help = match (view.kind(), &node.shape) {
            (Some("string"), Shape::Bool(_) | Shape::Number(_)) if short => {
                Some(match self.refusal(&Shape::Text(written.to_owned()), view) {
                    None => format!("put it in quotes: `\"{written}\"`"),
                    Some(refusal) => refusal.help.unwrap_or(refusal.message),
                })
            }
            (Some("array"), Shape::Text(_) | Shape::Number(_)) if short => {
                Some(format!("a list of one is written `[{written}]`"))
            }
            (Some("string"), Shape::Map(_)) => {
                Some("put the text in quotes: `: ` within it makes a mapping of it".to_owned())
            }
            (Some("string"), Shape::List(_)) => Some("write one text, and no list".to_owned()),
            (Some("array"), Shape::Map(_)) => Some("each item of a list begins with `- `".to_owned()),
            (Some("integer" | "number"), Shape::Text(text)) if text.parse::<f64>().is_ok() => {
                Some(format!("without quotes: `{text}`"))
            }
            (_, Shape::Null) if !choice.is_empty() => {
                Some("write one of them, with what it needs, or remove the line".to_owned())
            }
            (Some(_), Shape::Null) => Some("write a value, or remove the line".to_owned()),
            _ => view.text("description").map(first_sentence),
        };
        match self.meant(node, written, view) {
            Some(meant) => self.takes_for(node, meant),
            None if scalar => self.set_aside(node, view),
            None => {}
        }
        let place =
            if node.bytes.is_empty() || matches!(node.shape, Shape::Null) { at } else { node.bytes.clone() };
        self.error(place, format!("expected {}, found {is}", view.wants()), help);
    }

    /// What was meant by a value of a wrong type.
    fn meant(&self, node: &Node, written: &str, view: &View<'_>) -> Option<Meant> {
        if node.bytes.is_empty() {
            return None;
        }
        match (view.kind()?, &node.shape) {
            ("string", Shape::Bool(_) | Shape::Number(_)) => {
                let text = written.to_owned();
                self.refusal(&Shape::Text(text.clone()), view).is_none().then_some(Meant::Text(text))
            }
            ("array", Shape::Text(_) | Shape::Number(_)) => {
                self.refusal(&Shape::List(vec![node.clone()]), view).is_none().then_some(Meant::ListOfIt)
            }
            _ => None,
        }
    }

    fn mapping(&mut self, entries: &[(Node, Node)], at: Range<usize>, view: &View<'_>) {
        let fields = view.fields();
        let mut chosen: Vec<&str> = Vec::new();
        let mut unknown = false;
        let mut meant: Vec<&str> = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.key() else {
                self.ambiguous_key(key, &fields);
                unknown = true;
                continue;
            };
            let schema =
                fields.known.get(name).or_else(|| fields.choice.get(name)).copied().or(fields.others);
            if fields.choice.contains_key(name) {
                if let Some(first) = chosen.first() {
                    self.error(
                        key.bytes.clone(),
                        format!(
                            "only one of {} can stand here, and `{first}` does",
                            list(fields.choice.keys().copied())
                        ),
                        Some(format!("remove `{name}` or `{first}`, or make two of it")),
                    );
                }
                chosen.push(name);
            }
            match schema {
                Some(schema) => {
                    let place = key.bytes.clone();
                    self.value(value, place, &View::of(schema, self.root));
                }
                None if fields.closed => {
                    unknown = true;
                    meant.extend(nearest(name, fields.known.keys().copied()));
                    if let Some(schema) = self.unknown_field(key, name, &fields, entries) {
                        self.value(value, key.bytes.clone(), &View::of(schema, self.root));
                    }
                }
                None => {}
            }
        }
        let present = |name: &str| entries.iter().any(|(key, _)| key.key() == Some(name));
        let refused = entries.iter().any(|(key, _)| key.shape == Shape::Refused);
        for name in &fields.required {
            // A misspelt or refused key was said already.
            if !present(name) && !meant.contains(name) && !refused {
                let schema = fields.known.get(name).map(|schema| View::of(schema, self.root));
                let help = schema.and_then(|view| {
                    let description = view.text("description").map(first_sentence)?;
                    Some(format!("add `{name}: …` ({description})"))
                });
                self.error(at.clone(), format!("`{name}` is missing"), help);
            }
        }
        if !fields.choice.is_empty() && chosen.is_empty() && !unknown {
            let one = if fields.choice.len() == 1 { "" } else { "one of " };
            self.error(at, format!("{one}{} is missing", list(fields.choice.keys().copied())), None);
        }
    }

    /// The schema of the field that was meant. None is meant where the nearest stands there already.
    fn unknown_field<'f>(
        &mut self,
        key: &Node,
        name: &str,
        fields: &Fields<'f>,
        entries: &[(Node, Node)],
    ) -> Option<&'f Value> {
        let all = fields.known.keys().chain(fields.choice.keys()).copied();
        let present = |name: &str| entries.iter().any(|(key, _)| key.key() == Some(name));
        let meant = nearest(name, all.clone()).filter(|meant| !present(meant));
        let (message, help) = unknown("field", name, all, meant.into_iter());
        let taken_for = meant.map_or(Meant::Unknown, |meant| Meant::Text(meant.to_owned()));
        self.takes_for(key, taken_for);
        self.error(key.bytes.clone(), message, help);
        meant.and_then(|meant| fields.known.get(meant).or_else(|| fields.choice.get(meant)).copied())
    }

    fn word(&mut self, node: &Node, text: &str, view: &View<'_>) {
        let words = view.words();
        if words.contains(&text) {
            return;
        }
        let choice = view.fields().choice;
        if let Some(schema) = choice.get(text) {
            let needs = View::of(schema, self.root);
            let example = needs.example(self.root);
            let message = format!("`{text}` needs a value here");
            return self.error(node.bytes.clone(), message, Some(format!("write `{text}: {example}`")));
        }
        if words.is_empty() && choice.is_empty() {
            return self.string(node, text, view);
        }
        let all = words.iter().chain(choice.keys()).copied();
        if let Some(meant) = nearest(text, all.clone()).filter(|meant| words.contains(meant)) {
            self.takes_for(node, Meant::Text(meant.to_owned()));
        }
        let (message, help) = unknown("value", text, all.clone(), all);
        self.error(node.bytes.clone(), message, help);
    }

    fn items(&mut self, items: &[Node], at: Range<usize>, view: &View<'_>) {
        let count = |keyword: &str| view.get(keyword).and_then(Value::as_u64);
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(least) = count("minItems").filter(|least| length < *least) {
            self.error(at.clone(), format!("at least {least} of these are needed, found {length}"), None);
        }
        if let Some(most) = count("maxItems").filter(|most| length > *most) {
            self.error(
                at,
                format!("at most {most} of these can stand here, found {length}"),
                Some(format!("leave {} of them out", length - most)),
            );
        }
        if view.get("uniqueItems") == Some(&Value::Bool(true)) {
            let repeated = |(index, item): &(usize, &Node)| {
                item.text().is_some() && items[..*index].iter().any(|other| other.text() == item.text())
            };
            for (_, item) in items.iter().enumerate().filter(repeated) {
                self.takes_for(item, Meant::Unknown);
                let message = format!("`{}` stands here twice", item.text().unwrap_or_default());
                self.error(item.bytes.clone(), message, Some("remove one of them".to_owned()));
            }
        }
        if let Some(schema) = view.get("items") {
            for item in items {
                self.value(item, item.mark(), &View::of(schema, self.root));
            }
        }
    }

    fn string(&mut self, node: &Node, text: &str, view: &View<'_>) {
        let rule = view.layers.iter().find(|layer| layer.contains_key("pattern"));
        let described = || rule?.get("description")?.as_str().map(first_sentence);
        let shown: String = text.chars().take(60).collect();
        let said = match (view.name, view.text("format")) {
            (Some("Duration"), _) => text.parse::<Duration>().err().map(|error| error.to_string()),
            (Some("Share"), _) => text.parse::<Share>().err(),
            (_, Some("ipv4")) if text.parse::<Ipv4Addr>().is_err() => {
                Some(format!("`{shown}` is not an IPv4 address: write it like `203.0.113.10`"))
            }
            _ => None,
        };
        if let Some(message) = said {
            self.set_aside(node, view);
            let help = (!message.contains("write ")).then(described).flatten();
            return self.error(node.bytes.clone(), message, help);
        }
        let matches = |pattern: &str| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
        if view.text("pattern").is_some_and(|pattern| !matches(pattern)) {
            self.set_aside(node, view);
            self.error(node.bytes.clone(), format!("`{shown}` is not {}", view.wants()), described());
        }
    }

    fn number(&mut self, node: &Node, number: &serde_json::Number, view: &View<'_>) {
        if view.kind() == Some("integer") && number.as_i64().is_none() && number.as_u64().is_none() {
            return self.wrong_number(node, "a whole number", view);
        }
        let value = number.as_f64().unwrap_or(f64::NAN);
        let bound = |keyword: &str| view.get(keyword).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum").or_else(|| view.largest()));
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("a number from {least} to {most}"),
                (Some(least), None) => format!("a number of at least {least}"),
                (None, Some(most)) => format!("a number of at most {most}"),
                (None, None) => return,
            };
            self.wrong_number(node, &range, view);
        }
    }

    fn wrong_number(&mut self, node: &Node, wanted: &str, view: &View<'_>) {
        let written = self.source.text.get(node.bytes.clone()).unwrap_or_default().to_owned();
        let help = view.text("description").map(first_sentence);
        self.set_aside(node, view);
        self.error(node.bytes.clone(), format!("expected {wanted}, found {written}"), help);
    }
}

impl View<'_> {
    /// How its value is written, with the fields that it needs.
    fn example(&self, root: &Value) -> String {
        match self.kind() {
            Some("object") => {
                let fields = self.fields();
                let needed = fields.required.iter().map(|name| {
                    let inner = fields.known.get(name).map(|schema| View::of(schema, root));
                    let list = inner.is_some_and(|view| view.kind() == Some("array"));
                    format!("{name}: {}", if list { "[…]" } else { "…" })
                });
                format!("{{{}}}", needed.collect::<Vec<_>>().join(", "))
            }
            Some("array") => "[…]".to_owned(),
            _ => "…".to_owned(),
        }
    }

    /// The largest number that the Rust type holds.
    fn largest(&self) -> Option<f64> {
        match self.text("format")? {
            "uint8" => Some(f64::from(u8::MAX)),
            "uint16" => Some(f64::from(u16::MAX)),
            "uint32" => Some(f64::from(u32::MAX)),
            "int32" => Some(f64::from(i32::MAX)),
            _ => None,
        }
    }
}

pub(crate) fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    line.trim_end_matches('.').to_owned()
}

/// `WeekTime` as `week time`.
fn in_words(name: &str) -> String {
    let mut words = String::new();
    // Two types of one name are told apart by a number in the schema.
    for c in name.trim_end_matches(|c: char| c.is_ascii_digit()).chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}
