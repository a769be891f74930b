//! The layout's rules, held: who may import whom, what pure rooms may not touch, what each file must have.
//!
//! The rules are functions from a tree of sources to complaints, so that a test can plant each kind of defect and see it named.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use source::Source;

/// Each room, the rooms that it may import, and whether it is pure. Left to right, as in the design.
const ROOMS: &[(&str, &[&str], Kind)] = &[
    ("model", &[], Kind::Pure),
    ("kinds", &[], Kind::Pure),
    ("document", &["model"], Kind::Pure),
    ("catalogue", &["model", "document"], Kind::Pure),
    ("fault", &["model", "kinds", "document"], Kind::Pure),
    ("recovery", &["model", "kinds", "document"], Kind::Pure),
    ("probe", &["model", "kinds", "document"], Kind::Pure),
    ("scenario", &["model", "kinds", "document", "catalogue", "fault", "recovery", "probe"], Kind::Pure),
    (
        "plan",
        &["model", "kinds", "document", "catalogue", "fault", "recovery", "probe", "scenario"],
        Kind::Pure,
    ),
    ("guard", &["model", "catalogue", "plan"], Kind::Pure),
    ("undo", &["model"], Kind::Pure),
    ("world", &["model"], Kind::Ports),
    ("inventory", &["model", "world"], Kind::Acting),
    ("http", &["model", "world"], Kind::Acting),
    ("ledger", &["model", "world", "http", "prober"], Kind::Serving),
    ("prober", &["model", "probe", "world", "http"], Kind::Acting),
    ("cluster", &["model", "document", "world", "http"], Kind::Connecting),
    ("sandbox", &["model", "document", "world", "ledger"], Kind::Acting),
    ("serve", &["model", "document", "world", "sandbox"], Kind::Serving),
    (
        "engine",
        &[
            "model",
            "kinds",
            "fault",
            "recovery",
            "probe",
            "plan",
            "guard",
            "undo",
            "world",
            "inventory",
            "http",
            "prober",
            "ledger",
        ],
        Kind::Acting,
    ),
    ("journal", &["model"], Kind::Files),
    ("measure", &["model"], Kind::Pure),
    ("verdict", &["model", "measure"], Kind::Pure),
    ("report", &["model", "kinds", "measure", "verdict"], Kind::Pure),
    ("runbook", &["model", "measure", "verdict", "report"], Kind::Pure),
    ("cli", &["*"], Kind::Terminal),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Values to values: no clock, file, network, environment or random number.
    Pure,
    /// Types and traits only.
    Ports,
    /// Acts through the world; its clock is the world's, its waiting is tokio's.
    Acting,
    /// Also opens sockets and files when it is served.
    Serving,
    /// Also keeps threads, for what waits without giving way.
    Connecting,
    /// Reads and writes files.
    Files,
    /// Prints.
    Terminal,
}

impl Kind {
    fn forbidden(self) -> impl Iterator<Item = &'static str> {
        const CLOCK: &[&str] = &["SystemTime", "std::time::Instant", "Utc::now", "Local::now"];
        const PROCESS: &[&str] = &["std::env", "std::collections::HashMap"];
        const THREADS: &[&str] = &["std::thread"];
        const FILES: &[&str] = &["std::fs", "tokio::fs"];
        const SOCKETS: &[&str] =
            &["std::net::TcpStream", "std::net::TcpListener", "std::net::UdpSocket", "tokio::net"];
        // It wakes in no order that a seed decides: there is `world::watch`.
        const ORDER: &[&str] = &["tokio::sync::watch"];
        const RUNTIME: &[&str] = &["tokio", "fastrand", "std::process"];
        const ACTS: &[&[&str]] = &[CLOCK, PROCESS, THREADS, FILES, SOCKETS, ORDER, &["spawn_blocking"]];
        let all: &[&[&str]] = match self {
            Kind::Pure => &[CLOCK, PROCESS, THREADS, FILES, SOCKETS, RUNTIME],
            Kind::Ports | Kind::Acting => ACTS,
            Kind::Serving => &[PROCESS, THREADS, ORDER, &["spawn_blocking"]],
            Kind::Connecting => &[PROCESS, ORDER, &["spawn_blocking"]],
            Kind::Files => &[CLOCK, PROCESS, THREADS, SOCKETS, &["tokio"]],
            Kind::Terminal => &[],
        };
        all.iter().copied().flatten().copied()
    }
}

