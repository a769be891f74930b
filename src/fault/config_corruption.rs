//! The fault `configCorruption`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: roll-out-a-bad-upstream
fault:
  configCorruption:
    namespace: shop
    configMap: checkout
    key: UPSTREAM
    value: "http:/typo"
    restart: checkout
proof: {probe: checkout, failsWithin: 2m}
"#;

/// Rolls out a bad configuration: changes one key of a ConfigMap, and restarts who reads it.
///
/// Cannot: change what a running container has read already; name the Deployment to restart. A ConfigMap that is immutable is refused.
///
/// Effects: sets the key; then sets the annotation `kubectl.kubernetes.io/restartedAt` on the Deployment's template, as `kubectl rollout restart` does.
///
/// Undo: puts the key and the annotation back, which rolls the Deployment out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigCorruption {
    pub namespace: Name,
    /// The ConfigMap to corrupt.
    pub config_map: Name,
    /// The key within it.
    pub key: Name,
    /// The bad value.
    pub value: String,
    /// The Deployment to restart so that its pods read the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Name>,
}

impl Fault for ConfigCorruption {
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
