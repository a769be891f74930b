//! The recovery `fence`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::canary::Canary;
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::plan::Authority;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: fence-east
recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}
"#;

/// Keeps a side of the canary workload from taking writes, also after a restart, until it is promoted.
///
/// Cannot: fence a side whose API server does not answer.
///
/// Effects: runs `drillmaster ledger fence` in the workload's first pod.
///
/// Undo: only where the point of no return is not passed. Where the side took the writes before, runs `drillmaster ledger promote`, unless
/// another side takes them, or may; else runs `drillmaster ledger resync`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fence {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Fence {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Canary { workload: &self.workload, namespace: &self.namespace, region }
    }
}

impl Recovery for Fence {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        Ok(vec![Act::Exec(canary.side().fence)])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let canary = self.canary(scene);
        canary.shows(facts, &canary.side().fence.status)
    }

    fn authority(&self, scene: &Scene) -> Option<Authority> {
        Some(self.canary(scene).authority(scene, Vec::new()))
    }

    fn fences(&self) -> bool {
        true
    }

    fn keeps_off(&self, scene: &Scene) -> Option<Ref> {
        Some(self.canary(scene).pod())
    }
}
