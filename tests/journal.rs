//! The evidence folder as an auditor gets it: whole, cut off, or tampered with. Every change of one line is found, wherever it
//! is; what nobody could find without the head is said to be so.

#![expect(clippy::unwrap_used, reason = "what a test sets up must work")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use drillmaster::journal::chain::{GENESIS, line};
use drillmaster::journal::{JOURNAL, Memory, TORN, Writer, read, verify};
use drillmaster::model::event::{Ended, Event, Outcome, Sink, What};
use drillmaster::model::name::{Sha256, StepId};
use drillmaster::model::plan::Plan;
use drillmaster::model::sample::RowFile;
use drillmaster::model::time::At;
use proptest::prelude::*;
use serde_json::json;

fn plan() -> Plan {
    serde_json::from_value(json!({
        "drill": "d", "purpose": "p", "type": "full", "announced": false, "absent": [], "lost": null, "takesOver": null,
        "regions": [], "namespaces": [], "services": [], "objectives": [], "severity": null, "expectations": [],
        "probes": [], "ledgers": [], "steadyState": "30s", "limits": {"maxDuration": "1h", "abortWhen": []},
        "steps": [], "pointOfNoReturn": null, "authorities": [], "longest": {"budgets": "0s", "timeouts": "0s"},
        "blastRadius": [], "runbook": null
    }))
    .unwrap()
}

fn started(inputs: BTreeMap<String, Sha256>) -> What {
    What::RunStarted {
        journal: 0,
        version: "0".into(),
        run: "r".into(),
        rehearsal: true,
        wall_unix_ns: 0,
        seed: Some(1),
        inputs,
        plan: Box::new(plan()),
    }
}

fn probe() -> RowFile {
    RowFile::Probe("checkout".into(), "outside".into())
}

fn row(index: i64) -> String {
    format!("{index},{index},{index},ok,,,,0,0,0,0,0")
}

/// A small run: an input, rows in two files, a few events and the end.
fn run(sink: &mut impl Sink, inputs: BTreeMap<String, Sha256>) {
    sink.append(At(0), started(inputs)).unwrap();
    for index in 0..5 {
        sink.row(At(index), &probe(), &row(index)).unwrap();
    }
    sink.bind(At(5)).unwrap();
    let step: StepId = "s".into();
    sink.append(At(6), What::StepStarted { step: step.clone() }).unwrap();
    sink.row(At(7), &RowFile::Read("orders".into(), 1), "1,1,true").unwrap();
    sink.row(At(7), &probe(), &row(7)).unwrap();
    sink.bind(At(8)).unwrap();
    sink.append(At(9), What::StepEnded { step, outcome: Outcome::Ok }).unwrap();
    sink.append(At(10), What::RunEnded { how: Ended::Completed }).unwrap();
}

fn written(folder: &Path) -> Sha256 {
    let mut writer = Writer::create(folder).unwrap();
    let digest = writer.input("scenario.yaml", b"kind: Drill\n").unwrap();
    run(&mut writer, BTreeMap::from([("scenario.yaml".to_owned(), digest)]));
    writer.head().clone()
}

fn lines(folder: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(folder.join(JOURNAL)).unwrap();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn put(folder: &Path, lines: &[Vec<u8>]) {
    fs::write(folder.join(JOURNAL), lines.concat()).unwrap();
}

/// The first fault in the journal itself: its line.
fn first_bad(folder: &Path) -> Option<u64> {
    let seen = verify(folder, None);
    seen.faults.iter().find(|fault| fault.file == JOURNAL).map(|fault| fault.line.unwrap_or(0))
}

#[test]
fn a_whole_folder_verifies_and_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let head = written(folder.path());
    let seen = verify(folder.path(), Some(&head));
    assert_eq!(seen.faults, []);
    assert!(seen.holds() && seen.complete && seen.head_known == Some(true));
    assert_eq!((seen.rows, seen.inputs, seen.events), (7, 1, 7));
    let evidence = read(folder.path()).unwrap();
    let mut memory = Memory::default();
    let inputs = match &evidence.events[0].what {
        What::RunStarted { inputs, .. } => inputs.clone(),
        other => panic!("{other:?}"),
    };
    run(&mut memory, inputs);
    assert_eq!(evidence, memory.evidence(), "memory and folder hold the same");
    assert_eq!(&head, memory.head());
}

