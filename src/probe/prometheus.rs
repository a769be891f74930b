//! The Prometheus probe: an instant query, and what its value must be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::{SAY, between, empty_range};
use super::{Answer, Ask, Probe, Wrong};
use crate::document::Path;
use crate::model::effect::Request;
use crate::model::sample::{Failure, Seen};
use crate::model::url::Url;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: replication-lag
every: 5s
timeout: 2s
prometheus: {url: "http://prometheus.shop.example:9090", query: max(pg_replication_lag_seconds), below: 5}
"#;

/// Asks a Prometheus for the value of a query now; it succeeds while every value of the answer is what it must be.
///
/// Cannot: tell a value from one that Prometheus scraped a while ago (it answers with the last of five minutes), compare text, or look at
/// ranges and histograms. An answer without a value, or with NaN, is no data, which is a failure and never a success. A rehearsal has no
/// Prometheus, and refuses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prometheus {
    /// Where it stands, with the path before `/api/v1/query`: `http://prometheus.shop.example:9090`.
    pub url: String,
    /// The query, in PromQL.
    pub query: String,
    /// Sent with each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The number that each value must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<f64>,
    /// Each value must be greater than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Each value must be less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

/// What its API answers (Prometheus' documentation, "HTTP API", instant queries): `None` where it is something else.
fn values(body: &[u8]) -> Option<Vec<f64>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let data = answer.get("data").filter(|_| answer["status"] == "success")?;
    let number = |value: &Value| value.get(1)?.as_str()?.parse().ok();
    match data["resultType"].as_str()? {
        "scalar" => number(&data["result"]).map(|value| vec![value]),
        "vector" => data["result"].as_array()?.iter().map(|one| number(one.get("value")?)).collect(),
        _ => None,
    }
}

/// A text as it stands in a query (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let mut all = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
    }
    all
}

impl Prometheus {
    fn holds(&self, value: f64) -> bool {
        self.equals.is_none_or(|wanted| (value - wanted).abs() <= 0.0)
            && between(value, self.above, self.below)
    }
}

impl Probe for Prometheus {
    fn ask(&self) -> Ask {
        let url = format!("{}/api/v1/query?query={}", self.url.trim_end_matches('/'), encoded(&self.query));
        let request = Request { method: "GET".into(), url, headers: self.headers.clone(), body: None };
        Ask::Http { request, server_name: None }
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Http { status, body, .. } = answer else { return Seen::Failed(Failure::Protocol) };
        if status != 200 {
            return Seen::Failed(Failure::Status(status));
        }
        match values(body) {
            None => Seen::Failed(Failure::Body),
            Some(values) if values.is_empty() || values.iter().any(|value| value.is_nan()) => {
                Seen::Failed(Failure::NoData)
            }
            Some(values) if values.iter().all(|value| self.holds(*value)) => Seen::Ok,
            Some(_) => Seen::Failed(Failure::Value),
        }
    }

    fn wrong(&self, at: &Path) -> Vec<Wrong> {
        let mut found = Vec::new();
        if let Err(bad) = self.url.parse::<Url>() {
            found.push(Wrong::new(at.then("url"), bad.to_string()));
        } else if self.url.contains(['?', '#']) {
            let why = "the query stands in `query`, and not in the URL";
            found.push(Wrong::new(at.then("url"), why));
        }
        if self.query.trim().is_empty() {
            found.push(Wrong::new(at.then("query"), "nothing is asked"));
        }
        if self.equals.is_none() && self.above.is_none() && self.below.is_none() {
            found.push(Wrong::new(at.clone(), "nothing is asked of the query's value").help(SAY));
        }
        found.extend(empty_range(at, self.above, self.below));
        found
    }

    fn unrehearsed(&self) -> Option<&'static str> {
        Some("no Prometheus scrapes simulated regions")
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn probe(conditions: &Value) -> Prometheus {
        let mut parameters = json!({"url": "http://p:9090/sub/", "query": "up{job=\"a b\"} + 1"});
        let more = conditions.as_object().unwrap().clone();
        parameters.as_object_mut().unwrap().extend(more);
        serde_json::from_value(parameters).unwrap()
    }

    fn judged(conditions: &Value, body: &str) -> Seen {
        let headers = HeaderMap::new();
        let answer =
            Answer::Http { status: 200, headers: &headers, body: body.as_bytes(), certificate: None };
        probe(conditions).judge(answer)
    }

    fn vector(values: &[&str]) -> String {
        let result: Vec<Value> =
            values.iter().map(|value| json!({"metric": {"a": "b"}, "value": [1.5, value]})).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
    }

    #[test]
    fn the_query_stands_encoded_in_the_url() {
        let Ask::Http { request, .. } = probe(&json!({"above": 0})).ask() else {
            panic!("it asks over HTTP")
        };
        assert_eq!(request.url, "http://p:9090/sub/api/v1/query?query=up%7Bjob%3D%22a%20b%22%7D%20%2B%201");
    }

    #[test]
    fn every_value_must_be_what_is_asked() {
        for (conditions, values, seen) in [
            (json!({"above": 1}), vec!["2", "3"], Seen::Ok),
            (json!({"above": 1}), vec!["2", "1"], Seen::Failed(Failure::Value)),
            (json!({"below": 5}), vec!["4.9"], Seen::Ok),
            (json!({"below": 5}), vec!["+Inf"], Seen::Failed(Failure::Value)),
            (json!({"equals": 1}), vec!["1"], Seen::Ok),
            (json!({"equals": 1}), vec!["0"], Seen::Failed(Failure::Value)),
        ] {
            assert_eq!(judged(&conditions, &vector(&values)), seen, "{conditions} {values:?}");
        }
        let scalar = r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}"#;
        assert_eq!(judged(&json!({"equals": 7}), scalar), Seen::Ok);
    }

    #[test]
    fn no_data_is_no_success_whatever_is_asked() {
        for conditions in [json!({"below": 5}), json!({"above": -1}), json!({"equals": 0})] {
            for values in [&[][..], &["NaN"], &["1", "NaN"]] {
                let seen = judged(&conditions, &vector(values));
                assert_eq!(seen, Seen::Failed(Failure::NoData), "{conditions} {values:?}");
            }
        }
        for body in ["", "<html>", r#"{"status": "error", "data": {}}"#, r#"{"status": "success"}"#] {
            assert_eq!(judged(&json!({"below": 5}), body), Seen::Failed(Failure::Body), "{body}");
        }
    }

    #[test]
    fn a_probe_that_asks_nothing_is_wrong() {
        let places = |conditions: Value| {
            let found = probe(&conditions).wrong(&Path::spec());
            found.into_iter().map(|wrong| wrong.at.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(places(json!({})), ["spec"]);
        assert_eq!(places(json!({"above": 2, "below": 1})), ["spec.above"]);
        assert_eq!(places(json!({"above": 2, "query": " "})), ["spec.query"]);
        assert_eq!(places(json!({"above": 2, "url": "http://p/?query=up"})), ["spec.url"]);
    }
}
