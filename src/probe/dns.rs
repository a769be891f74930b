//! The DNS probe: one question to a resolver, judged by its code, its records and their time to live.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Probe, Wrong};
use crate::document::Path;
use crate::model::lookup::{Query, RecordType};
use crate::model::sample::{Failure, Seen};
use crate::model::time::Duration;
use crate::model::url::bare;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: checkout-name
every: 1s
timeout: 2s
from: [outside, west]
dns: {name: checkout.shop.example, expect: {contains: [192.0.2.10], ttlAtMost: 60s}}
"#;

/// Asks a resolver for the records of a name, once, and remembers nothing.
///
/// Cannot: validate DNSSEC, or ask over TLS or HTTPS. In a rehearsal, it asks the resolver of its vantage, whose names have addresses of IPv4
/// and aliases; a `resolver` of its own is refused there. Served regions (`drillmaster sandbox`) answer with a time to live of zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dns {
    /// The name, whole: no search list is tried.
    pub name: String,
    /// The type of its records; A where it is left out.
    #[serde(default, rename = "type")]
    pub of: RecordType,
    /// The resolver that is asked: `192.0.2.53:53`. Without it, that of the vantage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("pattern" = r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"))]
    pub resolver: Option<SocketAddr>,
    /// What the right answer looks like; any record, where it is left out.
    #[serde(default)]
    pub expect: Expect,
}

/// The right answer: all of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// Records that must be among the answer's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub contains: Vec<String>,
    /// The answer's records, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub equals: Vec<String>,
    /// The shortest time to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_at_least: Option<Duration>,
    /// The longest time to live: for how long users may keep what they were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_at_most: Option<Duration>,
}

impl Dns {
    /// A record as it is compared; `None` where it is none of that type.
    fn record(&self, text: &str) -> Option<String> {
        let address = text.parse::<IpAddr>();
        match self.of {
            RecordType::A => address.ok().filter(IpAddr::is_ipv4).map(|address| address.to_string()),
            RecordType::Aaaa => address.ok().filter(IpAddr::is_ipv6).map(|address| address.to_string()),
            RecordType::Cname => Some(bare(text)).filter(|name| is_name(name)),
            RecordType::Txt => Some(text.to_owned()),
        }
    }

    fn records(&self, texts: &[String]) -> BTreeSet<String> {
        texts.iter().filter_map(|text| self.record(text)).collect()
    }
}

/// Whether a text can be a host's name (RFC 1035, section 2.3.4).
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
    };
    name.len() <= 253 && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

impl Probe for Dns {
    fn ask(&self) -> Ask {
        Ask::Dns(Query { name: self.name.clone(), of: self.of, resolver: self.resolver })
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Dns(answers) = answer else { return Seen::Failed(Failure::Protocol) };
        let Expect { contains, equals, ttl_at_least, ttl_at_most } = &self.expect;
        let found = self.records(&answers.records);
        let failed = if answers.code != 0 {
            Failure::Rcode(answers.code)
        } else if found.is_empty() {
            Failure::NoData
        } else if !self.records(contains).is_subset(&found)
            || !(equals.is_empty() || self.records(equals) == found)
        {
            Failure::Records
        } else if ttl_at_least.is_some_and(|least| answers.ttl < least)
            || ttl_at_most.is_some_and(|most| answers.ttl > most)
        {
            Failure::Ttl
        } else {
            return Seen::Ok;
        };
        Seen::Failed(failed)
    }

    fn wrong(&self, at: &Path) -> Vec<Wrong> {
        let mut found = Vec::new();
        if !is_name(&self.name) {
            let why = format!("`{}` is not a name", self.name);
            found.push(Wrong::new(at.then("name"), why).help("write it like `checkout.shop.example`"));
        }
        let expect = at.then("expect");
        for (key, records) in [("contains", &self.expect.contains), ("equals", &self.expect.equals)] {
            for (place, text) in records.iter().enumerate().filter(|(_, text)| self.record(text).is_none()) {
                let why = format!("`{text}` is not the text of such a record");
                let help = "write an address, a name for CNAME, a text for TXT";
                found.push(Wrong::new(expect.then(key).then(place), why).help(help));
            }
        }
        if let (Some(least), Some(most)) = (self.expect.ttl_at_least, self.expect.ttl_at_most)
            && least > most
        {
            let why = format!("no time to live is at least {least} and at most {most}");
            found.push(Wrong::new(expect.then("ttlAtLeast"), why));
        }
        found
    }

