//! A connection to a host, as a user of its protocol opens it: resolve, connect, and TLS where it is secured.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::course::{Course, Stage};
use crate::model::sample::Failure;
use crate::world::{Net, Secured, Speaks, Stream};

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host's name, or its address as text.
    pub host: String,
    /// The address, where that is one.
    pub literal: Option<IpAddr>,
    pub port: u16,
    /// Over TLS: for this name, and to speak this.
    pub tls: Option<(String, Speaks)>,
}

impl Target {
    /// A host and its port; over TLS for a name, where one is given.
    pub fn new(host: &str, port: u16, tls: Option<(String, Speaks)>) -> Target {
        Target { literal: host.parse().ok(), host: host.to_owned(), port, tls }
    }
}

/// An open connection.
pub struct Dialled {
    pub stream: Stream,
    pub address: IpAddr,
    /// When the certificate ends that secures it, in Unix seconds.
    pub certificate_ends: Option<i64>,
}

/// Opens a connection, to the first address of the host that takes one.
///
/// # Errors
/// The class of what went wrong, at the last address that was tried.
pub async fn dial(net: &dyn Net, target: &Target, course: &mut Course<'_>) -> Result<Dialled, Failure> {
    let addresses = match target.literal {
        Some(address) => vec![address],
        None => {
            course.at = Stage::Resolve;
            net.resolve(&target.host).await.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Failure::Timeout,
                _ => Failure::Resolve,
            })?
        }
    };
    course.enter(Stage::Connect);
    let mut failure = Failure::Resolve;
    for address in addresses {
        course.address = Some(address);
        match net.connect(SocketAddr::new(address, target.port)).await {
            Ok(stream) => {
                let Some((name, speaks)) = &target.tls else {
                    return Ok(Dialled { stream, address, certificate_ends: None });
                };
                course.enter(Stage::Tls);
                let secured = net.secure(stream, name, *speaks).await;
                let Secured { stream, ends } = secured.map_err(|error| insecure(&error))?;
                return Ok(Dialled { stream, address, certificate_ends: Some(ends) });
            }
            Err(error) => failure = unconnected(&error),
        }
    }
    Err(failure)
}

/// The class of a connection that could not be made.
pub fn unconnected(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Failure::Reset,
        _ => Failure::Unreachable,
    }
}

/// The class of a handshake that failed: the connection's end, or TLS's own.
fn insecure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Failure::Reset
        }
        _ => Failure::Tls,
    }
}
