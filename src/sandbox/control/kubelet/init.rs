//! Init containers, in their order: each takes a second once it can start, and holds up all others until then.
//!
//! What they do is not simulated, only whether they can start: their image and their environment. One that restarts always (a sidecar)
//! runs on, and the next one starts.

use serde_json::{Value, json};

use super::super::{instant, read, stamp};
use super::container::Look;
use crate::model::time::{At, Duration};

/// What each init container takes.
const TAKES: Duration = Duration::from_secs(1);

/// Where a pod's init containers are.
pub struct Init {
    pub statuses: Vec<Value>,
    /// Those that are not over yet.
    pub incomplete: Vec<String>,
    /// When to look again if nothing changes.
    pub wake: Option<At>,
}

/// Looks at the init containers of a pod; `look` gives the view of one by its spec and its status until now.
pub fn init<'a>(pod: &'a Value, look: impl Fn(&'a Value, &'a Value) -> Look<'a>) -> Init {
    let mut init = Init { statuses: vec![], incomplete: vec![], wake: None };
    let olds = read::list(pod, "/status/initContainerStatuses");
    for spec in read::list(pod, "/spec/initContainers") {
        let name = read::name_field(spec);
        let before = olds.iter().find(|each| read::name_field(each) == name).unwrap_or(&Value::Null);
        let look = look(spec, before);
        let (status, wake) = if init.incomplete.is_empty() {
            next(&look)
        } else {
            (look.waiting("PodInitializing", ""), None)
        };
        if !(read::at(&status, "/state/terminated").is_some()
            || sidecar(spec) && read::flag(&status, "/ready"))
        {
            init.incomplete.push(name.to_owned());
        }
        init.wake = init.wake.into_iter().chain(wake).min();
        init.statuses.push(status);
    }
    init
}

fn sidecar(spec: &Value) -> bool {
    read::text(spec, "/restartPolicy") == "Always"
}

/// The next status of the one container whose turn it is.
fn next(look: &Look<'_>) -> (Value, Option<At>) {
    if let Some(started) = instant(look.store, look.before, "/state/running/startedAt") {
        let end = started.plus(TAKES);
        if sidecar(look.spec) || look.now < end {
            return (look.before.clone(), (!sidecar(look.spec)).then_some(end));
        }
        let mut status = look.before.clone();
        status["ready"] = json!(true);
        status["started"] = json!(false);
        status["state"] = json!({"terminated": {"exitCode": 0, "reason": "Completed",
            "startedAt": stamp(look.store, started), "finishedAt": stamp(look.store, look.now)}});
        return (status, None);
    }
    if look.before.pointer("/state/terminated").is_some() {
        return (look.before.clone(), None);
    }
    if let Some(not_yet) = look.held_up() {
        return not_yet;
    }
    let mut status = look.waiting("", "");
    status["imageID"] = status["image"].clone();
    status["started"] = json!(true);
    status["ready"] = json!(sidecar(look.spec));
    status["state"] = json!({"running": {"startedAt": stamp(look.store, look.now)}});
    (status, (!sidecar(look.spec)).then(|| look.now.plus(TAKES)))
}
