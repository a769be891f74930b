//! Jobs: pods that run to their end, so many at a time, until enough have succeeded or too many have failed.
//!
//! Left out: indexed completion, suspension, pod failure policies and the delay between retries.

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store, Write};
use super::{Controller, Processes, Reconciled, at, every, itself, jobs, owners, read, stamp, template};
use crate::model::effect::Resource;
use crate::model::time::At;

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
            return Reconciled::nothing();
        };
        if read::holds(job, "Complete") || read::holds(job, "Failed") {
            return Reconciled::nothing();
        }
        let pods: Vec<&Value> = every(store, &Resource::pods(), key.namespace.as_deref())
            .filter(|pod| read::controlled_by(pod, job))
            .collect();
        let count = |phase: &str| pods.iter().filter(|pod| read::text(pod, "/status/phase") == phase).count();
        let (succeeded, failed) = (count("Succeeded"), count("Failed"));
        let active: Vec<&&Value> = pods.iter().filter(|pod| read::active(pod)).collect();
        let whole = |field: &str, default: usize| {
            read::number(job, field).and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
        };
        let (wanted, parallel) = (whole("/spec/completions", 1), whole("/spec/parallelism", 1));
        let (lost, won) = (failed > whole("/spec/backoffLimit", 6), succeeded >= wanted);
        let shown = stamp(store, now);
        let started = read::text(job, "/status/startTime");
        let mut status = json!({
            "startTime": if started.is_empty() { &shown } else { started },
            "succeeded": succeeded, "failed": failed,
        });
        let mut writes = vec![];
        if lost || won {
            let (kind, reason) =
                if won { ("Complete", "CompletionsReached") } else { ("Failed", "BackoffLimitExceeded") };
            status["conditions"] = json!(read::with_condition(job, kind, "True", reason, "", &shown));
            status["active"] = json!(0);
            if won {
                status["completionTime"] = json!(shown);
            }
            writes.extend(active.iter().map(|pod| Write::Delete { key: Key::of(&Resource::pods(), pod) }));
        } else {
            let room = parallel.min(wanted - succeeded).saturating_sub(active.len());
            let mut pod = template::pod(&jobs(), job, &[("batch.kubernetes.io/job-name", read::name(job))]);
            pod["metadata"]["generateName"] = json!(format!("{}-", read::name(job)));
            writes
                .extend(std::iter::repeat_n(Write::Create { resource: Resource::pods(), object: pod }, room));
            status["active"] = json!(active.len() + room);
        }
        writes.extend(super::status(key, job, status));
        writes.into()
    }
}