/// The events of a folder, chained anew by somebody who knows how, from an event of theirs on.
fn forged(folder: &Path, from: usize, forge: impl Fn(&mut Event), whole: bool) -> Vec<Vec<u8>> {
    let events = read(folder).unwrap().events;
    let mut lines = lines(folder);
    let mut previous = Sha256::from(GENESIS);
    for (place, mut event) in events.into_iter().enumerate() {
        if place == from {
            forge(&mut event);
        }
        let (text, head) = line(&previous, &event).unwrap();
        if place >= from && (whole || place == from) {
            lines[place] = format!("{text}\n").into_bytes();
        }
        previous = head;
    }
    lines
}

#[test]
fn a_line_that_was_changed_with_a_hash_of_its_own_is_found_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let head = written(folder.path());
    let later = |event: &mut Event| event.at = At(event.at.0 + 1);
    let (one, all) = (forged(folder.path(), 3, later, false), forged(folder.path(), 3, later, true));
    put(folder.path(), &one);
    assert_eq!(first_bad(folder.path()), Some(5), "line 4 holds by itself, and nothing follows it");
    put(folder.path(), &all);
    assert_eq!(
        first_bad(folder.path()),
        None,
        "all of it was chained anew: nobody can tell from the folder alone"
    );
    assert_eq!(verify(folder.path(), Some(&head)).head_known, Some(false), "but the head can");
}

#[test]
fn a_chain_that_holds_with_wrong_numbers_is_found() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let original = lines(folder.path());
    put(folder.path(), &forged(folder.path(), 3, |event| event.seq = 9, true));
    assert_eq!(first_bad(folder.path()), Some(4));
    put(folder.path(), &original);
    assert_eq!(first_bad(folder.path()), None);
}

#[test]
fn rows_that_an_event_binds_at_another_place_are_found() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let moved = |event: &mut Event| {
        let What::Rows { from, .. } = &mut event.what else { panic!("{event:?}") };
        *from += 1;
    };
    put(folder.path(), &forged(folder.path(), 1, moved, true));
    let seen = verify(folder.path(), None);
    assert_eq!(seen.faults[0].file, "probes/checkout.outside.csv");
    assert_eq!(seen.faults[0].what, "row 0 should be bound next, and row 1 is");
}

#[test]
fn a_second_beginning_and_bytes_after_the_end_are_found() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let original = lines(folder.path());
    let first = read(folder.path()).unwrap().events[0].what.clone();
    put(folder.path(), &forged(folder.path(), 3, |event| event.what = first.clone(), true));
    assert_eq!(first_bad(folder.path()), Some(4));
    let end = original.len() as u64 + 1;
    put(folder.path(), &[original, vec![b"{\"seq\":7".to_vec()]].concat());
    assert_eq!(first_bad(folder.path()), Some(end), "torn, though the run's end is there");
}

#[test]
fn every_flipped_byte_is_found_in_its_line() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let whole = lines(folder.path());
    for (index, line) in whole.iter().enumerate() {
        // Every byte of a short line, a good many of the long first one; the line's end as well.
        let step = if line.len() > 600 { 7 } else { 1 };
        for at in (0..line.len()).step_by(step).chain([line.len() - 1]) {
            let mut changed = whole.clone();
            changed[index][at] ^= 1;
            put(folder.path(), &changed);
            assert_eq!(first_bad(folder.path()), Some(index as u64 + 1), "byte {at} of line {}", index + 1);
        }
    }
}

