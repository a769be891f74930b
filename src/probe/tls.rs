//! The TLS probe: a connection, a handshake, and how long the certificate lasts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Endpoint, Probe, Wrong, lasts, wrong_address};
use crate::document::Path;
use crate::model::sample::{Failure, Seen};
use crate::model::time::Duration;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: checkout-certificate
every: 10s
timeout: 2s
tls: {address: "checkout.shop.example:443", certificateValidFor: 168h}
"#;

/// Opens a TLS connection, verifies the certificate, and closes it: its authority, its name, and that it is valid now.
///
/// Cannot: show a client certificate, begin in the clear (STARTTLS), or reuse a connection, whatever `freshEvery` says. A rehearsal simulates
/// no TLS: there, it only opens a connection, and no certificate is ever wrong or ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// A host and a port: `checkout.shop.example:443`.
    pub address: String,
    /// The name that the server is asked for (SNI) and its certificate must be for; the host where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// For how long the certificate must be valid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_valid_for: Option<Duration>,
}

impl Probe for Tls {
    fn ask(&self) -> Ask {
        let to = Endpoint { address: self.address.clone(), tls: Some(self.server_name.clone()) };
        Ask::Tcp { to, banner: None }
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        match answer {
            Answer::Tcp { certificate, .. } if lasts(certificate, self.certificate_valid_for) => Seen::Ok,
            Answer::Tcp { .. } => Seen::Failed(Failure::Certificate),
            Answer::Http { .. } | Answer::Dns(_) | Answer::Grpc { .. } => Seen::Failed(Failure::Protocol),
        }
    }

    fn wrong(&self, at: &Path) -> Vec<Wrong> {
        wrong_address(at, &self.address).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_must_last_for_as_long_as_is_asked() {
        let day = Duration::from_secs(24 * 3600);
        let judged = |wanted, certificate| {
            let tls = Tls { address: "a:443".into(), server_name: None, certificate_valid_for: wanted };
            tls.judge(Answer::Tcp { banner: b"", certificate })
        };
        assert_eq!(judged(None, Some(Duration::ZERO)), Seen::Ok);
        assert_eq!(judged(Some(day), Some(day)), Seen::Ok);
        let sooner = Some(day.minus(Duration::from_secs(1)));
        assert_eq!(judged(Some(day), sooner), Seen::Failed(Failure::Certificate));
    }
}
