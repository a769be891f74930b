//! A finished run and its team's runbook → a patch that `git apply` takes.
//!
//! ```text
//! text ─► section (anchors, facts, by byte offsets) ─┐
//! steps that ran, with their times ──────────────────┴─► edits ─► unified diff
//! ```
//! Each section that the drill exercised gets a `Measured:` line (a `Rehearsed:` one from a rehearsal, I9) beside the time that its
//! team states, which is never touched. Steps that the runbook lacks get a section at the end; sections that
//! the drill never exercised are named before the diff, also where there is nothing else to say. Only our own lines are ever replaced, so that a second run changes
//! them and adds nothing. Rejected: editing the file in place; a team reviews what goes into its runbook.

mod section;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use similar::TextDiff;

use crate::measure::{Measured, StepMeasured};
use crate::model::event::Outcome;
use crate::model::evidence::{Evidence, Header};
use crate::model::plan::{Action, Stage, Step};
use crate::model::time::{Duration, Span};
use crate::report::words;
use section::{Fact, Key, Section, anchor, line_end, sections};

/// The patch that brings what a run measured into a runbook, or only names what the drill never exercised; `None` where there is neither.
///
/// `path` is the runbook's from the drill's folder: `git apply` takes it there, or elsewhere with `--directory`.
pub fn patch(evidence: &Evidence, measured: &Measured, path: &str, text: &str) -> Option<String> {
    let header = evidence.header()?;
    let key = if header.rehearsal { Key::Rehearsed } else { Key::Measured };
    let found = sections(text);
    let end_of_line = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut edits = Vec::new();
    let mut lacking = String::new();
    let exercised = exercised(header, measured);
    for (wanted, steps) in &exercised {
        let section = found.iter().find(|section| section.anchor == *wanted);
        let value = said(&header, steps, section.and_then(Section::stated));
        match section {
            Some(section) => edits.push(noted(text, section, key, &value, end_of_line)),
            None => {
                if let Some(heading) = heading(wanted, steps) {
                    let lines = [&format!("## {heading}"), "", &format!("- {}: {value}", key.word())];
                    lacking.push_str(&format!("{end_of_line}{}{end_of_line}", lines.join(end_of_line)));
                }
            }
        }
    }
    if !lacking.is_empty() {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { end_of_line };
        edits.push(Edit { at: text.len()..text.len(), text: format!("{gap}{lacking}") });
    }
    let new = applied(text, edits);
    let entered = entered(&header, measured);
    let never: Vec<&Section> =
        found.iter().filter(|section| section.is_step() && !entered.contains(&section.anchor)).collect();
    let diff = if new == text { String::new() } else { diff(path, text, &new) };
    if diff.is_empty() && never.is_empty() {
        return None;
    }
    Some(format!("{}{diff}", preface(&header, &never, diff.is_empty())))
}

/// A step that ran, and how long it took.
struct Ran<'a> {
    step: &'a Step,
    took: Span,
}

/// The steps that belong into a runbook and that ran, by the anchor of their section.
fn exercised<'a>(header: Header<'a>, measured: &Measured) -> BTreeMap<String, Vec<Ran<'a>>> {
    let mut by_anchor: BTreeMap<String, Vec<Ran<'a>>> = BTreeMap::new();
    for step in header.plan.all_steps() {
        let Some(took) = took(measured, step) else { continue };
        if let Some(wanted) = wanted(step) {
            by_anchor.entry(wanted).or_default().push(Ran { step, took });
        }
    }
    by_anchor
}

/// The anchor of the section that a step belongs into.
fn wanted(step: &Step) -> Option<String> {
    let wanted = match &step.runbook {
        Some(reference) => reference.strip_prefix('#').map(anchor),
        None => is_procedure(&step.action).then(|| anchor(title(step))),
    };
    wanted.filter(|wanted| !wanted.is_empty())
}

/// The sections that the drill came to at all: a step that failed has no time to note, but its section was exercised.
fn entered(header: &Header<'_>, measured: &Measured) -> BTreeSet<String> {
    let ended = |step: &&Step| {
        measured
            .steps
            .iter()
            .any(|went| went.step == step.id && went.started.is_some() && went.outcome.is_some())
    };
    header.plan.all_steps().filter(ended).filter_map(wanted).collect()
}

/// How long a step took that was done; both ends of it were written down by one clock.
fn took(measured: &Measured, step: &Step) -> Option<Span> {
    let done =
        |went: &&StepMeasured| went.step == step.id && went.outcome.as_ref().is_some_and(Outcome::is_ok);
    let took = measured.steps.iter().find(done)?.took?;
    Some(Span { least: took, most: Some(took) })
}

/// Whether a runbook ought to say how to do it, even where the scenario names no section.
fn is_procedure(action: &Action) -> bool {
    match action {
        Action::Recover { .. } | Action::Declare { .. } | Action::Task { .. } | Action::Notify { .. } => true,
        Action::Fault { .. }
        | Action::RemoveFault { .. }
        | Action::Wait(_)
        | Action::Check(_)
        | Action::Parallel { .. }
        | Action::Procedure { .. } => false,
    }
}

fn title(step: &Step) -> &str {
    step.title.as_deref().unwrap_or(step.id.as_str())
}

