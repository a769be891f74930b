//! Which `DNSEndpoint` of ExternalDNS holds a name's record, and what changes its targets.
//!
//! Only address records (A, AAAA). A record is looked for in every region of the world, since it should live out of the blast radius, if
//! need be in a region that the drill does not name; one that cannot be read does not matter once the record is found elsewhere.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::effect::{Act, Ref, Resource};
use super::facts::{Facts, Read, Unread};
use super::scene::{Progress, Refusal, Scene};
use super::time::Duration;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    pub at: Ref,
    endpoints: &'a [Value],
    place: usize,
}

/// What `find` must see.
pub fn reads(scene: &Scene) -> Vec<Read> {
    scene.regions.iter().flat_map(|region| scene.in_limits(region, &Resource::dns_endpoints())).collect()
}

/// The `DNSEndpoint` that holds a host's record.
///
/// # Errors
/// Where none or more than one does, or a region that might could not be read.
pub fn find<'a>(host: &str, scene: &Scene, facts: &'a Facts) -> Result<Record<'a>, Refusal> {
    let resource = Resource::dns_endpoints();
    let mut found = Vec::new();
    let mut unread = None;
    for (region, namespace) in scene.regions.iter().flat_map(|r| scene.namespaces.iter().map(move |n| (r, n)))
    {
        match facts.objects(region, &resource, Some(namespace)) {
            Ok(objects) => found.extend(objects.iter().filter_map(|((_, name), object)| {
                let endpoints = object["spec"]["endpoints"].as_array()?;
                let place = endpoints.iter().position(|endpoint| holds(endpoint, host))?;
                let at = Ref::new(region, resource.clone(), Some(namespace.as_str()), name.as_str());
                Some(Record { at, endpoints, place })
            })),
            Err(why) => unread = unread.or(Some(why)),
        }
    }
    match (found.pop(), found.pop(), unread) {
        (Some(record), None, _) => Ok(record),
        (Some(second), Some(first), _) => Err(Refusal::NoTarget(format!(
            "both {} and {} hold the record of {host}: leave it in one of them",
            first.at, second.at
        ))),
        (None, _, Some(why)) => Err(why.into()),
        (None, _, None) => Err(Refusal::NoTarget(format!(
            "no DNSEndpoint in the namespaces of the drill holds an address record of {host}"
        ))),
    }
}

/// What a provider sets where the record states no TTL, or 0 (ExternalDNS leaves it to the provider; most take 300 s).
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// An address record of a `DNSEndpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRecord {
    pub host: String,
    pub targets: Vec<IpAddr>,
    /// How long a resolver may keep an answer (RFC 1035, section 3.2.1).
    pub ttl: Duration,
}

/// The address records that a `DNSEndpoint` holds.
pub fn address_records(object: &Value) -> Vec<AddressRecord> {
    let endpoints = object["spec"]["endpoints"].as_array().into_iter().flatten();
    let record = |endpoint: &Value| AddressRecord {
        host: endpoint["dnsName"].as_str().unwrap_or_default().to_owned(),
        targets: {
            let targets = endpoint["targets"].as_array().into_iter().flatten();
            targets.filter_map(|target| target.as_str()?.parse().ok()).collect()
        },
        ttl: match endpoint["recordTTL"].as_u64() {
            None | Some(0) => DEFAULT_TTL,
            Some(seconds) => Duration::from_secs(seconds),
        },
    };
    endpoints.filter(|endpoint| is_address(endpoint)).map(record).collect()
}

fn is_address(endpoint: &Value) -> bool {
    matches!(endpoint["recordType"].as_str(), Some("A" | "AAAA"))
}

fn holds(endpoint: &Value, host: &str) -> bool {
    let name = endpoint["dnsName"].as_str().unwrap_or_default();
    is_address(endpoint) && name.trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'))
}

impl Record<'_> {
    /// What sets its targets; nothing where they are so already.
    pub fn point_to(&self, addresses: &[IpAddr]) -> Option<Act> {
        let targets: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        if self.endpoints[self.place]["targets"] == json!(targets) {
            return None;
        }
        let mut endpoints = self.endpoints.to_vec();
        endpoints[self.place]["targets"] = json!(targets);
        let merge = json!({"spec": {"endpoints": endpoints}});
        Some(Act::Patch { at: self.at.clone(), merge })
    }
}

/// What `answers` must see.
pub fn watches(host: &str) -> Vec<Read> {
    vec![Read::Addresses { host: host.to_owned() }]
}

/// Whether the authoritative name server answers exactly these addresses.
///
/// # Errors
/// Where it could not be asked.
pub fn answers(host: &str, wanted: &[IpAddr], facts: &Facts) -> Result<Progress, Unread> {
    let sorted = |addresses: &[IpAddr]| {
        let mut all = addresses.to_vec();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (is, wanted) = (sorted(facts.addresses(host)?), sorted(wanted));
    if is == wanted {
        return Ok(Progress::Done);
    }
    Ok(Progress::Waiting(format!("{host} resolves to {is:?} and not to {wanted:?}")))
}
