//! The fault `configCorruption`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Fault;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::rollout;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-out-a-bad-upstream
fault:
  configCorruption:
    namespace: shop
    configMap: checkout
    key: UPSTREAM
    value: "http:/typo"
    restart: checkout
proof: {probe: checkout, failsWithin: 2m}
"#;

/// Rolls out a bad configuration: changes one key of a ConfigMap, and restarts who reads it.
///
/// Cannot: change what a running container has read already; name the Deployment to restart. A ConfigMap that is immutable is refused.
///
/// Effects: sets the key; then sets the annotation `drillmaster.dev/restarted` on its template,
/// which restarts the pods.
///
/// Undo: puts the key and the annotation back, which rolls the Deployment out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigCorruption {
    /// The ConfigMap's namespace.
    pub namespace: Name,
    /// The ConfigMap to corrupt.
    pub config_map: Name,
    /// The key within it.
    pub key: Name,
    /// The bad value.
    pub value: String,
    /// The Deployment to restart so that its pods read the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Name>,
}

impl ConfigCorruption {
    fn deployment(&self, scene: &Scene, name: &Name) -> Ref {
        Ref::new(scene.region, Resource::deployments(), Some(self.namespace.as_str()), name.as_str())
    }
}

impl Fault for ConfigCorruption {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let read = |resource| Read::in_namespace(scene.region, resource, &self.namespace);
        let mut reads = vec![read(Resource::config_maps())];
        reads.extend(self.restart.as_ref().map(|_| read(Resource::deployments())));
        reads
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        scene.may_touch(&self.namespace)?;
        let namespace = Some(self.namespace.as_str());
        let at = Ref::new(scene.region, Resource::config_maps(), namespace, self.config_map.as_str());
        let found = facts.object(scene.region, &at.resource, Some(&self.namespace), &at.name)?;
        let map = found.ok_or_else(|| Refusal::NoTarget(format!("{at} does not exist")))?;
        if map["immutable"] == true {
            return Err(Refusal::NoTarget(format!("{at} is immutable")));
        }
        match map["data"][self.key.as_str()].as_str() {
            Some(value) if value == self.value => {
                return Err(Refusal::NoTarget(format!("{at} holds this value in {} already", self.key)));
            }
            Some(_) => {}
            None => return Err(Refusal::NoTarget(format!("{at} has no key {}", self.key))),
        }
        let mut acts = vec![Act::Patch { at, merge: json!({"data": {self.key.as_str(): self.value}}) }];
        if let Some(name) = &self.restart {
            acts.extend(rollout::restart(
                scene,
                facts,
                self.deployment(scene, name),
                rollout::RESTARTED_BY_FAULT,
            )?);
        }
        Ok(acts)
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let resource = Resource::config_maps();
        let map = facts.object(scene.region, &resource, Some(&self.namespace), &self.config_map)?;
        if map.is_none_or(|map| map["data"][self.key.as_str()] != *self.value) {
            return Ok(Progress::Waiting(format!(
                "the ConfigMap {} does not hold the value",
                self.config_map
            )));
        }
        match &self.restart {
            Some(name) => rollout::has_begun(facts, &self.deployment(scene, name)),
            None => Ok(Progress::Done),
        }
    }

    /// What a value breaks, nobody knows beforehand.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
