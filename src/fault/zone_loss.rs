//! The fault `zoneLoss`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-zone-a
fault: {zoneLoss: {zone: east-a}}
"#;

/// Takes a zone's nodes away: everything that runs there is evicted at once and nothing is scheduled there.
///
/// Cannot: stop the nodes. Their kubelets live and keep reporting Ready, so nothing waits for the five minutes of a lost
/// heartbeat, and pods end with their grace period; pods that tolerate every taint (DaemonSets) stay. A pod on the host network stays reachable until it ends.
///
/// Effects: adds the taint `drillmaster.dev/zone-loss` with effect NoExecute to every node labelled
/// `topology.kubernetes.io/zone: ZONE`, and cordons it.
///
/// Undo: removes the taint and uncordons the nodes; pods do not move back by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZoneLoss {
    /// The zone, as the nodes' label `topology.kubernetes.io/zone` says.
    pub zone: Name,
}

impl Fault for ZoneLoss {
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
