//! The recovery `demote`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Recovery;
use crate::model::canary::{Canary, status};
use crate::model::effect::{Act, Ref, Status};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::plan::Authority;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: west-steps-down
recover: {demote: {workload: statefulset/ledger, namespace: shop}}
"#;

/// Takes write authority from a side in order: no write is lost.
///
/// Cannot: work while the other side does not follow; it waits for it.
///
/// Effects: runs `drillmaster ledger demote` in the workload's first pod.
///
/// Undo: runs `drillmaster ledger promote`; only where the point of no return is not passed, and no other side takes the writes, or may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Demote {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Demote {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Canary { workload: &self.workload, namespace: &self.namespace, region }
    }
}

fn demoted() -> Status {
    status("role", json!("replica"))
}

impl Recovery for Demote {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        Ok(vec![Act::Exec(canary.exec(&["demote"], demoted(), Some(&["promote"])))])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        self.canary(scene).shows(facts, &demoted())
    }

    fn authority(&self, scene: &Scene) -> Option<Authority> {
        Some(self.canary(scene).authority(scene, Vec::new()))
    }

    fn keeps_off(&self, scene: &Scene) -> Option<Ref> {
        Some(self.canary(scene).pod())
    }
}