/// Sources by their path below `src/`.
type Sources = BTreeMap<String, Arc<Source>>;

static SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    fn walk(folder: &Path, found: &mut Sources) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                let source = Source::read(&file, &fs::read_to_string(&path).unwrap());
                found.insert(file, Arc::new(source));
            }
        }
    }
    let mut found = Sources::new();
    walk(&root(), &mut found);
    found
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The sources with one file more, or with another text of it.
fn with(file: &str, text: &str) -> Sources {
    let mut sources = SOURCES.clone();
    sources.insert(file.to_owned(), Arc::new(Source::read(file, text)));
    sources
}

/// The sources with something added at the end of a file.
fn with_more(file: &str, more: &str) -> Sources {
    with(file, &(fs::read_to_string(root().join(file)).unwrap() + more))
}

const FORBIDDEN_EVERYWHERE: [&[&str]; 5] = [
    &["#", "[", "allow", "("],
    &["#", "!", "[", "allow", "("],
    &["todo", "!"],
    &["unimplemented", "!"],
    &["dbg", "!"],
];

fn complaints(sources: &Sources) -> Vec<String> {
    // Tests may look from right to left; which files are tests say those that declare them.
    let for_tests: Vec<&Vec<String>> = sources.values().flat_map(|source| &source.for_tests).collect();
    let mut found = Vec::new();
    for (file, source) in sources {
        if !source.opens_with_its_doc {
            found.push(format!("{file}: opens with no module doc"));
        }
        if source.lines > 600 {
            found.push(format!("{file}: has more than 600 lines"));
        }
        for words in FORBIDDEN_EVERYWHERE {
            if source.all_tokens.windows(words.len()).any(|window| window == words) {
                found.push(format!("{file}: has `{}`", words.concat()));
            }
        }
        if !for_tests.iter().any(|tests| source.module.starts_with(tests)) {
            found.extend(complaints_of_product(file, source));
        }
    }
    found.extend(kinds_without_a_line(sources));
    found.extend(what_truth_may_not_see(sources));
    found
}

fn complaints_of_product(file: &str, source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let Some((room, _)) = file.split_once('/') else { return found };
    let Some((_, allowed, kind)) = ROOMS.iter().find(|(name, ..)| *name == room) else {
        return vec![format!("{file}: lies in a room that the design does not know")];
    };
    for (import, ..) in ROOMS {
        let named = source.names_any_of(&format!("crate::{import}"));
        if named && *import != room && !allowed.contains(import) && !allowed.contains(&"*") {
            found.push(format!("{file}: imports `{import}`, which stands right of it"));
        }
    }
    for word in kind.forbidden() {
        if source.names_any_of(word) {
            found.push(format!("{file}: uses `{word}`, which its room may not"));
        }
    }
    if room != "sandbox" && room != "cli" && source.says(&["if", "sandbox"]) {
        found.push(format!("{file}: asks whether it is in the sandbox"));
    }
    if room != "cli"
        && ["println", "eprintln", "print", "eprint"].iter().any(|word| source.says(&[word, "!"]))
    {
        found.push(format!("{file}: prints"));
    }
    if room != "sandbox" && source.names_any_of("crate::sandbox::truth") {
        found.push(format!("{file}: sees the simulated truth"));
    }
    found
}

/// A file in a room of kinds that no line of its `kinds!` names is a kind that nobody can use.
fn kinds_without_a_line(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for room in ["fault", "recovery", "probe"] {
        let Some(head) = sources.get(&format!("{room}/mod.rs")) else { continue };
        for (path, source) in sources {
            let file = path.strip_prefix(&format!("{room}/")).and_then(|name| name.strip_suffix(".rs"));
            let Some(file) = file.filter(|file| *file != "mod" && source.says(&["const", "EXAMPLE"])) else {
                continue;
            };
            let is_its_line = |window: &[String]| {
                window[0] == file && window[1] == "::" && window[3] == "as" && window[4] == "\"\""
            };
            if !head.tokens.windows(5).any(is_its_line) {
                found.push(format!("{path}: is a kind without its line in {room}/mod.rs"));
            }
        }
    }
    found
}

