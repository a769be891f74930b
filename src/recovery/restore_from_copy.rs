//! The recovery `restoreFromCopy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: restore-records
recover: {restoreFromCopy: {workload: statefulset/ledger, namespace: shop}}
budget: 10m
"#;

/// Restores the canary workload's records from the copy that the other side holds.
///
/// Cannot: bring back writes that the copy has not received; they are the data loss of this recovery.
///
/// Effects: runs `drillmaster ledger snapshot-restore` in the workload's first pod.
///
/// Undo: none; restoring again gives the same records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreFromCopy {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for RestoreFromCopy {
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
