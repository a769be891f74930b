//! The fault `dataCorruption`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Fault;
use crate::model::canary::{Canary, status};
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: damage-records
fault: {dataCorruption: {workload: statefulset/ledger, namespace: shop, records: 20}}
proof: {objectsWithin: 30s}
"#;

/// Damages records of the canary workload where they are stored, as a bad disk or a bad job does.
///
/// Cannot: damage other workloads than drillmaster's own ledger. The damage replicates, as that of a bad job does.
///
/// Effects: runs `drillmaster ledger corrupt N` in the workload's first pod.
///
/// Undo: runs `drillmaster ledger restore`, which puts back what was damaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataCorruption {
    /// The canary: `statefulset/ledger`.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// How many records to damage, the newest first.
    pub records: NonZeroU32,
}

impl DataCorruption {
    fn canary<'a>(&'a self, scene: &Scene<'a>) -> Canary<'a> {
        Canary { workload: &self.workload, namespace: &self.namespace, region: scene.region }
    }
}

impl Fault for DataCorruption {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).reads()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let canary = self.canary(scene);
        canary.is_there(scene, facts)?;
        let words = ["corrupt", &self.records.to_string()];
        let shown = status("corrupt", json!(self.records));
        Ok(vec![Act::Exec(canary.exec(&words, shown, Some(&["restore"])))])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.canary(scene).watches()
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        self.canary(scene).shows(facts, &status("corrupt", json!(self.records)))
    }

    /// A damaged side takes writes all the same.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
