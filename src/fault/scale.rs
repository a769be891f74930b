//! The fault `scale`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::{Act, Ref};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::rollout;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Workload;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: take-checkout-away
fault: {scale: {workload: deployment/checkout, namespace: shop, replicas: 0}}
proof: {probe: checkout, failsWithin: 1m}
"#;

/// Changes how many replicas a workload has; 0 takes it away.
///
/// Cannot: hold against an autoscaler or a GitOps controller that owns `spec.replicas`. A database without pods cannot be fenced: once it
/// is promoted elsewhere it stays away; `isolate` has a way back.
///
/// Effects: sets `spec.replicas`.
///
/// Undo: puts the number back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The workload.
    pub workload: Workload,
    /// The workload's namespace.
    pub namespace: Name,
    /// How many it shall have; 0 takes it away.
    pub replicas: u32,
}

impl Fault for Scale {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        vec![Read::in_namespace(scene.region, self.workload.resource(), &self.namespace)]
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let at = self.workload.at(scene.region, &self.namespace);
        match rollout::scale(scene, facts, at, self.replicas)? {
            Some(act) => Ok(vec![act]),
            None => {
                Err(Refusal::NoTarget(format!("{} has {} replicas already", self.workload, self.replicas)))
            }
        }
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        rollout::has_replicas(facts, &self.workload.at(scene.region, &self.namespace), self.replicas)
    }

    fn cuts_off(&self, pod: &Ref) -> bool {
        self.replicas == 0 && self.workload.first_pod(&pod.region, &self.namespace) == *pod
    }

    fn takes_away(&self, pod: &Ref) -> bool {
        self.cuts_off(pod)
    }
}
