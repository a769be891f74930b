//! The HTTP probe: one request, judged by status, headers and body and, over https, by how long its certificate lasts.

use std::collections::BTreeMap;

use ::http::header::{HeaderName, HeaderValue};
use ::http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::Stands;
use super::{Answer, Ask, Probe, Wrong, contains, lasts};
use crate::document::Path;
use crate::model::effect::Request;
use crate::model::sample::{Failure, Seen};
use crate::model::time::Duration;
use crate::model::url::Url;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: checkout
service: checkout
every: 100ms
timeout: 1s
from: [outside]
http: {url: "http://checkout.shop.example/", expect: {status: 200}}
"#;

/// The longest body that is sent, in bytes: a probe is no upload.
const LONGEST_BODY: usize = 64 * 1024;

/// Sends one HTTP request over a fresh connection, through the vantage's own resolver.
///
/// Cannot: follow redirects (a 302 is a status), speak HTTP/2, show a client certificate, send more than 64 KiB, or read more than the first
/// MiB of an answer. A rehearsal simulates no TLS: there, an https probe asks its port as an http probe does, and no certificate is ever
/// wrong or ends.
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
    /// Sent with each request, by a method that has one: POST, PUT, PATCH or DELETE; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Over https: the name that the server is asked for (SNI) and its certificate must be for; the URL's host where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What the right answer looks like.
    #[serde(default)]
    pub expect: Expect,
    /// The header of the answer whose value is the region that answered: `x-region`. Where it is left out, the address tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}

/// The right answer: all of it must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The status; 200 where neither it nor `statusIn` nor `statusClass` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// The statuses of which it is one: `[200, 302]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true), inner(range(min = 100, max = 599)))]
    pub status_in: Vec<u16>,
    /// The class that the status is of: `2xx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_class: Option<Class>,
    /// Headers that must have this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers that must be there, with this text in their value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_contain: BTreeMap<String, String>,
    /// A text that must stand in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// What must stand in a body that is JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<Stands>,
    /// Over https: for how long the certificate must be valid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_valid_for: Option<Duration>,
}

/// A class of statuses (RFC 9110, section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Class {
    /// It was done.
    #[serde(rename = "2xx")]
    Done,
    /// It is elsewhere.
    #[serde(rename = "3xx")]
    Elsewhere,
    /// The request was wrong.
    #[serde(rename = "4xx")]
    Refused,
    /// The server failed.
    #[serde(rename = "5xx")]
    Failed,
}

impl Class {
    fn holds(self, status: u16) -> bool {
        let hundreds = match self {
            Class::Done => 2,
            Class::Elsewhere => 3,
            Class::Refused => 4,
            Class::Failed => 5,
        };
        status / 100 == hundreds
    }
}

fn get() -> String {
    "GET".into()
}

impl Expect {
    fn is_status(&self, status: u16) -> bool {
        match (self.status, self.status_class) {
            (Some(wanted), _) => wanted == status,
            (None, Some(class)) => class.holds(status),
            (None, None) if self.status_in.is_empty() => status == 200,
            (None, None) => self.status_in.contains(&status),
        }
    }

    fn has_headers(&self, headers: &HeaderMap) -> bool {
        let values = |name: &String| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        self.headers.iter().all(|(name, wanted)| values(name).any(|value| value == wanted.as_bytes()))
            && self.headers_contain.iter().all(|(name, text)| values(name).any(|value| contains(value, text)))
    }

    fn has_body(&self, body: &[u8]) -> bool {
        let json =
            || serde_json::from_slice(body).is_ok_and(|body| self.json.iter().all(|it| it.holds(&body)));
        self.body_contains.as_ref().is_none_or(|text| contains(body, text))
            && (self.json.is_empty() || json())
    }

    fn wrong(&self, at: &Path, secure: bool) -> Vec<Wrong> {
        let mut found = Vec::new();
        let stated = [
            ("status", self.status.is_some()),
            ("statusIn", !self.status_in.is_empty()),
            ("statusClass", self.status_class.is_some()),
        ];
        let mut stated = stated.into_iter().filter(|(_, is)| *is).map(|(name, _)| name);
        if let (Some(first), Some(second)) = (stated.next(), stated.next()) {
            let why = format!("`{first}` says what the status must be already");
            found.push(Wrong::new(at.then(second), why).help("leave one of them"));
        }
        for (key, headers) in [("headers", &self.headers), ("headersContain", &self.headers_contain)] {
            found.extend(wrong_headers(&at.then(key), headers));
        }
        for (place, stands) in self.json.iter().enumerate() {
            found.extend(stands.wrong(&at.then("json").then(place)));
        }
        if self.certificate_valid_for.is_some() && !secure {
            found.push(no_tls(at.then("certificateValidFor")));
        }
        found
    }
}

