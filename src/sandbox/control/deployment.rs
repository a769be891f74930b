//! Deployments: one replica set per revision of the template, rolled over within `maxSurge` and `maxUnavailable`.
//!
//! Undoing a rollout is giving the old template back: the set that has it becomes the newest revision. A set remembers in annotations
//! for how many replicas it got its size, so that a scaling is told from a rollout, and sets in the middle of one are scaled in proportion.

use serde_json::{Value, json};

use super::super::store::{Change, ChangeKind, Key, Mark, Store, Write};
use super::replica_set::FAILURE;
use super::rollout::{Limits, Share, Size, in_proportion, step};
use super::{
    Controller, Processes, Reconciled, adoption, at, instant, itself, marked, one, owners, read, stamp,
    template,
};
use crate::model::effect::Resource;
use crate::model::time::{At, Duration};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";
/// What `kubectl apply` notes of its own.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// For how many replicas a set got its size, and how many there might be with surge.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// The deployment controller.
pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        let kind = Resource::deployments();
        let mut keys = itself(change, &kind);
        keys.extend(adoption::claimants(store, change, &kind, &Resource::replica_sets()));
        // `Recreate` waits until the last old pod is gone.
        if change.key.is(&Resource::pods()) && change.kind == ChangeKind::Deleted {
            let set = owners(change, &Resource::replica_sets()).into_iter().find_map(|key| at(store, &key));
            let owner = set.and_then(read::controller).map(read::name_field);
            keys.extend(owner.map(|name| Key::new(&kind, change.key.namespace(), name)));
        }
        keys
    }

    fn reconcile(&self, store: &Store, key: &Key, now: At, _: &dyn Processes) -> Reconciled {
        let Some(deployment) = at(store, key).filter(|deployment| !read::terminating(deployment)) else {
            return Reconciled::nothing();
        };
        let kind = Resource::replica_sets();
        let alive = |set: &Value| !read::terminating(set);
        let sets = match adoption::members(store, &Resource::deployments(), deployment, &kind, alive) {
            Ok(owned) => Sets::of(owned, deployment),
            Err(writes) => return writes.into(),
        };
        let mut writes = vec![];
        let revision = sets.revision();
        match sets.new {
            _ if read::flag(deployment, "/spec/paused") || sets.are_scaled(deployment) => {
                writes.extend(sets.rescaled(deployment));
            }
            Some(new) => writes.extend(sets.sizes(store, deployment, new)),
            None => writes.push(created(store, deployment, &sets)),
        }
        if let Some(new) = sets.new
            && let Some(write) = renewed(new, deployment, &revision)
        {
            // Sizes come again with the change of this.
            writes = vec![write];
        }
        if sets.new.is_some() && read::annotation(deployment, REVISION) != revision {
            writes.push(annotated(deployment, &revision));
        }
        let (status, wake) = status(store, deployment, &sets, now);
        writes.extend(super::status(key, deployment, status));
        writes.extend(sets.forgotten(deployment));
        Reconciled { writes, wake }
    }
}

/// The replica sets of a deployment.
struct Sets<'a> {
    new: Option<&'a Value>,
    /// By revision, oldest first.
    old: Vec<&'a Value>,
}

impl<'a> Sets<'a> {
    fn of(mut owned: Vec<&'a Value>, deployment: &Value) -> Self {
        owned.sort_by_key(|set| (number(set), read::name(set)));
        let wanted = read::at(deployment, "/spec/template").map(plain);
        let new = owned.iter().position(|set| read::at(set, "/spec/template").map(plain) == wanted);
        let new = new.map(|index| owned.remove(index));
        Self { new, old: owned }
    }

