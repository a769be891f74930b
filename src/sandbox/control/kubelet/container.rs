//! One container of a pod, from pull to restart: what its status becomes next, and when to look again.
//!
//! The first restart is at once, the next ones wait 10 s, 20 s, … up to five minutes; ten minutes of running forget them. An image of a registry
//! in the domain `invalid`, or whose name begins with `unavailable`, cannot be pulled: no retry can change that, only another image. Left out: the time that a
//! failing liveness probe leaves a container to stop.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::super::store::Store;
use super::super::{Processes, instant, one, read, secrets, stamp};
use super::environment::{ConfigError, environment};
use super::probes::{Kind, Row, next_tick};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

/// The first wait between restarts.
const BACK_OFF: Duration = Duration::from_secs(10);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a container must run for its restarts to be forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// How soon after its start a container's end can be seen, and how long `ErrImagePull` shows before the back-off does.
const NOTICED: Duration = Duration::from_secs(1);
const RETRIES: Duration = Duration::from_secs(10);

/// How late a try may be.
const LATE: Duration = Duration::from_secs(1);

/// What a kubelet remembers of one container.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The wait before the next restart, and when the container that it is for ended.
    back_off: Option<(Duration, At)>,
    rows: BTreeMap<Kind, Row>,
}

/// What a container is looked at with.
pub struct Look<'a> {
    pub store: &'a Store,
    pub pod: &'a Value,
    pub spec: &'a Value,
    /// The container's status until now; null where it has none.
    pub before: &'a Value,
    /// When the pod's containers may start; nobody knows while its volumes are missing.
    pub startable: Option<At>,
    /// Whether init containers come first, or did.
    pub init: bool,
    pub now: At,
    pub processes: &'a dyn Processes,
}

