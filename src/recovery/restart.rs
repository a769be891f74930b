//! The recovery `restart`.

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
pub const EXAMPLE: &str = r#"id: restart-checkout
recover: {restart: {workload: deployment/checkout, namespace: shop}}
"#;

/// Restarts a workload's pods one after another, as `kubectl rollout restart` does.
///
/// Cannot: restart a workload whose update strategy is OnDelete.
///
/// Effects: sets the annotation `kubectl.kubernetes.io/restartedAt` on the template.
///
/// Undo: puts the annotation back, which restarts the pods once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// The workload.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Restart {
    fn at(&self, scene: &Scene) -> Ref {
        self.workload.at(self.region.as_ref().unwrap_or(scene.region), &self.namespace)
    }
}

impl Recovery for Restart {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let at = self.at(scene);
        vec![Read::in_namespace(&at.region, at.resource, &self.namespace)]
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Ok(rollout::restart(scene, facts, self.at(scene), rollout::RESTARTED)?.into_iter().collect())
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        rollout::is_done(facts, &self.at(scene))
    }
}
