//! Evidence first (I6): a run that is killed at any instant leaves a folder that `verify`, `report` and `heal` can read.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use drillmaster::journal::{JOURNAL, read};

fn drillmaster(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drillmaster")).args(arguments).arg(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Starts a run, and kills it once its journal has so many bytes; returns whether it was still running.
fn killed_at(bytes: u64, seed: u64, folder: &Path) -> bool {
    let mut run = Command::new(env!("CARGO_BIN_EXE_drillmaster"))
        .args(["run", "tests/laboratory/failover.yaml", "--quiet"])
        .args(["--file", "scenarios/catalogue.yaml", "--file", "scenarios/shop-two-regions.yaml"])
        .args(["--seed", &seed.to_string(), "--evidence"])
        .arg(folder)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let journal = folder.join(JOURNAL);
    loop {
        if run.try_wait().unwrap().is_some() {
            return false;
        }
        if fs::metadata(&journal).is_ok_and(|journal| journal.len() >= bytes) {
            // SIGKILL on Unix.
            run.kill().unwrap();
            return run.wait().unwrap().code().is_none();
        }
        std::thread::yield_now();
    }
}

/// The lines of a journal that end; a torn one is none.
fn whole_lines(folder: &Path) -> usize {
    fs::read(folder.join(JOURNAL)).unwrap().iter().filter(|byte| **byte == b'\n').count()
}

fn is_torn(folder: &Path) -> bool {
    !fs::read(folder.join(JOURNAL)).unwrap().ends_with(b"\n")
}

#[track_caller]
fn assert_answers(folder: &Path) {
    let lines = whole_lines(folder);
    let verified = drillmaster(&["verify"], folder);
    assert_eq!(verified.status.code(), Some(13), "{}", said(&verified));
    let names = if is_torn(folder) { "torn" } else { "the end is missing" };
    assert!(said(&verified).contains(names), "{names}: {}", said(&verified));
    assert!(
        said(&verified).contains(&format!("line {}", lines + 1)),
        "line {}: {}",
        lines + 1,
        said(&verified)
    );
    assert_eq!(read(folder).unwrap().events.len(), lines, "an event before the end is lost");
    let reported = drillmaster(&["report"], folder);
    assert!(matches!(reported.status.code(), Some(0 | 11 | 12)), "{:?} {}", reported.status, said(&reported));
    let text = fs::read_to_string(folder.join("report.md")).unwrap().to_lowercase();
    assert!(text.contains("incomplete"), "{text}");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["verdict"]["overall"], "inconclusive", "what was cut off is not invalid");
    let healed = drillmaster(&["heal"], folder);
    assert_eq!(healed.status.code(), Some(0), "{}", said(&healed));
    assert!(said(&healed).contains("nothing is left to heal"), "{}", said(&healed));
}

#[test]
fn a_run_that_is_killed_at_any_instant_leaves_evidence_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert!(!killed_at(u64::MAX, 0, &whole));
    let longest = fs::metadata(whole.join(JOURNAL)).unwrap().len();
    let mut random = fastrand::Rng::new();
    let mut killed = 0;
    for round in 0..40 {
        let folder = folder.path().join(round.to_string());
        // On a busy machine the signal may come after the run's last event: then nothing is missing.
        let left = killed_at(random.u64(1..longest), round, &folder) && whole_lines(&folder) > 0;
        if left && !read(&folder).unwrap().is_complete() {
            killed += 1;
            assert_answers(&folder);
        }
        if killed == 20 {
            return;
        }
    }
    unreachable!("only {killed} of 40 runs were still running when they were killed");
}

#[test]
fn a_last_line_torn_at_any_byte_is_named_and_nothing_before_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    assert!(!killed_at(u64::MAX, 0, &evidence));
    let bytes = fs::read(evidence.join(JOURNAL)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..8 {
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        fs::write(evidence.join(JOURNAL), &bytes[..random.usize(first..bytes.len() - 1)]).unwrap();
        assert_answers(&evidence);
    }
}
