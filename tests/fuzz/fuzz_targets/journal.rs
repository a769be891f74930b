//! Any bytes as a journal: neither its reader nor its verifier may panic, and what verifies must be readable.
#![no_main]

use drillmaster::journal::{JOURNAL, read, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    if std::fs::write(folder.path().join(JOURNAL), bytes).is_err() {
        return;
    }
    let holds = verify(folder.path(), None).holds();
    assert!(read(folder.path()).is_ok() || !holds);
});
