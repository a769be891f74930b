//! Sends at instants that are fixed at the start, whatever becomes of what was sent (I12).
//!
//! Why open loop: a loop that waits for its answer sends less while the target is slow, and so hides the outage that it should
//! measure (coordinated omission). Shared by the probes and by the ledger's writes.

use std::future::Future;
use std::pin::pin;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::model::time::{At, Duration};
use crate::world::{Clock, watch};

/// When to send.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    pub start: At,
    /// More than zero.
    pub every: Duration,
    pub clock: &'a dyn Clock,
}

/// One instant of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From 0.
    pub number: u64,
    /// `start + number·every`
    pub scheduled: At,
    /// Now.
    pub sent: At,
}

impl Pace<'_> {
    fn scheduled(&self, number: u64) -> At {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        At(self.start.0.saturating_add(self.every.nanos().saturating_mul(number)))
    }

    fn instant(&self, number: u64) -> Instant {
        Instant::now() + self.scheduled(number).since(self.clock.now()).std()
    }

    fn is_late(&self, slot: Slot) -> bool {
        slot.sent.since(slot.scheduled).nanos().saturating_mul(2) > self.every.nanos()
    }
}

/// Sends at each instant until told to stop, or until nobody listens; an instant that is missed by more than half a period is a
/// gap. Told to stop, it waits for what is in flight, so `send` must end by itself.
pub async fn open_loop<T, F: Future<Output = T>>(
    pace: Pace<'_>,
    out: mpsc::Sender<T>,
    mut stop: watch::Receiver<bool>,
    send: impl Fn(Slot) -> F,
    gap: impl Fn(Slot) -> T,
) {
    let mut in_flight = FuturesUnordered::new();
    let mut number = 0;
    let mut stopping = false;
    // Also where whoever could say so has gone.
    let mut told = pin!(stop.wait_for(|stop| *stop));
    let mut timer = pin!(sleep_until(pace.instant(number)));
    loop {
        let seen = tokio::select! {
            biased;
            _ = &mut told, if !stopping => {
                stopping = true;
                continue;
            }
            Some(done) = in_flight.next(), if !in_flight.is_empty() => done,
            () = &mut timer, if !stopping => {
                let slot = Slot { number, scheduled: pace.scheduled(number), sent: pace.clock.now() };
                number += 1;
                timer.as_mut().reset(pace.instant(number));
                if !pace.is_late(slot) {
                    // In a box, since it is large, and moved.
                    in_flight.push(Box::pin(send(slot)));
                    continue;
                }
                gap(slot)
            }
            else => return,
        };
        if out.send(seen).await.is_err() {
            return;
        }
    }
}
