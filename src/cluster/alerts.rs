//! Real alerting, asked: an alert arrives when Alertmanager shows it as active, neither silenced nor inhibited.
//!
//! Asked once a second from where drillmaster runs, so that the instant is late by at most that and the answer's time, never early. An
//! Alertmanager that does not answer is asked again: it may stand in what the drill has broken; the step's own timeout decides. (API:
//! Alertmanager's `/api/v2/alerts`.)

use std::io;
use std::sync::Arc;
use std::time::Duration as Std;

use chrono::DateTime;
use futures::future::{BoxFuture, select_all};
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

/// The Alertmanagers of an environment, each asked on its own: a dead one holds up nobody.
pub struct Alertmanagers {
    sources: Vec<Ask>,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
}

impl Alertmanagers {
    /// These sources, asked through a network.
    ///
    /// # Errors
    /// Where a URL is none.
    pub fn new<'a>(
        sources: impl Iterator<Item = &'a AlertSource>,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
    ) -> Result<Alertmanagers, BadUrl> {
        let path = "/api/v2/alerts?active=true&silenced=false&inhibited=false";
        let ask = |source: &AlertSource| {
            let base = source.alertmanager.trim_end_matches('/');
            Ask::get(&format!("{base}{path}")).map_err(|error| match error {
                BadRequest::Url(bad) => bad,
                BadRequest::Method(text) | BadRequest::Header(text) => BadUrl::NotOne(text),
            })
        };
        Ok(Alertmanagers { sources: sources.map(ask).collect::<Result<_, _>>()?, net, clock })
    }

    /// Asks one source until the alert is active there, and began at an instant or later.
    async fn arrives_at(&self, ask: &Ask, alert: &Name, since: At) -> At {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.fires(ask, alert, since).await == Some(true) {
                return self.clock.now();
            }
        }
    }

    /// Whether the alert is active now, and began at an instant or later; `None` where nobody says.
    async fn fires(&self, ask: &Ask, alert: &Name, since: At) -> Option<bool> {
        let answer = http::exchange(&*self.net, &*self.clock, ask, Some(ANSWERS_WITHIN)).await.ok()?;
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

impl Alerts for Alertmanagers {
    fn arrives<'a>(&'a self, alert: &'a Name, since: At) -> BoxFuture<'a, io::Result<At>> {
        Box::pin(async move {
            if self.sources.is_empty() {
                let why = "the environment names no alert source: add `alerts`";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
            let each = self.sources.iter().map(|ask| Box::pin(self.arrives_at(ask, alert, since)));
            Ok(select_all(each).await.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::simulated::{TestClock, TestNet};

    fn says(alerts: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{alerts}", alerts.len())
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_of_any_source_arrives_however_dead_the_others_are() {
        let (net, clock) = (TestNet::new(), TestClock::start());
        net.says("dead", says("[]"));
        net.cut("dead", true);
        net.says("quiet", says(r#"[{"labels": {"alertname": "Other"}}]"#));
        net.says("east", says(r#"[{"labels": {"alertname": "CheckoutDown"}}]"#));
        let source = |host: &str| AlertSource { alertmanager: format!("http://{host}/prefix/") };
        let all = ["dead", "quiet", "east"].map(source);
        let of =
            |sources: &[AlertSource]| Alertmanagers::new(sources.iter(), net.clone(), clock.clone()).unwrap();
        let (alert, since) = (Name::from("CheckoutDown"), clock.now());
        assert_eq!(of(&all).arrives(&alert, since).await.unwrap(), since, "at the first look");
        let waits =
            tokio::time::timeout(Std::from_secs(60), async { of(&all[..2]).arrives(&alert, since).await });
        assert!(waits.await.is_err());
        let none = of(&[]).arrives(&alert, since).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
