//! When a run may begin, and what stops it: the steady state, and the limits that hold from before it.
//!
//! The steady state asks for what `restored` will ask for, by the same arithmetic: a service that never keeps its clause would be judged
//! for what no fault did to it.

use super::Engine;
use super::Stop;
use super::live::Live;
use crate::model::event::{Ended, Event, Outcome, SinkError, What};
use crate::model::name::Name;
use crate::model::plan::{Ledger, Probe};
use crate::model::target::RestoredClause;
use crate::model::time::{At, Duration};

/// Longest wait for the steady state, in multiples of its own length, and at least a minute.
const STEADY_TRIES: u32 = 5;

impl Engine {
    /// Waits until every service has kept its clause, by its probes and its writes, and every other probe succeeded, for the plan's time; a
    /// run whose services are not healthy does not start.
    pub(super) async fn steady(&self) -> Result<Option<Ended>, SinkError> {
        if self.plan.probes.is_empty() && self.plan.ledgers.is_empty() {
            return Ok(None);
        }
        let lasting = self.plan.steady_state;
        let patience = Duration::from_secs(60).plus(lasting.std().saturating_mul(STEADY_TRIES).into());
        let clause = |service: &Name| -> RestoredClause {
            self.plan.service(service).map(|service| service.restored.clone()).unwrap_or_default()
        };
        let probes = self.plan.probes.iter();
        let probes: Vec<_> =
            probes.map(|p| (p, p.service.as_ref().map(clause).unwrap_or_default())).collect();
        let ledgers = self.plan.ledgers.iter();
        let stores: Vec<_> = ledgers.map(|one| (one, clause(&one.service).of_writes())).collect();
        let since = || self.world.clock.now().minus(lasting);
        let within = || (since(), self.world.clock.now());
        let probe_holds = |live: &Live, (p, clause): &(&Probe, RestoredClause)| {
            live.holds((&p.id, p.every), &p.from, clause, within())
        };
        let store_holds = |live: &Live, (one, clause): &(&Ledger, RestoredClause)| {
            live.writes_hold((&one.store, one.period()), clause, within())
        };
        self.live.keep(Some(lasting));
        let all = self.live.until(|live| {
            probes.iter().all(|one| probe_holds(live, one)) && stores.iter().all(|one| store_holds(live, one))
        });
        let ended = tokio::time::timeout(patience.std(), all).await;
        let probes = probes.iter().filter(|one| !probe_holds(&self.live, one));
        let probes = probes.map(|(p, _)| format!("probe {}: {}", p.id, self.live.seen_of(&p.id, &p.from)));
        let stores = stores.iter().filter(|one| !store_holds(&self.live, one));
        let stores = stores
            .map(|(one, _)| format!("writes to {}: {}", one.store, self.live.seen_of_writes(&one.store)));
        let unsteady: Vec<_> = probes.chain(stores).collect();
        self.live.keep(None);
        let since = since();
        match ended {
            Ok(()) => self.recorder.append(What::Steady { since, outcome: Outcome::Ok }).map(|()| None),
            Err(_) => {
                let why = format!(
                    "not steady within {patience}: {}. Mend what they ask, or what they are asked for, and run it again",
                    unsteady.join("; ")
                );
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