    /// The sets that should have pods, oldest first.
    fn active(&self) -> impl Iterator<Item = &'a Value> {
        self.old.iter().copied().chain(self.new).filter(|set| size(set).wanted > 0)
    }

    /// Whether the deployment wants another number of replicas than when its sets got their sizes.
    fn are_scaled(&self, deployment: &Value) -> bool {
        let desired = Limits::of(deployment).desired.to_string();
        self.active()
            .map(|set| read::annotation(set, DESIRED))
            .any(|count| !count.is_empty() && count != desired)
    }

    /// Writes of the sizes that a scaling gives, apart from any rollout: all to the one set that has pods, or shared out.
    fn rescaled(&self, deployment: &Value) -> Vec<Write> {
        let limits = Limits::of(deployment);
        let active: Vec<&Value> = self.active().collect();
        let sizes = match (active.as_slice(), self.new) {
            ([], new) => {
                let latest = new.or(self.old.last().copied());
                return latest.and_then(|set| sized(set, limits.desired, limits)).into_iter().collect();
            }
            ([_], _) => vec![limits.desired],
            (_, Some(new)) if size(new) == (Size { wanted: limits.desired, available: limits.desired }) => {
                let keeps = |set: &&Value| if read::uid(set) == read::uid(new) { limits.desired } else { 0 };
                active.iter().map(keeps).collect()
            }
            _ if recreates(deployment) => active.iter().map(|set| size(set).wanted).collect(),
            _ => {
                let most = |set: &&Value| read::annotation(set, MOST).parse().ok();
                let replicas = read::number(deployment, "/status/replicas").unwrap_or(0);
                let share =
                    |set: &&Value| Share { wanted: size(set).wanted, of: most(set).unwrap_or(replicas) };
                in_proportion(limits, &active.iter().map(share).collect::<Vec<_>>())
            }
        };
        active.iter().zip(sizes).filter_map(|(set, wanted)| sized(set, wanted, limits)).collect()
    }

    /// The revision that the newest set must have.
    fn revision(&self) -> String {
        let newest_old = self.old.last().map(|set| number(set)).unwrap_or_default();
        let new = self.new.map(number).unwrap_or_default();
        if new > newest_old { new.to_string() } else { (newest_old + 1).to_string() }
    }

    /// Writes of the sets' next sizes.
    fn sizes(&self, store: &Store, deployment: &Value, new: &Value) -> Vec<Write> {
        let limits = Limits::of(deployment);
        let old: Vec<Size> = self.old.iter().map(|set| size(set)).collect();
        let (next, older) = if recreates(deployment) {
            let gone = self.old.iter().all(|set| !has_pods(store, set));
            (if gone { limits.desired } else { size(new).wanted }, vec![0; old.len()])
        } else {
            step(limits, size(new), &old)
        };
        let all = std::iter::once((new, next)).chain(self.old.iter().copied().zip(older));
        all.filter(|(set, wanted)| size(set).wanted != *wanted)
            .filter_map(|(set, wanted)| sized(set, wanted, limits))
            .collect()
    }

    /// Deletions of old, empty sets beyond the history limit.
    fn forgotten(&self, deployment: &Value) -> Vec<Write> {
        let limit = read::number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10).max(0);
        let surplus = self.old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        let empty =
            |set: &&&Value| size(set).wanted == 0 && read::number(set, "/status/replicas").unwrap_or(0) == 0;
        let key = |set: &&Value| Key::of(&Resource::replica_sets(), set);
        self.old.iter().filter(empty).take(surplus).map(|set| Write::Delete { key: key(set) }).collect()
    }
}

fn number(set: &Value) -> i64 {
    read::annotation(set, REVISION).parse().unwrap_or_default()
}

fn size(set: &Value) -> Size {
    Size {
        wanted: read::number(set, "/spec/replicas").unwrap_or(1),
        available: read::number(set, "/status/availableReplicas").unwrap_or(0),
    }
}

/// A template without the label that only replica sets have.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    template
}

fn has_pods(store: &Store, set: &Value) -> bool {
    let owned = Mark::Owner(read::uid(set).to_owned());
    marked(store, &owned, &Resource::pods(), Some(read::namespace(set)))
        .any(|pod| read::controlled_by(pod, set) && !read::ended(pod))
}

fn recreates(deployment: &Value) -> bool {
    read::text(deployment, "/spec/strategy/type") == "Recreate"
}

fn patience(owner: &Value) -> i64 {
    read::number(owner, "/spec/minReadySeconds").unwrap_or(0)
}

/// The write that gives a set its size, and notes for how many replicas that is; none where both are so already.
fn sized(set: &Value, wanted: i64, limits: Limits) -> Option<Write> {
    let mut object = set.clone();
    object["spec"]["replicas"] = json!(wanted);
    note(&mut object, limits);
    (object != *set).then(|| Write::Update { key: Key::of(&Resource::replica_sets(), set), object })
}

fn note(set: &mut Value, limits: Limits) {
    set["metadata"]["annotations"][DESIRED] = json!(limits.desired.to_string());
    set["metadata"]["annotations"][MOST] = json!((limits.desired + limits.surge).to_string());
}

