//! The patch as git itself takes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::model::event::What;
use crate::report::example;

const PATH: &str = "runbooks/checkout-failover.md";

/// The text after `git apply` of its patch.
fn git_applied(path: &str, text: &str, patch: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("runbook.patch"), patch).unwrap();
    git(folder.path(), &["apply", "--check", "runbook.patch"]);
    git(folder.path(), &["apply", "runbook.patch"]);
    fs::read_to_string(file).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "core.autocrlf=false"])
        .args(arguments)
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn patched(evidence: &Evidence, text: &str) -> (String, String) {
    let patch = patch(evidence, &example::measured(), PATH, text).unwrap();
    (git_applied(PATH, text, &patch), patch)
}

/// Whether a patch of the same run has anything to note.
fn notes(evidence: &Evidence, text: &str) -> bool {
    patch(evidence, &example::measured(), PATH, text).is_some_and(|patch| patch.contains("diff --git"))
}

/// The example as a live run.
fn live(run: &str) -> Evidence {
    let mut evidence = example::evidence();
    if let What::RunStarted { rehearsal, run: id, .. } = &mut evidence.events[0].what {
        *rehearsal = false;
        *id = run.into();
    }
    evidence
}

const RUNBOOK: &str = "# Checkout\n\n## The alert\n\nPaged.\n\n## Declare\n\nTime: 4m\n\n## Promote the database\n\n- **Time:** 20s\n- **Owner:** dba\n\n```\ndo it\n```\n\n## Tell customers\n\nOwner: press\n\n## Contacts\n\nPhone.\n";

#[test]
fn a_rehearsal_notes_rehearsed_times_and_leaves_every_stated_time_alone() {
    let (new, patch) = patched(&example::evidence(), RUNBOOK);
    insta::assert_snapshot!(patch);
    assert!(new.contains(
        "- **Time:** 20s\n- **Rehearsed:** 21.3s, over the stated 20s (run 7c1f0a9e52b44d10, 2026-01-01)\n"
    ));
    assert!(new.contains("Time: 4m\nRehearsed: 1m 52.4s, within the stated 4m"));
    assert!(new.contains("## Switch traffic\n\n- Rehearsed: 37.5s"));
    assert!(patch.contains("#   #tell-customers (Tell customers)") && !patch.contains("(Contacts)"));
    let untouched: String = new.split_inclusive('\n').filter(|line| !line.contains("Rehearsed")).collect();
    assert!(RUNBOOK.lines().all(|line| untouched.contains(line)));
}

#[test]
fn a_second_run_updates_our_lines_and_adds_nothing() {
    let (first, _) = patched(&live("run-1"), RUNBOOK);
    assert!(!notes(&live("run-1"), &first), "{first}");
    let (second, _) = patched(&live("run-2"), &first);
    assert_eq!(second, first.replace("run-1", "run-2"));
    let (rehearsed, _) = patched(&example::evidence(), &second);
    assert!(rehearsed.contains("Measured: 1m 52.4s") && rehearsed.contains("Rehearsed: 1m 52.4s"));
    assert!(!notes(&example::evidence(), &rehearsed), "{rehearsed}");
}

