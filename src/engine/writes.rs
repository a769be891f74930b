//! What the ledgers' clients wrote is synthetic: after the run it is removed, and the removal proved by reading. Whatever is not is named.
//!
//! It is removed where the writes go, and reaches every side that follows. One that was cut off keeps its own until it is resynchronised.

use super::authority::Moved;
use super::{Engine, Shown};
use crate::ledger;
use crate::model::event::{Outcome, Outstanding, SinkError, What};
use crate::model::name::Name;
use crate::model::time::Duration;

/// How long a healing tries: nobody may take the writes.
const TRIED_FOR: Duration = Duration::from_secs(30);

impl Engine {
    /// Removes what the run wrote to each store, and proves it; what is left of it.
    pub(super) async fn remove_writes(&self, within: Duration) -> Result<Vec<Outstanding>, SinkError> {
        let mut left = Vec::new();
        for ledger in self.plan.ledgers.iter().filter(|ledger| self.may_hold_writes(&ledger.store)) {
            let what = format!("what the run wrote to {} is removed", ledger.store);
            self.recorder.show(Shown::Waiting { what: &what, at_most: within });
            let outcome = match self.world.vantages.get(&ledger.from) {
                None => Outcome::failed(format!("there is no vantage {}", ledger.from)),
                Some(net) => {
                    let clock = self.world.clock.as_ref();
                    let deadline = clock.now().plus(within);
                    ledger::client::remove(net.as_ref(), clock, ledger, &self.run, deadline).await
                }
            };
            if !outcome.is_ok() {
                left.push(Outstanding {
                    effect: None,
                    what: format!("what the run wrote to {} is not shown to be removed", ledger.store),
                    advice: format!(
                        "run `drillmaster heal` again once its service takes writes, or remove it by hand: DELETE {}?run={}",
                        ledger.url, self.run
                    ),
                });
            }
            self.recorder.append(What::WritesRemoved { store: ledger.store.clone(), outcome })?;
        }
        Ok(left)
    }

    /// The same for a run that died.
    pub(super) async fn remove_what_was_written(&self) -> Result<Vec<Outstanding>, SinkError> {
        if !self.plan.ledgers.iter().any(|ledger| self.may_hold_writes(&ledger.store)) {
            return Ok(Vec::new());
        }
        // Who is led to a side that follows cannot remove anything there; it is tried in any case.
        self.led_away().await?;
        self.remove_writes(TRIED_FOR).await
    }

    /// Whether the run may have written to a store, and nobody proved that it is gone.
    fn may_hold_writes(&self, store: &Name) -> bool {
        let is_gone = |what: &What| matches!(what, What::WritesRemoved { store: of, outcome: Outcome::Ok } if of == store);
        self.has_begun()
            && !self.live.stored_nothing(store)
            && !self.recorder.with_events(|events| events.iter().any(|event| is_gone(&event.what)))
    }

    /// Whether its clients began: they do once the instrument is calibrated.
    fn has_begun(&self) -> bool {
        let begins = |what: &What| matches!(what, What::Calibrated { outcome: Outcome::Ok, .. });
        self.recorder.with_events(|events| events.iter().any(|event| begins(&event.what)))
    }

    /// The sides that keep what the run wrote, since they do not follow the one that took over.
    pub(super) async fn sides_that_keep_writes(&self, moved: &[Moved<'_>]) -> Vec<Outstanding> {
        let mut kept = Vec::new();
        if self.plan.ledgers.is_empty() || !self.has_begun() {
            return kept;
        }
        for (authority, side) in moved.iter().flat_map(Moved::others) {
            let is_cut_off = match self.status(&side.fence).await {
                Ok(status) => side.fence.status.shown_by(&status),
                Err(_) => self.takes_writes(authority, side).await.is_err(),
            };
            if is_cut_off {
                kept.push(Outstanding {
                    effect: None,
                    what: format!("{} in {} may keep what the run wrote", authority.workload, side.region),
                    advice: "it goes once that side is resynchronised".to_owned(),
                });
            }
        }
        kept
    }
}
