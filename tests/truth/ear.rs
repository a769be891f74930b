//! An ear at the socket of the ledger's client: which writes were acknowledged, by the bytes that arrived there and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use drillmaster::model::name::Vantage;
use drillmaster::world::{Net, Stream, World};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The writes whose acknowledgement has arrived.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<BTreeSet<u64>>>);

impl Heard {
    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.0.lock().unwrap().clone()
    }

    /// Listens to all that a vantage sends and gets from now on.
    pub fn listen(&self, world: &mut World, vantage: &Vantage) {
        let net = world.vantages.get_mut(vantage).unwrap();
        *net = Arc::new(Tapped { net: net.clone(), heard: self.clone() });
    }

    /// One exchange as far as it has come; a connection carries only one.
    fn hear(&self, sent: &[u8], got: &[u8]) {
        let number = |sent: &str| -> Option<u64> {
            let (_, from) = sent.split_once("\"number\":")?;
            from.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let sent = String::from_utf8_lossy(sent);
        if sent.starts_with("POST ") && got.starts_with(b"HTTP/1.1 201") {
            self.0.lock().unwrap().extend(number(&sent));
        }
    }
}

struct Tapped {
    net: Arc<dyn Net>,
    heard: Heard,
}

impl Net for Tapped {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.net.resolve(host)
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.net.resolve_authoritative(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let stream = self.net.connect(to).await?;
            let heard = self.heard.clone();
            Ok(Box::new(Line { stream, heard, sent: Vec::new(), got: Vec::new() }) as Stream)
        })
    }
}

struct Line {
    stream: Stream,
    heard: Heard,
    sent: Vec<u8>,
    got: Vec<u8>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let line = &mut *self;
        ready!(Pin::new(&mut line.stream).poll_read(context, buffer))?;
        line.got.extend_from_slice(&buffer.filled()[before..]);
        line.heard.hear(&line.sent, &line.got);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = &mut *self;
        let written = ready!(Pin::new(&mut line.stream).poll_write(context, bytes))?;
        line.sent.extend_from_slice(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
