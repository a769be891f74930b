//! `drillmaster explain`: what a kind does, or what stands at a place of a document, from the doc comments of the types.
//!
//! The same comments make the JSON schema, so editors, errors and this page say the same.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli::answer::Answer;
use crate::cli::inputs::KINDS;
use crate::cli::schema;
use crate::document::schema::{View, first_sentence};
use crate::document::unknown;
use crate::fault::FaultKind;
use crate::kinds::Kind;
use crate::probe::ProbeKind;
use crate::recovery::RecoveryKind;

/// Explain a fault, a recovery, a probe, or a field of a document.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: drillmaster explain fault.isolate\n         drillmaster explain drill.spec.stages"
)]
pub struct Args {
    /// `fault.isolate`, `recovery.promote`, `probe.http`, `drill.spec.stages`, …; all topics where it is left out.
    pub topic: Option<String>,
}

const ROOMS: [(&str, &[Kind]); 3] =
    [("fault", FaultKind::ALL), ("recovery", RecoveryKind::ALL), ("probe", ProbeKind::ALL)];

pub fn run(args: &Args) -> Answer {
    let Some(topic) = args.topic.as_deref() else { return Answer::Said(topics()) };
    let (first, rest) = topic.split_once('.').unwrap_or((topic, ""));
    if let Some((room, kinds)) = ROOMS.iter().find(|(room, _)| room.eq_ignore_ascii_case(first)) {
        return match kinds.iter().find(|kind| kind.name.eq_ignore_ascii_case(rest)) {
            Some(kind) => Answer::Said(kind_page(room, kind)),
            None if rest.is_empty() => Answer::Said(room_page(room, kinds)),
            None => refuse(room, rest, kinds.iter().map(|kind| kind.name)),
        };
    }
    match schema::of(first) {
        Some(schema) => field_page(first, rest, &schema),
        None => match with_its_room(first) {
            Some(topic) => Answer::Refused(format!(
                "error: unknown topic `{first}`, did you mean `{topic}`?\nhelp: write `{topic}`\n"
            )),
            None => refuse("topic", first, ROOMS.iter().map(|(room, _)| *room).chain(KINDS)),
        },
    }
}

/// The topic of a kind that was called without its room: `fault.podKill`.
fn with_its_room(name: &str) -> Option<String> {
    let mut all = ROOMS.iter().flat_map(|(room, kinds)| kinds.iter().map(move |kind| (room, kind.name)));
    let (room, kind) = all.find(|(_, kind)| kind.eq_ignore_ascii_case(name))?;
    Some(format!("{room}.{kind}"))
}

fn refuse<'a>(what: &str, name: &str, all: impl Iterator<Item = &'a str> + Clone) -> Answer {
    let (message, help) = unknown(what, name, all.clone(), all);
    Answer::Refused(format!(
        "error: {message}\n{}",
        help.map(|help| format!("help: {help}\n")).unwrap_or_default()
    ))
}

fn topics() -> String {
    let mut page = String::from("Topics for `drillmaster explain TOPIC`:\n");
    for (room, kinds) in ROOMS {
        page.push('\n');
        page.push_str(&room_page(room, kinds));
    }
    page.push_str("\nDocuments, each with its fields (`drill.spec.probes`):\n");
    for kind in KINDS {
        let schema = schema::of(kind).unwrap_or_default();
        // What the type says of itself, not what every document says of its `spec`.
        let spec = json!({"$ref": schema["properties"]["spec"]["$ref"]});
        line(&mut page, kind, &said(&View::of(&spec, &schema)));
    }
    page
}

fn room_page(room: &str, kinds: &[Kind]) -> String {
    let mut page = format!("{room}:\n");
    for kind in kinds {
        let schema = (kind.schema)().to_value();
        line(&mut page, &format!("{room}.{}", kind.name), &said(&View::of(&schema, &schema)));
    }
    page
}

fn kind_page(room: &str, kind: &Kind) -> String {
    let schema = (kind.schema)().to_value();
    let view = View::of(&schema, &schema);
    let mut page = format!("{room}.{}\n\n", kind.name);
    for (place, paragraph) in view.text("description").unwrap_or_default().split("\n\n").enumerate() {
        if place > 0 {
            page.push('\n');
        }
        wrapped(&mut page, paragraph, "  ");
    }
    fields(&mut page, "Parameters", &view, &schema);
    page.push_str("\nExample:\n\n");
    for line in kind.example.lines() {
        let _ = writeln!(page, "  {line}");
    }
    page
}

fn field_page(kind: &str, path: &str, schema: &Value) -> Answer {
    let mut view = View::of(schema, schema);
    let mut way = kind.to_owned();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let inner = match view.get("items") {
            Some(items) => View::of(items, schema),
            None => view,
        };
        let all = inner.fields();
        let named = all.known.iter().chain(&all.choice).find(|(name, _)| name.eq_ignore_ascii_case(part));
        let Some((name, next)) =
            named.map(|(name, next)| (*name, *next)).or(all.others.map(|next| (part, next)))
        else {
            return refuse(
                &format!("field of {way}"),
                part,
                all.known.keys().chain(all.choice.keys()).copied(),
            );
        };
        let _ = write!(way, ".{name}");
        view = View::of(next, schema);
    }
    let mut page = format!("{way}: {}\n\n", view.wants());
    wrapped(&mut page, view.text("description").unwrap_or_default(), "  ");
    match view.get("items") {
        Some(items) => fields(&mut page, "Each of them", &View::of(items, schema), schema),
        None => fields(&mut page, "Fields", &view, schema),
    }
    for word in view.alternatives().iter().filter(|word| word["const"].is_string()) {
        line(&mut page, word["const"].as_str().unwrap_or_default(), &said(&View::of(word, schema)));
    }
    Answer::Said(page)
}

