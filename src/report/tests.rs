//! What every format must hold: the same numbers, nothing from outside, nothing hostile.

use std::collections::BTreeMap;

use super::example;
use super::*;
use crate::measure::{Actual, Finding, Measured, Records};
use crate::model::event::{Ended, What};
use crate::model::evidence::Evidence;
use crate::model::sample::{Sample, Seen, Stages};
use crate::model::target::{ObjectiveKind, Verdict};
use crate::model::time::At;
use crate::verdict::Judged;

fn rendered(format: Format, evidence: &Evidence, measured: &Measured, judged: &Judged) -> String {
    format.render(&view(evidence, measured, judged)).unwrap()
}

fn example(format: Format) -> String {
    rendered(format, &example::evidence(), &example::measured(), &example::judged())
}

/// A start tag: its name and its attributes.
type Tag = (String, BTreeMap<String, String>);

/// The start tags of a page; panics where it is not well formed as XML is (all tags closed, in order, attributes in quotes).
fn tags(page: &str) -> Vec<Tag> {
    const VOID: [&str; 3] = ["meta", "!DOCTYPE", "br"];
    let (mut open, mut found, mut rest) = (Vec::new(), Vec::new(), page);
    while let Some(at) = rest.find('<') {
        assert!(
            !rest[..at].contains('>') || open.last().is_some_and(|tag| tag == "style"),
            "{}",
            &rest[..at]
        );
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (name, mut attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        let mut read = BTreeMap::new();
        while let Some((key, after)) = attributes.split_once("=\"") {
            let (value, after) = after.split_once('"').unwrap();
            assert!(read.insert(key.trim().to_owned(), value.to_owned()).is_none(), "{tag}");
            attributes = after;
        }
        if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        found.push((name.to_owned(), read));
    }
    assert_eq!(open, Vec::<String>::new());
    found
}

#[test]
fn the_result_is_as_it_was() {
    insta::assert_snapshot!(example(Format::Json));
}

#[test]
fn the_markdown_is_as_it_was() {
    insta::assert_snapshot!(example(Format::Md));
}

#[test]
fn every_number_of_the_page_and_of_the_markdown_is_that_of_the_result() {
    let result: Value = serde_json::from_str(&example(Format::Json)).unwrap();
    let (page, markdown) = (example(Format::Html), example(Format::Md));
    let tags = tags(&page);
    let shown = |number: &Value| number.as_i64().map(|number| number.to_string());
    let find = |key: &str, value: &str| -> &BTreeMap<String, String> {
        &tags.iter().find(|(_, read)| read.get(key).is_some_and(|read| read == value)).unwrap().1
    };
    let same = |tag: &BTreeMap<String, String>, actual: &Value| {
        assert_eq!(tag.get("data-least-ns").cloned(), shown(&actual["leastNs"]));
        assert_eq!(
            tag.get("data-most-ns").cloned().filter(|most| !most.is_empty()),
            shown(&actual["mostNs"])
        );
    };
    for objective in result["objectives"].as_array().unwrap() {
        let (service, kind) = (objective["service"].as_str().unwrap(), objective["kind"].as_str().unwrap());
        let tag = find("data-objective", &format!("{service} {kind}"));
        same(tag, &objective["actual"]);
        assert_eq!(tag.get("data-target-ns").cloned(), shown(&objective["target"]["ns"]));
        assert_eq!(tag["data-verdict"], objective["verdict"].as_str().unwrap());
        let text = objective["shown"].as_str().unwrap();
        assert!(page.contains(text) && markdown.contains(&format!("| {text} |")), "{text}");
    }
    let service = &result["services"][0];
    for moment in service["timeline"].as_array().unwrap() {
        let tag = find("data-moment", moment["name"].as_str().unwrap());
        assert_eq!(Some(&tag["data-earliest-ns"]), shown(&moment["at"]["earliestNs"]).as_ref());
        assert_eq!(Some(&tag["data-latest-ns"]), shown(&moment["at"]["latestNs"]).as_ref());
        assert!(markdown.contains(moment["at"]["text"].as_str().unwrap()));
    }
    for origin in service["rta"].as_array().unwrap() {
        same(find("data-origin", origin["origin"].as_str().unwrap()), &origin["actual"]["actual"]);
    }
    for phase in service["phases"].as_array().unwrap() {
        same(find("data-phase", phase["name"].as_str().unwrap()), &phase["actual"]);
    }
    for step in result["steps"].as_array().unwrap() {
        let tag = find("data-step", step["id"].as_str().unwrap());
        assert_eq!(tag.get("data-took-ns").cloned(), shown(&step["took"]["ns"]));
    }
    let ledger = find("data-store", "orders-postgres");
    assert_eq!((ledger["data-lost"].as_str(), ledger["data-lost-at-most"].as_str()), ("10", "39"));
    assert_eq!(find("data-overall", "missed")["class"], "word");
}

#[test]
fn the_page_is_one_file_without_scripts_and_says_that_it_is_a_rehearsal() {
    let page = example(Format::Html);
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("@import"));
    for (name, read) in tags(&page) {
        assert!(
            !["script", "link", "img", "iframe", "object", "embed", "a"].contains(&name.as_str()),
            "{name}"
        );
        assert!(
            !read.keys().any(|key| key.starts_with("on") || ["src", "href"].contains(&key.as_str())),
            "{read:?}"
        );
    }
    for text in [&page, &example(Format::Md)] {
        assert!(text.contains("simulated regions, never counts as a drill"));
    }
    let mut live = example::evidence();
    if let What::RunStarted { rehearsal, .. } = &mut live.events[0].what {
        *rehearsal = false;
    }
    for format in Format::ALL {
        let text = rendered(*format, &live, &example::measured(), &example::judged());
        assert!(!text.contains("never counts as a drill") && !text.contains("(simulated)\n"));
    }
}

