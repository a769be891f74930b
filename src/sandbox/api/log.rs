//! A container's output so far. Following it is not served yet.

use axum::body::Body;

use super::answer::{Answer, Refusal, response};
use super::exec;
use super::path::Call;
use crate::sandbox::state::RegionState;

/// The log of a container, or its last lines.
pub(super) async fn log(state: &RegionState, call: &Call) -> Answer {
    let (pod, containers) = exec::find(state, call)?;
    let printed = containers
        .logs(&pod, call.query.get("container"))
        .await
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let lines = call.query.number("tailLines")?;
    let lines = lines.map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let count = printed.split_inclusive(|byte| *byte == b'\n').count();
    let skipped = printed.split_inclusive(|byte| *byte == b'\n').take(count.saturating_sub(lines));
    let from: usize = skipped.map(<[u8]>::len).sum();
    Ok(response(200, "text/plain", Body::from(printed[from..].to_vec())))
}
