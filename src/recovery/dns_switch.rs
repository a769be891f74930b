//! The recovery `dnsSwitch`.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Leads, Recovery};
use crate::model::dns;
use crate::model::effect::{Act, Resource};
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
/// Effects: sets the record's targets, in the `DNSEndpoint` that holds it (looked for in every region of the environment, also in those that the drill does not name), to the load balancer's
/// addresses of the region's Service with the annotation `drillmaster.dev/serves: RECORD`.
///
/// Undo: puts the targets back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsSwitch {
    /// The host name of the record.
    #[schemars(length(max = 253), extend("pattern" = "^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?[.]?$"))]
    pub record: String,
    /// The region that takes the traffic; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// The annotation by which a Service says whose traffic it can take.
const SERVES: &str = "drillmaster.dev/serves";

impl DnsSwitch {
    fn region<'a>(&'a self, scene: &Scene<'a>) -> &'a Region {
        self.region.as_ref().unwrap_or(scene.region)
    }

    fn services(&self, scene: &Scene) -> Vec<Read> {
        scene.in_limits(self.region(scene), &Resource::services())
    }

    /// The load balancer's addresses of the Services that serve the record.
    fn addresses(&self, scene: &Scene, facts: &Facts) -> Result<Vec<IpAddr>, Unread> {
        let mut found = Vec::new();
        for namespace in scene.namespaces {
            for service in facts.objects(self.region(scene), &Resource::services(), Some(namespace))?.values()
            {
                if service["metadata"]["annotations"][SERVES] != *self.record {
                    continue;
                }
                let points = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
                found.extend(points.filter_map(|point| point["ip"].as_str()?.parse::<IpAddr>().ok()));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Recovery for DnsSwitch {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        [dns::reads(scene), self.services(scene)].concat()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let addresses = self.addresses(scene, facts)?;
        if addresses.is_empty() {
            return Err(Refusal::NoTarget(format!(
                "{} has no Service with an address and the annotation `{SERVES}: {}`",
                self.region(scene),
                self.record
            )));
        }
        Ok(dns::find(&self.record, scene, facts)?.point_to(&addresses).into_iter().collect())
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        [self.services(scene), dns::watches(&self.record)].concat()
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        dns::answers(&self.record, &self.addresses(scene, facts)?, facts)
    }

    fn leads(&self) -> Leads<'_> {
        Leads::Host(&self.record)
    }
}
