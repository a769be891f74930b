//! Jobs: pods that run to their end, so many at a time, until enough have succeeded or too many have failed.
//!
//! ```text
//! pods that ended or leave ─counted once, their finalizer goes─► succeeded, failed
//! enough, too many, too late ─► a target condition ─► active pods go ─► Complete or Failed ─► time to live ─► gone
//! ```
//! A finalizer on each pod makes sure that it is counted before it may go. Each failure in a row doubles the wait before the next pod, from ten
//! seconds to ten minutes. Left out: pod failure and success policies, limits per index.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Mark, Store, Write};
use super::replica_set::worst_first;
use super::{
    Controller, Processes, Reconciled, at, every, instant, itself, jobs, marked, owners, read, stamp,
    template,
};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

const TRACKED: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The wait after the first failure, and the longest one.
const BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// More indexes than this the API does not allow.
const MOST: usize = 100_000;

/// The job controller.
pub struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job"
    }

    fn concerns(&self, _: &Store, change: &Change) -> Vec<Key> {
        let mut keys = itself(change, &jobs());
        keys.extend(owners(change, &jobs()));
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(job) = at(store, key).filter(|job| !read::terminating(job)) else {
            return abandoned(store, key).into();
        };
        for kind in ["Complete", "Failed"] {
            if let Some(condition) = read::condition(job, kind).filter(|_| read::holds(job, kind)) {
                return over(store, key, job, condition, now);
            }
        }
        let mut look = Look::of(store, job, now);
        let mut writes = look.counted();
        writes.extend(look.next());
        writes.extend(super::status(key, job, look.status));
        Reconciled { writes, wake: look.wakes.into_iter().filter(|at| *at > now).min() }
    }
}

/// A job with its pods, and what its status becomes.
struct Look<'a> {
    store: &'a Store,
    job: &'a Value,
    pods: Vec<&'a Value>,
    active: Vec<&'a Value>,
    status: Value,
    conditions: Vec<Value>,
    now: At,
    wakes: Vec<At>,
}

impl<'a> Look<'a> {
    fn of(store: &'a Store, job: &'a Value, now: At) -> Self {
        let owned = Mark::Owner(read::uid(job).to_owned());
        let pods: Vec<&Value> = marked(store, &owned, &Resource::pods(), Some(read::namespace(job)))
            .filter(|pod| read::controlled_by(pod, job))
            .collect();
        let active = pods.iter().copied().filter(|pod| read::active(pod)).collect();
        let status = job.get("status").filter(|status| status.is_object()).cloned();
        let conditions = read::list(job, "/status/conditions").to_vec();
        Self {
            store,
            job,
            pods,
            active,
            status: status.unwrap_or_else(|| json!({})),
            conditions,
            now,
            wakes: vec![],
        }
    }

    fn whole(&self, field: &str, default: usize) -> usize {
        let number = read::number(self.job, &format!("/spec/{field}"));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    }

    fn count(&self, field: &str) -> usize {
        let number = self.status.get(field).and_then(Value::as_u64);
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
    }

    fn indexed(&self) -> bool {
        read::text(self.job, "/spec/completionMode") == "Indexed"
    }

    /// Counts each pod that ended or leaves, and writes that it is counted.
    fn counted(&mut self) -> Vec<Write> {
        let mut done = indexes(read::text(&self.status, "/completedIndexes"));
        let (mut succeeded, mut failed) = (self.count("succeeded"), self.count("failed"));
        let mut writes = vec![];
        for pod in self.pods.iter().filter(|pod| tracked(pod) && !read::active(pod)) {
            if read::text(pod, "/status/phase") == "Succeeded" {
                succeeded += 1;
                done.extend(index(pod));
            } else {
                failed += 1;
            }
            writes.push(free(pod));
        }
        if self.indexed() {
            succeeded = done.len();
            self.status["completedIndexes"] = json!(shown(&done));
        }
        self.status["succeeded"] = json!(succeeded);
        self.status["failed"] = json!(failed);
        writes
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        read::set_condition(
            &mut self.conditions,
            kind,
            status,
            reason,
            message,
            &stamp(self.store, self.now),
        );
    }

