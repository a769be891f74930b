//! The TCP probe: a connection, and what the server says first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Endpoint, Probe, Wrong, contains, wrong_address};
use crate::document::Path;
use crate::model::sample::{Failure, Seen};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: database
every: 1s
timeout: 1s
tcp: {address: "database.shop.example:5432"}
"#;

/// Opens a TCP connection and closes it; with `bannerContains`, waits first for what the server says.
///
/// Cannot: say anything itself, read more than the first 4 KiB, or reuse a connection, whatever `freshEvery` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tcp {
    /// A host and a port: `database.shop.example:5432`.
    pub address: String,
    /// A text that must stand in what the server says unasked: `220`, of a mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner_contains: Option<String>,
}

impl Probe for Tcp {
    fn ask(&self) -> Ask {
        Ask::Tcp {
            to: Endpoint { address: self.address.clone(), tls: None },
            banner: self.banner_contains.clone(),
        }
    }

    fn judge(&self, answer: Answer<'_>) -> Seen {
        let Answer::Tcp { banner, .. } = answer else { return Seen::Failed(Failure::Protocol) };
        match &self.banner_contains {
            Some(text) if !contains(banner, text) => Seen::Failed(Failure::Body),
            Some(_) | None => Seen::Ok,
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
    fn a_connection_is_enough_where_no_text_is_waited_for() {
        let judged = |text: Option<&str>, banner: &str| {
            let tcp = Tcp { address: "a:25".into(), banner_contains: text.map(str::to_owned) };
            tcp.judge(Answer::Tcp { banner: banner.as_bytes(), certificate: None })
        };
        assert_eq!(judged(None, ""), Seen::Ok);
        assert_eq!(judged(Some("220"), "220 mail.example ESMTP"), Seen::Ok);
        assert_eq!(judged(Some("220"), "554 go away"), Seen::Failed(Failure::Body));
    }
}
