//! The ledger on real sockets: a net, a clock and a loop that accepts.
//!
//! Left out: TLS; the traffic stays inside a cluster's network.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;

use super::{Service, serve_connection, serve_local};
use crate::model::time::{At, Duration};
use crate::world::{Clock, Net, Stream};

/// How many connections are served at once; further ones wait.
const CONNECTIONS: usize = 1024;
/// A connection that lasts longer than this is closed: a silent client must not hold its place for ever. Longer than any poll.
const LONGEST: Duration = Duration::from_secs(600);
/// Before accepting is tried again, where the system has no more file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// The network of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sockets;

impl Net for Sockets {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut addresses: Vec<IpAddr> =
                lookup_host((host, 0)).await?.map(|address| address.ip()).collect();
            addresses.dedup();
            Ok(addresses)
        })
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.resolve(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

/// The clocks of the machine, anchored now.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Anchors the clock.
    pub fn start() -> SystemClock {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> At {
        At(Duration::from(self.0.elapsed()).nanos())
    }

    fn wall_unix_ns(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Duration::from(since).nanos())
    }
}

/// Serves a node on a listener, and follows its peer, for ever; connections from the same machine may control it.
pub async fn serve(service: Arc<Service>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(RETRY.std()).await;
                continue;
            };
            // Without it an answer is only slower.
            let _ = stream.set_nodelay(true);
            let serving = one(service.clone(), Box::new(stream), from.ip().to_canonical().is_loopback());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(LONGEST.std(), serving).await;
                drop(place);
            });
        }
    };
    tokio::join!(accepting, service.replicate());
}

fn one(service: Arc<Service>, stream: Stream, local: bool) -> impl Future<Output = ()> + Send {
    async move {
        if local {
            serve_local(service, stream).await;
        } else {
            serve_connection(service, stream).await;
        }
    }
}
