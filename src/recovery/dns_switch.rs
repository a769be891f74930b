//! The recovery `dnsSwitch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Region;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: traffic-west
recover: {dnsSwitch: {record: checkout.shop.example}}
budget: 1m
"#;

/// Sends a name's traffic to a region.
///
/// Cannot: reach answers that resolvers have cached; they live until their TTL. Only records that a `DNSEndpoint` of ExternalDNS holds.
///
/// Effects: sets the record's targets, in the `DNSEndpoint` that holds it (looked for in every region), to the load balancer's
/// addresses of the region's Service with the annotation `drillmaster.dev/serves: RECORD`.
///
/// Undo: puts the targets back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsSwitch {
    /// The host name of the record.
    pub record: String,
    /// The region that takes the traffic; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for DnsSwitch {
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
