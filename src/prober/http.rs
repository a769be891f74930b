//! The prober's HTTP client: a fresh connection for each probe, or for each n-th with the idle one in between.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::ProbeRun;
use crate::http::{self, Ask, BadRequest, Broken, Connection, Exchange};
use crate::model::effect::Request;
use crate::model::sample::{Seen, Stages};
use crate::model::time::{At, Duration};
use crate::probe::{self, Probe};
use crate::world::{Clock, Net};

/// What one probe came to.
pub(super) struct Answer {
    pub(super) seen: Seen,
    pub(super) address: Option<IpAddr>,
    /// What the header says that the probe names.
    pub(super) named: Option<String>,
    pub(super) stages: Stages,
    /// When it was known.
    pub(super) completed: At,
}

pub(super) struct Client<'a> {
    probe: &'a dyn Probe,
    ask: Ask,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    fresh_every: u64,
    /// At most one: a probe that overlaps another opens its own.
    idle: Mutex<Option<Connection>>,
}

impl<'a> Client<'a> {
    pub(super) fn new(probe: &'a dyn Probe, request: &Request, run: &ProbeRun) -> Result<Self, BadRequest> {
        Ok(Client {
            probe,
            ask: Ask::new(request)?,
            net: run.net.clone(),
            clock: run.clock.clone(),
            timeout: run.probe.timeout,
            fresh_every: u64::from(run.probe.fresh_every.max(1)),
            idle: Mutex::new(None),
        })
    }

    pub(super) async fn probe(&self, number: u64) -> Answer {
        let exchanged = if self.fresh_every == 1 {
            http::exchange(&*self.net, &*self.clock, &self.ask, Some(self.timeout)).await
        } else {
            Box::pin(self.reusing(number)).await
        };
        match exchanged {
            Ok(Exchange { status, headers, body, address, stages, ended }) => Answer {
                seen: self.probe.judge(probe::Answer::Http { status, body: &body }),
                address: Some(address),
                named: self
                    .probe
                    .answered_by()
                    .and_then(|header| Some(headers.get(header)?.to_str().ok()?.to_owned())),
                stages,
                completed: ended,
            },
            Err(Broken { failure, stages, address, ended, .. }) => {
                Answer { seen: Seen::Failed(failure), address, named: None, stages, completed: ended }
            }
        }
    }

    /// A connection that was closed while it was idle says nothing about the target: then a fresh one is opened, as any client does.
    async fn reusing(&self, number: u64) -> Result<Exchange, Broken> {
        let started = self.clock.now();
        let left = || Some(self.timeout.minus(self.clock.now().since(started)));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) =
            idle.filter(|idle| !number.is_multiple_of(self.fresh_every) && idle.is_open())
        {
            match connection.exchange(&*self.clock, &self.ask, left()).await {
                Err(Broken { sent: false, .. }) => {}
                answered => return self.keeping(connection, answered),
            }
        }
        let mut connection = Connection::open(&*self.net, &*self.clock, &self.ask, left()).await?;
        let opening = connection.opening();
        let mut answered = connection.exchange(&*self.clock, &self.ask, left()).await;
        let stages = match &mut answered {
            Ok(exchange) => &mut exchange.stages,
            Err(broken) => &mut broken.stages,
        };
        (stages.resolve, stages.connect) = (opening.resolve, opening.connect);
        self.keeping(connection, answered)
    }

    fn keeping(
        &self,
        connection: Connection,
        answered: Result<Exchange, Broken>,
    ) -> Result<Exchange, Broken> {
        if answered.is_ok() && connection.is_open() {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
        answered
    }
}
