//! The fault `scale`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: take-checkout-away
fault: {scale: {workload: deployment/checkout, namespace: shop, replicas: 0}}
proof: {probe: checkout, failsWithin: 1m}
"#;

/// Changes how many replicas a workload has; 0 takes it away.
///
/// Cannot: hold against an autoscaler or a GitOps controller that owns `spec.replicas`.
///
/// Effects: sets `spec.replicas`.
///
/// Undo: puts the number back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The workload.
    pub workload: Workload,
    pub namespace: Name,
    pub replicas: u32,
}

impl Fault for Scale {
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