    /// What to do next; the status is whole when it is done.
    fn next(&mut self) -> Vec<Write> {
        let suspended = read::flag(self.job, "/spec/suspend");
        let writes = if let Some((kind, target, reason, message)) = self.target(suspended) {
            self.set(target, "True", reason, message);
            if self.pods.iter().all(|pod| read::ended(pod)) {
                self.set(kind, "True", reason, message);
                if kind == "Complete" {
                    self.status["completionTime"] = json!(stamp(self.store, self.now));
                }
            }
            self.active.drain(..).map(|pod| Write::Delete { key: Key::of(&Resource::pods(), pod) }).collect()
        } else if suspended {
            self.set("Suspended", "True", "JobSuspended", "Job suspended");
            self.status.as_object_mut().map(|status| status.remove("startTime"));
            self.active.drain(..).flat_map(dismissed).collect()
        } else {
            if self.conditions.iter().any(|each| read::text(each, "/type") == "Suspended") {
                self.set("Suspended", "False", "JobResumed", "Job resumed");
            }
            if self.status.get("startTime").is_none() {
                self.status["startTime"] = json!(stamp(self.store, self.now));
            }
            self.wakes.extend(self.deadline());
            self.staffed()
        };
        let ready = self.active.iter().filter(|pod| read::holds(pod, "Ready")).count();
        let mut created = writes.iter().filter_map(|write| match write {
            Write::Create { object, .. } => Some(object),
            _ => None,
        });
        // Where the first is refused, none is made.
        let first = created.next().filter(|pod| self.store.refuses(pod).is_none());
        let created = first.map_or(0, |_| 1 + created.count());
        self.status["active"] = json!(self.active.len() + created);
        self.status["ready"] = json!(ready);
        if !self.conditions.is_empty() {
            self.status["conditions"] = json!(self.conditions);
        }
        writes
    }

    /// When the job's time is over.
    fn deadline(&self) -> Option<At> {
        let seconds = u64::try_from(read::number(self.job, "/spec/activeDeadlineSeconds")?).ok()?;
        Some(instant(self.store, &self.status, "/startTime")?.plus(Duration::from_secs(seconds)))
    }