/// The write that makes a set the newest revision, with what of its deployment may change without another; none where it is so already.
fn renewed(set: &Value, deployment: &Value, revision: &str) -> Option<Write> {
    let mut object = set.clone();
    annotate(&mut object, deployment);
    object["metadata"]["annotations"][REVISION] = json!(revision);
    if patience(set) != patience(deployment) {
        object["spec"]["minReadySeconds"] = json!(patience(deployment));
    }
    (object != *set).then(|| Write::Update { key: Key::of(&Resource::replica_sets(), set), object })
}

/// Gives a set its deployment's annotations, but for those that either has of its own.
fn annotate(set: &mut Value, deployment: &Value) {
    let own = |name: &str| name.starts_with("deployment.kubernetes.io/") || name == APPLIED;
    let all = read::at(deployment, "/metadata/annotations").and_then(Value::as_object);
    for (name, value) in all.into_iter().flatten().filter(|(name, _)| !own(name)) {
        set["metadata"]["annotations"][name] = value.clone();
    }
}

fn annotated(deployment: &Value, revision: &str) -> Write {
    let key = Key::of(&Resource::deployments(), deployment);
    let mut object = deployment.clone();
    object["metadata"]["annotations"][REVISION] = json!(revision);
    Write::Update { key, object }
}

/// The replica set of a new template, as large as the limits allow at once.
fn created(store: &Store, deployment: &Value, sets: &Sets<'_>) -> Write {
    let hash = template::revision(deployment);
    let limits = Limits::of(deployment);
    let old: Vec<Size> = sets.old.iter().map(|set| size(set)).collect();
    let waits = recreates(deployment) && sets.old.iter().any(|set| has_pods(store, set));
    let replicas = if waits { 0 } else { step(limits, Size { wanted: 0, available: 0 }, &old).0 };
    let mut template = read::at(deployment, "/spec/template").cloned().unwrap_or_default();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = read::at(deployment, "/spec/selector").cloned().unwrap_or_default();
    selector["matchLabels"][HASH] = json!(hash);
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", read::name(deployment)), "namespace": read::namespace(deployment),
            "labels": read::at(&template, "/metadata/labels"),
            "annotations": {REVISION: sets.revision()},
            "ownerReferences": template::owned_by(&Resource::deployments(), deployment),
        },
        "spec": {
            "replicas": replicas, "selector": selector, "template": template,
            "minReadySeconds": patience(deployment),
        },
    });
    annotate(&mut object, deployment);
    note(&mut object, limits);
    Write::Create { resource: Resource::replica_sets(), object }
}

