//! The prober's HTTP client: a fresh connection for each probe, or for each n-th with the idle one in between.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Answer, ProbeRun, left};
use crate::http::{self, Ask, BadRequest, Broken, Connection, Exchange};
use crate::model::effect::Request;
use crate::model::time::Duration;
use crate::probe::{self, Probe};
use crate::world::{Clock, Net};

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
    pub(super) fn new(
        probe: &'a dyn Probe,
        request: &Request,
        server_name: Option<&str>,
        run: &ProbeRun,
    ) -> Result<Self, BadRequest> {
        let ask = Ask::new(request)?;
        Ok(Client {
            probe,
            ask: match server_name {
                Some(name) => ask.with_server_name(name),
                None => ask,
            },
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
            Ok(Exchange { status, headers, body, address, certificate_ends, stages, ended }) => Answer {
                seen: self.probe.judge(probe::Answer::Http {
                    status,
                    headers: &headers,
                    body: &body,
                    certificate: certificate_ends.map(|ends| left(ends, &*self.clock)),
                }),
                address: Some(address),
                named: self
                    .probe
                    .answered_by()
                    .and_then(|header| Some(headers.get(header)?.to_str().ok()?.to_owned())),
                stages,
                completed: ended,
            },
            Err(broken) => broken.into(),
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
