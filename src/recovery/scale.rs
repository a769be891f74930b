//! The recovery `scale`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::rollout;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: more-checkout
recover: {scale: {workload: deployment/checkout, namespace: shop, replicas: 6}}
"#;

/// Changes how many replicas a workload has.
///
/// Cannot: hold against an autoscaler or a GitOps controller that owns `spec.replicas`.
///
/// Effects: sets `spec.replicas`, unless it is so already.
///
/// Undo: puts the number back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The workload.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// How many it shall have.
    pub replicas: u32,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Scale {
    fn at(&self, scene: &Scene) -> Ref {
        self.workload.at(self.region.as_ref().unwrap_or(scene.region), &self.namespace)
    }
}

impl Recovery for Scale {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let at = self.at(scene);
        vec![Read::in_namespace(&at.region, at.resource, &self.namespace)]
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Ok(rollout::scale(scene, facts, self.at(scene), self.replicas)?.into_iter().collect())
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        match rollout::has_replicas(facts, &self.at(scene), self.replicas)? {
            Progress::Done => rollout::is_done(facts, &self.at(scene)),
            waiting @ Progress::Waiting(_) => Ok(waiting),
        }
    }
}
