//! The layout's rules, held: who may import whom, what pure rooms may not touch, what each file must have.
//!
//! The rules are functions from a tree of sources to complaints, so that a test can plant each kind of defect and see it named.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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
    ("sandbox", &["model", "document", "world", "ledger"], Kind::Acting),
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
    /// Reads and writes files.
    Files,
    /// Prints.
    Terminal,
}

impl Kind {
    fn forbidden(self) -> &'static [&'static str] {
        const CLOCKS: [&str; 3] = ["SystemTime", "std::time::Instant", "Utc::now"];
        const PURE: &[&str] = &[
            "SystemTime",
            "std::time::Instant",
            "Utc::now",
            "std::fs",
            "std::net::Tcp",
            "std::env",
            "tokio::net",
            "tokio::fs",
            "tokio::time",
            "fastrand",
            "HashMap",
            "thread::",
            "process::",
        ];
        const ACTING: &[&str] = &[
            "SystemTime",
            "std::time::Instant",
            "Utc::now",
            "std::fs",
            "tokio::fs",
            "tokio::net",
            "std::env",
            "HashMap",
            "thread::",
            "spawn_blocking",
        ];
        const SERVING: &[&str] = &["std::env", "HashMap", "thread::", "spawn_blocking"];
        const FILES: &[&str] = &[
            "SystemTime",
            "std::time::Instant",
            "Utc::now",
            "tokio::",
            "std::env",
            "HashMap",
            "std::net::Tcp",
        ];
        debug_assert!(CLOCKS.iter().all(|clock| PURE.contains(clock)));
        match self {
            Kind::Pure => PURE,
            Kind::Ports | Kind::Acting => ACTING,
            Kind::Serving => SERVING,
            Kind::Files => FILES,
            Kind::Terminal => &[],
        }
    }
}

/// Sources by their path below `src/`.
type Tree = BTreeMap<String, String>;

fn tree() -> Tree {
    fn walk(folder: &Path, root: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, tree);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                tree.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut tree = Tree::new();
    walk(&root, &root, &mut tree);
    tree
}

fn room(path: &str) -> Option<&str> {
    path.split_once('/').map(|(room, _)| room)
}

/// Tests may look from right to left.
fn is_a_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The code of a file without its tests (which stand last) and without comments.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code = code(text);
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let names = group.split('}').next().unwrap_or_default();
            found.extend(
                names.split(',').filter_map(|name| name.trim().split("::").next()).map(str::to_owned),
            );
        } else {
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

fn complaints(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree {
        if !text.starts_with("//!") {
            found.push(format!("{path}: opens with no module doc"));
        }
        if text.lines().count() > 600 {
            found.push(format!("{path}: has more than 600 lines"));
        }
        for word in ["#[allow(", "todo!(", "unimplemented!(", "dbg!("] {
            if code(text).contains(word) {
                found.push(format!("{path}: has `{word}`"));
            }
        }
        let Some(room) = room(path) else { continue };
        if is_a_test(path) {
            continue;
        }
        let Some((_, allowed, kind)) = ROOMS.iter().find(|(name, ..)| *name == room) else {
            found.push(format!("{path}: lies in a room that the design does not know"));
            continue;
        };
        for import in imports(text) {
            let is_room = ROOMS.iter().any(|(name, ..)| *name == import);
            if is_room && import != room && !allowed.contains(&import.as_str()) && !allowed.contains(&"*") {
                found.push(format!("{path}: imports `{import}`, which stands right of it"));
            }
        }
        for word in kind.forbidden() {
            if code(text).contains(word) {
                found.push(format!("{path}: uses `{word}`, which its room may not"));
            }
        }
        if room != "sandbox" && room != "cli" && code(text).contains("if sandbox") {
            found.push(format!("{path}: asks whether it is in the sandbox"));
        }
        if room != "cli"
            && ["println!(", "eprintln!(", "print!("].iter().any(|word| code(text).contains(word))
        {
            found.push(format!("{path}: prints"));
        }
        let truthful = code(text).contains("truth::") && room != "sandbox";
        if truthful {
            found.push(format!("{path}: sees the simulated truth"));
        }
    }
    found.extend(kinds_without_a_line(tree));
    found
}

/// A file in a room of kinds that no line of its `kinds!` names is a kind that nobody can use.
fn kinds_without_a_line(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for room in ["fault", "recovery", "probe"] {
        let Some(head) = tree.get(&format!("{room}/mod.rs")) else { continue };
        for (path, text) in tree {
            let Some(file) = path.strip_prefix(&format!("{room}/")).and_then(|name| name.strip_suffix(".rs"))
            else {
                continue;
            };
            if file == "mod" || !text.contains("const EXAMPLE") {
                continue;
            }
            if !head.contains(&format!("{file}::")) {
                found.push(format!("{path}: is a kind without its line in {room}/mod.rs"));
            }
        }
    }
    found
}

#[test]
fn the_sources_keep_the_design() {
    let found = complaints(&tree());
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
    let plant = |path: &str, text: &str| {
        let mut tree = tree();
        tree.insert(path.to_owned(), text.to_owned());
        complaints(&tree)
    };
    let named = |path: &str, text: &str, what: &str| {
        let found = plant(path, text);
        assert!(
            found.iter().any(|line| line.starts_with(path) && line.contains(what)),
            "{path} {what}: {found:?}"
        );
    };
    named("measure/planted.rs", "//! x\nuse crate::engine::Head;\n", "imports `engine`");
    named("model/planted.rs", "//! x\nuse crate::{plan, kinds};\n", "imports `plan`");
    named("verdict/planted.rs", "//! x\nfn f() { std::time::SystemTime::now(); }\n", "`SystemTime`");
    named("engine/planted.rs", "//! x\nfn f() { std::time::Instant::now(); }\n", "`std::time::Instant`");
    named("fault/planted.rs", "//! x\npub const EXAMPLE: &str = \"\";\n", "without its line");
    named("plan/planted.rs", "fn f() {}\n", "no module doc");
    named("plan/long.rs", &format!("//! x\n{}", "\n".repeat(601)), "more than 600 lines");
    named("util/planted.rs", "//! x\n", "does not know");
    named("report/planted.rs", "//! x\nuse crate::sandbox::truth::Truth;\n", "truth");
    named("engine/printing.rs", "//! x\nfn f() { println!(\"\"); }\n", "prints");
}
