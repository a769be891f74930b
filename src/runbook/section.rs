//! A Markdown runbook as its sections, by byte offsets: what is not edited stays byte for byte.
//!
//! A section is known by its anchor as GitHub makes it. In its own part (up to the next heading of any level) it may hold lines
//! `Time: 2m` (stated by its team), `Measured: …` and `Rehearsed: …` (ours), `Owner: …`, as plain lines or as list items, with
//! the key in bold or not; not inside code. Rejected: rendering Markdown back from a tree, which loses the team's own text.

use std::collections::BTreeMap;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::model::time::Duration;

/// A heading with its own part.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub anchor: String,
    pub title: String,
    /// Where the line after the heading begins.
    pub body: usize,
    /// Lines of facts, in order.
    pub facts: Vec<Fact>,
}

/// A line `Key: value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub key: Key,
    pub value: String,
    /// The line without its end.
    pub line: Range<usize>,
    /// What stands before the key: indent, list marker, bold.
    pub before: String,
    /// What stands between the key and the value: colon, bold, space.
    pub between: String,
}

/// What a line can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Time,
    Measured,
    Rehearsed,
    Owner,
}

impl Key {
    const ALL: [Key; 4] = [Key::Time, Key::Measured, Key::Rehearsed, Key::Owner];

    /// As it stands in a runbook.
    pub fn word(self) -> &'static str {
        match self {
            Key::Time => "Time",
            Key::Measured => "Measured",
            Key::Rehearsed => "Rehearsed",
            Key::Owner => "Owner",
        }
    }
}

impl Section {
    /// The first line of a key.
    pub fn fact(&self, key: Key) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.key == key)
    }

    /// The time that the team states, also with the gaps with which reports write it: `1m 30s`.
    pub fn stated(&self) -> Option<Duration> {
        self.fact(Key::Time)?.value.replace(' ', "").parse().ok()
    }

    /// Whether it describes a step at all: somebody owns it, or states how long it takes.
    pub fn is_step(&self) -> bool {
        self.fact(Key::Time).or(self.fact(Key::Owner)).is_some()
    }
}

/// The sections of a runbook, in order.
pub fn sections(text: &str) -> Vec<Section> {
    let mut found = Vec::new();
    let mut anchors = Anchors::default();
    let mut code: Vec<Range<usize>> = Vec::new();
    let mut starts = Vec::new();
    let (mut depth, mut heading) = (0_usize, None::<String>);
    let mark = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let parser =
        Parser::new_ext(&text[mark..], Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_TABLES);
    for (event, range) in parser.into_offset_iter() {
        let range = range.start + mark..range.end + mark;
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let title = heading.take().unwrap_or_default();
                let anchor = anchors.next(&title);
                if depth == 0 {
                    let body = line_end(text, range.end.max(1) - 1);
                    starts.push(range.start);
                    found.push(Section { anchor, title, body, facts: Vec::new() });
                }
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(title) = &mut heading {
                    title.push_str(&part);
                }
            }
            Event::Start(tag) => {
                if matches!(tag, Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::MetadataBlock(_)) {
                    code.push(range);
                }
                depth += usize::from(block(&tag));
            }
            Event::End(tag) => depth -= usize::from(block_end(tag)),
            _ => {}
        }
    }
    let ends = starts.into_iter().skip(1).chain([text.len()]);
    for (section, end) in found.iter_mut().zip(ends) {
        section.facts = facts(text, section.body..end.max(section.body), &code);
    }
    found
}

/// Blocks within which a heading starts no section of ours.
fn block(tag: &Tag<'_>) -> bool {
    matches!(tag, Tag::BlockQuote(_) | Tag::List(_))
}

fn block_end(tag: TagEnd) -> bool {
    matches!(tag, TagEnd::BlockQuote(_) | TagEnd::List(_))
}

