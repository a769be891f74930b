//! Real alerting: an alert arrives when somebody is paged (`pages`), or when Alertmanager, asked, shows it as active, neither silenced
//! nor inhibited; whichever comes first.
//!
//! Asked once a second from where drillmaster runs, so that the instant is late by at most that and the answer's time, never early. An
//! Alertmanager that does not answer is asked again: it may stand in what the drill has broken; the step's own timeout decides. (API:
//! Alertmanager's `/api/v2/alerts`.)

use std::io;
use std::sync::Arc;
use std::time::Duration as Std;

use chrono::DateTime;
use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::environment::AlertSource;
use super::pages::Pages;
use crate::http::{self, Ask, BadRequest};
use crate::model::name::Name;
use crate::model::time::{At, Duration};
use crate::model::url::BadUrl;
use crate::world::{Alerts, Clock, Net};

const EVERY: Std = Std::from_secs(1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The alert sources of an environment, each asked and heard on its own: a dead one holds up nobody.
pub struct Alertmanagers {
    sources: Vec<Ask>,
    pages: Vec<Arc<Pages>>,
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
        let ask = |base: &str| {
            let base = base.trim_end_matches('/');
            Ask::get(&format!("{base}{path}")).map_err(|error| match error {
                BadRequest::Url(bad) => bad,
                BadRequest::Method(text) | BadRequest::Header(text) => BadUrl::NotOne(text),
            })
        };
        let all: Vec<&AlertSource> = sources.collect();
        let asked = all.iter().filter_map(|source| source.alertmanager.as_deref()).map(ask);
        let heard = all.iter().filter_map(|source| source.webhook);
        Ok(Alertmanagers {
            sources: asked.collect::<Result<_, _>>()?,
            pages: heard.map(|at| Arc::new(Pages::at(at, Arc::clone(&clock)))).collect(),
            net,
            clock,
        })
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
        Some(alerts.iter().filter(named).any(|one| began(one, &*self.clock).is_none_or(|at| at >= since)))
    }
}

/// When an alert began by its source's clock; `None` where it does not say.
pub(super) fn began(alert: &Value, clock: &dyn Clock) -> Option<At> {
    let wall = DateTime::parse_from_rfc3339(alert["startsAt"].as_str()?).ok()?.timestamp_nanos_opt()?;
    let ago = clock.wall_unix_ns().saturating_sub(wall);
    Some(At(clock.now().0.saturating_sub(ago)))
}

impl Alerts for Alertmanagers {
    fn arrives<'a>(&'a self, alert: &'a Name, since: At) -> BoxFuture<'a, io::Result<At>> {
        Box::pin(async move {
            if self.sources.is_empty() && self.pages.is_empty() {
                let why = "the environment names no alert source: add `alerts`";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
            let asked = self.sources.iter().map(|ask| self.arrives_at(ask, alert, since).boxed());
            let paged = self.pages.iter().map(|pages| pages.arrives(alert, since).boxed());
            Ok(select_all(asked.chain(paged)).await.0)
        })
    }

    fn listen(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            for pages in &self.pages {
                pages.listen().await?;
            }
            Ok(())
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
        let source =
            |host: &str| AlertSource { alertmanager: Some(format!("http://{host}/prefix/")), webhook: None };
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
