//! The fault `isolate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-east
fault: {isolate: {namespaces: [shop]}}
proof: {probe: east-direct, failsWithin: 20s, until: restored}
"#;

/// Cuts the pods of whole namespaces off the network, as the loss of a region looks to everybody outside it.
///
/// Cannot: reach pods on the host network, nor the nodes themselves; needs a network plugin that enforces policies. Connections
/// that are open already may live on, as the plugin decides. The API server stays reachable.
///
/// Effects: creates one NetworkPolicy in each namespace that selects every pod and allows nothing in or out.
///
/// Undo: removes the policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Isolate {
    /// The namespaces to cut off; all within the drill's limits.
    pub namespaces: Vec<Name>,
}

impl Fault for Isolate {
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
