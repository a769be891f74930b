//! The recovery `uncordon`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Region;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Nodes;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: nodes-back
recover: {uncordon: {nodes: {labelled: {topology.kubernetes.io/zone: east-a}}}}
"#;

/// Lets pods be scheduled on nodes again.
///
/// Cannot: move pods back; what runs elsewhere stays there. A taint other than the cordon's stays.
///
/// Effects: sets `spec.unschedulable` to false on each of the nodes that is cordoned.
///
/// Undo: cordons them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uncordon {
    pub nodes: Nodes,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for Uncordon {
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
