//! The fault `drain`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Nodes;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: drain-a-node
fault: {drain: {nodes: {named: [east-a-1]}}}
"#;

/// Drains nodes as maintenance does: cordons them and evicts their pods.
///
/// Cannot: move pods of DaemonSets, mirror pods and pods that have ended; they stay. Where a disruption budget forbids an
/// eviction, it is tried again until the step's timeout.
///
/// Effects: sets `spec.unschedulable` on each node, then evicts each of its pods in the drill's namespaces.
///
/// Undo: uncordons the nodes; the evicted pods were made again by their controllers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// The nodes to drain.
    pub nodes: Nodes,
}

impl Fault for Drain {
    fn reads(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn acts(&self, _scene: &Scene, _facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Err(Refusal::NoTarget("not planned yet".to_owned()))
    }

    fn in_effect(&self, _scene: &Scene, _facts: &Facts) -> Result<Progress, Unread> {
        Ok(Progress::Waiting("not planned yet".to_owned()))
    }
}