/// Something that only TLS has, of what has none.
fn no_tls(at: Path) -> Wrong {
    Wrong::new(at, "an http URL has no certificate").help("ask an `https://` URL")
}

fn wrong_headers(at: &Path, headers: &BTreeMap<String, String>) -> Vec<Wrong> {
    let is_one = |(name, value): &(&String, &String)| {
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
    };
    let wrong = |(name, _): (&String, &String)| {
        Wrong::new(at.then(name.as_str()), format!("`{name}` is not a HTTP header"))
            .help("use letters, digits and `-`, and a value without line breaks")
    };
    headers.iter().filter(|header| !is_one(header)).map(wrong).collect()
}

impl Http {
    fn wrong_body(&self, at: &Path) -> Option<Wrong> {
        let body = self.body.as_ref()?;
        if !["POST", "PUT", "PATCH", "DELETE"].contains(&self.method.as_str()) {
            let why = format!("a {} request has no body", self.method);
            return Some(Wrong::new(at.then("body"), why).help("write `method: POST`"));
        }
        let why = format!("a body of {} bytes is longer than {LONGEST_BODY}", body.len());
        (body.len() > LONGEST_BODY).then(|| Wrong::new(at.then("body"), why))
    }
}

impl Probe for Http {
    fn ask(&self) -> Ask {
        let request = Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        };
        Ask::Http { request, server_name: self.server_name.clone() }
    }

    fn answered_by(&self) -> Option<&str> {
        self.answered_by.as_deref()
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Http { status, headers, body, certificate } = answer else {
            return Seen::Failed(Failure::Protocol);
        };
        let failed = if !self.expect.is_status(status) {
            Failure::Status(status)
        } else if !self.expect.has_headers(headers) {
            Failure::Header
        } else if !self.expect.has_body(body) {
            Failure::Body
        } else if !lasts(certificate, self.expect.certificate_valid_for) {
            Failure::Certificate
        } else {
            return Seen::Ok;
        };
        Seen::Failed(failed)
    }

    fn wrong(&self, at: &Path) -> Vec<Wrong> {
        let url: Result<Url, _> = self.url.parse();
        let mut found = Vec::new();
        // A URL that is none has no scheme that others could contradict.
        let secure = url.as_ref().map_or(true, |url| url.secure);
        if let Err(bad) = url {
            found.push(Wrong::new(at.then("url"), bad.to_string()));
        }
        if Method::from_bytes(self.method.as_bytes()).is_err() {
            let why = format!("`{}` is not a HTTP method", self.method);
            found.push(Wrong::new(at.then("method"), why).help("use GET, HEAD, POST, PUT, PATCH or DELETE"));
        }
        found.extend(self.wrong_body(at));
        found.extend(wrong_headers(&at.then("headers"), &self.headers));
        if self.server_name.is_some() && !secure {
            found.push(no_tls(at.then("serverName")));
        }
        found.extend(self.expect.wrong(&at.then("expect"), secure));
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::ProbeKind;
    use super::*;

    fn kind(parameters: &Value) -> ProbeKind {
        serde_json::from_value(json!({ "http": parameters })).unwrap()
    }

    fn judged(expect: &Value, status: u16, body: &str, certificate: Option<Duration>) -> Seen {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        headers.insert("x-region", "east".parse().unwrap());
        let answer = Answer::Http { status, headers: &headers, body: body.as_bytes(), certificate };
        kind(&json!({"url": "https://a/", "expect": expect})).behaviour().judge(answer)
    }

    #[test]
    fn an_answer_is_judged_by_status_first_and_then_by_body() {
        let judged = |expect, status, body| judged(&expect, status, body, None);
        assert_eq!(judged(json!({}), 200, ""), Seen::Ok);
        assert_eq!(judged(json!({}), 503, ""), Seen::Failed(Failure::Status(503)));
        let body = json!({"status": 204, "bodyContains": "ready"});
        assert_eq!(judged(body.clone(), 204, "all ready now"), Seen::Ok);
        assert_eq!(judged(body.clone(), 204, "read"), Seen::Failed(Failure::Body));
        assert_eq!(judged(body, 200, "ready"), Seen::Failed(Failure::Status(200)));
    }

    #[test]
    fn a_status_is_one_of_a_list_or_of_a_class() {
        for (expect, right, wrong) in [
            (json!({"statusIn": [200, 302]}), [200, 302], [201, 500]),
            (json!({"statusClass": "2xx"}), [200, 299], [199, 300]),
            (json!({"statusClass": "3xx"}), [301, 302], [200, 404]),
            (json!({"statusClass": "4xx"}), [400, 499], [399, 503]),
            (json!({"statusClass": "5xx"}), [500, 503], [200, 600]),
        ] {
            for status in right {
                assert_eq!(judged(&expect, status, "", None), Seen::Ok, "{expect} {status}");
            }
            for status in wrong {
                let failed = Seen::Failed(Failure::Status(status));
                assert_eq!(judged(&expect, status, "", None), failed, "{expect} {status}");
            }
        }
    }

    #[test]
    fn headers_are_compared_whole_or_searched() {
        for (expect, seen) in [
            (json!({"headers": {"X-Region": "east"}}), Seen::Ok),
            (json!({"headers": {"X-Region": "eas"}}), Seen::Failed(Failure::Header)),
            (json!({"headers": {"x-other": "east"}}), Seen::Failed(Failure::Header)),
            (json!({"headersContain": {"content-type": "json", "x-region": ""}}), Seen::Ok),
            (json!({"headersContain": {"content-type": "html"}}), Seen::Failed(Failure::Header)),
            (json!({"headersContain": {"x-other": ""}}), Seen::Failed(Failure::Header)),
        ] {
            assert_eq!(judged(&expect, 200, "", None), seen, "{expect}");
        }
    }

    #[test]
    fn every_statement_about_a_json_body_must_hold() {
        let expect =
            json!({"json": [{"pointer": "/status", "equals": "ok"}, {"pointer": "/lag", "below": 5}]});
        for (body, seen) in [
            (r#"{"status": "ok", "lag": 4}"#, Seen::Ok),
            (r#"{"status": "ok", "lag": 5}"#, Seen::Failed(Failure::Body)),
            (r#"{"status": "down", "lag": 4}"#, Seen::Failed(Failure::Body)),
            ("<html>ok</html>", Seen::Failed(Failure::Body)),
            ("", Seen::Failed(Failure::Body)),
        ] {
            assert_eq!(judged(&expect, 200, body, None), seen, "{body}");
        }
    }

    #[test]
    fn a_certificate_that_ends_too_soon_fails_and_so_does_none() {
        let expect = json!({"certificateValidFor": "168h"});
        let week = Duration::from_secs(168 * 3600);
        assert_eq!(judged(&expect, 200, "", Some(week)), Seen::Ok);
        let sooner = Some(week.minus(Duration::from_secs(1)));
        for certificate in [sooner, None] {
            assert_eq!(judged(&expect, 200, "", certificate), Seen::Failed(Failure::Certificate));
        }
        assert_eq!(judged(&json!({}), 200, "", sooner), Seen::Ok, "nobody asks");
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let wrong = r#"{"http": {"url": "http://a/", "expected": {}}}"#;
        assert!(serde_json::from_str::<ProbeKind>(wrong).is_err());
    }

    #[test]
    fn what_can_never_be_asked_or_answered_is_wrong_where_it_stands() {
        let places = |parameters: Value| {
            let found = kind(&parameters).behaviour().wrong(&Path::spec().then("http"));
            found.into_iter().map(|wrong| wrong.at.to_string()).collect::<Vec<_>>()
        };
        let url = "http://a/";
        let nothing: [&str; 0] = [];
        assert_eq!(places(json!({"url": url, "method": "POST", "body": "{}"})), nothing);
        assert_eq!(places(json!({"url": "https://a/", "serverName": "b"})), nothing);
        assert_eq!(places(json!({"url": "ftp://a/"})), ["spec.http.url"]);
        assert_eq!(places(json!({"url": url, "body": "x"})), ["spec.http.body"]);
        let long = "x".repeat(LONGEST_BODY + 1);
        assert_eq!(places(json!({"url": url, "method": "PUT", "body": long})), ["spec.http.body"]);
        assert_eq!(places(json!({"url": url, "method": "GE T"})), ["spec.http.method"]);
        assert_eq!(places(json!({"url": url, "headers": {"a b": ""}})), ["spec.http.headers.a b"]);
        assert_eq!(places(json!({"url": url, "serverName": "b"})), ["spec.http.serverName"]);
        for (expect, place) in [
            (json!({"status": 200, "statusIn": [302]}), "statusIn"),
            (json!({"statusIn": [302], "statusClass": "2xx"}), "statusClass"),
            (json!({"headers": {"a": "b\nc"}}), "headers.a"),
            (json!({"json": [{"pointer": "status", "equals": 1}]}), "json[0].pointer"),
            (json!({"json": [{"pointer": "/status"}]}), "json[0]"),
            (json!({"json": [{"pointer": "/a", "above": 3, "below": 3}]}), "json[0].above"),
            (json!({"certificateValidFor": "1h"}), "certificateValidFor"),
        ] {
            let found = places(json!({"url": url, "expect": expect}));
            assert_eq!(found, [format!("spec.http.expect.{place}")]);
        }
    }
}
