//! A connection in memory: two ends, a latency, and a way to cut it.
//!
//! Why not `tokio::io::duplex` with sleeps: a packet's delay needs one timer, which wakes the receiver when the packet arrives and not
//! before, and none at all without latency; and a cut must leave both ends waiting, as a network does that drops packets.
//! Left out: retransmission, and the way of an end that was dropped, which the other side hears of at once (behind all bytes): whoever
//! measures has its answer by then, and each connection would cost one more step of the clock. What is cut stays cut, so that a caller's own timeout decides, as it mostly does on real networks.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes one side may have on the way before it must wait.
const CAPACITY: usize = 256 * 1024;

/// Two ends of a new connection; a byte takes the latency from one to the other.
pub fn pipe(latency: Duration) -> (End, End) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let opened = Instant::now();
    let end = |side| End { wire: Arc::clone(&wire), side, latency, opened };
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
    /// What is on its way or waits to be read; the beginning of it was taken already.
    bytes: Vec<u8>,
    taken: usize,
    /// When which part of `bytes` arrives, by the index of its end; empty where there is no latency, since all has arrived.
    arrivals: VecDeque<(Instant, usize)>,
    /// When the end of the stream arrives.
    ends: Option<Instant>,
    /// The receiver is gone.
    deaf: bool,
    receiver: Option<Waker>,
    /// Wakes the receiver when what comes next arrives.
    timer: Option<Pin<Box<Sleep>>>,
    sender: Option<Waker>,
}

/// One end of a connection.
pub struct End {
    wire: Arc<Mutex<Wire>>,
    side: usize,
    latency: Duration,
    opened: Instant,
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

    /// Something was sent: now it is there, or will be after the latency.
    fn arriving(&self, lane: &mut Lane) {
        match lane.next().filter(|_| !self.latency.is_zero()) {
            Some(at) => lane.wake_at(at),
            None => wake(&mut lane.receiver),
        }
    }

    /// When what is sent now arrives; without latency any instant that is over will do.
    fn arrival(&self) -> Instant {
        if self.latency.is_zero() { self.opened } else { Instant::now() + self.latency }
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        if wire.cut {
            return Poll::Pending;
        }
        let lane = &mut wire.lanes[1 - self.side];
        let now = (!self.latency.is_zero()).then(Instant::now);
        let arrived = lane.arrived(now);
        if arrived > lane.taken {
            lane.take(into, arrived);
            return Poll::Ready(Ok(()));
        }
        if lane.is_empty() && lane.ends.is_some_and(|at| now.is_none_or(|now| at <= now)) {
            return Poll::Ready(Ok(()));
        }
        keep(&mut lane.receiver, cx);
        if let Some(at) = lane.next() {
            lane.wake_at(at);
        }
        Poll::Pending
    }
}

impl Lane {
    /// When what comes next arrives: bytes, else the end.
    fn next(&self) -> Option<Instant> {
        self.arrivals.front().map(|(at, _)| *at).or(self.ends)
    }

    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// How much of `bytes` has arrived by now; all of it where there is no latency.
    fn arrived(&mut self, now: Option<Instant>) -> usize {
        let Some(now) = now else { return self.bytes.len() };
        let mut arrived = self.taken;
        for (at, end) in &self.arrivals {
            if *at > now {
                break;
            }
            arrived = *end;
        }
        arrived
    }

    /// Wakes the receiver, if it waits, at an instant.
    fn wake_at(&mut self, at: Instant) {
        let Some(receiver) = &self.receiver else { return };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(&mut Context::from_waker(receiver)).is_ready() {
            wake(&mut self.receiver);
        }
    }

    /// Hands over what has arrived, as far as there is room.
    fn take(&mut self, into: &mut ReadBuf<'_>, arrived: usize) {
        let end = arrived.min(self.taken + into.remaining());
        into.put_slice(&self.bytes[self.taken..end]);
        self.taken = end;
        while self.arrivals.front().is_some_and(|(_, until)| *until <= end) {
            self.arrivals.pop_front();
        }
        if self.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        }
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
        let room = CAPACITY.saturating_sub(lane.bytes.len());
        if room == 0 {
            keep(&mut lane.sender, cx);
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        lane.bytes.extend_from_slice(&bytes[..count]);
        if !self.latency.is_zero() {
            lane.arrivals.push_back((arrives, lane.bytes.len()));
        }
        self.arriving(lane);
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
        self.arriving(lane);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        if wire.cut {
            return;
        }
        let lane = &mut wire.lanes[self.side];
        lane.ends = Some(self.opened);
        if lane.is_empty() {
            wake(&mut lane.receiver);
        }
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