#[test]
fn git_takes_the_patch_whatever_the_files_ends_are() {
    for text in [
        RUNBOOK.replace('\n', "\r\n"),
        RUNBOOK.trim_end().to_owned(),
        RUNBOOK.replace('\n', "\r\n").trim_end().to_owned(),
        "## Promote the database".to_owned(),
        "## Promote the database\nTime: 1m".to_owned(),
        "## Promote the database\nText".to_owned(),
        String::from("x"),
    ] {
        let (new, _) = patched(&example::evidence(), &text);
        assert!(!notes(&example::evidence(), &new), "{new}");
        assert_eq!(text.contains("\r\n"), new.contains("\r\n"));
        assert!(!text.contains("\r\n") || new.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
    }
}

#[test]
fn of_headings_with_the_same_text_the_anchored_one_is_edited() {
    let mut evidence = example::evidence();
    if let What::RunStarted { plan, .. } = &mut evidence.events[0].what {
        for step in &mut plan.steps {
            step.runbook = (step.id.as_str() == "promote-west").then(|| "#same-1".to_owned());
        }
    }
    let (new, _) =
        patched(&evidence, "# R\n\n## Same\n\nTime: 1m\n\n## Same\n\nTime: 2m\n\n## Same\n\nTime: 3m\n");
    assert!(new.contains("Time: 2m\nRehearsed: 21.3s, within the stated 2m"));
    assert_eq!(new.matches("21.3s").count(), 1);
}

#[test]
fn a_path_with_spaces_quotes_and_letters_of_all_kinds_reaches_the_file() {
    for path in ["run books/a b.md", "rün\"bück\\.md", "plain.md"] {
        let patch = super::patch(&example::evidence(), &example::measured(), path, RUNBOOK).unwrap();
        assert!(git_applied(path, RUNBOOK, &patch).contains("Rehearsed"));
    }
}

#[test]
fn hostile_names_neither_break_the_patch_nor_the_runbook() {
    let mut evidence = example::evidence();
    if let What::RunStarted { plan, run, .. } = &mut evidence.events[0].what {
        *run = "x\n--- a/other\n+++ b/other\n@@ -1 +1 @@\u{1b}[2J".into();
        plan.steps[3].runbook = Some("#<script>\n## x_y_".to_owned());
        plan.steps[4].runbook = None;
        plan.steps[4].title = Some("## *Bold* <b>\n_t_ `c`".to_owned());
    }
    let (new, _) = patched(&evidence, RUNBOOK);
    assert!(!new.contains("<script>") && !new.contains('\u{1b}') && !new.contains("\n--- a/other"));
    assert!(!notes(&evidence, &new), "{new}");
}

#[test]
fn every_anchor_that_a_shipped_drill_names_stands_in_its_runbook() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut named = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let references = || text.lines().filter_map(|line| line.trim().strip_prefix("runbook: "));
        let Some(runbook) = references().find(|reference| reference.ends_with(".md")) else { continue };
        let sections = sections(&fs::read_to_string(folder.join(runbook)).unwrap());
        for anchor in references().filter_map(|reference| reference.trim_matches('"').strip_prefix('#')) {
            let section = sections.iter().find(|section| section.anchor == anchor);
            assert!(
                section.is_some_and(|section| section.stated().is_some()),
                "{} names #{anchor}",
                path.display()
            );
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

/// As a team has it: the drill in a folder of a repository, and the patch anywhere.
#[test]
fn from_the_top_of_a_repository_git_applies_the_patch_in_the_folder_of_the_drill() {
    let (new, patch) = patched(&example::evidence(), RUNBOOK);
    let repository = tempfile::tempdir().unwrap();
    git(repository.path(), &["init", "-q"]);
    let file = repository.path().join("drills").join(PATH);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, RUNBOOK).unwrap();
    fs::write(repository.path().join("runbook.patch"), &patch).unwrap();
    git(repository.path(), &["apply", "--directory=drills", "runbook.patch"]);
    assert_eq!(fs::read_to_string(file).unwrap(), new);
    assert!(patch.contains("# repository with `git apply --directory=FOLDER`.\n"), "{patch}");
}

#[test]
fn what_the_drill_never_exercised_is_named_also_where_nothing_is_noted() {
    let mut measured = example::measured();
    measured.steps.clear();
    let said = super::patch(&example::evidence(), &measured, PATH, RUNBOOK).unwrap();
    assert!(said.contains("# Nothing to apply") && said.contains("#   #promote-the-database"), "{said}");
    assert!(!said.contains("diff --git"), "{said}");
    assert_eq!(super::patch(&example::evidence(), &measured, PATH, "# Only contacts\n"), None);
}

/// Without one, the patch would append a section beside the one that is there, and list that as never exercised.
#[test]
fn every_step_of_a_shipped_drill_that_a_runbook_ought_to_describe_names_its_section() {
    use crate::scenario::{Action, Drill};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let source = std::sync::Arc::new(crate::document::Source::new("drill.yaml", &text));
        for drill in crate::document::read::<Drill>(&source).unwrap() {
            for (_, step) in drill.spec.all_steps() {
                let described = matches!(
                    step.action,
                    Action::Recover(_) | Action::Declare(_) | Action::Task(_) | Action::Notify(_)
                );
                assert!(!described || step.runbook.is_some(), "{}: {}", path.display(), step.id);
                seen += usize::from(described);
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_second_pass_through_a_section_is_compared_by_itself() {
    let mut evidence = example::evidence();
    if let What::RunStarted { plan, .. } = &mut evidence.events[0].what {
        for step in &mut plan.steps {
            step.runbook =
                matches!(step.id.as_str(), "promote-west" | "traffic-west").then(|| "#switch".to_owned());
            step.stage = if step.id.as_str() == "traffic-west" { Stage::Failback } else { step.stage };
        }
    }
    let stated = |time: &str| patched(&evidence, &format!("# R\n\n## Switch\n\nTime: {time}\n")).0;
    assert!(
        stated("40s").contains("promote-west 21.3s, traffic-west 37.5s, within the stated 40s"),
        "{}",
        stated("40s")
    );
    assert!(stated("30s").contains("over the stated 30s"), "{}", stated("30s"));
}

#[test]
fn a_section_whose_step_failed_was_exercised_and_gets_no_time() {
    let mut measured = example::measured();
    for went in &mut measured.steps {
        went.outcome = Some(Outcome::Failed { why: "refused".into() });
    }
    let text = "# R\n\n## Promote the database\n\n- Time: 20s\n\n## Tell customers\n\n- Time: 1m\n";
    let said = super::patch(&example::evidence(), &measured, PATH, text).unwrap();
    assert!(said.contains("# Nothing to apply") && !said.contains("#promote-the-database"), "{said}");
    for went in &mut measured.steps {
        let ok = went.step.as_str() != "promote-west";
        went.outcome = Some(if ok { Outcome::Ok } else { Outcome::Failed { why: "refused".into() } });
    }
    let said = super::patch(&example::evidence(), &measured, PATH, text).unwrap();
    assert!(said.contains("#tell-customers") && !said.contains("#promote-the-database"), "{said}");
}
