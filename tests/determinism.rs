//! Same documents and same seed, same bytes (I10): each file of the evidence folder, whatever else the machine does.
//!
//! Through the binary for the drill that opens the README, and in this process for three others, two of each at once.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use drillmaster::cli::inputs::load;
use drillmaster::cli::rehearsal::{Rehearsal, runtime};
use drillmaster::cli::report::write_all;
use drillmaster::journal::{self, Writer};
use drillmaster::world::watch;

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

/// Every file under a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Names the first file that two folders do not have alike.
fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    assert!(one.len() > 8, "only {:?}", one.keys());
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{} differs", name.display());
    }
}

fn assert_rows_differ(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let rows = |name: &&PathBuf| name.extension().is_some_and(|extension| extension == "csv");
    let differing = one.keys().filter(rows).filter(|name| other.get(*name) != one.get(*name)).count();
    assert!(differing > 0, "another seed gave the same rows");
    assert_ne!(one[Path::new("journal.jsonl")], other[Path::new("journal.jsonl")]);
}

fn start(drill: &str, seed: &str, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drillmaster"));
    command.arg("run").arg(scenario(drill)).args(["--quiet", "--seed", seed, "--evidence"]).arg(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_binary_gives_the_same_folder_twice_and_another_for_another_seed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let runs = [("7", at("one")), ("7", at("two")), ("8", at("other"))];
    let started = runs.map(|(seed, folder)| start("checkout-region-failover.yaml", seed, &folder));
    for mut run in started {
        assert!(run.wait().unwrap().success());
    }
    assert_same(&at("one"), &at("two"));
    assert_rows_differ(&at("one"), &at("other"));
}

/// What `run` does, in this process.
fn rehearse(drill: &str, seed: u64, folder: &Path) {
    let inputs = load(&scenario(drill), &[]).unwrap_or_else(|found| panic!("{found:?}"));
    let mut writer = Writer::create(folder).unwrap();
    for (path, bytes) in &inputs.files {
        writer.input(path, bytes).unwrap();
    }
    runtime().unwrap().block_on(async {
        let rehearsal = Rehearsal::prepare(&inputs, seed, 0).await.unwrap();
        let (_sender, interrupted) = watch::channel(false);
        rehearsal.run(Arc::new(Mutex::new(writer)), Box::new(|_, _| {}), interrupted).await;
    });
    let runbook = inputs.runbook.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    write_all(folder, &journal::read(folder).unwrap(), runbook).unwrap();
}

#[test]
fn three_other_drills_give_the_same_folder_twice_at_once() {
    for drill in ["dns-failover-long-ttl.yaml", "node-drain.yaml", "bad-configuration.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        thread::scope(|scope| {
            for (seed, name) in [(7, "one"), (7, "two")] {
                let folder = at(name);
                scope.spawn(move || rehearse(drill, seed, &folder));
            }
        });
        assert_same(&at("one"), &at("two"));
        rehearse(drill, 8, &at("other"));
        assert_ne!(files(&at("one")), files(&at("other")), "{drill}: another seed gave the same folder");
    }
}
