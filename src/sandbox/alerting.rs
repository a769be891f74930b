//! A stand-in for Alertmanager and its prober: rules that check a URL over the simulated network, fire, notify and resolve.
//!
//! A check every so often is what alerting does, so this polls while the sandbox lives. A rule fires when its checks have failed
//! without a break for its time, counted from the first failed check's start as Prometheus counts from the first evaluation; the
//! page arrives its way later. It shares nothing with the prober that measures.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, pending};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::clock::Clock;
use super::spec::AlertRule;
use crate::model::name::{Name, Vantage};
use crate::model::time::At;
use crate::world::{Alerts, Net, watch};

/// A check takes at most as long as blackbox_exporter's `timeout` by default allows, and no longer than its period.
const LONGEST_CHECK: Duration = Duration::from_secs(10);

/// The alerting of a sandbox.
pub struct Alerting {
    /// When the page of each alert arrived, while it fires.
    firing: BTreeMap<Name, watch::Receiver<Option<At>>>,
    /// Ends the checks with this.
    _checks: JoinSet<()>,
}

impl Alerting {
    /// Begins to check; `Err` names a vantage that there is not.
    pub fn start(
        rules: &[AlertRule],
        vantages: &BTreeMap<Vantage, Arc<dyn Net>>,
        clock: Clock,
    ) -> Result<Alerting, String> {
        let mut firing = BTreeMap::new();
        let mut checks = JoinSet::new();
        for rule in rules {
            let Some(net) = vantages.get(&rule.from) else {
                return Err(format!("alert {}: there is no vantage {}", rule.name, rule.from));
            };
            let (tell, told) = watch::channel(None);
            firing.insert(rule.name.clone(), told);
            checks.spawn(watch_over(rule.clone(), Arc::clone(net), clock, tell));
        }
        Ok(Alerting { firing, _checks: checks })
    }
}

impl Alerts for Alerting {
    fn arrives<'a>(&'a self, alert: &'a Name, since: At) -> BoxFuture<'a, io::Result<At>> {
        Box::pin(async move {
            let Some(firing) = self.firing.get(alert) else {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no alert {alert}")));
            };
            let in_time = |arrived: &Option<At>| arrived.is_some_and(|at| at >= since);
            match firing.clone().wait_for(in_time).await {
                Ok(Some(at)) => Ok(at),
                Ok(None) | Err(_) => pending().await,
            }
        })
    }
}

async fn watch_over(rule: AlertRule, net: Arc<dyn Net>, clock: Clock, tell: watch::Sender<Option<At>>) {
    let mut ticks = interval(rule.every.std().max(Duration::from_millis(1)));
    let allowed = rule.every.std().min(LONGEST_CHECK);
    let mut failing: Option<Instant> = None;
    loop {
        let started = ticks.tick().await;
        if matches!(timeout(allowed, check(&*net, &rule.url)).await, Ok(Ok(true))) {
            failing = None;
            tell.send_if_modified(|arrived| arrived.take().is_some());
            continue;
        }
        let since = *failing.get_or_insert(started);
        if started - since >= rule.fails_for.std() && tell.get().is_none() {
            sleep(rule.notifies_after.std()).await;
            tell.send(Some(clock.now()));
        }
    }
}

/// Whether a GET answers 2xx or 3xx.
async fn check(net: &dyn Net, url: &str) -> io::Result<bool> {
    let status = super::stand_in::get(net, url).await?;
    Ok(status.is_success() || status.is_redirection())
}
