//! What the system can send to a run: an interruption, and the end of the space that a file may take.
//!
//! The handlers are up before a run makes anything, so that from its first file on nothing ends it unhealed. Ctrl-C, SIGTERM and SIGHUP
//! mean the same: abort, heal, 130. Only another Ctrl-C ends the process at once, since a terminal that closes sends SIGHUP more than
//! once. A SIGHUP that whoever started the run ignores (`nohup`) stays ignored. A file at its limit (SIGXFSZ) would kill the process;
//! where the signal is handled, the write fails instead, and the engine aborts and heals (I6).

use std::io;

use futures::future::{select, select_all};
use tokio::signal::unix::{SignalKind, signal};

use super::{exit, say};
use crate::world::watch;

/// SIGXFSZ, for which tokio has no name.
const FILE_TOO_LONG: i32 = 25;

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
            std::process::exit(i32::from(exit::INTERRUPTED));
        });
    });
    Ok(receiver)
}

/// Whether whoever started the process has it ignore a signal; not, where the system does not say.
fn ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}