impl Look<'_> {
    /// The container's next status, and when to look again if nothing changes.
    pub fn next(&self, memory: &mut Memory) -> (Value, Option<At>) {
        if let Some(started) = instant(self.store, self.before, "/state/running/startedAt") {
            return self.running(memory, started);
        }
        if self.before.pointer("/state/terminated").is_some() {
            return (self.before.clone(), None);
        }
        if read::text(self.before, "/state/waiting/reason") == "CrashLoopBackOff"
            && let Some(due) =
                memory.back_off.map(|(wait, ended)| ended.plus(wait)).filter(|due| self.now < *due)
        {
            return (self.before.clone(), Some(due));
        }
        self.start(memory)
    }

    fn running(&self, memory: &mut Memory, started: At) -> (Value, Option<At>) {
        let name = read::name_field(self.spec);
        let mut wakes = vec![];
        match self.processes.exited(read::uid(self.pod), name) {
            Some(code) if self.now >= started.plus(NOTICED) => return self.ended(memory, started, code),
            Some(_) => wakes.push(started.plus(NOTICED)),
            None => {}
        }
        let mut look = |kind: Kind| {
            let probe = kind.of(self.spec)?;
            // Readiness is first looked at when the container is up.
            let is_first = !memory.rows.contains_key(&kind);
            let row = memory.rows.entry(kind).or_insert_with(|| Row::new(kind));
            // A startup probe is over once it succeeded.
            if kind == Kind::Startup && row.verdict {
                return Some(true);
            }
            let answers = self.processes.answers(self.pod, name, probe);
            let noticed = match Kind::Startup.of(self.spec) {
                Some(_) => is_first.then_some(self.now),
                None => Some(started.plus(NOTICED)),
            };
            let noticed = noticed.filter(|_| kind == Kind::Readiness);
            wakes.extend(row.look(probe, (started, noticed), answers, self.now));
            Some(row.verdict)
        };
        let up = look(Kind::Startup).unwrap_or(true);
        let (alive, ready) = match up {
            true => (look(Kind::Liveness).unwrap_or(true), look(Kind::Readiness).unwrap_or(true)),
            false => (self.in_time(started, &mut wakes), false),
        };
        if !alive {
            return self.ended(memory, started, 137);
        }
        let mut status = self.before.clone();
        status["started"] = json!(up);
        status["ready"] = json!(ready);
        (status, wakes.into_iter().min())
    }

    /// Whether a container that never answered its startup probe still has time to.
    fn in_time(&self, started: At, wakes: &mut Vec<At>) -> bool {
        let Some(probe) = Kind::Startup.of(self.spec) else { return true };
        let field = |name: &str, default: i64| {
            u64::try_from(read::number(probe, name).unwrap_or(default)).unwrap_or_default()
        };
        let tries = field("/failureThreshold", 3).max(1) - 1;
        let last = field("/initialDelaySeconds", 0)
            .saturating_add(field("/periodSeconds", 10).saturating_mul(tries));
        let deadline = started.plus(Duration::from_secs(last));
        wakes.push(deadline);
        self.now < deadline
    }

    /// The container has ended: it stays so, waits for its restart, or is started again at once.
    fn ended(&self, memory: &mut Memory, started: At, code: i32) -> (Value, Option<At>) {
        let terminated = json!({
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": stamp(self.store, started), "finishedAt": stamp(self.store, self.now),
            "containerID": read::text(self.before, "/containerID"),
        });
        let mut status = self.before.clone();
        status["ready"] = json!(false);
        status["started"] = json!(false);
        let stays = match read::text(self.pod, "/spec/restartPolicy") {
            "Never" => true,
            "OnFailure" => code == 0,
            _ => false,
        };
        if stays {
            status["state"] = json!({"terminated": terminated});
            return (status, None);
        }
        status["lastState"] = json!({"terminated": terminated});
        let long = self.now.since(started) >= FORGOTTEN;
        let wait = match memory.back_off.filter(|_| !long) {
            None => Duration::ZERO,
            Some((Duration::ZERO, _)) => BACK_OFF,
            Some((before, _)) => before.plus(before).min(LONGEST),
        };
        memory.back_off = Some((wait, self.now));
        if wait == Duration::ZERO {
            let again = Look { before: &status, ..*self };
            return again.start(memory);
        }
        let name = read::name_field(self.spec);
        let message =
            format!("back-off {wait} restarting failed container={name} pod={}", read::name(self.pod));
        status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        (status, Some(self.now.plus(wait)))
    }

    /// Why the container cannot start yet, and when to look again.
    pub fn held_up(&self) -> Option<(Value, Option<At>)> {
        let creating = if self.init { "PodInitializing" } else { "ContainerCreating" };
        let Some(startable) = self.startable else { return Some((self.waiting(creating, ""), None)) };
        if self.now < startable {
            return Some((self.waiting(creating, ""), Some(startable)));
        }
        let image = read::text(self.spec, "/image");
        if is_out_of_reach(image) {
            return Some(self.unpulled(image, startable));
        }
        if let Err(error) = resolve(self.store, self.pod, self.spec) {
            return Some((self.waiting("CreateContainerConfigError", &error.to_string()), None));
        }
        // A kubelet tries again every ten seconds, not when the missing ConfigMap appears.
        let failed = read::text(self.before, "/state/waiting/reason") == "CreateContainerConfigError";
        // In real time a timer is late, by less than this on any machine that keeps up.
        let retry = next_tick(startable, RETRIES, self.now.minus(LATE));
        (failed && self.now < retry).then(|| (self.before.clone(), Some(retry)))
    }

    /// Starts the container, or says why that is not possible.
    fn start(&self, memory: &mut Memory) -> (Value, Option<At>) {
        if let Some(not_yet) = self.held_up() {
            return not_yet;
        }
        let image = read::text(self.spec, "/image");
        memory.rows.clear();
        let restarts = read::number(self.before, "/restartCount").unwrap_or(0);
        let again = self.before.pointer("/lastState/terminated").is_some();
        let restarts = restarts + i64::from(again);
        let name = read::name_field(self.spec);
        let id = format!("{}/{name}/{restarts}", read::uid(self.pod));
        let mut status = json!({
            "name": name, "image": full_name(image), "imageID": format!("sha256:{}", drawn(image)),
            "containerID": format!("containerd://{}", drawn(&id)), "restartCount": restarts,
            "state": {"running": {"startedAt": stamp(self.store, self.now)}},
            "started": Kind::Startup.of(self.spec).is_none(),
            "ready": Kind::Startup.of(self.spec).is_none() && Kind::Readiness.of(self.spec).is_none(),
        });
        status["lastState"] = self.before.get("lastState").cloned().unwrap_or_else(|| json!({}));
        status["resources"] = self.spec.get("resources").cloned().unwrap_or_else(|| json!({}));
        if let Some(requests) = self.spec.pointer("/resources/requests") {
            status["allocatedResources"] = requests.clone();
        }
        let mounts: Vec<Value> = read::list(self.spec, "/volumeMounts").iter().map(mounted).collect();
        if !mounts.is_empty() {
            status["volumeMounts"] = json!(mounts);
        }
        (status, None)
    }

    fn unpulled(&self, image: &str, startable: At) -> (Value, Option<At>) {
        let second = startable.plus(RETRIES);
        if read::text(self.before, "/state/waiting/reason") == "ImagePullBackOff" || self.now >= second {
            return (self.waiting("ImagePullBackOff", &format!("Back-off pulling image \"{image}\"")), None);
        }
        let message = format!("failed to pull and unpack image \"{image}\": no such host");
        (self.waiting("ErrImagePull", &message), Some(second))
    }

    /// The status of a container that waits.
    pub fn waiting(&self, reason: &str, message: &str) -> Value {
        let mut waiting = json!({"reason": reason});
        if !message.is_empty() {
            waiting["message"] = json!(message);
        }
        json!({
            "name": read::name_field(self.spec), "image": read::text(self.spec, "/image"), "imageID": "",
            "restartCount": read::number(self.before, "/restartCount").unwrap_or(0),
            "state": {"waiting": waiting}, "started": false, "ready": false,
            "lastState": self.before.get("lastState").cloned().unwrap_or_else(|| json!({})),
        })
    }
}

