//! The global DNS, as ExternalDNS fills it from every region's objects; and a resolver's cache. Pure.
//!
//! Sources: `DNSEndpoint` objects, and the hostname annotation of Services of type LoadBalancer and of Ingresses, whose rules are not read
//! (`--ignore-ingress-rules-spec`): a name that a failover moves is one object's alone. Where two regions claim one
//! name, the first region of the spec owns it, as ExternalDNS' registry keeps an owner. Left out: negative caching, other
//! record types than A and CNAME, weights and health checks of DNS providers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::index::{Key, key_of};
use crate::model::time::{At, Duration};
use crate::sandbox::control::read;

/// What a provider sets where nobody states a TTL.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// How many CNAMEs a resolver follows.
pub const LONGEST_CHAIN: u32 = 8;

const HOSTNAME: &str = "/metadata/annotations/external-dns.alpha.kubernetes.io~1hostname";
const TTL: &str = "/metadata/annotations/external-dns.alpha.kubernetes.io~1ttl";

/// The records of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub ttl: Duration,
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    Addresses(Vec<Ipv4Addr>),
    Alias(String),
}

/// Records by name.
pub type Records = BTreeMap<String, Record>;

/// What one region's ExternalDNS reads.
#[derive(Debug, Default)]
pub struct Sources {
    by_object: BTreeMap<(String, Key), Records>,
}

impl Sources {
    /// Takes in an object; whether its records changed.
    pub fn apply(&mut self, kind: &str, object: &Value) -> bool {
        let records = match kind {
            "DNSEndpoint" => endpoint(object),
            "Service" | "Ingress" => balanced(object),
            _ => return false,
        };
        let key = (kind.to_owned(), key_of(object));
        if records.is_empty() {
            return self.by_object.remove(&key).is_some();
        }
        let changed = self.by_object.get(&key) != Some(&records);
        self.by_object.insert(key, records);
        changed
    }

    /// Forgets an object; whether it had records.
    pub fn delete(&mut self, kind: &str, key: &Key) -> bool {
        self.by_object.remove(&(kind.to_owned(), key.clone())).is_some()
    }

    /// All records, the first object of a name first.
    pub fn records(&self) -> Records {
        let mut all = Records::new();
        for records in self.by_object.values() {
            for (name, record) in records {
                all.entry(name.clone()).or_insert_with(|| record.clone());
            }
        }
        all
    }
}

fn endpoint(object: &Value) -> Records {
    let mut all = Records::new();
    let stated = read::at(object, "/spec/endpoints").and_then(Value::as_array);
    for endpoint in stated.into_iter().flatten() {
        let Some(name) = endpoint["dnsName"].as_str() else { continue };
        let mut targets = endpoint["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let data = match endpoint["recordType"].as_str().unwrap_or("A") {
            "A" => Data::Addresses(targets.filter_map(|text| text.parse().ok()).collect()),
            "CNAME" => match targets.next_back() {
                Some(target) => Data::Alias(clean(target).into_owned()),
                None => continue,
            },
            _ => continue,
        };
        let ttl = endpoint["recordTTL"].as_u64().filter(|seconds| *seconds > 0);
        let ttl = ttl.map_or(DEFAULT_TTL, Duration::from_secs);
        all.insert(clean(name).into_owned(), Record { ttl, data });
    }
    all
}

fn balanced(object: &Value) -> Records {
    let names = object.pointer(HOSTNAME).and_then(Value::as_str).unwrap_or_default();
    let ttl = object.pointer(TTL).and_then(Value::as_str).and_then(|text| text.parse().ok());
    let ingress = read::at(object, "/status/loadBalancer/ingress").and_then(Value::as_array);
    let addresses: Vec<Ipv4Addr> =
        ingress.into_iter().flatten().filter_map(|entry| entry["ip"].as_str()?.parse().ok()).collect();
    if addresses.is_empty() {
        return Records::new();
    }
    let record =
        Record { ttl: ttl.map_or(DEFAULT_TTL, Duration::from_secs), data: Data::Addresses(addresses) };
    let names = names.split(',').map(|name| clean(name).into_owned()).filter(|name| !name.is_empty());
    names.map(|name| (name, record.clone())).collect()
}

/// A name as it is compared: lower case, without the last dot.
pub fn clean(name: &str) -> Cow<'_, str> {
    let name = name.trim().trim_end_matches('.');
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// What a name resolves to, and for how long one may believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub ttl: Duration,
    pub addresses: Vec<IpAddr>,
}

/// The answer of the authoritative servers; `None` where the name does not exist.
pub fn lookup(records: &Records, name: &str) -> Option<Answer> {
    let mut record = records.get(name)?;
    let mut ttl = record.ttl;
    for _ in 0..LONGEST_CHAIN {
        match &record.data {
            Data::Addresses(addresses) => {
                return Some(Answer {
                    ttl,
                    addresses: addresses.iter().copied().map(IpAddr::from).collect(),
                });
            }
            Data::Alias(target) => record = records.get(target)?,
        }
        ttl = ttl.min(record.ttl);
    }
    None
}

/// What one place's resolver remembers.
#[derive(Debug, Default)]
pub struct Cache {
    answers: BTreeMap<String, (At, Vec<IpAddr>)>,
}

impl Cache {
    /// A remembered answer that has not expired.
    pub fn get(&self, name: &str, now: At) -> Option<&Vec<IpAddr>> {
        let (expires, addresses) = self.answers.get(name)?;
        (now < *expires).then_some(addresses)
    }

    /// Until when it remembers a name.
    pub fn expires(&self, name: &str) -> Option<At> {
        self.answers.get(name).map(|(expires, _)| *expires)
    }

    /// Remembers an answer.
    pub fn put(&mut self, name: &str, answer: &Answer, now: At) {
        self.answers.insert(name.to_owned(), (now.plus(answer.ttl), answer.addresses.clone()));
    }
}