#[test]
fn hostile_names_are_shown_as_text_and_bounded() {
    let nasty = "<script>alert(1)</script>{{run.id}}\"' onload=x \u{1b}[31m\u{202e}|\r\n# h `c`";
    let (mut evidence, mut measured, mut judged) =
        (example::evidence(), example::measured(), example::judged());
    if let What::RunStarted { plan, run, .. } = &mut evidence.events[0].what {
        plan.purpose = nasty.to_owned();
        plan.drill = "x".repeat(100_000).into();
        *run = nasty.into();
        plan.steps[1].title = Some(nasty.to_owned());
        plan.expectations = vec![nasty.to_owned()];
    }
    measured.losses[0].store = nasty.into();
    measured.findings[0].what = nasty.to_owned();
    measured.series[0].vantage = nasty.into();
    for judgement in &mut judged.objectives {
        judgement.objective.service = nasty.into();
        judgement.why = nasty.to_owned();
    }
    for format in Format::ALL {
        let text = rendered(*format, &evidence, &measured, &judged);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', '\r']) && !text.contains(&"x".repeat(1000)),
            "{format}"
        );
        assert!(text.len() < 200_000, "{format}: {}", text.len());
    }
    let page = rendered(Format::Html, &evidence, &measured, &judged);
    assert!(tags(&page).iter().all(|(name, read)| name != "script" && !read.contains_key("onload")));
    assert!(page.contains("&lt;script&gt;") && page.contains("{{run.id}}"));
    let markdown = rendered(Format::Md, &evidence, &measured, &judged);
    assert!(!markdown.contains("<script>") && !markdown.contains("\n# h"));
    let objectives = markdown.lines().filter(|line| line.starts_with("| &lt;script"));
    assert_eq!(objectives.map(|line| line.replace("\\|", "").matches('|').count()).max(), Some(7));
}

#[test]
fn a_million_samples_make_no_larger_page_than_a_thousand() {
    let mut evidence = example::evidence();
    let key = ("checkout".into(), "outside".into());
    let sample = |i: i64| Sample {
        scheduled: At(i * 660_000),
        sent: At(i * 660_000),
        completed: At(i * 660_000 + 1),
        seen: if i % 3 == 0 { Seen::Gap } else { Seen::Ok },
        address: None,
        answered_by: None,
        stages: Stages::default(),
    };
    evidence.samples.insert(key, (0..1_000_000).map(sample).collect());
    let page = rendered(Format::Html, &evidence, &example::measured(), &example::judged());
    assert!(page.len() < example(Format::Html).len() + 20_000);
}

