//! The fault `badRollout`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Fault;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-out-a-missing-image
fault: {badRollout: {deployment: checkout, namespace: shop}}
proof: {objectsWithin: 2m}
"#;

/// Rolls out a version whose image nobody can pull.
///
/// Cannot: take down what the rollout strategy keeps: with `maxUnavailable: 0` the old pods go on serving; kill them too (`podKill`), or let the strategy allow it.
///
/// Effects: sets the image of the Deployment's first container to one in a registry that does not exist.
///
/// Undo: puts the image back, which rolls the Deployment out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BadRollout {
    /// The Deployment.
    pub deployment: Name,
    /// The Deployment's namespace.
    pub namespace: Name,
}

/// A registry that cannot exist (RFC 6761).
const IMAGE: &str = "registry.invalid/drillmaster/missing:1";

/// Whether one of a pod's containers waits for the image.
fn waits_for_image(pod: &Value) -> bool {
    let waits = |status: &Value| {
        let reason = status["state"]["waiting"]["reason"].as_str();
        status["image"] == IMAGE && matches!(reason, Some("ErrImagePull" | "ImagePullBackOff"))
    };
    pod["status"]["containerStatuses"].as_array().is_some_and(|all| all.iter().any(waits))
}

impl Fault for BadRollout {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        [Resource::deployments(), Resource::pods()]
            .map(|resource| Read::in_namespace(scene.region, resource, &self.namespace))
            .to_vec()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        scene.may_touch(&self.namespace)?;
        let namespace = Some(self.namespace.as_str());
        let at = Ref::new(scene.region, Resource::deployments(), namespace, self.deployment.as_str());
        let found = facts.object(scene.region, &at.resource, Some(&self.namespace), &at.name)?;
        let deployment = found.ok_or_else(|| Refusal::NoTarget(format!("{at} does not exist")))?;
        let mut containers = deployment["spec"]["template"]["spec"]["containers"].clone();
        match containers.pointer_mut("/0/image") {
            Some(image) if image != IMAGE => *image = json!(IMAGE),
            Some(_) => return Err(Refusal::NoTarget(format!("{at} has the missing image already"))),
            None => return Err(Refusal::NoTarget(format!("{at} has no container with an image"))),
        }
        let merge = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        Ok(vec![Act::Patch { at, merge }])
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let pods = facts.objects(scene.region, &Resource::pods(), Some(&self.namespace))?;
        if pods.values().any(waits_for_image) {
            return Ok(Progress::Done);
        }
        Ok(Progress::Waiting(format!("no pod of {} waits for the image yet", self.deployment)))
    }

    /// The old pods may go on serving.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
