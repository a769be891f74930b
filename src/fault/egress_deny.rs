//! The fault `egressDeny`.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::Labels;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-the-payment-provider
fault:
  egressDeny:
    namespace: shop
    selector: {app: checkout}
    to: {host: api.payments.example}
proof: {probe: checkout, failsWithin: 30s}
"#;

/// Cuts pods off from a third party: they reach everything but its addresses.
///
/// Cannot: follow a host whose addresses change during the drill, since they are looked up once, when the step starts. Where
/// another policy allows the address, policies add up and the pods still reach it. Needs a network plugin that enforces policies.
///
/// Effects: creates a NetworkPolicy on the selected pods that allows all egress except to the addresses.
///
/// Undo: removes the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressDeny {
    /// Where the pods are.
    pub namespace: Name,
    /// Their labels.
    pub selector: Labels,
    /// Whom they lose.
    pub to: ThirdParty,
}

/// A third party, as the pods reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ThirdParty {
    /// At this address.
    Address(IpAddr),
    /// At every address of this host, as its name server gives them when the step starts.
    Host(String),
}

impl Fault for EgressDeny {
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