    fn unrehearsed(&self) -> Option<&'static str> {
        self.resolver.map(|_| "simulated regions have the resolver of each vantage, and none at an address")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::lookup::Answers;

    fn dns(of: &str, expect: &Value) -> Dns {
        serde_json::from_value(json!({"name": "a.example", "type": of, "expect": expect})).unwrap()
    }

    fn judged(of: &str, expect: &Value, records: &[&str]) -> Seen {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        let answers = Answers { code: 0, records, ttl: Duration::from_secs(30) };
        dns(of, expect).judge(Answer::Dns(&answers))
    }

    #[test]
    fn records_are_compared_as_what_they_are() {
        let wrong = Seen::Failed(Failure::Records);
        for (of, expect, records, seen) in [
            ("A", json!({}), vec!["10.0.0.1"], Seen::Ok),
            ("A", json!({}), vec![], Seen::Failed(Failure::NoData)),
            ("A", json!({"contains": ["10.0.0.2"]}), vec!["10.0.0.1", "10.0.0.2"], Seen::Ok),
            ("A", json!({"contains": ["10.0.0.3"]}), vec!["10.0.0.1", "10.0.0.2"], wrong.clone()),
            ("A", json!({"contains": ["10.0.0.1", "10.0.0.3"]}), vec!["10.0.0.1", "10.0.0.2"], wrong.clone()),
            ("A", json!({"equals": ["10.0.0.2", "10.0.0.1"]}), vec!["10.0.0.1", "10.0.0.2"], Seen::Ok),
            ("A", json!({"equals": ["10.0.0.2"]}), vec!["10.0.0.1", "10.0.0.2"], wrong.clone()),
            ("AAAA", json!({"equals": ["0:0::1"]}), vec!["::1"], Seen::Ok),
            ("CNAME", json!({"equals": ["B.Example."]}), vec!["b.example"], Seen::Ok),
            ("TXT", json!({"contains": ["v=spf1 "]}), vec!["v=spf1"], wrong),
        ] {
            assert_eq!(judged(of, &expect, &records), seen, "{of} {expect} {records:?}");
        }
    }

    #[test]
    fn a_time_to_live_has_its_bounds() {
        for (expect, seen) in [
            (json!({"ttlAtLeast": "30s", "ttlAtMost": "30s"}), Seen::Ok),
            (json!({"ttlAtLeast": "31s"}), Seen::Failed(Failure::Ttl)),
            (json!({"ttlAtMost": "29s"}), Seen::Failed(Failure::Ttl)),
        ] {
            assert_eq!(judged("A", &expect, &["10.0.0.1"]), seen, "{expect}");
        }
    }

    #[test]
    fn each_response_code_is_a_class_of_its_own() {
        for (code, word) in [(2, "servfail"), (3, "nxdomain"), (5, "rcode-5")] {
            let Seen::Failed(failure) = dns("A", &json!({})).judge(Answer::Dns(&Answers::code(code))) else {
                panic!("{word} is a success")
            };
            assert_eq!(failure.to_string(), word);
        }
    }

    #[test]
    fn what_can_never_be_answered_is_wrong_where_it_stands() {
        let places = |dns: Dns| {
            let found = dns.wrong(&Path::spec());
            found.into_iter().map(|wrong| wrong.at.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(places(dns("A", &json!({"contains": ["::1"]}))), ["spec.expect.contains[0]"]);
        assert_eq!(places(dns("AAAA", &json!({"equals": ["::1", "west"]}))), ["spec.expect.equals[1]"]);
        let bounds = json!({"ttlAtLeast": "2s", "ttlAtMost": "1s"});
        assert_eq!(places(dns("A", &bounds)), ["spec.expect.ttlAtLeast"]);
        for name in ["", "a..b", "10.0.0.1", "http://a/", "a b"] {
            let wrong = Dns { name: name.into(), ..dns("TXT", &json!({"contains": ["any text"]})) };
            assert_eq!(places(wrong), ["spec.name"], "{name}");
        }
    }
}
