//! The fault `dnsFailure`.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::dns;
use crate::model::effect::{Act, Ref};
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
/// Effects: sets the record's targets to 192.0.2.1 (RFC 5737: nobody has it) in the `DNSEndpoint` that holds it, in whichever region of the
/// environment that is, also in one that the drill does not name.
///
/// Undo: puts the targets back; caches follow after the TTL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsFailure {
    /// The host name of the record.
    pub record: String,
}

/// TEST-NET-1 (RFC 5737): no host has it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Fault for DnsFailure {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        [dns::reads(scene), dns::watches(&self.record)].concat()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let record = dns::find(&self.record, scene, facts)?;
        match record.point_to(&[NOBODY]) {
            Some(act) => Ok(vec![act]),
            None => Err(Refusal::NoTarget(format!("{} points to {NOBODY} already", self.record))),
        }
    }

    fn in_effect(&self, _scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        dns::answers(&self.record, &[NOBODY], facts)
    }

    /// Whoever has the address still writes.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
