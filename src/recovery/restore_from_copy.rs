//! The recovery `restoreFromCopy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Recovery;
use crate::model::canary::{Canary, status};
use crate::model::effect::{Act, Status};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: restore-records
recover: {restoreFromCopy: {workload: statefulset/ledger, namespace: shop}}
budget: 10m
"#;

/// Restores the canary workload's records from its newest intact copy.
///
/// Cannot: bring back writes that came after the copy; they are the data loss of this recovery. Without copies (`LEDGER_SNAPSHOT_EVERY`)
/// there is nothing to restore. The replica must be told to `resync`.
///
/// Effects: runs `drillmaster ledger snapshot-restore` in the workload's first pod.
///
/// Undo: none, it is irreversible: the scenario must allow it (`allowIrreversible`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreFromCopy {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl RestoreFromCopy {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Canary { workload: &self.workload, namespace: &self.namespace, region }
    }
}

fn undamaged() -> Status {
    status("corrupt", json!(0))
}

impl Recovery for RestoreFromCopy {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        Ok(vec![Act::Exec(canary.exec(&["snapshot-restore"], undamaged(), None))])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn irreversible(&self) -> bool {
        true
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        self.canary(scene).shows(facts, &undamaged())
    }
}
