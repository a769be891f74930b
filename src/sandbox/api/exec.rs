//! Commands in containers, over a WebSocket (`v5.channel.k8s.io`, `v4.channel.k8s.io`).
//!
//! The command runs to its end, then its output goes out channel by channel: how stdout and stderr interleave is nothing that a rehearsal
//! may depend on. No stdin and no terminal yet. The close code is 1000: without it kubectl reports an error.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::path::Call;
use crate::sandbox::state::{Containers, Ran, RegionState};
use crate::sandbox::store::StoreError;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// The largest piece of output in one message.
const PIECE: usize = 32 << 10;

/// Upgrades the request and runs its command.
pub(super) async fn exec(state: &Arc<RegionState>, call: &Call, mut parts: Parts) -> Answer {
    let (pod, containers) = find(state, call)?;
    let argv: Vec<String> = call.query.all("command").map(str::to_owned).collect();
    if argv.is_empty() {
        return Err(Refusal::bad_request("you must specify at least 1 command for the container"));
    }
    let container = call.query.get("container").map(str::to_owned);
    let wanted = [(STDOUT, call.query.flag("stdout")), (STDERR, call.query.flag("stderr"))];
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| Refusal::bad_request("Upgrade request required"))?
        .protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let ran = containers.exec(&pod, container.as_deref(), &argv).await;
        tell(socket, ran, wanted).await;
    }))
}

/// The pod of a call, and what runs in the containers.
pub(super) fn find(state: &RegionState, call: &Call) -> Result<(Arc<Value>, Arc<dyn Containers>), Refusal> {
    let key = call.key();
    let pod = state.read(|store| store.get(&key).cloned());
    let pod = pod.ok_or_else(|| Refusal::store(StoreError::NotFound(key), &call.served.resource))?;
    let containers = state.containers();
    let containers = containers.ok_or_else(|| Refusal::internal("no kubelet answers in this region"))?;
    Ok((pod, containers))
}

/// Sends output and status; somebody who has gone need not be told.
async fn tell(mut socket: WebSocket, ran: std::io::Result<Ran>, wanted: [(u8, bool); 2]) {
    let mut messages = Vec::new();
    if let Ok(ran) = &ran {
        for ((channel, wanted), bytes) in wanted.into_iter().zip([&ran.stdout, &ran.stderr]) {
            let pieces = if wanted { bytes.as_slice() } else { &[] };
            messages.extend(pieces.chunks(PIECE).map(|piece| message(channel, piece)));
        }
    }
    messages.push(message(STATUS, outcome(&ran).to_string().as_bytes()));
    let done = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    messages.push(Message::Close(Some(done)));
    for message in messages {
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // The other end answers the close; to leave before would cut off what is on its way.
    while let Some(Ok(_)) = socket.recv().await {}
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut framed = Vec::with_capacity(bytes.len() + 1);
    framed.push(channel);
    framed.extend_from_slice(bytes);
    Message::Binary(framed.into())
}

/// The `Status` that tells how a command ended.
fn outcome(ran: &std::io::Result<Ran>) -> Value {
    match ran {
        Ok(Ran { code: 0, .. }) => json!({"metadata": {}, "status": "Success"}),
        Ok(Ran { code, .. }) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => json!({"metadata": {}, "status": "Failure", "reason": "InternalError",
            "message": format!("Internal error occurred: Internal error occurred: error executing command in container: {error}"),
            "code": 500}),
    }
}
