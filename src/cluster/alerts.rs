//! Real alerting, asked: an alert arrives when Alertmanager shows it as active, neither silenced nor inhibited.
//!
//! Asked once a second from where drillmaster runs, so that the instant is late by at most that and the answer's time, never early. An
//! Alertmanager that does not answer is asked again: it may stand in what the drill has broken; the step's own timeout decides. (API:
//! Alertmanager's `/api/v2/alerts`.)

use std::io;
use std::sync::Arc;
use std::time::Duration as Std;

use chrono::DateTime;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::environment::AlertSource;
use crate::http::{self, Ask, BadRequest};
use crate::model::name::Name;
use crate::model::time::{At, Duration};
use crate::model::url::BadUrl;
use crate::world::{Alerts, Clock, Net};

const EVERY: Std = Std::from_secs(1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// An Alertmanager, or none.
pub struct Alertmanager {
    source: Option<(Ask, Arc<dyn Net>)>,
    clock: Arc<dyn Clock>,
}

impl Alertmanager {
    /// The alerting of an environment.
    ///
    /// # Errors
    /// Where its URL is none.
    pub fn new(
        source: Option<&AlertSource>,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
    ) -> Result<Alertmanager, BadUrl> {
        let source = source.map(|source| {
            let ask = Ask::get(source.alertmanager.trim_end_matches('/')).map_err(|error| match error {
                BadRequest::Url(bad) => bad,
                BadRequest::Method(text) | BadRequest::Header(text) => BadUrl::NotOne(text),
            })?;
            Ok((ask, net))
        });
        Ok(Alertmanager { source: source.transpose()?, clock })
    }

    /// Whether the alert is active now, and began at an instant or later; `None` where nobody says.
    async fn fires(&self, ask: &Ask, net: &dyn Net, alert: &Name, since: At) -> Option<bool> {
        let answer = http::exchange(net, &*self.clock, ask, Some(ANSWERS_WITHIN)).await.ok()?;
        if answer.status != 200 {
            return None;
        }
        let alerts: Vec<Value> = serde_json::from_slice(&answer.body).ok()?;
        let named = |one: &&Value| one["labels"]["alertname"].as_str() == Some(alert.as_str());
        Some(alerts.iter().filter(named).any(|one| self.began(one).is_none_or(|at| at >= since)))
    }

    /// When an alert began by its source's clock; `None` where it does not say.
    fn began(&self, alert: &Value) -> Option<At> {
        let wall = DateTime::parse_from_rfc3339(alert["startsAt"].as_str()?).ok()?.timestamp_nanos_opt()?;
        let ago = self.clock.wall_unix_ns().saturating_sub(wall);
        Some(At(self.clock.now().0.saturating_sub(ago)))
    }
}

impl Alerts for Alertmanager {
    fn arrives<'a>(&'a self, alert: &'a Name, since: At) -> BoxFuture<'a, io::Result<At>> {
        Box::pin(async move {
            let Some((base, net)) = &self.source else {
                let why = "the environment names no alert source: add `alerts`";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            };
            let path = "/api/v2/alerts?active=true&silenced=false&inhibited=false";
            let ask = base.with_target(path).map_err(io::Error::other)?;
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if self.fires(&ask, &**net, alert, since).await == Some(true) {
                    return Ok(self.clock.now());
                }
            }
        })
    }
}
