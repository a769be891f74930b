//! What a container has printed, and what it goes on to print.
//!
//! The refusals are those of Kubernetes' registry (which container?) and of its kubelet (does it run yet?).

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use futures::stream;
use serde_json::Value;

use super::answer::{Answer, Refusal, response};
use super::exec;
use super::path::Call;
use crate::model::time::{At, Duration};
use crate::sandbox::clock::Clock;
use crate::sandbox::state::{Line, Printed, RegionState};

/// The log of a container, or its last lines, or all of it and what comes.
pub(super) fn log(state: &RegionState, call: &Call) -> Answer {
    let (pod, containers) = exec::find(state, call)?;
    let container = chosen(&pod, call.query.get("container"))?;
    let previous = call.query.flag("previous");
    // Of a pod without a node there is nothing to read, which is no error.
    if text(&pod, "/spec/nodeName").is_empty() {
        return Ok(response(200, "text/plain", Body::empty()));
    }
    started(&pod, container, previous)?;
    let ended = |status: &Value| status.pointer("/state/running").is_none();
    let over = previous || status(&pod, container).is_none_or(ended);
    let follow = call.query.flag("follow") && !over;
    let printed = containers.logs(&pod, container, previous, follow);
    let Printed { so_far, more } = printed.map_err(|error| Refusal::bad_request(error.to_string()))?;
    let stamped = call.query.flag("timestamps").then_some(state.clock);
    let recent = since(call, state)?;
    let mut lines: Vec<&Line> = so_far.iter().filter(|line| recent.is_none_or(|at| line.at >= at)).collect();
    if let Some(last) = call.query.number("tailLines")? {
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(last));
    }
    let mut bytes: Vec<u8> = lines.into_iter().flat_map(|line| written(line, stamped)).collect();
    if let Some(limit) = call.query.number("limitBytes")? {
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let Some(more) = more else { return Ok(response(200, "text/plain", Body::from(bytes))) };
    let pieces = stream::unfold((Some(bytes), more), move |(first, mut more)| async move {
        let piece = match first.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => bytes,
            None => written(&more.recv().await?, stamped),
        };
        Some((Ok::<_, Infallible>(Bytes::from(piece)), (None, more)))
    });
    Ok(response(200, "text/plain", Body::from_stream(pieces)))
}

/// The instant from which on lines are wanted.
fn since(call: &Call, state: &RegionState) -> Result<Option<At>, Refusal> {
    if let Some(seconds) = call.query.number("sinceSeconds")? {
        return Ok(Some(state.clock.now().minus(Duration::from_secs(seconds))));
    }
    let Some(time) = call.query.get("sinceTime") else { return Ok(None) };
    let at = state.clock.read(time);
    at.map(Some).ok_or_else(|| Refusal::bad_request(format!("sinceTime: no time: {time:.40}")))
}

/// A line, with its time in front where that is wanted.
fn written(line: &Line, stamped: Option<Clock>) -> Vec<u8> {
    let text = &line.text;
    match stamped {
        None => format!("{text}\n"),
        Some(clock) => {
            let time = DateTime::from_timestamp_nanos(clock.wall_unix_ns_at(line.at));
            format!("{} {text}\n", time.to_rfc3339_opts(SecondsFormat::Nanos, true))
        }
    }
    .into_bytes()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The container that is meant: the one that is named, or the only one.
fn chosen<'a>(pod: &'a Value, named: Option<&str>) -> Result<&'a str, Refusal> {
    let name = text(pod, "/metadata/name");
    let names = |list: &str| {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.map(|each| text(each, "/name")).collect::<Vec<_>>()
    };
    let all = [names("initContainers"), names("containers"), names("ephemeralContainers")].concat();
    match (named, names("containers").as_slice()) {
        (Some(named), _) => all.into_iter().find(|each| *each == named).ok_or_else(|| {
            Refusal::bad_request(format!("container {named:.80} is not valid for pod {name}"))
        }),
        (None, [only]) => Ok(*only),
        (None, _) => {
            let names = all.join(" ");
            Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{names}]"
            )))
        }
    }
}

fn status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let lists = ["initContainerStatuses", "containerStatuses"].into_iter();
    let mut all = lists.flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    all.find(|status| status["name"] == container)
}

/// Refuses where nothing can have been printed yet.
fn started(pod: &Value, container: &str, previous: bool) -> Result<(), Refusal> {
    let name = text(pod, "/metadata/name");
    let refuse = |why: String| Err(Refusal::bad_request(why));
    let Some(status) = status(pod, container) else {
        return refuse(format!("container \"{container}\" in pod \"{name}\" is not available"));
    };
    let ended = status.pointer("/lastState/terminated").is_some();
    if previous {
        return match ended {
            true => Ok(()),
            false => {
                refuse(format!("previous terminated container \"{container}\" in pod \"{name}\" not found"))
            }
        };
    }
    let Some(waiting) = status.pointer("/state/waiting").filter(|_| !ended) else { return Ok(()) };
    let why = match text(waiting, "/reason") {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    refuse(format!("container \"{container}\" in pod \"{name}\" is waiting to start: {why}"))
}
