//! A document is as trusted as its folder: the files that it names lie in it.

use crate::document::{Diagnostic, Path};
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let drill = &scenario.drill;
    let Some(runbook) = drill.spec.runbook.as_ref().filter(|path| !stays_inside(path)) else {
        return Vec::new();
    };
    vec![
        drill
            .text
            .error(&Path::spec().then("runbook"), format!("`{runbook}` {NO_PLACE_BELOW}"))
            .help("name a file below the drill's folder, as `runbooks/failover.md`"),
    ]
}

/// What is wrong with a path that does not.
pub const NO_PLACE_BELOW: &str =
    "leads out of the folder, or is not written plainly: without `.`, `..` and empty parts, as `folder/file`";

/// Whether a path names something below the folder that it starts from, on every system.
pub fn stays_inside(path: &str) -> bool {
    let parts = path.split('/');
    !path.is_empty()
        && !path.contains(['\\', '\0', ':'])
        && parts.into_iter().all(|part| !matches!(part, "" | "." | ".."))
}
