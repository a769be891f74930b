//! The recovery `resync`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: resync-east
recover: {resync: {region: east, workload: statefulset/ledger, namespace: shop}}
"#;

/// Makes a side follow the other again, from what both have in common; what only this side has is kept aside.
///
/// Cannot: merge: writes that only this side has do not come back to the service.
///
/// Effects: runs `drillmaster ledger resync` in the workload's first pod, unless it is in step already.
///
/// Undo: none; the service does not depend on this side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resync {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for Resync {
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
