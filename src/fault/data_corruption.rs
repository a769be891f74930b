//! The fault `dataCorruption`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: damage-records
fault: {dataCorruption: {workload: statefulset/ledger, namespace: shop, records: 20}}
"#;

/// Damages records of the canary workload where they are stored, as a bad disk or a bad job does.
///
/// Cannot: damage other workloads than drillmaster's own ledger. The replica receives no damage: it is done to the records of one side.
///
/// Effects: runs `drillmaster ledger corrupt --records N` in the workload's first pod.
///
/// Undo: runs `drillmaster ledger restore`, which puts back what was damaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataCorruption {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    pub namespace: Name,
    /// How many records to damage, the newest first.
    pub records: u32,
}

impl Fault for DataCorruption {
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
