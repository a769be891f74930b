//! The recovery `promote`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Recovery;
use crate::model::canary::{Canary, status};
use crate::model::effect::{Act, Status};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::plan::{Authority, Move};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: promote-west
recover: {promote: {workload: statefulset/ledger, namespace: shop}}
budget: 2m
"#;

/// Gives a side of the canary workload write authority, and lifts its fence.
///
/// Cannot: keep the other side from writing; `fence` does, or its loss. Writes that the other side took and did not ship are lost.
///
/// Effects: runs `drillmaster ledger promote` in the workload's first pod. The point of no return.
///
/// Undo: runs `drillmaster ledger demote`; only where the point of no return is not passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promote {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Promote {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Canary { workload: &self.workload, namespace: &self.namespace, region }
    }
}

fn promoted() -> Status {
    status("role", json!("primary"))
}

impl Recovery for Promote {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        Ok(vec![Act::Exec(canary.exec(&["promote"], promoted(), Some(&["demote"])))])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        self.canary(scene).shows(facts, &promoted())
    }

    fn authority(&self, scene: &Scene) -> Option<Authority> {
        let canary = self.canary(scene);
        let moves = vec![Move { step: scene.step.clone(), to: canary.region.clone() }];
        Some(canary.authority(scene, moves))
    }
}
