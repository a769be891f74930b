//! The real network from one place: sockets of this machine, or those of a SOCKS5 proxy that stands there.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;

use super::connect::ClusterError;
use super::names::Names;
use super::questions;
use super::trust::Trust;
use crate::model::lookup::{Answers, Query};
use crate::world::{Net, Secured, Speaks, Stream};

/// A network of sockets.
pub struct SocketNet {
    proxy: Option<SocketAddr>,
    names: Names,
    authority: Option<Names>,
    /// The resolver of this place.
    resolver: Option<SocketAddr>,
    trust: Trust,
}

impl SocketNet {
    /// The network behind a proxy, or this machine's; with a resolver of that place, or the system's; the authority of names; and whose
    /// certificates are accepted.
    ///
    /// # Errors
    /// Where names cannot be resolved at all.
    pub fn new(
        proxy: Option<SocketAddr>,
        dns: Option<SocketAddr>,
        authority: Option<SocketAddr>,
        trust: Trust,
    ) -> Result<SocketNet, ClusterError> {
        let names = dns.map_or_else(Names::of_the_system, Names::of)?;
        let resolver = dns.or_else(questions::of_the_system);
        Ok(SocketNet { proxy, names, authority: authority.map(Names::of).transpose()?, resolver, trust })
    }
}

impl Net for SocketNet {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.names.addresses(host))
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.authority.as_ref().unwrap_or(&self.names).addresses(host))
    }

    /// The resolver of a place with a proxy is asked from here, as for addresses; one that the question names, as from there, so through
    /// the proxy, which takes no UDP from us.
    fn look_up<'a>(&'a self, question: &'a Query) -> BoxFuture<'a, io::Result<Answers>> {
        Box::pin(async move {
            match (question.resolver, self.resolver) {
                (Some(chosen), _) if self.proxy.is_some() => {
                    questions::over(self.connect(chosen).await?, question).await
                }
                (Some(resolver), _) | (None, Some(resolver)) => questions::ask(resolver, question).await,
                (None, None) => {
                    Err(io::Error::new(io::ErrorKind::Unsupported, "this machine names no resolver"))
                }
            }
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let Some(proxy) = self.proxy else {
                let stream = TcpStream::connect(to).await?;
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream) as Stream);
            };
            let stream = TcpStream::connect(proxy).await.map_err(|why| {
                io::Error::other(format!("the proxy {proxy} of this vantage does not answer: {why}"))
            })?;
            stream.set_nodelay(true)?;
            let through = Socks5Stream::connect_with_socket(stream, to).await.map_err(meant)?;
            Ok(Box::new(through) as Stream)
        })
    }

    fn secure<'a>(
        &'a self,
        stream: Stream,
        host: &'a str,
        speaks: Speaks,
    ) -> BoxFuture<'a, io::Result<Secured>> {
        Box::pin(self.trust.secured(stream, host, speaks))
    }
}

/// What a proxy's refusal means, as a socket would say it.
fn meant(refusal: tokio_socks::Error) -> io::Error {
    match refusal {
        tokio_socks::Error::Io(error) => error,
        tokio_socks::Error::ConnectionRefused => io::ErrorKind::ConnectionRefused.into(),
        tokio_socks::Error::HostUnreachable => io::ErrorKind::HostUnreachable.into(),
        tokio_socks::Error::NetworkUnreachable => io::ErrorKind::NetworkUnreachable.into(),
        other => io::Error::other(other.to_string()),
    }
}
