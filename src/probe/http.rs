//! The HTTP probe: one request, judged by status and body.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Probe};
use crate::model::effect::Request;
use crate::model::sample::{Failure, Seen};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: checkout
service: checkout
every: 100ms
timeout: 1s
from: [outside]
http: {url: "http://checkout.shop.example/", expect: {status: 200}}
"#;

/// Sends one HTTP request over a fresh connection, through the vantage's own resolver.
///
/// Cannot: follow redirects, send a body, or read more than the first MiB of an answer. A rehearsal simulates no TLS: there, an https
/// probe asks its port as an http probe does, and no certificate is ever wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http {
    /// Where to ask: `https://checkout.shop.example/`. Over https, the certificate is verified.
    pub url: String,
    /// GET where it is left out.
    #[serde(default = "get")]
    pub method: String,
    /// Sent with each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What the right answer looks like.
    #[serde(default)]
    pub expect: Expect,
    /// The header of the answer whose value is the region that answered: `x-region`. Where it is left out, the address tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}

/// The right answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The status; 200 where it is left out.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// A text that must stand in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Expect { status: ok(), body_contains: None }
    }
}

fn get() -> String {
    "GET".into()
}

fn ok() -> u16 {
    200
}

impl Probe for Http {
    fn ask(&self) -> Ask {
        Ask::Http(Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: None,
        })
    }

    fn answered_by(&self) -> Option<&str> {
        self.answered_by.as_deref()
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Http { status, body } = answer;
        if status != self.expect.status {
            return Seen::Failed(Failure::Status(status));
        }
        match &self.expect.body_contains {
            Some(text) if !contains(body, text.as_bytes()) => Seen::Failed(Failure::Body),
            Some(_) | None => Seen::Ok,
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::super::ProbeKind;
    use super::*;

    fn judged(kind: &str, status: u16, body: &str) -> Seen {
        let kind: ProbeKind = serde_json::from_str(kind).unwrap();
        kind.behaviour().judge(Answer::Http { status, body: body.as_bytes() })
    }

    #[test]
    fn an_answer_is_judged_by_status_first_and_then_by_body() {
        let plain = r#"{"http": {"url": "http://a/"}}"#;
        assert_eq!(judged(plain, 200, ""), Seen::Ok);
        assert_eq!(judged(plain, 503, ""), Seen::Failed(Failure::Status(503)));
        let body = r#"{"http": {"url": "http://a/", "expect": {"status": 204, "bodyContains": "ready"}}}"#;
        assert_eq!(judged(body, 204, "all ready now"), Seen::Ok);
        assert_eq!(judged(body, 204, "read"), Seen::Failed(Failure::Body));
        assert_eq!(judged(body, 200, "ready"), Seen::Failed(Failure::Status(200)));
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let wrong = r#"{"http": {"url": "http://a/", "expected": {}}}"#;
        assert!(serde_json::from_str::<ProbeKind>(wrong).is_err());
    }
}