#[test]
fn every_deleted_line_is_found_and_a_missing_end_is_named() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let whole = lines(folder.path());
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed.remove(index);
        put(folder.path(), &changed);
        let seen = verify(folder.path(), None);
        assert_eq!(first_bad(folder.path()), Some(index as u64 + 1));
        if index + 1 == whole.len() {
            assert!(seen.faults[0].what.contains("the end is missing"), "{seen:?}");
        }
    }
}

#[test]
fn every_swap_and_every_inserted_line_is_found() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let whole = lines(folder.path());
    for a in 0..whole.len() {
        for b in a + 1..whole.len() {
            let mut changed = whole.clone();
            changed.swap(a, b);
            put(folder.path(), &changed);
            assert_eq!(first_bad(folder.path()), Some(a as u64 + 1), "swapped {a} and {b}");
        }
        for from in 0..whole.len() {
            for at in 0..=whole.len() {
                let mut changed = whole.clone();
                changed.insert(at, whole[from].clone());
                put(folder.path(), &changed);
                // A copy right before its original takes that one's place: the original is then the first bad record.
                let expected = if at == from { at + 2 } else { at + 1 };
                assert_eq!(first_bad(folder.path()), Some(expected as u64), "line {from} inserted at {at}");
            }
        }
    }
}

#[test]
fn every_changed_missing_or_added_row_and_input_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["probes/checkout.outside.csv", "ledger/orders.read-1.csv", "inputs/scenario.yaml"];
    written(folder.path());
    for file in files {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        let found = || verify(folder.path(), None).faults.iter().any(|fault| fault.file == file);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(found(), "byte {at} of {file}");
        }
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(found(), "{file} cut at {cut}");
        }
        fs::write(&path, [whole.as_slice(), b"1,1,true\n"].concat()).unwrap();
        assert!(found(), "a row added to {file}");
        fs::remove_file(&path).unwrap();
        assert!(found(), "{file} removed");
        fs::write(&path, &whole).unwrap();
    }
    for file in ["probes/other.west.csv", "ledger/x.txt", "inputs/a/b"] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "scheduled_ns,and so on, longer than any header of any file of rows that there is, by far, so it counts as rows, truly so\n1\n").unwrap();
        assert!(verify(folder.path(), None).faults.iter().any(|fault| fault.file == file), "{file} added");
        fs::remove_file(path).unwrap();
    }
    assert!(verify(folder.path(), None).holds());
}

#[test]
fn a_changed_row_is_named_by_the_lines_that_its_record_binds() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let path = folder.path().join("probes/checkout.outside.csv");
    let rows = fs::read_to_string(&path).unwrap();
    let second = rows.lines().nth(2).unwrap();
    fs::write(&path, rows.replacen(second, &second.replacen('1', "2", 1), 1)).unwrap();
    let fault = verify(folder.path(), None).faults.into_iter().next().unwrap();
    assert_eq!((fault.file.as_str(), fault.line), ("probes/checkout.outside.csv", Some(2)));
    assert!(fault.what.starts_with("one of the rows on lines 2 to 6 is not"), "{}", fault.what);
}

#[test]
fn what_was_cut_off_after_the_end_shows_only_against_the_head() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let mut writer = Writer::resume(folder.path()).unwrap();
    writer.append(At(20), What::HealStarted { by: "heal".into() }).unwrap();
    assert!(!verify(folder.path(), None).holds(), "a heal without its end");
    writer.append(At(21), What::HealEnded { by: "heal".into(), outstanding: vec![] }).unwrap();
    let head = writer.head().clone();
    assert!(verify(folder.path(), Some(&head)).holds());
    let mut cut = lines(folder.path());
    cut.truncate(cut.len() - 2);
    put(folder.path(), &cut);
    assert!(verify(folder.path(), None).holds() && verify(folder.path(), None).head_known.is_none());
    assert!(!verify(folder.path(), Some(&head)).holds());
}