#[test]
fn a_run_that_did_not_complete_says_so_first() {
    let ends = [
        (None, "Incomplete", "the journal ends before the run does"),
        (
            Some(Ended::Refused { guard: "lock".into(), why: "another drill runs".to_owned() }),
            "Refused",
            "another drill runs",
        ),
        (Some(Ended::Aborted { why: "west was failing".to_owned() }), "Aborted", "west was failing"),
        (Some(Ended::Interrupted), "Interrupted", "The run was interrupted"),
    ];
    for (ended, word, why) in ends {
        let (mut evidence, mut measured) = (example::evidence(), example::measured());
        measured.ended = ended.clone();
        match ended {
            Some(ended) => evidence.events.last_mut().unwrap().what = What::RunEnded { how: ended },
            None => evidence.events.truncate(6),
        }
        for format in Format::ALL {
            let text = rendered(*format, &evidence, &measured, &example::judged());
            assert!(
                text.contains(word) && text.to_lowercase().contains(&why.to_lowercase()),
                "{format} {word}"
            );
        }
    }
}

#[test]
fn a_journal_without_a_single_event_still_renders() {
    let judged = Judged { objectives: Vec::new(), ..example::judged() };
    for format in Format::ALL {
        assert!(
            rendered(*format, &Evidence::default(), &Measured::default(), &judged).contains("Incomplete")
        );
    }
}

#[test]
fn no_verdict_but_met_reads_as_met() {
    for verdict in
        [Verdict::NotExercised, Verdict::Indeterminate, Verdict::Inconclusive, Verdict::Void, Verdict::Missed]
    {
        let mut judged = example::judged();
        judged.objectives.iter_mut().for_each(|judgement| judgement.verdict = verdict);
        let view = view(&example::evidence(), &example::measured(), &judged);
        assert!(
            view.objectives.iter().all(|objective| !objective.word.contains("Met") && objective.sign != "✓")
        );
    }
}

#[test]
fn no_template_puts_anything_in_unescaped() {
    let templates = [
        include_str!("../../reports/templates/report.html.hbs"),
        include_str!("../../reports/templates/first.html.hbs"),
        include_str!("../../reports/templates/course.html.hbs"),
        include_str!("../../reports/templates/proof.html.hbs"),
        include_str!("../../reports/templates/report.md.hbs"),
    ];
    assert!(templates.iter().all(|template| !template.contains("{{{") && !template.contains("{{&")));
}

#[test]
fn a_format_is_known_by_its_name_and_an_unknown_one_names_them_all() {
    assert!(Format::ALL.iter().all(|format| format.name().parse() == Ok(*format)));
    assert_eq!("pdf".parse::<Format>(), Err("`pdf` is no format: use one of json, md, html".to_owned()));
}

#[test]
fn what_was_measured_stands_beside_its_promise_once() {
    let mut judged = example::judged();
    let objective = &mut judged.objectives[0];
    let span = objective.actual.as_ref().and_then(Actual::span).unwrap();
    objective.why = format!("{span}, within the target of 15m");
    let view = view(&example::evidence(), &example::measured(), &judged);
    assert_eq!(view.objectives[0].why, "within the target of 15m");
}

#[test]
fn what_nobody_read_back_does_not_count_as_undamaged() {
    let mut judged = example::judged();
    let integrity = judged.objectives.iter_mut().find(|one| one.objective.kind == ObjectiveKind::Integrity);
    let integrity = integrity.unwrap();
    integrity.verdict = Verdict::Inconclusive;
    integrity.actual = None;
    integrity.records = Some(Records { exactly: 0, at_most: 0 });
    let view = view(&example::evidence(), &example::measured(), &judged);
    let shown = view.objectives.iter().find(|one| one.kind == ObjectiveKind::Integrity).unwrap();
    assert_eq!(shown.shown, "not seen");
}

#[test]
fn a_step_over_its_budget_is_owed_once() {
    let mut measured = example::measured();
    let plain = view(&example::evidence(), &measured, &example::judged());
    let late = plain.steps.iter().find(|step| step.against == Some("over")).unwrap();
    measured.findings = vec![Finding {
        about: late.id.as_str().into(),
        what: format!("the step {} took 7m, over its budget of 4m", late.id),
        region: None,
    }];
    let judged = Judged { findings: measured.findings.clone(), ..example::judged() };
    let owed = view(&example::evidence(), &measured, &judged).actions;
    assert_eq!(owed.iter().filter(|text| text.contains(&format!("step {}", late.id))).count(), 1, "{owed:?}");
}