    /// Why the job ends, if it does: its last condition, the one before, reason and message.
    fn target(&self, suspended: bool) -> Option<(&'static str, &'static str, &'static str, &'static str)> {
        const WON: (&str, &str, &str, &str) = (
            "Complete",
            "SuccessCriteriaMet",
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        );
        const LOST: (&str, &str, &str, &str) = (
            "Failed",
            "FailureTarget",
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
        const LATE: (&str, &str, &str, &str) =
            ("Failed", "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline");
        if let Some(before) = read::condition(self.job, LOST.1) {
            return Some(if read::text(before, "/reason") == LATE.2 { LATE } else { LOST });
        }
        if read::holds(self.job, WON.1) {
            return Some(WON);
        }
        let limit = self.whole("backoffLimit", 6);
        let in_place = read::text(self.job, "/spec/template/spec/restartPolicy") == "OnFailure";
        let restarts: i64 = self.active.iter().map(|pod| restarts(pod)).sum();
        let restarts = usize::try_from(restarts).unwrap_or_default();
        if self.count("failed") > limit || (in_place && restarts >= limit.max(1)) {
            return Some(LOST);
        }
        if !suspended && self.deadline().is_some_and(|deadline| deadline <= self.now) {
            return Some(LATE);
        }
        (self.count("succeeded") >= self.whole("completions", 1)).then_some(WON)
    }

    /// Writes that bring the job to its parallelism, once the wait after the last failure is over.
    fn staffed(&mut self) -> Vec<Write> {
        let left = self.whole("completions", 1).saturating_sub(self.count("succeeded"));
        let wanted = self.whole("parallelism", 1).min(left);
        if self.active.len() > wanted {
            let surplus = self.active.len() - wanted;
            let gone: Vec<&Value> = worst_first(self.store, &self.active).into_iter().take(surplus).collect();
            self.active.retain(|pod| !gone.iter().any(|each| read::uid(each) == read::uid(pod)));
            return gone.into_iter().flat_map(dismissed).collect();
        }
        if let Some(again) = self.again().filter(|again| *again > self.now && self.active.len() < wanted) {
            self.wakes.push(again);
            return vec![];
        }
        let mut taken = indexes(read::text(&self.status, "/completedIndexes"));
        taken.extend(self.active.iter().filter_map(|pod| index(pod)));
        let free = (0..).filter(|index| !taken.contains(index));
        let indexed = self.indexed();
        free.take(wanted - self.active.len())
            .map(|index| Write::Create {
                resource: Resource::pods(),
                object: made(self.job, indexed.then_some(index)),
            })
            .collect()
    }

    /// When the next pod may be made after the failures since the last success.
    fn again(&self) -> Option<At> {
        let succeeded = |pod: &&&Value| read::text(pod, "/status/phase") == "Succeeded";
        let since = self.pods.iter().filter(succeeded).map(|pod| finished(self.store, pod)).max();
        let ended = self.pods.iter().filter(|pod| !read::active(pod) && !succeeded(pod));
        let failures: Vec<At> = ended
            .map(|pod| finished(self.store, pod))
            .filter(|at| since.is_none_or(|since| *at > since))
            .collect();
        let doublings = u32::try_from(failures.len().checked_sub(1)?).unwrap_or(u32::MAX).min(6);
        let wait = Duration::from_secs(BACK_OFF.as_secs() << doublings).min(LONGEST);
        failures.into_iter().max().map(|last| last.plus(wait))
    }
}

/// A finished job: it goes when its time to live is over.
fn over(store: &Store, key: &Key, job: &Value, condition: &Value, now: At) -> Reconciled {
    let seconds =
        read::number(job, "/spec/ttlSecondsAfterFinished").and_then(|each| u64::try_from(each).ok());
    let Some(seconds) = seconds else { return Reconciled::nothing() };
    let end =
        instant(store, condition, "/lastTransitionTime").unwrap_or(now).plus(Duration::from_secs(seconds));
    if end <= now {
        return vec![Write::Delete { key: key.clone() }].into();
    }
    Reconciled { writes: vec![], wake: Some(end) }
}

/// Writes that let go the pods of a job that is gone or going: nobody counts them any more.
fn abandoned(store: &Store, key: &Key) -> Vec<Write> {
    let of_job = |pod: &&Value| {
        read::controller(pod)
            .is_some_and(|owner| read::text(owner, "/kind") == "Job" && read::name_field(owner) == key.name())
    };
    let pods = every(store, &Resource::pods(), key.namespace());
    pods.filter(of_job).filter(|pod| tracked(pod)).map(free).collect()
}

fn tracked(pod: &Value) -> bool {
    read::list(pod, "/metadata/finalizers").iter().any(|each| each == TRACKED)
}

/// The write that lets a pod go as far as its job is concerned.
fn free(pod: &Value) -> Write {
    let mut object = pod.clone();
    let left: Vec<&Value> =
        read::list(pod, "/metadata/finalizers").iter().filter(|each| *each != TRACKED).collect();
    object["metadata"]["finalizers"] = json!(left);
    Write::Update { key: Key::of(&Resource::pods(), pod), object }
}

/// Writes that delete a pod without counting it.
fn dismissed(pod: &Value) -> [Write; 2] {
    [free(pod), Write::Delete { key: Key::of(&Resource::pods(), pod) }]
}

fn restarts(pod: &Value) -> i64 {
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let all = statuses.iter().flat_map(|field| read::list(pod, &format!("/status/{field}")));
    all.filter_map(|each| read::number(each, "/restartCount")).sum()
}

/// When a pod ended: its last container, or else its readiness, its deletion, its birth.
fn finished(store: &Store, pod: &Value) -> At {
    let containers = read::list(pod, "/status/containerStatuses").iter();
    let ends = containers.filter_map(|each| instant(store, each, "/state/terminated/finishedAt"));
    let grace =
        read::number(pod, "/metadata/deletionGracePeriodSeconds").and_then(|each| u64::try_from(each).ok());
    let deleted = || {
        let end = instant(store, pod, "/metadata/deletionTimestamp")?;
        Some(end.minus(Duration::from_secs(grace.unwrap_or_default())))
    };
    let unready = || instant(store, read::condition(pod, "Ready")?, "/lastTransitionTime");
    let born = || instant(store, pod, "/metadata/creationTimestamp");
    ends.max().or_else(unready).or_else(deleted).or_else(born).unwrap_or_default()
}

fn index(pod: &Value) -> Option<usize> {
    read::annotation(pod, INDEX).parse().ok()
}

/// The indexes of a text like `0,2-4`.
fn indexes(text: &str) -> BTreeSet<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<usize>().ok()?.min(MOST))
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// Indexes as a status shows them.
fn shown(indexes: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = vec![];
    for &index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let text = |(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// A pod of a job; one of an indexed job knows its number.
fn made(job: &Value, index: Option<usize>) -> Value {
    let labels = [
        ("batch.kubernetes.io/job-name", read::name(job)),
        ("job-name", read::name(job)),
        ("batch.kubernetes.io/controller-uid", read::uid(job)),
        ("controller-uid", read::uid(job)),
    ];
    let mut pod = template::pod(&jobs(), job, &labels);
    pod["metadata"]["finalizers"] = json!([TRACKED]);
    pod["metadata"]["generateName"] = json!(format!("{}-", read::name(job)));
    if let Some(index) = index {
        let number = index.to_string();
        pod["metadata"]["generateName"] = json!(format!("{}-{index}-", read::name(job)));
        pod["metadata"]["annotations"][INDEX] = json!(number);
        pod["metadata"]["labels"][INDEX] = json!(number);
        pod["spec"]["hostname"] = json!(format!("{}-{index}", read::name(job)));
        let variable = json!({"name": "JOB_COMPLETION_INDEX", "value": number});
        for container in
            pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let mut all = read::list(container, "/env").to_vec();
            all.push(variable.clone());
            container["env"] = json!(all);
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_read_as_they_are_shown() {
        for text in ["", "0", "0,1", "1,3-5,7,8"] {
            assert_eq!(shown(&indexes(text)), text);
        }
    }
}
