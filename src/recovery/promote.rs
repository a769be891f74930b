//! The recovery `promote`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
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
/// Effects: runs `drillmaster ledger promote` in the workload's first pod, unless it is primary already. The point of no return.
///
/// Undo: runs `drillmaster ledger demote`; only where the point of no return is not passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promote {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for Promote {
    fn reads(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn acts(&self, _scene: &Scene, _facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Err(Refusal::NoTarget("not planned yet".to_owned()))
    }

    fn watches(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn settled(&self, _scene: &Scene, _facts: &Facts) -> Result<Progress, Unread> {
        Ok(Progress::Waiting("not planned yet".to_owned()))
    }
}
