//! The fault `dnsFailure`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-the-record
fault: {dnsFailure: {record: checkout.shop.example}}
proof: {probe: checkout, failsWithin: 2m}
"#;

/// Makes a name resolve to an address where nobody answers, as a wrong or lost record does.
///
/// Cannot: reach answers that resolvers have cached; they live until their TTL. Only records that a `DNSEndpoint` of ExternalDNS holds.
///
/// Effects: sets the record's targets to 192.0.2.1 (RFC 5737: nobody has it) in the `DNSEndpoint` that holds it, in whichever region that is.
///
/// Undo: puts the targets back; caches follow after the TTL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsFailure {
    /// The host name of the record.
    pub record: String,
}

impl Fault for DnsFailure {
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
