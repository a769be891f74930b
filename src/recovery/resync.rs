//! The recovery `resync`.

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
pub const EXAMPLE: &str = r#"id: resync-east
recover: {resync: {region: east, workload: statefulset/ledger, namespace: shop}}
"#;

/// Makes a side follow the other again, from what both have in common; what only this side has is kept aside.
///
/// Cannot: merge: writes that only this side has do not come back to the service.
///
/// Effects: runs `drillmaster ledger resync` in the workload's first pod.
///
/// Undo: none; the service does not depend on this side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resync {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Resync {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        let region = self.region.as_ref().unwrap_or(scene.region);
        Canary { workload: &self.workload, namespace: &self.namespace, region }
    }
}

fn in_step() -> Status {
    status("synced", json!(true))
}

impl Recovery for Resync {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        Ok(vec![Act::Exec(canary.exec(&["resync"], in_step(), None))])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        self.canary(scene).shows(facts, &in_step())
    }
}
