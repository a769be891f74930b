//! What the system can send to a run: an interruption, and the end of the space that a file may take.
//!
//! The handlers are up before a run makes anything, so that from its first file on nothing ends it unhealed. Ctrl-C, SIGTERM and SIGHUP
//! mean the same: abort, heal, 130. Only another Ctrl-C ends the process at once, since a terminal that closes sends SIGHUP more than
//! once: what it leaves is told from the journal, which has all of it, with how to go on, and 14. A SIGHUP that whoever started the run
//! ignores (`nohup`) stays ignored. A file at its limit (SIGXFSZ) would kill the process; where the signal is handled, the write fails
//! instead, and the engine aborts and heals (I6).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use futures::future::{select, select_all};
use tokio::signal::unix::{SignalKind, signal};

use super::{exit, say};
use crate::journal;
use crate::model::event::{Event, What};
use crate::undo::outstanding;
use crate::world::watch;

/// SIGXFSZ, for which tokio has no name.
const FILE_TOO_LONG: i32 = 25;

/// What this process runs or heals: its evidence folder, and the Environment of its clusters.
static RUN: OnceLock<(PathBuf, Option<PathBuf>)> = OnceLock::new();

/// From here on, something may be left by whoever ends the process at once.
pub fn may_leave(folder: &Path, environment: Option<&Path>) {
    // A process runs or heals once.
    let _ = RUN.set((folder.to_owned(), environment.map(Path::to_owned)));
}

/// Turns true at an interruption. The signals have a thread and an event queue of their own: the runtime of virtual time would ask the
/// operating system for events at each step of its clock.
///
/// # Errors
/// Where the system takes no handler.
pub fn interruptions() -> io::Result<watch::Receiver<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut ctrl_c = signal(SignalKind::interrupt())?;
    let mut others = vec![signal(SignalKind::terminate())?];
    if !ignored(SignalKind::hangup()) {
        others.push(signal(SignalKind::hangup())?);
    }
    // The handler outlives what listens to it.
    drop(signal(SignalKind::from_raw(FILE_TOO_LONG))?);
    drop(entered);
    let (sender, receiver) = watch::channel(false);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let others = select_all(others.iter_mut().map(|other| Box::pin(other.recv())));
            select(Box::pin(ctrl_c.recv()), others).await;
            say(
                "interrupted: what the drill broke is put back before it ends; another Ctrl-C would leave it",
            );
            sender.send(true);
            ctrl_c.recv().await;
            let (code, said) = RUN.get().map_or_else(
                || (exit::INTERRUPTED, "stopped before anything was done".to_owned()),
                |(folder, environment)| left_behind(folder, environment.as_deref()),
            );
            say(&said);
            std::process::exit(i32::from(code));
        });
    });
    Ok(receiver)
}

/// What a process leaves that ends now, as its journal has it, and the exit code.
fn left_behind(folder: &Path, environment: Option<&Path>) -> (u8, String) {
    let environment = environment.map(|file| format!(" --env {}", file.display())).unwrap_or_default();
    let go_on = format!("go on with `drillmaster heal {}{environment}`", folder.display());
    let evidence = match journal::read(folder) {
        Ok(evidence) => evidence,
        Err(error) => {
            return (exit::NOT_HEALED, format!("stopped, and nobody knows what is left: {error}\n{go_on}"));
        }
    };
    match evidence.header() {
        None => (exit::INTERRUPTED, "stopped before anything was done".to_owned()),
        Some(header) if header.rehearsal => {
            (exit::INTERRUPTED, "stopped: the simulated regions end with their process".to_owned())
        }
        Some(_) => {
            let open = outstanding(&evidence.events);
            if open.is_empty() && is_healed(&evidence.events) {
                return (exit::INTERRUPTED, "stopped once all was put back".to_owned());
            }
            let mut lines = vec!["stopped before all was put back".to_owned()];
            lines.extend(open.iter().map(|open| format!("left: step {}: {}", open.step, open.effect.act)));
            lines.push("left: what the run wrote, where it is not removed yet".to_owned());
            lines.push(go_on);
            (exit::NOT_HEALED, lines.join("\n"))
        }
    }
}

/// Whether the last healing left nothing, nor what the run wrote: that goes before a dead run's healing ends, and before a live run ends.
fn is_healed(events: &[Event]) -> bool {
    let ended = events.iter().any(|event| matches!(event.what, What::RunEnded { .. }));
    let last = events.iter().rev().find_map(|event| match &event.what {
        What::HealEnded { by, outstanding } => {
            Some(outstanding.is_empty() && (ended || by.as_str() == "heal"))
        }
        _ => None,
    });
    last == Some(true)
}

/// Whether whoever started the process has it ignore a signal; not, where the system does not say.
fn ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}
