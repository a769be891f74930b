//! The gRPC probe: the standard health check.
//!
//! Its two messages have one field each (grpc/health/v1/health.proto), so they are written and read here by hand: tonic with its
//! generated code would be the larger part of the probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Endpoint, Probe, Wrong, lasts, wrong_address};
use crate::document::Path;
use crate::model::sample::{Failure, Seen};
use crate::model::time::Duration;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: payments
every: 100ms
timeout: 1s
grpc: {address: "payments.shop.example:8443", tls: true, service: shop.Payments}
"#;

/// Asks a gRPC server whether it serves (`grpc.health.v1.Health/Check`), over a fresh HTTP/2 connection.
///
/// Cannot: show a client certificate, call another method, or reuse a connection, whatever `freshEvery` says. Simulated regions speak no
/// gRPC: a rehearsal refuses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grpc {
    /// A host and a port: `payments.shop.example:8443`.
    pub address: String,
    /// Whether it is asked over TLS; its certificate is verified.
    #[serde(default)]
    pub tls: bool,
    /// With `tls`: the name that the server is asked for (SNI) and its certificate must be for; the host where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The service whose health is asked for: `shop.Payments`; the whole server where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// With `tls`: for how long the certificate must be valid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_valid_for: Option<Duration>,
}

/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// The request's message, with the five bytes before it (gRPC over HTTP/2, "Length-Prefixed-Message").
pub fn message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a text (Protocol Buffers, "Encoding").
        message.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or_default());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

/// The status that an answer's message tells; `None` where it is none.
fn status(framed: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], mut message) = framed.split_first_chunk()?;
    if compressed != 0 || usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()? != message.len() {
        return None;
    }
    // A field that is left out has its first value: UNKNOWN.
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl Probe for Grpc {
    fn ask(&self) -> Ask {
        let tls = self.tls.then(|| self.server_name.clone());
        let to = Endpoint { address: self.address.clone(), tls };
        Ask::Grpc { to, service: self.service.clone() }
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Grpc { status: http, grpc, message, certificate } = answer else {
            return Seen::Failed(Failure::Protocol);
        };
        let failed = match (http, grpc) {
            (200, Some(0)) => match status(message) {
                Some(SERVING) if lasts(certificate, self.certificate_valid_for) => return Seen::Ok,
                Some(SERVING) => Failure::Certificate,
                Some(_) => Failure::NotServing,
                None => Failure::Protocol,
            },
            (200, Some(code)) => Failure::Grpc(code),
            (200, None) => Failure::Protocol,
            (status, _) => Failure::Status(status),
        };
        Seen::Failed(failed)
    }

    fn wrong(&self, at: &Path) -> Vec<Wrong> {
        let mut found: Vec<Wrong> = wrong_address(at, &self.address).into_iter().collect();
        let only_with_tls = [
            ("serverName", self.server_name.is_some()),
            ("certificateValidFor", self.certificate_valid_for.is_some()),
        ];
        for (key, _) in only_with_tls.into_iter().filter(|(_, is)| *is && !self.tls) {
            found.push(
                Wrong::new(at.then(key), "without TLS there is no certificate").help("add `tls: true`"),
            );
        }
        found
    }

    fn unrehearsed(&self) -> Option<&'static str> {
        Some("simulated regions speak no gRPC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(http: u16, grpc: Option<u16>, message: &[u8]) -> Seen {
        let probe: Grpc = serde_json::from_value(serde_json::json!({"address": "a:1"})).unwrap();
        probe.judge(Answer::Grpc { status: http, grpc, message, certificate: None })
    }

    #[test]
    fn only_a_server_that_says_that_it_serves_is_up() {
        let framed = |message: &[u8]| {
            let length = u8::try_from(message.len()).unwrap();
            [&[0, 0, 0, 0, length][..], message].concat()
        };
        assert_eq!(judged(200, Some(0), &framed(&[8, 1])), Seen::Ok);
        // NOT_SERVING, SERVICE_UNKNOWN, a value that nobody knows, UNKNOWN.
        for status in [&[8, 2][..], &[8, 3], &[8, 0x81, 1], &[8, 0], &[]] {
            assert_eq!(
                judged(200, Some(0), &framed(status)),
                Seen::Failed(Failure::NotServing),
                "{status:?}"
            );
        }
        // Fields that are not known are passed over.
        let more = [0x12, 2, b'h', b'i', 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0x28, 9, 8, 1];
        assert_eq!(judged(200, Some(0), &framed(&more)), Seen::Ok);
        assert_eq!(judged(200, Some(14), &[]), Seen::Failed(Failure::Grpc(14)));
        assert_eq!(judged(200, None, &framed(&[8, 1])), Seen::Failed(Failure::Protocol));
        assert_eq!(judged(502, None, &[]), Seen::Failed(Failure::Status(502)));
    }

    #[test]
    fn a_message_that_is_none_is_no_success() {
        for message in [
            &[][..],
            &[0, 0, 0, 0, 2, 8],
            &[0, 0, 0, 0, 2, 8, 1, 8, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 3, 0x12, 9, 1],
            &[0, 0, 0, 0, 1, 0x0b],
        ] {
            assert_eq!(judged(200, Some(0), message), Seen::Failed(Failure::Protocol), "{message:?}");
        }
    }

    #[test]
    fn the_services_name_stands_in_the_request() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }
}
