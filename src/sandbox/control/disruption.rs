//! Pod disruption budgets: how many healthy pods there are, how many there must be, and so how many may be evicted now.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::store::{Change, Key, Store};
use super::{
    Controller, Processes, Reconciled, asking, at, deployment, every, itself, labelled, one, read, stamp,
};
use crate::model::effect::Resource;
use crate::model::time::At;

/// The disruption controller.
pub struct Budgets;

impl Controller for Budgets {
    fn name(&self) -> &'static str {
        "disruption"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let kind = Resource::disruption_budgets();
        let namespace = change.key.namespace();
        if change.key.is(&Resource::pods()) {
            let states = [Some(&change.object), change.before.as_ref()];
            let healthy = |pod: &Value| read::holds(pod, "Ready") && read::active(pod);
            if change.before.as_ref().is_some_and(|before| {
                healthy(before) == healthy(&change.object)
                    && read::active(before) == read::active(&change.object)
                    && read::labels(before) == read::labels(&change.object)
            }) && at(store, &change.key).is_some()
            {
                return vec![];
            }
            let covering = states.into_iter().flatten().flat_map(|pod| {
                asking(store, &kind, namespace, read::labels(pod)).filter(move |budget| covers(budget, pod))
            });
            let keys: BTreeSet<Key> = covering.map(|budget| Key::of(&kind, budget)).collect();
            return keys.into_iter().collect();
        }
        let scaled = [Resource::deployments(), Resource::replica_sets(), Resource::stateful_sets()]
            .iter()
            .any(|resource| change.key.is(resource));
        let replicas = |object: &Value| read::number(object, "/spec/replicas");
        if scaled && change.before.as_ref().map(|before| replicas(before)) != Some(replicas(&change.object)) {
            return every(store, &kind, namespace).map(|budget| Key::of(&kind, budget)).collect();
        }
        itself(change, &kind)
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(budget) = at(store, key) else { return Reconciled::nothing() };
        let wanted = read::at(budget, "/spec/selector/matchLabels").unwrap_or(&Value::Null);
        let pods: Vec<&Value> = labelled(store, key.namespace(), wanted)
            .filter(|pod| covers(budget, pod) && !read::ended(pod))
            .collect();
        let whole = pods.len().try_into().unwrap_or(i64::MAX);
        let (expected, wanted) =
            match (read::at(budget, "/spec/minAvailable"), read::at(budget, "/spec/maxUnavailable")) {
                (Some(Value::Number(least)), _) => (whole, least.as_i64().unwrap_or_default()),
                (Some(least), _) => {
                    let expected = scale(store, &pods);
                    (expected, read::share(Some(least), "", expected, true))
                }
                (None, Some(most)) => {
                    let expected = scale(store, &pods);
                    (expected, (expected - read::share(Some(most), "", expected, true)).max(0))
                }
                (None, None) => (whole, 1),
            };
        let healthy = pods.iter().filter(|pod| read::holds(pod, "Ready") && !read::terminating(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let allowed = if expected > 0 { (healthy - wanted).max(0) } else { 0 };
        let (holds, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let mut status =
            budget.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
        for (field, count) in [
            ("currentHealthy", healthy),
            ("desiredHealthy", wanted),
            ("expectedPods", expected),
            ("disruptionsAllowed", allowed),
            ("observedGeneration", read::number(budget, "/metadata/generation").unwrap_or(0)),
        ] {
            status[field] = json!(count);
        }
        // An evicted pod is being deleted from the same instant on, so it need not be remembered.
        status.as_object_mut().map(|status| status.remove("disruptedPods"));
        let conditions =
            read::with_condition(budget, "DisruptionAllowed", holds, reason, "", &stamp(store, now));
        status["conditions"] = json!(conditions);
        super::status(key, budget, status).into_iter().collect::<Vec<_>>().into()
    }
}

/// Whether a budget covers a pod; one without a selector covers none.
fn covers(budget: &Value, pod: &Value) -> bool {
    read::at(budget, "/spec/selector").is_some_and(|selector| read::selects(selector, read::labels(pod)))
}

/// How many pods the owners of these pods want together; a pod that nobody owns is not expected.
fn scale(store: &Store, pods: &[&Value]) -> i64 {
    let (mut counted, mut total) = (BTreeSet::new(), 0);
    for pod in pods {
        let owner = read::controller(pod);
        let by = |resource: Resource| {
            one(store, &resource, Some(read::namespace(pod)), owner.map(read::name_field).unwrap_or_default())
        };
        let top = match owner.map(|owner| read::text(owner, "/kind")) {
            Some("ReplicaSet") => {
                by(Resource::replica_sets()).map(|set| deployment::owner_of(store, set).unwrap_or(set))
            }
            Some("StatefulSet") => by(Resource::stateful_sets()),
            Some(_) | None => None,
        };
        match top {
            Some(top) if counted.insert(read::uid(top)) => {
                total += read::number(top, "/spec/replicas").unwrap_or(1)
            }
            Some(_) => {}
            None => total += i64::from(owner.is_some()),
        }
    }
    total
}