/// The environment of a container as it would start now.
///
/// # Errors
/// Where a ConfigMap, a Secret or a key is missing.
pub fn resolve(
    store: &Store,
    pod: &Value,
    container: &Value,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let namespace = read::namespace(pod);
    environment(pod, container, &|kind, name| {
        let resource = if kind == "Secret" { secrets() } else { Resource::config_maps() };
        one(store, &resource, Some(namespace), name)
    })
}

/// How a mount of a container's spec shows in its status.
fn mounted(mount: &Value) -> Value {
    let mut shown = json!({"name": mount["name"], "mountPath": mount["mountPath"]});
    if read::flag(mount, "/readOnly") {
        shown["readOnly"] = json!(true);
        shown["recursiveReadOnly"] = json!("Disabled");
    }
    shown
}

/// An image with its registry, as containerd names it: `docker.io/library/nginx:latest`.
fn full_name(image: &str) -> String {
    let registry = image.split_once('/').map(|(first, _)| first);
    let named = registry.is_some_and(|first| first.contains(['.', ':']) || first == "localhost");
    let tagged = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let folder = if registry.is_none() { "library/" } else { "" };
    let host = if named { String::new() } else { format!("docker.io/{folder}") };
    format!("{host}{image}{}", if tagged { "" } else { ":latest" })
}

/// 64 hexadecimal digits that a text always gives, as runtimes name things.
pub fn drawn(text: &str) -> String {
    (0..4).map(|part| format!("{:016x}", read::hash(&format!("{text} {part}")))).collect()
}

/// Whether nobody can pull an image: its registry stands in a domain that cannot exist (RFC 6761), or its name says so.
fn is_out_of_reach(image: &str) -> bool {
    let registry = image.split_once('/').map_or("", |(registry, _)| registry);
    let host = registry.split_once(':').map_or(registry, |(host, _)| host);
    host.ends_with(".invalid") || image.starts_with("unavailable")
}
