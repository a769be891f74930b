//! The recovery `rolloutUndo`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-back
recover: {rolloutUndo: {deployment: checkout, namespace: shop}}
budget: 5m
"#;

/// Rolls a Deployment back to its previous revision, as `kubectl rollout undo` does.
///
/// Cannot: go back where no earlier ReplicaSet is kept (`revisionHistoryLimit: 0`), nor bring back a ConfigMap that changed under the same name.
///
/// Effects: sets the Deployment's template to that of the ReplicaSet with the next lower revision.
///
/// Undo: puts the template back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutUndo {
    pub deployment: Name,
    pub namespace: Name,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for RolloutUndo {
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