/// The deployment's status, and when its progress deadline passes.
fn status(store: &Store, deployment: &Value, sets: &Sets<'_>, now: At) -> (Value, Option<At>) {
    let sum = |field: &str| {
        let of = |set: &&Value| read::number(set, &format!("/status/{field}")).unwrap_or(0);
        sets.new.iter().chain(&sets.old).map(of).sum::<i64>()
    };
    let of_new = |field: &str| sets.new.and_then(|set| read::number(set, field)).unwrap_or(0);
    let limits = Limits::of(deployment);
    let (replicas, available) = (sum("replicas"), sum("availableReplicas"));
    let updated = of_new("/status/replicas");
    let mut status = json!({
        "observedGeneration": read::number(deployment, "/metadata/generation").unwrap_or(0),
        "replicas": replicas, "updatedReplicas": updated, "readyReplicas": sum("readyReplicas"),
        "availableReplicas": available, "unavailableReplicas": (limits.desired.max(replicas) - available).max(0),
    });
    if let Some(counts) = status.as_object_mut() {
        counts.retain(|field, count| field == "observedGeneration" || *count != 0);
        counts.insert("terminatingReplicas".into(), sum("terminatingReplicas").into());
    }
    let complete = updated == limits.desired
        && replicas == limits.desired
        && available == limits.desired
        && sets.new.is_some();
    let enough = available >= limits.desired - limits.unavailable;
    let (holds, reason, message) = match enough {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    let mut conditions = read::list(deployment, "/status/conditions").to_vec();
    set_available(&mut conditions, holds, reason, message, &stamp(store, now));
    let wake = progress(store, deployment, sets, &status, complete, &mut conditions, now);
    set_failure(&mut conditions, sets);
    status["conditions"] = Value::Array(conditions);
    (status, wake)
}

/// Sets `ReplicaFailure` as the new set says it, or else one of the old ones.
fn set_failure(conditions: &mut Vec<Value>, sets: &Sets<'_>) {
    conditions.retain(|condition| read::text(condition, "/type") != FAILURE);
    let failed = sets.new.iter().chain(&sets.old).find_map(|set| read::condition(set, FAILURE));
    conditions.extend(failed.cloned().map(|mut failed| {
        failed["lastUpdateTime"] = failed["lastTransitionTime"].clone();
        failed
    }));
}

/// Sets `Available`, whose update time moves with its transition.
fn set_available(conditions: &mut Vec<Value>, status: &str, reason: &str, message: &str, now: &str) {
    let known = conditions.iter().find(|condition| read::text(condition, "/type") == "Available");
    let same = known.is_some_and(|condition| condition["status"] == status && condition["reason"] == reason);
    if !same {
        set_last(conditions, "Available", status, reason, message, now);
    }
}

/// Sets a condition that has changed: Kubernetes puts the latest one last.
fn set_last(conditions: &mut Vec<Value>, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    read::set_condition(conditions, kind, status, reason, message, now);
    let at = conditions.iter().position(|condition| read::text(condition, "/type") == kind);
    let mut condition = at.map(|at| conditions.remove(at)).unwrap_or_default();
    condition["lastUpdateTime"] = json!(now);
    conditions.push(condition);
}

/// Sets `Progressing`; the instant at which the deadline for the next progress passes.
fn progress(
    store: &Store,
    deployment: &Value,
    sets: &Sets<'_>,
    status: &Value,
    complete: bool,
    conditions: &mut Vec<Value>,
    now: At,
) -> Option<At> {
    let before = read::condition(deployment, "Progressing");
    let grew = |field: &str| {
        let pointer = format!("/status/{field}");
        let after = read::number(status, &format!("/{field}")).unwrap_or(0);
        after > read::number(deployment, &pointer).unwrap_or(0)
    };
    let old = |status: Option<&Value>| {
        let count = |field: &str| status.and_then(|status| read::number(status, field)).unwrap_or(0);
        count("/replicas") - count("/updatedReplicas")
    };
    let spec_changed = read::number(deployment, "/metadata/generation")
        != read::number(deployment, "/status/observedGeneration");
    let was_complete = before.is_some_and(|before| read::text(before, "/reason") == "NewReplicaSetAvailable");
    let exceeded = before.is_some_and(|before| read::text(before, "/reason") == "ProgressDeadlineExceeded");
    if read::flag(deployment, "/spec/paused") {
        let paused = before.is_some_and(|before| read::text(before, "/reason") == "DeploymentPaused");
        if !exceeded && !paused {
            let (reason, message) = ("DeploymentPaused", "Deployment is paused");
            set_last(conditions, "Progressing", "Unknown", reason, message, &stamp(store, now));
        }
        return None;
    }
    let moved = before.is_none()
        || (spec_changed && !complete)
        || ["updatedReplicas", "readyReplicas", "availableReplicas"].into_iter().any(grew)
        || old(Some(status)) < old(deployment.get("status"));
    let since = before.and_then(|before| instant(store, before, "/lastUpdateTime")).filter(|_| !moved);
    let seconds = read::number(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
    let deadline = since.unwrap_or(now).plus(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    let name = sets.new.map(read::name).unwrap_or_default();
    let (holds, reason, message) = match () {
        () if complete => {
            ("True", "NewReplicaSetAvailable", format!("ReplicaSet \"{name}\" has successfully progressed."))
        }
        // A pod that is lost after the rollout is no rollout.
        () if was_complete && !spec_changed && sets.old.iter().all(|set| size(set).wanted == 0) => {
            return None;
        }
        () if now >= deadline || (exceeded && !moved) => {
            ("False", "ProgressDeadlineExceeded", format!("ReplicaSet \"{name}\" has timed out progressing."))
        }
        () if sets.new.is_none() => ("True", "NewReplicaSetCreated", "Created new replica set.".to_owned()),
        () => ("True", "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing.")),
    };
    let unchanged = before.is_some_and(|before| {
        read::text(before, "/reason") == reason && read::text(before, "/message") == message && !moved
    });
    if !(unchanged || (complete && was_complete && !spec_changed)) {
        // Reaching the deadline is no progress, but Kubernetes counts it as an update too.
        set_last(conditions, "Progressing", holds, reason, &message, &stamp(store, now));
    }
    let waiting = !complete && holds == "True";
    waiting.then_some(deadline)
}

/// The deployment that a replica set belongs to.
pub fn owner_of<'a>(store: &'a Store, set: &Value) -> Option<&'a Value> {
    let reference =
        read::controller(set).filter(|reference| read::text(reference, "/kind") == "Deployment")?;
    one(store, &Resource::deployments(), Some(read::namespace(set)), read::name_field(reference))
}
