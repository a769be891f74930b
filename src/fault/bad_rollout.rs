//! The fault `badRollout`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-out-a-missing-image
fault: {badRollout: {deployment: checkout, namespace: shop}}
"#;

/// Rolls out a version whose image nobody can pull.
///
/// Cannot: take down what the rollout strategy keeps: with `maxUnavailable: 0` the old pods go on serving; kill them too (`podKill`), or let the strategy allow it.
///
/// Effects: sets the image of the Deployment's first container to one in a registry that does not exist.
///
/// Undo: puts the image back, which rolls the Deployment out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BadRollout {
    /// The Deployment.
    pub deployment: Name,
    pub namespace: Name,
}

impl Fault for BadRollout {
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
