//! What the engine acts on, as ports: regions, net, clock, people, alerts, commands. Types and traits only, and the one
//! way of waiting for a value that keeps its order, [`watch`].
//!
//! ```text
//! engine, prober, ledger ──► World ◄── sandbox (in memory)
//!                                  ◄── cluster (kubeconfig, sockets)
//! ```
//! One code path (I2): nothing right of here asks which of the two it is. Waiting is `tokio::time` on both sides; in the sandbox
//! its clock is paused, so that time passes only when nobody has anything to do.

pub mod watch;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::effect::Ref;
use crate::model::event::Decision;
use crate::model::lookup::{Answers, Query};
use crate::model::name::{Name, Region, Role, StepId, Vantage};
use crate::model::time::{At, Duration};

/// Everything that a run acts on.
#[derive(Clone)]
pub struct World {
    /// The Kubernetes API of each region.
    pub regions: BTreeMap<Region, kube::Client>,
    /// The network as it looks from each vantage.
    pub vantages: BTreeMap<Vantage, Arc<dyn Net>>,
    /// The vantages that are agents: probes run there, by a clock of its own.
    pub agents: BTreeMap<Vantage, Arc<dyn Remote>>,
    /// Whose addresses are whose: tells which region answered.
    pub addresses: Vec<AddressRange>,
    pub clock: Arc<dyn Clock>,
    pub people: Arc<dyn People>,
    pub alerts: Arc<dyn Alerts>,
    pub commands: Arc<dyn Commands>,
}

impl World {
    /// The region whose range holds an address.
    pub fn region_of(&self, address: IpAddr) -> Option<&Region> {
        self.addresses.iter().find(|range| range.holds(address)).map(|range| &range.region)
    }
}

/// A range of addresses of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressRange {
    pub region: Region,
    pub network: IpAddr,
    /// The length of the network's prefix in bits.
    pub prefix: u8,
}

impl AddressRange {
    /// Whether an address lies in the range.
    pub fn holds(&self, address: IpAddr) -> bool {
        fn same(a: u128, b: u128, bits: u32, prefix: u8) -> bool {
            let drop = bits.saturating_sub(u32::from(prefix));
            drop >= 128 || a >> drop == b >> drop
        }
        match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32, self.prefix),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128, self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A stream of bytes between two ends.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub type Stream = Box<dyn Io>;

/// What two ends speak over TLS: they agree on it in the handshake (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
    /// Whatever the server speaks: nothing is offered.
    Anything,
}

/// A connection that TLS secures.
pub struct Secured {
    pub stream: Stream,
    /// When the server's certificate ends, in Unix seconds.
    pub ends: i64,
}

/// The end of a certificate that has none (RFC 5280, section 4.1.2.5: 99991231235959Z), in Unix seconds.
pub const NO_END: i64 = 253_402_300_799;

/// The network as it looks from one place.
///
/// Errors: `NotFound` for a name that does not exist, `ConnectionRefused`, `HostUnreachable`/`NetworkUnreachable`,
/// `ConnectionReset` mean what they mean on a socket; a black hole answers never, so every caller brings its own timeout.
pub trait Net: Send + Sync {
    /// The addresses of a host, through this place's resolver and its cache.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// The addresses of a host as its authoritative name server gives them now, past every cache.
    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// The answer of a resolver to one question, as a user of that resolver gets it: with its code, and its time to live. Where a name has
    /// none of the records that were asked for, that is an answer. A network that has no DNS refuses.
    fn look_up<'a>(&'a self, _query: &'a Query) -> BoxFuture<'a, io::Result<Answers>> {
        let why = "this network speaks no DNS";
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, why))))
    }

    /// A new connection.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>>;

    /// A connection as a user of https has it: secured by TLS (RFC 8446) for a host, whose certificate is verified. A network that has no
    /// TLS refuses.
    fn secure<'a>(
        &'a self,
        _stream: Stream,
        _host: &'a str,
        _speaks: Speaks,
    ) -> BoxFuture<'a, io::Result<Secured>> {
        let why = "this network speaks no TLS";
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, why))))
    }
}

/// The way to an agent at a vantage.
pub trait Remote: Send + Sync {
    /// A new connection to it, on which both speak lines of JSON (`prober::agent`).
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>>;

    /// The object that a run makes first, and takes away when it has measured, so that an agent is there so long; nothing where others keep one.
    fn makes(&self, _so_long: Duration) -> Option<(Ref, Value)> {
        None
    }
}

/// The run's clock: monotonic, counts suspend, anchored at the run's start.
pub trait Clock: Send + Sync {
    /// Now, since the anchor.
    fn now(&self) -> At;

    /// The wall clock now, in Unix nanoseconds.
    fn wall_unix_ns(&self) -> i64;
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub step: StepId,
    pub role: Role,
    pub text: String,
    pub about: About,
}

/// What kind of answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Acknowledge a page.
    Acknowledge,
    /// Declare the disaster.
    Declare,
    /// Do something and say so.
    Task,
    /// Decide about a held step; how often it was held before.
    Hold { before: u32 },
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub who: Name,
    /// Simulated people say so.
    pub simulated: bool,
    /// For a held step.
    pub decision: Option<Decision>,
    pub text: String,
}

/// The people of a drill.
pub trait People: Send + Sync {
    /// Asks a role, and waits for the answer; for ever where nobody answers, so that every caller brings its own timeout.
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply>;

    /// Tells an audience something.
    fn notify<'a>(&'a self, audience: &'a Name, text: &'a str) -> BoxFuture<'a, io::Result<()>>;
}

/// The alerting of the environment.
pub trait Alerts: Send + Sync {
    /// Waits until the notification of an alert has arrived at an instant or later, and says when; at once where that alert is firing still.
    /// For ever where none arrives.
    ///
    /// # Errors
    /// Where there is no alert of that name, or its source cannot be asked.
    fn arrives<'a>(&'a self, alert: &'a Name, since: At) -> BoxFuture<'a, io::Result<At>>;

    /// Takes what is sent from now on; a run asks for it before it starts.
    ///
    /// # Errors
    /// Where nothing can be sent to it.
    fn listen(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What a local command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    pub status: i32,
    pub out: String,
}

/// Commands where the orchestrator runs; only those that the environment allows by name (I15).
pub trait Commands: Send + Sync {
    /// Runs one.
    ///
    /// # Errors
    /// Where it is not allowed, or cannot be started.
    fn run<'a>(
        &'a self,
        name: &'a Name,
        argv: &'a [String],
        timeout: Duration,
    ) -> BoxFuture<'a, io::Result<Printed>>;
}
