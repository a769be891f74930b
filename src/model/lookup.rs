//! A question to a resolver, and its answer (RFC 1035).

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Duration;

/// The type of the records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// Addresses of IPv4.
    #[default]
    A,
    /// Addresses of IPv6 (RFC 3596).
    Aaaa,
    /// The name that it is an alias of.
    Cname,
    /// Texts.
    Txt,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub name: String,
    pub of: RecordType,
    /// Who is asked; the resolver of the place where it is asked, without it.
    pub resolver: Option<SocketAddr>,
}

/// What a resolver answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// The response code (RFC 1035, section 4.1.1; RFC 6895): 0 is no error.
    pub code: u16,
    /// The records of the type that was asked for, as text: an address, a name without its last dot, a text.
    pub records: Vec<String>,
    /// How long one may believe it: the least of all records that lead there, in whole seconds.
    pub ttl: Duration,
}

/// The code of a name that does not exist.
pub const NXDOMAIN: u16 = 3;

/// The code of a resolver that failed.
pub const SERVFAIL: u16 = 2;

impl Answers {
    /// No records, for this reason.
    pub fn code(code: u16) -> Answers {
        Answers { code, ..Answers::default() }
    }
}
