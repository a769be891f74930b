//! A tiny net in memory, for the tests of the rooms that speak through one.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::Instant;

use crate::model::time::At;
use crate::world::{Clock, Net, Stream};

/// The runtime's own clock.
pub(crate) struct TestClock(Instant);

impl TestClock {
    pub(crate) fn start() -> Arc<TestClock> {
        Arc::new(TestClock(Instant::now()))
    }
}

impl Clock for TestClock {
    fn now(&self) -> At {
        At(i64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }

    fn wall_unix_ns(&self) -> i64 {
        self.now().0
    }
}

type Serve = Box<dyn Fn(Stream) + Send + Sync>;

/// How an address answers a connection.
pub(crate) enum Host {
    Serves(Serve),
    Fails(io::ErrorKind),
}

/// Hosts by name, each at an address of its own; a name that is given twice has two. A cut host is a black hole.
#[derive(Default)]
pub(crate) struct TestNet {
    hosts: Mutex<Vec<(String, Host, Arc<AtomicBool>)>>,
    pub(crate) connects: Mutex<BTreeMap<String, u64>>,
}

impl TestNet {
    pub(crate) fn new() -> Arc<TestNet> {
        Arc::default()
    }

    pub(crate) fn host(&self, name: &str, host: Host) {
        self.hosts.lock().unwrap().push((name.into(), host, Arc::default()));
    }

    pub(crate) fn serves(&self, name: &str, serve: impl Fn(Stream) + Send + Sync + 'static) {
        self.host(name, Host::Serves(Box::new(serve)));
    }

    /// A server that reads a request's head and then says this, and nothing more.
    pub(crate) fn says(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.serves(name, move |mut stream| {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let _ = stream.write_all(&bytes).await;
            });
        });
    }

    /// Cuts a host off, or joins it again.
    pub(crate) fn cut(&self, name: &str, cut: bool) {
        let hosts = self.hosts.lock().unwrap();
        hosts.iter().find(|(host, ..)| host == name).unwrap().2.store(cut, Ordering::Relaxed);
    }
}

impl Net for TestNet {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let hosts = self.hosts.lock().unwrap();
        let places = hosts.iter().zip(0..).filter(|((name, ..), _)| name == host);
        let found: Vec<IpAddr> =
            places.map(|(_, place)| IpAddr::V4(Ipv4Addr::new(10, 0, 0, place))).collect();
        let known = if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) };
        Box::pin(std::future::ready(known))
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.resolve(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let IpAddr::V4(address) = to.ip() else { return Err(io::ErrorKind::NetworkUnreachable.into()) };
            let place = usize::from(address.octets()[3]);
            let cut = self.hosts.lock().unwrap()[place].2.clone();
            if cut.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let hosts = self.hosts.lock().unwrap();
            let (name, host, _) = &hosts[place];
            *self.connects.lock().unwrap().entry(name.clone()).or_default() += 1;
            match host {
                Host::Serves(serve) => {
                    let (ours, theirs) = duplex(16 * 1024);
                    serve(Box::new(theirs));
                    Ok(Box::new(Gated { stream: ours, cut }) as Stream)
                }
                Host::Fails(kind) => Err((*kind).into()),
            }
        })
    }
}

/// A stream that says nothing more once it is cut.
struct Gated {
    stream: DuplexStream,
    cut: Arc<AtomicBool>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
