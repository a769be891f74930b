//! The recovery `restart`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: restart-checkout
recover: {restart: {workload: deployment/checkout, namespace: shop}}
"#;

/// Restarts a workload's pods one after another, as `kubectl rollout restart` does.
///
/// Cannot: restart a workload whose update strategy is OnDelete.
///
/// Effects: sets the annotation `kubectl.kubernetes.io/restartedAt` on the template.
///
/// Undo: puts the annotation back, which restarts the pods once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    pub workload: Workload,
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for Restart {
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