#[test]
fn a_journal_cut_anywhere_is_read_up_to_there_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let whole = lines(folder.path());
    let first = whole[0].len();
    let bytes = whole.concat();
    for cut in first..bytes.len() {
        fs::write(folder.path().join(JOURNAL), &bytes[..cut]).unwrap();
        let kept = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        let torn = bytes[cut - 1] != b'\n';
        let evidence = read(folder.path()).unwrap();
        assert_eq!(evidence.events.len(), kept, "nothing before the cut is lost");
        assert_eq!(evidence.gaps.iter().any(|gap| gap.contains("torn")), torn);
        assert!(!verify(folder.path(), None).holds());
        let mut writer = Writer::resume(folder.path()).unwrap();
        writer.append(At(99), What::RunEnded { how: Ended::Interrupted }).unwrap();
        assert_eq!(first_bad(folder.path()), None, "the chain goes on after a cut at {cut}");
        assert_eq!(folder.path().join(TORN).exists(), torn);
        let _ = fs::remove_file(folder.path().join(TORN));
    }
}

#[test]
fn a_second_run_never_writes_over_a_first() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    assert!(Writer::create(folder.path()).is_err());
    for path in ["../x", "/x", "", "a/../../x"] {
        assert!(Writer::resume(folder.path()).unwrap().input(path, b"x").is_err(), "{path}");
    }
}

#[test]
fn events_of_unknown_kinds_are_kept_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path()).unwrap();
    writer.append(At(0), started(BTreeMap::new())).unwrap();
    writer.append(At(1), What::Unknown(json!({"fromTheFuture": {"x": 1}}))).unwrap();
    writer.append(At(2), What::RunEnded { how: Ended::Completed }).unwrap();
    let seen = verify(folder.path(), None);
    assert!(seen.holds());
    assert_eq!(seen.unknown, ["fromTheFuture"]);
    assert_eq!(
        read(folder.path()).unwrap().events[1].what,
        What::Unknown(json!({"fromTheFuture": {"x": 1}}))
    );
}

#[test]
fn a_link_or_an_endless_line_is_refused_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join(JOURNAL)).unwrap();
    assert!(!verify(folder.path(), None).holds());
    assert!(read(folder.path()).is_err());
}

#[test]
fn evidence_behind_a_link_is_refused_wherever_the_link_stands() {
    let linked = |name: &str| {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        written(folder.path());
        let (path, moved) = (folder.path().join(name), elsewhere.path().join("moved"));
        fs::rename(&path, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        let seen = verify(folder.path(), None);
        let faults: Vec<String> = seen.faults.into_iter().map(|fault| fault.file).collect();
        (faults, read(folder.path()).is_ok())
    };
    let faults = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>();
    let (rows, read_back, input) =
        ("probes/checkout.outside.csv", "ledger/orders.read-1.csv", "inputs/scenario.yaml");
    assert_eq!(linked("probes"), (faults(&[rows, "probes"]), false));
    assert_eq!(linked(rows), (faults(&[rows]), false));
    assert_eq!(linked("ledger"), (faults(&[read_back, "ledger"]), false));
    assert_eq!(linked("inputs"), (faults(&["inputs", input]), true), "no result is made from an input");
    assert_eq!(linked(input), (faults(&[input]), true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_never_panics_and_never_verifies(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let head = written(folder.path());
        let whole = fs::read(folder.path().join(JOURNAL)).unwrap();
        let mut bytes = whole.clone();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        fs::write(folder.path().join(JOURNAL), &bytes).unwrap();
        let _ = read(folder.path());
        prop_assert_eq!(verify(folder.path(), Some(&head)).holds(), bytes == whole);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(JOURNAL), &bytes).unwrap();
        prop_assert!(!verify(folder.path(), None).holds());
        let _ = read(folder.path());
    }
}