fn fields(page: &mut String, title: &str, view: &View<'_>, root: &Value) {
    let all = view.fields();
    if !all.known.is_empty() {
        let _ = writeln!(page, "\n{title}:\n");
    }
    // A schema's fields stand by the alphabet, but where their order means something it says so.
    let order = view.get("propertyOrder").and_then(Value::as_array);
    let place = |name: &str| order.and_then(|order| order.iter().position(|other| other == name));
    let mut known: Vec<_> = all.known.iter().collect();
    known.sort_by_key(|(name, _)| place(name));
    for (name, schema) in known {
        let view = View::of(schema, root);
        let need = if all.required.contains(name) { ", required" } else { "" };
        line(page, name, &format!("{} ({}{need})", said(&view), view.wants()));
    }
    if !all.choice.is_empty() {
        page.push_str("\nExactly one of:\n\n");
    }
    for (name, schema) in &all.choice {
        let own = view.alternatives().iter().find(|alternative| !alternative["properties"][*name].is_null());
        let text = own.and_then(|own| own["description"].as_str()).map(first_sentence);
        line(page, name, &text.unwrap_or_else(|| said(&View::of(schema, root))));
    }
}

/// The first sentences of a description.
fn said(view: &View<'_>) -> String {
    view.text("description").map(first_sentence).unwrap_or_default()
}

fn line(page: &mut String, name: &str, text: &str) {
    let mut body = String::new();
    wrapped(&mut body, text, &" ".repeat(28));
    let body = body.trim_start();
    if name.len() > 25 {
        let _ = writeln!(page, "  {name}\n{:28}{}", "", body.trim_end());
    } else {
        let _ = writeln!(page, "  {name:<25} {}", body.trim_end());
    }
}

/// A paragraph in lines of at most a hundred characters.
fn wrapped(page: &mut String, text: &str, indent: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.chars().count() > 100 {
            page.push('\n');
            column = 0;
        }
        if column == 0 {
            page.push_str(indent);
            column = indent.len();
        } else {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += word.chars().count();
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(topic: &str) -> String {
        match run(&Args { topic: Some(topic.to_owned()) }) {
            Answer::Said(page) => page,
            Answer::Refused(why) => panic!("{topic}: {why}"),
        }
    }

    #[test]
    fn every_kind_says_what_it_cannot_do_and_shows_an_example() {
        for (room, kinds) in ROOMS {
            for kind in kinds {
                let page = page(&format!("{room}.{}", kind.name));
                assert!(page.contains("Cannot:") && page.contains("Example:"), "{page}");
            }
        }
    }

    /// A field without words of its own shows those of its type, or none.
    #[test]
    fn every_parameter_says_what_it_is_for() {
        for (room, kinds) in ROOMS {
            for kind in kinds {
                let page = page(&format!("{room}.{}", kind.name));
                let said =
                    page.contains("no narrower type") || page.lines().any(|line| line.contains("   ("));
                assert!(!said, "{page}");
            }
        }
    }

    #[test]
    fn a_fault_is_explained_whole() {
        insta::assert_snapshot!(page("fault.isolate"));
    }

    #[test]
    fn a_place_of_a_document_is_explained_with_its_fields() {
        insta::assert_snapshot!(page("drill.spec.stages.inject"));
        assert!(page("Drill.spec.type").contains("tabletop"));
        assert!(page("drill").contains("A disaster recovery drill"), "{}", page("drill"));
        assert!(page("serviceCatalogue.spec.services.targets").contains("mapping"));
    }

    #[test]
    fn stages_stand_in_the_order_in_which_they_happen() {
        let page = page("drill.spec.stages");
        let places = crate::model::plan::Stage::ALL.map(|stage| page.find(&format!("  {stage} ")).unwrap());
        assert!(places.is_sorted(), "{page}");
    }

    #[test]
    fn an_unknown_topic_is_refused_with_the_near_one() {
        let refused = |topic: &str| match run(&Args { topic: Some(topic.to_owned()) }) {
            Answer::Refused(why) => why,
            Answer::Said(page) => panic!("{page}"),
        };
        assert!(refused("fault.isolat").contains("did you mean `isolate`?"));
        assert!(refused("drill.spec.probs").contains("did you mean `probes`?"));
        assert!(refused("recover.promote").contains("did you mean `recovery`?"));
        assert!(refused("podkill").contains("did you mean `fault.podKill`?"));
    }

    #[test]
    fn all_topics_are_listed() {
        let Answer::Said(page) = run(&Args { topic: None }) else { panic!("refused") };
        assert!(page.contains("fault.isolate") && page.contains("What is promised about services"), "{page}");
    }
}
