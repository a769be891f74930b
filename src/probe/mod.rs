//! What a probe asks, and how its answer is judged: pure. One file and one line each.
//!
//! ```text
//! ask() ─► the prober's client for that protocol ─► judge(answer) ─► Seen
//! wrong() ─► what of its parameters can never be asked, or be answered well; unrehearsed() ─► why no rehearsal answers it
//! ```
//! How to add one: a file here with the type of its parameters, its doc comment (what it does; then a paragraph that begins
//! `Cannot:`), its `EXAMPLE` and its [`Probe`]; and its line below. A new protocol also needs its variants of [`Ask`] and [`Answer`], which
//! then name the arms that the prober lacks.

mod json;

use ::http::HeaderMap;

use crate::document::Path;
use crate::model::effect::Request;
use crate::model::lookup::{Answers, Query};
use crate::model::sample::Seen;
use crate::model::time::Duration;
use crate::model::url::{HostPort, Url};

/// What a probe asks, by protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Http {
        request: Request,
        /// Over https: for which name, where it is another one than the URL's.
        server_name: Option<String>,
    },
    Tcp {
        to: Endpoint,
        /// A text to wait for.
        banner: Option<String>,
    },
    Dns(Query),
    /// Whether a service serves (`grpc.health.v1`); the whole server, where its name is empty.
    Grpc {
        to: Endpoint,
        service: String,
    },
}

/// A server that takes connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A host and a port.
    pub address: String,
    /// Over TLS: for which name, where it is another one than the host's.
    pub tls: Option<Option<String>>,
}

impl Ask {
    /// The host that is asked or, of a resolver, asked for; `None` where there is no such host.
    pub fn host(&self) -> Option<String> {
        match self {
            Ask::Http { request, .. } => request.url.parse::<Url>().ok().map(|url| url.host),
            Ask::Tcp { to, .. } | Ask::Grpc { to, .. } => {
                to.address.parse::<HostPort>().ok().map(|to| to.host)
            }
            Ask::Dns(question) => Some(question.name.clone()),
        }
    }
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    Http {
        status: u16,
        headers: &'a HeaderMap,
        body: &'a [u8],
        /// For how long the certificate is valid yet that secures the connection; `None` where nothing does.
        certificate: Option<Duration>,
    },
    Tcp {
        /// What was read while a text was waited for.
        banner: &'a [u8],
        certificate: Option<Duration>,
    },
    Dns(&'a Answers),
    Grpc {
        /// Of HTTP.
        status: u16,
        /// Of gRPC, where one was told.
        grpc: Option<u16>,
        message: &'a [u8],
        certificate: Option<Duration>,
    },
}

/// Something wrong with a probe's parameters, which no type says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub at: Path,
    pub why: String,
    pub help: Option<&'static str>,
}

impl Wrong {
    fn new(at: Path, why: impl Into<String>) -> Wrong {
        Wrong { at, why: why.into(), help: None }
    }

    fn help(self, help: &'static str) -> Wrong {
        Wrong { help: Some(help), ..self }
    }
}

/// What every probe can say about itself.
pub trait Probe: Send + Sync {
    /// What it asks, each time the same.
    fn ask(&self) -> Ask;

    /// The header of an answer that names who answered, where it asks for one.
    fn answered_by(&self) -> Option<&str> {
        None
    }

    /// What an answer means.
    fn judge(&self, answer: Answer<'_>) -> Seen;

    /// What is wrong with its parameters, which stand at this path.
    fn wrong(&self, _at: &Path) -> Vec<Wrong> {
        Vec::new()
    }

    /// Why a rehearsal cannot answer it, where it cannot.
    fn unrehearsed(&self) -> Option<&'static str> {
        None
    }
}

/// An address that is no host with a port.
fn wrong_address(at: &Path, address: &str) -> Option<Wrong> {
    let bad = address.parse::<HostPort>().err()?;
    Some(Wrong::new(at.then("address"), bad.to_string()))
}

/// Whether a text stands in an answer's bytes.
pub fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether a certificate is valid for long enough, where that is asked.
fn lasts(certificate: Option<Duration>, wanted: Option<Duration>) -> bool {
    wanted.is_none_or(|wanted| certificate.is_some_and(|left| left >= wanted))
}

crate::kinds! {
    /// How a service is asked whether it is up.
    pub enum ProbeKind: Probe {
        http::Http as "http",
        tcp::Tcp as "tcp",
        tls::Tls as "tls",
        dns::Dns as "dns",
        grpc::Grpc as "grpc",
        prometheus::Prometheus as "prometheus",
    }
}