/// The end of the line that holds a byte, with its end of line.
pub fn line_end(text: &str, from: usize) -> usize {
    text.as_bytes()[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| from + at + 1)
}

fn facts(text: &str, within: Range<usize>, code: &[Range<usize>]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut from = within.start;
    while from < within.end {
        let end = line_end(text, from);
        let line = text[from..end].trim_end_matches(['\n', '\r']);
        if !code.iter().any(|range| range.contains(&from)) {
            facts.extend(fact(line, from));
        }
        from = end;
    }
    facts
}

/// Reads `- **Time:** 2m`, `Time: 2m` and what stands between the two.
fn fact(line: &str, at: usize) -> Option<Fact> {
    let content = line.trim_start_matches([' ', '-', '*', '+', '_']);
    let before = &line[..line.len() - content.len()];
    let key = Key::ALL.into_iter().find(|key| content.starts_with(key.word()))?;
    let rest = &content[key.word().len()..];
    let value = rest.trim_start_matches(['*', '_', ':', ' ']);
    let between = &rest[..rest.len() - value.len()];
    between.contains(':').then(|| Fact {
        key,
        value: value.trim().to_owned(),
        line: at..at + line.len(),
        before: before.to_owned(),
        between: between.to_owned(),
    })
}

/// Anchors as GitHub makes them, each different from those before it.
#[derive(Default)]
struct Anchors {
    seen: BTreeMap<String, u32>,
}

impl Anchors {
    fn next(&mut self, title: &str) -> String {
        let plain = anchor(title);
        let mut made = plain.clone();
        let mut again = self.seen.get(&plain).copied().unwrap_or(0);
        while self.seen.contains_key(&made) {
            again += 1;
            made = format!("{plain}-{again}");
        }
        self.seen.insert(plain, again);
        self.seen.entry(made.clone()).or_insert(0);
        made
    }
}

/// The anchor of a heading, were it the only one: lower case, spaces as hyphens, no punctuation
/// (<https://github.com/Flet/github-slugger>).
pub fn anchor(title: &str) -> String {
    title
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter => letter.is_alphanumeric().then_some(letter),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(text: &str) -> Vec<String> {
        sections(text).into_iter().map(|section| section.anchor).collect()
    }

    #[test]
    fn anchors_are_those_that_github_makes() {
        let text = "# Run-book: *checkout*!\n\n## Switch `DNS` traffic\n\n## Same\n\n## Same\n\n## Same 1\n\nSetext\n------\n\n> ## Quoted\n\n## Quoted\n";
        assert_eq!(
            anchors(text),
            ["run-book-checkout", "switch-dns-traffic", "same", "same-1", "same-1-1", "setext", "quoted-1"]
        );
    }

    #[test]
    fn front_matter_and_code_hold_neither_headings_nor_times() {
        let text = "---\ntitle: x\nTime: 1m\n---\n\n## A\n\n```\nTime: 9m\n## no\n```\n\n- **Time:** 2m\n- Owner: dba\n";
        let sections = sections(text);
        assert_eq!(sections.len(), 1);
        assert_eq!(sections[0].stated(), Some(Duration::from_secs(120)));
        assert_eq!(sections[0].fact(Key::Owner).unwrap().value, "dba");
    }

    #[test]
    fn a_byte_order_mark_windows_ends_and_a_missing_last_end_are_read() {
        let sections = sections("\u{feff}# A\r\nTime: 1m\r\n## B\r\n* Time: 1m 60s");
        let stated: Vec<_> =
            sections.iter().map(|section| (section.anchor.as_str(), section.stated())).collect();
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!(stated, [("a", minutes(1)), ("b", minutes(2))]);
    }

    #[test]
    fn a_word_that_only_begins_like_a_key_is_no_fact() {
        assert_eq!(fact("Timeline: 2m", 0), None);
        assert_eq!(fact("Time passes", 0), None);
        assert!(fact("- Measured:", 0).is_some());
    }
}
