//! One HTTP client over a net: the connection is our own, so that each of its stages has its own time. Clients of other protocols open theirs by
//! the same [`dial`], and are timed by the same [`Course`].
//!
//! ```text
//! Ask ─► resolve ─► connect ─► (TLS) ─► request ─► first byte ─► body ─► Exchange
//!           └──────────┴─────────┴─────────┴───────────┴─────────┴────► Broken { failure, sent }
//! ```
//! `sent` says whether the request may have reached the server: a write is then unknown, not failed. Nothing is retried and nothing
//! is spawned: whoever awaits an exchange also drives its connection. Rejected: a pooling client, since a probe must see
//! what a fresh user sees.

mod ask;
mod connection;
mod course;
mod dial;

use std::net::IpAddr;
use std::pin::pin;

use ::http::HeaderMap;
use bytes::Bytes;

use crate::model::sample::{Failure, Stages};
use crate::model::time::{At, Duration};
use crate::world::{Clock, Net};

pub use ask::{Ask, BadRequest};
pub use connection::{Connection, driven};
pub use course::{Course, Stage, within};
pub use dial::{Dialled, Target, dial, unconnected};

/// How much of a body is read; the rest is cut off.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most its first [`BODY_LIMIT`] bytes.
    pub body: Bytes,
    /// Who was asked.
    pub address: IpAddr,
    /// When the certificate ends that secured the connection, in Unix seconds.
    pub certificate_ends: Option<i64>,
    pub stages: Stages,
    /// When it was whole.
    pub ended: At,
}

/// No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer: {failure}")]
pub struct Broken {
    pub failure: Failure,
    /// The stages that were finished, and the time so far of the one that was not.
    pub stages: Stages,
    /// The address that was tried last.
    pub address: Option<IpAddr>,
    /// Whether the request may have reached the server.
    pub sent: bool,
    /// When it was known that there is none.
    pub ended: At,
}

/// Sends one request over a fresh connection; after the timeout, if one is given, it is [`Failure::Timeout`].
///
/// # Errors
/// Where there is no whole answer in time.
pub async fn exchange(
    net: &dyn Net,
    clock: &dyn Clock,
    ask: &Ask,
    timeout: Option<Duration>,
) -> Result<Exchange, Broken> {
    let mut course = Course::start(clock, Stage::Connect);
    let exchanged = {
        let whole = pin!(async {
            let mut connection = Connection::opened(net, ask, &mut course).await?;
            connection.asked(ask, &mut course).await
        });
        within(timeout, whole).await
    };
    exchanged.map_err(|failure| course.broken(failure))
}

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
