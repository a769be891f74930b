//! What people and recoveries do to a node: `drillmaster ledger status`, `promote`, … Each prints one JSON object.

use serde_json::{Value, json};

use super::service::{NotDone, Service};
use super::wire::{digest, payload};
use super::{Change, Record, Refused, Role};
use crate::model::time::Duration;

/// How long a primary waits for its replica before it steps down: less than whoever runs the command waits for its end (30 s), so that the
/// reason arrives.
const DEMOTE_WITHIN: Duration = Duration::from_secs(20);
/// The run of the writes that only try.
const TRY: &str = "drillmaster-try";

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// One JSON object.
    pub stdout: String,
    /// 0, or 1 where it was not done, or 2 where there is no such command.
    pub code: i32,
}

/// Runs a command on a node; `drillmaster ledger` at the front is taken as said.
///
/// - `status`: the node as it is.
/// - `promote`: becomes primary of the next epoch; lifts a fence.
/// - `demote`: takes no more writes, waits until the replica has all, then follows it.
/// - `fence`: refuses writes, also after a restart, until it is promoted.
/// - `resync`: follows the peer from the common prefix; what only this side has is kept aside.
/// - `try`: attempts a write; whatever it wrote is removed again.
/// - `corrupt [N]`: damages the newest N records (1), on the replica too; `restore` takes that back.
/// - `snapshot-restore`: puts the newest intact copy back; what came after is lost.
pub async fn control(service: &Service, argv: &[String]) -> Ran {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let words = words.strip_prefix(&["drillmaster", "ledger"]).unwrap_or(&words);
    let done = match words {
        ["status"] => Ok(()),
        ["promote"] => service.act(|node| Ok((node.promote().into_iter().collect(), ()))),
        ["demote"] => return demote(service).await,
        ["fence"] => service.act(|_| Ok((vec![Change::Fence], ()))),
        ["resync"] => service.act(|node| Ok((node.resync()?.into_iter().collect(), ()))),
        ["try"] => return attempt(service),
        ["corrupt"] => service.write(|node| Ok((vec![node.damage(1)?], ()))),
        ["corrupt", records] => match records.parse() {
            Ok(records) => service.write(|node| Ok((vec![node.damage(records)?], ()))),
            Err(_) => return printed(json!({ "error": "corrupt takes a number of records" }), 2),
        },
        ["restore"] => service.write(|node| Ok((vec![node.repair()?], ()))),
        ["snapshot-restore"] => service.write(|node| Ok((vec![node.restore()?], ()))),
        _ => return printed(json!({ "error": "no such command: see `drillmaster ledger --help`" }), 2),
    };
    ended(service, done)
}

fn printed(what: Value, code: i32) -> Ran {
    Ran { stdout: what.to_string(), code }
}

/// The status, with what went wrong.
fn ended(service: &Service, done: Result<(), NotDone>) -> Ran {
    let mut status = service.state().status(&service.config);
    match done {
        Ok(()) => printed(status, 0),
        Err(error) => {
            status["error"] = error.to_string().into();
            printed(status, 1)
        }
    }
}

async fn demote(service: &Service) -> Ran {
    {
        let mut state = service.state();
        match state.node.role() {
            Role::Primary if !state.stepping_down => state.stepping_down = true,
            Role::Primary => return printed(json!({ "error": "it is stepping down already" }), 1),
            Role::Replica | Role::Fenced => {
                drop(state);
                return ended(service, Ok(()));
            }
        }
    }
    let _stepping_down = SteppingDown(service);
    let has_all = service
        .until(|state| state.node.role() != Role::Primary || state.replica_has == Some(state.node.last()));
    let waited = tokio::time::timeout(DEMOTE_WITHIN.std(), has_all).await;
    if waited.is_err() {
        let mut status = service.state().status(&service.config);
        status["error"] =
            format!("the replica did not get every write within {DEMOTE_WITHIN}: it stays primary").into();
        return printed(status, 1);
    }
    let done = service.act(|node| match node.role() {
        Role::Primary => Ok((vec![Change::Demote], ())),
        Role::Replica | Role::Fenced => Ok((Vec::new(), ())),
    });
    ended(service, done)
}

/// Ends the stepping down, also where whoever asked for it has gone.
struct SteppingDown<'a>(&'a Service);

impl Drop for SteppingDown<'_> {
    fn drop(&mut self) {
        self.0.state().stepping_down = false;
    }
}

fn attempt(service: &Service) -> Ran {
    let payload = payload(TRY, 1);
    let record = Record { run: TRY.into(), number: 1, digest: digest(&payload), payload, synthetic: true };
    let tried = service.write(|node| Ok((vec![node.write(record)?, node.remove(TRY)?], ())));
    match tried {
        Ok(()) => printed(json!({ "accepted": true, "reason": null }), 0),
        Err(NotDone::Refused(why @ (Refused::NotPrimary | Refused::Fenced))) => {
            printed(json!({ "accepted": false, "reason": why.to_string() }), 0)
        }
        Err(error) => printed(json!({ "error": error.to_string() }), 1),
    }
}