/// What measures is held against the truth, so the truth stands on nothing of it.
const NOT_IN_THE_TRUTH: [&str; 3] = ["crate::prober", "crate::measure", "crate::model::event"];

/// Follows the imports of the truth, from file to file, to what it may not see. The ports and the sandbox's document end a way: types
/// of what others do, people's decisions among them, and nothing that measures.
fn what_truth_may_not_see(sources: &Sources) -> Vec<String> {
    const TRUTH: &str = "sandbox/truth.rs";
    let files: Files =
        sources.iter().map(|(file, source)| (source.module.as_slice(), (file, &**source))).collect();
    let mut ways = vec![vec![TRUTH]];
    let (mut seen, mut found) = (BTreeSet::from([TRUTH, "world/mod.rs", "sandbox/spec.rs"]), Vec::new());
    while let Some(way) = ways.pop() {
        let Some(source) = way.last().and_then(|file| sources.get(*file)) else { continue };
        for file in source.paths.iter().filter_map(|path| holder(&files, &source.module, path, 0)) {
            if !seen.insert(file) {
                continue;
            }
            let longer = [way.as_slice(), &[file]].concat();
            if NOT_IN_THE_TRUTH.iter().any(|room| is_in(&sources[file], room)) {
                found.push(format!("{}: the truth stands on what measures", longer.join(" uses ")));
            }
            ways.push(longer);
        }
    }
    found
}

fn is_in(source: &Source, room: &str) -> bool {
    source.module.iter().map(String::as_str).take(room.split("::").count()).eq(room.split("::"))
}

/// The files by their modules.
type Files<'a> = BTreeMap<&'a [String], (&'a String, &'a Source)>;

/// The file that holds what a path names, through re-exports; `None` for what is not ours, or stands in the same file.
fn holder<'a>(files: &Files<'a>, from: &[String], named: &[String], depth: usize) -> Option<&'a str> {
    let named = if named[0] == "crate" { named.to_vec() } else { [from, named].concat() };
    let held = |length: usize| Some((length, files.get(&named[..length])?));
    let (length, (file, source)) = (2..=named.len()).rev().find_map(held)?;
    let exported = named.get(length).and_then(|name| source.names.get(name)).filter(|_| depth < 8);
    match exported {
        Some(target) => holder(files, &source.module, &[target, &named[length + 1..]].concat(), depth + 1),
        None if source.module == from => None,
        None => Some(file),
    }
}

