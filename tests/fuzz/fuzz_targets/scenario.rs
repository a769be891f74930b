//! Any bytes as a drill's file: read, checked and rendered without a panic.
#![no_main]

use std::sync::Arc;

use drillmaster::document::{Look, Source, read, render};
use drillmaster::scenario::{Drill, Scenario, checks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = Source::from_bytes("drill.yaml", bytes) else { return };
    let source = Arc::new(source);
    let found = match read::<Drill>(&source) {
        Ok(drills) => drills
            .into_iter()
            .flat_map(|drill| {
                checks::all(&Scenario { drill, catalogue: None, procedures: Vec::new(), surroundings: None })
            })
            .collect(),
        Err(found) => found,
    };
    render(&found, [&*source], Look::Plain);
});
