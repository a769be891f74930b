//! The recovery `rolloutUndo`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Recovery;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::rollout;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::controller;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-back
recover: {rolloutUndo: {deployment: checkout, namespace: shop}}
budget: 5m
"#;

/// Rolls a Deployment back to its previous revision, as `kubectl rollout undo` does.
///
/// Cannot: go back where no earlier ReplicaSet is kept (`revisionHistoryLimit: 0`), nor bring back a ConfigMap that changed under the same name.
///
/// Effects: sets the Deployment's template to that of the ReplicaSet with the next lower revision.
///
/// Undo: puts the template back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutUndo {
    /// The Deployment.
    pub deployment: Name,
    /// Its namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// On a ReplicaSet and its Deployment: the number of the rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The Deployment controller's own label on templates, which is no part of what was rolled out.
const HASH_LABEL: &str = "pod-template-hash";
/// Marks a Deployment that this step has rolled back: asked again, it would else roll forward to the bad template.
const ROLLED_BACK: &str = "drillmaster.dev/rolled-back";

impl RolloutUndo {
    fn at(&self, scene: &Scene) -> Ref {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Ref::new(region, Resource::deployments(), Some(self.namespace.as_str()), self.deployment.as_str())
    }

    /// The template of the revision before the present one.
    fn previous(&self, facts: &Facts, at: &Ref, deployment: &Value) -> Result<Value, Refusal> {
        let sets = facts.objects(&at.region, &Resource::replica_sets(), Some(&self.namespace))?;
        let ours =
            |set: &&Value| controller(set).is_some_and(|owner| owner["uid"] == deployment["metadata"]["uid"]);
        let present = revision(deployment);
        let older = sets.values().filter(ours).filter(|set| revision(set) < present);
        let Some(previous) = older.max_by_key(|set| revision(set)).filter(|set| revision(set).is_some())
        else {
            return Err(Refusal::NoTarget(format!("{at} keeps no ReplicaSet of an earlier revision")));
        };
        let mut template = previous["spec"]["template"].clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
        Ok(template)
    }
}

fn revision(object: &Value) -> Option<u64> {
    object["metadata"]["annotations"][REVISION].as_str()?.parse().ok()
}

/// The merge patch (RFC 7386) that makes `to` of `from`; `None` where they are equal.
pub(super) fn merge_between(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let mut merge: Map<String, Value> = from
        .keys()
        .filter(|field| !to.contains_key(*field))
        .map(|field| (field.clone(), Value::Null))
        .collect();
    for (field, value) in to {
        let change = match from.get(field) {
            Some(old) => merge_between(old, value),
            None => Some(value.clone()),
        };
        merge.extend(change.map(|change| (field.clone(), change)));
    }
    Some(Value::Object(merge))
}

impl Recovery for RolloutUndo {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let region = self.at(scene).region;
        [Resource::deployments(), Resource::replica_sets()]
            .map(|resource| Read::in_namespace(&region, resource, &self.namespace))
            .to_vec()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let at = self.at(scene);
        let deployment = rollout::workload(scene, facts, &at)?;
        let mark = format!("{}/{}", scene.run, scene.step);
        if deployment["metadata"]["annotations"][ROLLED_BACK] == *mark {
            return Ok(Vec::new());
        }
        let template = self.previous(facts, &at, deployment)?;
        let Some(change) = merge_between(&deployment["spec"]["template"], &template) else {
            return Ok(Vec::new());
        };
        let merge = json!({"metadata": {"annotations": {ROLLED_BACK: mark}}, "spec": {"template": change}});
        Ok(vec![Act::Patch { at, merge }])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        rollout::is_done(facts, &self.at(scene))
    }
}
