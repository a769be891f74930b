//! A connection in memory: two ends, a latency, and a way to cut it.
//!
//! Why not `tokio::io::duplex` with sleeps: a packet's delay needs one timer on the side that waits for it, none on the side that
//! sends, and none at all without latency; and a cut must leave both ends waiting, as a network does that drops packets.
//! Left out: retransmission. What is cut stays cut, so that a caller's own timeout decides, as it mostly does on real networks.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes one side may have on the way before it must wait.
const CAPACITY: usize = 256 * 1024;

/// Two ends of a new connection; a byte takes the latency from one to the other.
pub fn pipe(latency: Duration) -> (End, End) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let end = |side| End { wire: Arc::clone(&wire), side, latency, timer: None };
    (end(0), end(1))
}

#[derive(Default)]
struct Wire {
    /// What each side sent.
    lanes: [Lane; 2],
    cut: bool,
}

#[derive(Default)]
struct Lane {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// When the end of the stream arrives.
    ends: Option<Instant>,
    /// The receiver is gone.
    deaf: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

struct Chunk {
    arrives: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

/// One end of a connection.
pub struct End {
    wire: Arc<Mutex<Wire>>,
    side: usize,
    latency: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A hold on a connection that does not keep it open.
pub struct Cable(Weak<Mutex<Wire>>);

impl Cable {
    /// From now on nothing arrives any more, on either side.
    pub fn cut(&self) {
        if let Some(wire) = self.0.upgrade() {
            lock(&wire).cut = true;
        }
    }

    /// Whether both ends are gone.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl End {
    /// A hold on this connection, for who may cut it.
    pub fn cable(&self) -> Cable {
        Cable(Arc::downgrade(&self.wire))
    }

    fn arrival(&self) -> Instant {
        Instant::now() + self.latency
    }

    fn has_arrived(&self, at: Instant) -> bool {
        self.latency.is_zero() || at <= Instant::now()
    }
}

/// What the receiver finds.
enum Found {
    Bytes,
    End,
    Later(Instant),
    Nothing,
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let later = {
                let mut wire = lock(&this.wire);
                if wire.cut {
                    return Poll::Pending;
                }
                let lane = &mut wire.lanes[1 - this.side];
                let found = match (lane.chunks.front(), lane.ends) {
                    (Some(chunk), _) if this.has_arrived(chunk.arrives) => Found::Bytes,
                    (Some(chunk), _) => Found::Later(chunk.arrives),
                    (None, Some(end)) if this.has_arrived(end) => Found::End,
                    (None, Some(end)) => Found::Later(end),
                    (None, None) => Found::Nothing,
                };
                match found {
                    Found::Bytes => {
                        lane.take(into);
                        return Poll::Ready(Ok(()));
                    }
                    Found::End => return Poll::Ready(Ok(())),
                    Found::Later(at) => at,
                    Found::Nothing => {
                        keep(&mut lane.receiver, cx);
                        return Poll::Pending;
                    }
                }
            };
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(later)));
            if timer.deadline() != later {
                timer.as_mut().reset(later);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

impl Lane {
    fn take(&mut self, into: &mut ReadBuf<'_>) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        let count = into.remaining().min(chunk.bytes.len() - chunk.taken);
        into.put_slice(&chunk.bytes[chunk.taken..chunk.taken + count]);
        chunk.taken += count;
        if chunk.taken == chunk.bytes.len() {
            self.chunks.pop_front();
        }
        self.bytes -= count;
        wake(&mut self.sender);
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let arrives = self.arrival();
        let mut wire = lock(&self.wire);
        if wire.cut || bytes.is_empty() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let lane = &mut wire.lanes[self.side];
        if lane.deaf || lane.ends.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if lane.bytes >= CAPACITY {
            keep(&mut lane.sender, cx);
            return Poll::Pending;
        }
        let count = bytes.len().min(CAPACITY - lane.bytes);
        lane.chunks.push_back(Chunk { arrives, bytes: bytes[..count].to_vec(), taken: 0 });
        lane.bytes += count;
        wake(&mut lane.receiver);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let arrives = self.arrival();
        let mut wire = lock(&self.wire);
        let lane = &mut wire.lanes[self.side];
        lane.ends.get_or_insert(arrives);
        wake(&mut lane.receiver);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let arrives = self.arrival();
        let mut wire = lock(&self.wire);
        if wire.cut {
            return;
        }
        let lane = &mut wire.lanes[self.side];
        lane.ends.get_or_insert(arrives);
        wake(&mut lane.receiver);
        let lane = &mut wire.lanes[1 - self.side];
        lane.deaf = true;
        wake(&mut lane.sender);
    }
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_byte_arrives_after_exactly_the_latency_and_so_does_the_end() {
        for milliseconds in [0, 1, 30] {
            let latency = Duration::from_millis(milliseconds);
            let (mut client, mut server) = pipe(latency);
            let start = Instant::now();
            client.write_all(b"ask").await.unwrap();
            drop(client);
            let mut got = [0; 3];
            server.read_exact(&mut got).await.unwrap();
            assert_eq!((&got, start.elapsed()), (b"ask", latency));
            assert_eq!(server.read(&mut got).await.unwrap(), 0);
            assert_eq!(start.elapsed(), latency);
            assert_eq!(server.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_connection_hangs_on_both_sides() {
        let (mut client, mut server) = pipe(Duration::from_millis(5));
        client.write_all(b"on the way").await.unwrap();
        client.cable().cut();
        assert_eq!(client.write(b"into the void").await.unwrap(), 13);
        drop(client);
        let mut byte = [0];
        assert!(timeout(Duration::from_secs(3600), server.read(&mut byte)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_waits_for_a_receiver_that_does_not_read() {
        let (mut client, mut server) = pipe(Duration::ZERO);
        let sending = tokio::spawn(async move { client.write_all(&vec![7; CAPACITY * 2]).await });
        tokio::task::yield_now().await;
        assert!(!sending.is_finished());
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), CAPACITY * 2);
        sending.await.unwrap().unwrap();
    }
}
