//! When a run may begin, and what stops it: the steady state, and the limits that hold from before it.

use super::Engine;
use super::Stop;
use super::live::Live;
use crate::model::event::{Ended, Event, Outcome, SinkError, What};
use crate::model::time::{At, Duration};

/// Longest wait for the steady state, in multiples of its own length, and at least a minute.
const STEADY_TRIES: u32 = 5;

impl Engine {
    /// Waits until every probe has succeeded, and every write was acknowledged, for the plan's time; a run whose services are not healthy
    /// does not start.
    pub(super) async fn steady(&self) -> Result<Option<Ended>, SinkError> {
        if self.plan.probes.is_empty() && self.plan.ledgers.is_empty() {
            return Ok(None);
        }
        let lasting = self.plan.steady_state;
        let patience = Duration::from_secs(60).plus(lasting.std().saturating_mul(STEADY_TRIES).into());
        let unsteady = |live: &Live| -> Vec<String> {
            let now = self.world.clock.now();
            let probes = self.plan.probes.iter();
            let probes = probes.filter(|p| !live.succeeded_for(&p.id, p.from.len(), lasting, now));
            let stores = self.plan.ledgers.iter().map(|ledger| &ledger.store);
            let stores = stores.filter(|store| !live.written_for(store, lasting, now));
            probes.map(|p| p.id.to_string()).chain(stores.map(|store| format!("writes to {store}"))).collect()
        };
        let all = self.live.until(|live| unsteady(live).is_empty());
        let ended = tokio::time::timeout(patience.std(), all).await;
        let since = self.world.clock.now().minus(lasting);
        match ended {
            Ok(()) => self.recorder.append(What::Steady { since, outcome: Outcome::Ok }).map(|()| None),
            Err(_) => {
                let why = format!("not steady within {patience}: {}", unsteady(&self.live).join(", "));
                self.unsteady(since, why).map(Some)
            }
        }
    }

    /// Waits until a limit of the plan is passed.
    pub(super) async fn limits(&self) -> String {
        let now = || self.world.clock.now();
        let conditions = &self.plan.limits.abort_when;
        let failing =
            self.live.until(|live| conditions.iter().any(|c| live.failed_for(&c.probe, c.fails_for, now())));
        match tokio::time::timeout(self.plan.limits.max_duration.std(), failing).await {
            Err(_) => format!("the run took longer than {}", self.plan.limits.max_duration),
            Ok(()) => {
                let passed = conditions.iter().find(|c| self.live.failed_for(&c.probe, c.fails_for, now()));
                passed.map_or_else(String::new, |c| format!("probe {} failed for {}", c.probe, c.fails_for))
            }
        }
    }

    /// A limit was passed: the run is aborted, or does not start where no step had.
    pub(super) fn limited(&self, why: String) -> Result<Ended, Stop> {
        let started =
            |events: &[Event]| events.iter().any(|event| matches!(event.what, What::StepStarted { .. }));
        if self.recorder.with_events(started) {
            return Err(Stop::Abort(why));
        }
        Ok(self.unsteady(self.world.clock.now(), why)?)
    }

    /// The steady state was not reached: the run does not start.
    fn unsteady(&self, since: At, why: String) -> Result<Ended, SinkError> {
        self.recorder.append(What::Steady { since, outcome: Outcome::failed(&why) })?;
        Ok(Ended::Refused { guard: "steady-state".into(), why })
    }
}