#[test]
fn the_sources_keep_the_design() {
    let found = complaints(&SOURCES);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_room_is_reached_by_two_ways_round() {
    for (place, (room, allowed, _)) in ROOMS.iter().enumerate() {
        for import in allowed.iter().filter(|import| **import != "*") {
            let of = ROOMS.iter().position(|(name, ..)| name == import).unwrap();
            // The ledger's client speaks the prober's observations; neither imports back.
            let pair = (*room, *import) == ("ledger", "prober");
            assert!(of < place || pair, "{room} imports {import}");
        }
    }
}

#[test]
fn each_kind_of_defect_is_named_with_its_file() {
    let named = |path: &str, text: &str, what: &str| {
        let found = complaints(&with(path, text));
        assert!(
            found.iter().any(|line| line.starts_with(path) && line.contains(what)),
            "{path} {what}: {found:?}"
        );
    };
    named("measure/planted.rs", "//! x\nuse crate::engine::Head;\n", "imports `engine`");
    named("measure/planted.rs", "//! x\nuse crate::{model::{time::At}, engine::Head};\n", "imports `engine`");
    named("measure/planted.rs", "//! x\nuse super::super::engine::Head;\n", "imports `engine`");
    named("measure/planted.rs", "//! x\nuse drillmaster::engine::Head;\n", "imports `engine`");
    named("measure/planted.rs", "//! x\nfn f(_: self::super::super::engine::Head) {}\n", "imports `engine`");
    named(
        "measure/planted.rs",
        "//! x\nmod y { use super::super::super::engine::Head; }\n",
        "imports `engine`",
    );
    named("measure/planted.rs", "//! x\nuse crate::*;\n", "imports `engine`");
    named("model/planted.rs", "//! x\nuse crate::{plan, kinds};\n", "imports `plan`");
    named("verdict/planted.rs", "//! x\nfn f() { std::time::SystemTime::now(); }\n", "`SystemTime`");
    named("engine/planted.rs", "//! x\nfn f() { std::time::Instant::now(); }\n", "`std::time::Instant`");
    let clock = "//! x\nuse std::time::{Duration, Instant};\nfn f() { Instant::now(); }\n";
    named("engine/planted.rs", clock, "`std::time::Instant`");
    named(
        "engine/planted.rs",
        "//! x\nuse std::time as t;\nfn f() { t::Instant::now(); }\n",
        "`std::time::Instant`",
    );
    named("engine/planted.rs", "//! x\nuse std::time::*;\n", "`std::time::Instant`");
    named("engine/planted.rs", "//! x\nfn f() { chrono::Local::now(); }\n", "`Local::now`");
    named("sandbox/planted.rs", "//! x\nuse tokio::sync::{mpsc, watch};\n", "`tokio::sync::watch`");
    named("verdict/planted.rs", "//! x\nuse std::{env, fs};\n", "`std::env`");
    named("verdict/planted.rs", "//! x\nuse std::{env, fs};\n", "`std::fs`");
    let after = "//! x\n#[cfg(test)]\nmod tests;\nuse crate::engine::Head;\n";
    named("verdict/planted.rs", after, "imports `engine`");
    named("verdict/tests.rs", "//! x\nuse crate::engine::Head;\n", "imports `engine`");
    named("fault/planted.rs", "//! x\npub const EXAMPLE: &str = \"\";\n", "without its line");
    // The line of `pod_kill` is not its line.
    named("fault/kill.rs", "//! x\npub const EXAMPLE: &str = \"\";\n", "without its line");
    named("plan/planted.rs", "fn f() {}\n", "no module doc");
    named("plan/long.rs", &format!("//! x\n{}", "\n".repeat(601)), "more than 600 lines");
    named("util/planted.rs", "//! x\n", "does not know");
    named("report/planted.rs", "//! x\nuse crate::sandbox::truth::Truth;\n", "truth");
    named("engine/printing.rs", "//! x\nfn f() { println!(\"\"); }\n", "prints");
    named("model/planted.rs", "//! x\n#![allow(dead_code)]\n", "allow");
}

#[test]
fn a_defect_behind_the_tests_of_a_file_is_named() {
    for file in ["sandbox/store.rs", "sandbox/control/mod.rs", "sandbox/api/mod.rs"] {
        let found = complaints(&with_more(file, "\nfn f() { let _ = std::fs::read(\"x\"); }\n"));
        let named = found.iter().any(|line| line.starts_with(file) && line.contains("`std::fs`"));
        assert!(named, "{file}: {found:?}");
    }
}

#[test]
fn comments_and_texts_are_no_code() {
    let kill = "//! x\npub const EXAMPLE: &str = \"\";\n";
    let mut sources = with_more("fault/mod.rs", "\n// kill::Kill as \"kill\",\n");
    sources.insert("fault/kill.rs".to_owned(), Arc::new(Source::read("fault/kill.rs", kill)));
    assert!(complaints(&sources).iter().any(|line| line.contains("without its line")));
    let harmless = r###"//! x
/* use crate::engine::Head; /* std::fs */ use crate::engine::Head; */
const X: &str = r#"use crate::engine::Head; "std::fs""#;
const Y: (char, &str) = ('"', "\"use crate::engine::Head;");
"###;
    assert_eq!(complaints(&with("verdict/planted.rs", harmless)), Vec::<String>::new());
}

#[test]
fn a_truth_that_stands_on_what_measures_is_named_with_its_way() {
    let measures = "use super::super::super::measure::measure;";
    for (file, import, way) in [
        ("sandbox/truth.rs", "use crate::model::event::Outcome;", "sandbox/truth.rs uses model/event.rs"),
        ("ledger/node.rs", "use crate::prober::open_loop;", "ledger/node.rs uses prober/open_loop.rs"),
        ("sandbox/net/network.rs", measures, "sandbox/net/network.rs uses measure/mod.rs"),
    ] {
        let found = complaints(&with_more(file, &format!("\n{import}\n")));
        let named = found.iter().any(|line| line.contains(way) && line.contains("the truth stands on"));
        assert!(named, "{file}: {found:?}");
    }
}