/// What our line says: the time against the stated one, the run and its date.
fn said(header: &Header<'_>, steps: &[Ran<'_>], stated: Option<Duration>) -> String {
    let times: Vec<String> = steps
        .iter()
        .map(|ran| match steps.len() {
            1 => words::span(&ran.took),
            _ => format!("{} {}", words::clean(ran.step.id.as_str()), words::span(&ran.took)),
        })
        .collect();
    let passes = passes(steps);
    let against = stated.map(|stated| {
        if passes.iter().all(|pass| pass.most.is_some_and(|most| most <= stated)) {
            format!(", within the stated {stated}")
        } else if passes.iter().any(|pass| pass.least > stated) {
            format!(", over the stated {stated}")
        } else {
            format!(", not shown to be within the stated {stated}")
        }
    });
    format!(
        "{}{} (run {}, {})",
        times.join(", "),
        against.unwrap_or_default(),
        words::clean(header.run.as_str()),
        words::date(header.wall_unix_ns)
    )
}

/// A section's steps within one stage are parts of one pass through it; those of another stage, as on the way back, are another pass,
/// and the stated time is that of one.
fn passes(steps: &[Ran<'_>]) -> Vec<Span> {
    let mut by_stage: BTreeMap<Stage, Span> = BTreeMap::new();
    for ran in steps {
        let nothing = Span { least: Duration::ZERO, most: Some(Duration::ZERO) };
        let pass = by_stage.entry(ran.step.stage).or_insert(nothing);
        pass.least = pass.least.plus(ran.took.least);
        pass.most = pass.most.and_then(|most| Some(most.plus(ran.took.most?)));
    }
    by_stage.into_values().collect()
}

/// A heading whose anchor is the wanted one; `None` where Markdown cannot say it.
fn heading(wanted: &str, steps: &[Ran<'_>]) -> Option<String> {
    let spaced = words::sentence(&wanted.replace('-', " "));
    let titles = steps.iter().map(|ran| words::clean(title(ran.step)));
    titles
        .chain([spaced.clone(), wanted.to_owned()])
        .map(|title| title.replace(['`', '_', '*', '<', '[', '\\', '&'], " ").trim().to_owned())
        .find(|title| sections(&format!("## {title}\n")).first().is_some_and(|made| made.anchor == wanted))
}

/// A replacement of some bytes.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// Our line in a section: replaced, or put behind the stated time, or behind the heading.
fn noted(text: &str, section: &Section, key: Key, value: &str, end_of_line: &str) -> Edit {
    if let Some(Fact { line, before, between, .. }) = section.fact(key) {
        return Edit { at: line.clone(), text: format!("{before}{}{}{value}", key.word(), spaced(between)) };
    }
    if let Some(Fact { line, before, between, .. }) = section.fact(Key::Time) {
        let at = line.end..line.end;
        return Edit { at, text: format!("{end_of_line}{before}{}{}{value}", key.word(), spaced(between)) };
    }
    let at = section.body;
    let open = if text[..at].ends_with('\n') { "" } else { end_of_line };
    let next = &text[at..line_end(text, at)];
    let close = if next.trim().is_empty() { "" } else { end_of_line };
    Edit { at: at..at, text: format!("{open}{end_of_line}- {}: {value}{end_of_line}{close}", key.word()) }
}

/// What stands between key and value, with a space before the value.
fn spaced(between: &str) -> String {
    format!("{} ", between.trim_end())
}

/// A text with its edits, which do not overlap.
fn applied(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.at.start);
    let mut new = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        new.push_str(&text[done..edit.at.start]);
        new.push_str(&edit.text);
        done = edit.at.end;
    }
    new.push_str(&text[done..]);
    new
}

/// What stands before the diff: `git apply` skips it.
fn preface(header: &Header<'_>, never: &[&Section], nothing: bool) -> String {
    let what = if nothing {
        "Nothing to apply: no step that was done has a section there."
    } else if header.rehearsal {
        "Rehearsed times, from simulated regions: they never count as a drill, and no stated time is touched."
    } else {
        "Measured times, beside the stated ones."
    };
    let mut lines = vec![
        format!("Drill {}, run {}, {}.", header.plan.drill, header.run, words::date(header.wall_unix_ns)),
        what.to_owned(),
    ];
    if !nothing {
        lines.push(
            "Its path begins in the drill's folder: apply it there with `patch -p1`, or from the top of the"
                .to_owned(),
        );
        lines.push("repository with `git apply --directory=FOLDER`.".to_owned());
    }
    if !never.is_empty() {
        lines.push("Sections that this drill never exercised:".to_owned());
        lines.extend(never.iter().map(|section| format!("  #{} ({})", section.anchor, section.title)));
    }
    lines.iter().map(|line| format!("# {}\n", words::clean(line))).collect()
}

/// A unified diff of lines that end in `\n` only, as git counts them.
fn diff(path: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let lines =
        TextDiff::configure().newline_terminated(true).diff_slices(&old, &new).unified_diff().to_string();
    let [from, to] = ["a", "b"].map(|side| quoted(&format!("{side}/{path}")));
    format!(
        "diff --git {from} {to}\n--- {from}{tab}\n+++ {to}{tab}\n{lines}",
        tab = if path.contains(' ') { "\t" } else { "" }
    )
}

/// A path as git writes it: in quotes, with escapes, where it holds anything unusual.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if path.bytes().all(plain) {
        return path.to_owned();
    }
    let escaped: String = path
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("\\{byte:03o}") })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests;
