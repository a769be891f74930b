//! Sends at instants that are fixed at the start, whatever becomes of what was sent (I12).
//!
//! Why open loop: a loop that waits for its answer sends less while the target is slow, and so hides the outage that it should
//! measure (coordinated omission). Shared by the probes and by the ledger's writes.

use std::future::Future;
use std::pin::pin;

use futures::StreamExt;
use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{self, error::TrySendError};
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

    /// Both clocks are read anew for each, since only one of them counts a suspend.
    fn instant(&self, number: u64, now: At) -> Instant {
        Instant::now() + self.scheduled(number).since(now).std()
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
    // Most are over before the next is due: only those that are not need wakers of their own.
    let mut newest = None;
    let mut older = FuturesUnordered::new();
    let mut number = 0;
    let mut stopping = false;
    // Also where whoever could say so has gone.
    let mut told = pin!(stop.wait_for(|stop| *stop));
    let mut timer = pin!(sleep_until(pace.instant(number, pace.clock.now())));
    loop {
        let seen = tokio::select! {
            biased;
            Some(done) = OptionFuture::from(newest.as_mut()), if newest.is_some() => {
                newest = None;
                done
            }
            Some(done) = older.next(), if !older.is_empty() => done,
            _ = &mut told, if !stopping => {
                stopping = true;
                continue;
            }
            () = &mut timer, if !stopping => {
                let slot = Slot { number, scheduled: pace.scheduled(number), sent: pace.clock.now() };
                number += 1;
                timer.as_mut().reset(pace.instant(number, slot.sent));
                if !pace.is_late(slot) {
                    // In a box, since it is large, and moved.
                    older.extend(newest.replace(Box::pin(send(slot))));
                    continue;
                }
                gap(slot)
            }
            else => return,
        };
        // Nearly always there is room, and nothing to wait for.
        match out.try_send(seen) {
            Ok(()) => {}
            Err(TrySendError::Full(seen)) => {
                if out.send(seen).await.is_err() {
                    return;
                }
            }
            Err(TrySendError::Closed(_)) => return,
        }
    }
}
