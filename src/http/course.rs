//! How far an exchange has come: the stage that it is in, and how long each took.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use futures::FutureExt;

use super::Broken;
use crate::model::sample::{Failure, Stages};
use crate::model::time::{At, Duration};
use crate::world::Clock;

/// Awaits at most so long.
pub fn within<T>(
    timeout: Option<Duration>,
    done: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> impl Future<Output = Result<T, Failure>> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout.std(), done)
            .map(|done| done.unwrap_or(Err(Failure::Timeout)))
            .left_future(),
        None => done.right_future(),
    }
}

/// A stage of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Resolve,
    Connect,
    Tls,
    FirstByte,
    Body,
}

/// How far an exchange has come.
pub struct Course<'a> {
    clock: &'a dyn Clock,
    pub(super) at: Stage,
    /// When the stage began or, once it was left, when that was.
    pub since: At,
    pub stages: Stages,
    /// The address that was tried last.
    pub address: Option<IpAddr>,
    /// Whether a request may have reached the server.
    pub sent: bool,
}

impl<'a> Course<'a> {
    /// It begins now.
    pub fn start(clock: &'a dyn Clock, at: Stage) -> Self {
        Course { clock, at, since: clock.now(), stages: Stages::default(), address: None, sent: false }
    }

    /// The next stage begins.
    pub fn enter(&mut self, stage: Stage) {
        self.leave();
        self.at = stage;
    }

    /// A stage has ended.
    pub fn leave(&mut self) {
        let now = self.clock.now();
        let took = u64::try_from(now.since(self.since).nanos()).unwrap_or(0);
        self.since = now;
        match self.at {
            Stage::Resolve => self.stages.resolve += took,
            Stage::Connect => self.stages.connect += took,
            Stage::Tls => self.stages.tls += took,
            Stage::FirstByte => self.stages.first_byte += took,
            Stage::Body => self.stages.body += took,
        }
    }

    /// It ends here, without an answer.
    pub fn broken(mut self, failure: Failure) -> Broken {
        self.leave();
        Broken { failure, stages: self.stages, address: self.address, sent: self.sent, ended: self.since }
    }
}
