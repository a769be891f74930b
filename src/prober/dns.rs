//! The prober's DNS client: one question of the net for each probe.
//!
//! Through [`Net::look_up`], and not by packets over the net: a simulated network has no UDP and no name server at an address, and its
//! resolver must be the very one that the other probes resolve by, with its cache.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use super::{Answer, ProbeRun};
use crate::http::{Course, Stage, unconnected, within};
use crate::model::lookup::{Answers, Query};
use crate::model::sample::Failure;
use crate::model::time::Duration;
use crate::probe::{self, Probe};
use crate::world::{Clock, Net};

pub(super) struct Client<'a> {
    probe: &'a dyn Probe,
    question: Query,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl<'a> Client<'a> {
    pub(super) fn new(probe: &'a dyn Probe, question: Query, run: &ProbeRun) -> Self {
        let (net, clock) = (run.net.clone(), run.clock.clone());
        Client { probe, question, net, clock, timeout: run.probe.timeout }
    }

    pub(super) async fn probe(&self) -> Answer {
        let mut course = Course::start(&*self.clock, Stage::Resolve);
        course.address = self.question.resolver.as_ref().map(SocketAddr::ip);
        let answered = {
            let answered = pin!(self.answered(&mut course));
            within(Some(self.timeout), answered).await
        };
        match answered {
            Ok(answers) => Answer::of(&course, self.probe.judge(probe::Answer::Dns(&answers))),
            Err(failure) => course.broken(failure).into(),
        }
    }

    async fn answered(&self, course: &mut Course<'_>) -> Result<Answers, Failure> {
        let answers = self.net.look_up(&self.question).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Failure::Protocol,
            _ => unconnected(&error),
        })?;
        course.leave();
        Ok(answers)
    }
}
