//! The table of all behaviours, as people read it: `README.md`, written from the suite's own lists, and compared with them.
//!
//! A row holds on a cluster because a test of its name passes there: tests/run runs every one of them on all three.

use std::fmt::Write as _;
use std::path::Path;

use crate::GROUPS;

fn sentence(name: &str) -> String {
    let mut text = name.replace('_', " ");
    text[..1].make_ascii_uppercase();
    text
}

fn table() -> String {
    let count: usize = GROUPS.iter().map(|(_, sentences)| sentences.len()).sum();
    let mut text = format!(
        "# What drills touch of Kubernetes\n\n\
         {count} behaviours, each one test body that runs on three clusters: the sandbox in virtual time, the same sandbox served over TLS in \
         real time, and a real region of the current Kubernetes. One that differs is a defect of the sandbox.\n\n\
         Written by `UPDATE_SAMPLES=1 cargo test --test conformance table`.\n"
    );
    for (group, sentences) in GROUPS {
        let _ = write!(
            text,
            "\n## {}\n\n| | sandbox | served | real region |\n|---|---|---|---|\n",
            sentence(group)
        );
        for name in *sentences {
            let _ = writeln!(text, "| {} | holds | holds | holds |", sentence(name));
        }
    }
    text
}

#[test]
fn the_table_of_behaviours_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/README.md");
    let made = table();
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "tests/conformance/README.md: run with UPDATE_SAMPLES=1");
}
