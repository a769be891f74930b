//! Where the write authority of each workload is, and keeping it in one place (I5).
//!
//! Only the databases' own records say where it is, never our memory: as soon as a step that promotes has started they are asked, since
//! a promotion that failed may have landed, and one that was held may have been done by hand. A side that cannot be asked counts as
//! promoted where it can have been: an effect was intended, or a person said that it was done. Else nothing moved, and to fence the only
//! side that takes writes would leave nobody who does. Each workload has its own authority, and each is asked, fenced and lifted for itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Engine;
use super::effects::EXEC_ENDS_WITHIN;
use crate::fault::FaultKind;
use crate::model::effect::{Act, Exec, Of, Ref};
use crate::model::event::{Outcome, Outstanding, SinkError};
use crate::model::name::{Name, Region, StepId};
use crate::model::plan::{Action, Authority, Fence, Proof, ProofBy};
use crate::model::scene::Progress;
use crate::undo::{outstanding, promotion};

/// Who may write to a workload now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The side that had it before the run.
    Home,
    /// The side that took over, as its own record says.
    Away,
    /// The side that took over, perhaps: it cannot be asked, so it counts as moved.
    Perhaps,
    /// A promotion took, and by now nobody may write.
    Nobody,
}

/// An authority that is not where it was before the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved<'a> {
    pub authority: &'a Authority,
    holder: Holder,
}

impl Moved<'_> {
    /// Whether a step moves it.
    pub(super) fn is_by(&self, step: &StepId) -> bool {
        self.authority.steps.contains(step)
    }

    /// The way on, which says of no side more than its record does.
    pub(super) fn way_on(&self) -> &'static str {
        match self.holder {
            Holder::Away => {
                "it serves the writes now: fail back by the scenario's failback steps, or keep it"
            }
            Holder::Perhaps => "it may have taken over: look before you unfence the other side",
            Holder::Home | Holder::Nobody => {
                "nobody takes the writes now: resynchronise the sides, and promote one"
            }
        }
    }
}

impl Engine {
    /// The authorities that are not where they were before the run.
    pub(super) async fn moved(&self) -> Vec<Moved<'_>> {
        let mut moved = Vec::new();
        for authority in &self.plan.authorities {
            match self.holder(authority).await {
                Holder::Home => {}
                holder @ (Holder::Away | Holder::Perhaps | Holder::Nobody) => {
                    moved.push(Moved { authority, holder });
                }
            }
        }
        moved
    }

    async fn holder(&self, authority: &Authority) -> Holder {
        let promotion = self.recorder.with_events(|events| promotion(events, authority));
        if !promotion.started {
            return Holder::Home;
        }
        let promoted_by_us = promotion.possible && !promotion.was_so;
        // A promotion whose answer was lost may still land: until it must have ended, nothing it shows is final.
        if let Some(intended) = promotion.in_flight {
            let lands_by = intended.plus(EXEC_ENDS_WITHIN);
            tokio::time::sleep(lands_by.since(self.world.clock.now()).std()).await;
        }
        let promoted = &authority.promoted;
        let Ok(takeover) = self.prints(&authority.takeover, None, &promoted.argv).await else {
            return if promoted_by_us { Holder::Perhaps } else { Holder::Home };
        };
        if promoted.shown_by(&takeover) {
            return if promotion.was_so { Holder::Home } else { Holder::Away };
        }
        let mut unread = false;
        for other in &authority.others {
            match self.status(&other.exec).await {
                Ok(status) if promoted.shown_by(&status) => return Holder::Home,
                Ok(_) => {}
                Err(_) => unread = true,
            }
        }
        match promotion.took {
            true if unread => Holder::Perhaps,
            true => Holder::Nobody,
            false => Holder::Home,
        }
    }

    /// Why a promotion would make a second primary, if it may: no fault of ours keeps everybody from another side, and that side says
    /// that it takes writes, or cannot be asked. Its silence is the loss that we promote for only where a fault of ours makes the loss.
    pub(super) async fn second_primary(&self, authority: &Authority) -> Option<String> {
        for other in &authority.others {
            let side = &other.exec.at;
            if self.is_cut_off(side).await {
                continue;
            }
            match self.status(&other.exec).await {
                Ok(status) if authority.promoted.shown_by(&status) => {
                    return Some(format!(
                        "{side} takes the writes, and no fault cuts it off: demote or fence it first, or two sides accept"
                    ));
                }
                Ok(_) => {}
                Err(why) => {
                    return Some(format!(
                        "{side} may take the writes: no fault cuts it off, and it cannot be asked: {why}"
                    ));
                }
            }
        }
        None
    }

    /// Whether a fault of ours keeps everybody from a side now. That it was injected is not enough: somebody may have reverted it since.
    async fn is_cut_off(&self, side: &Ref) -> bool {
        let open = self.recorder.with_events(outstanding);
        let steps: BTreeSet<&StepId> =
            open.iter().filter(|open| open.effect.of == Of::Fault).map(|open| &open.step).collect();
        for step in steps {
            let Some(Action::Fault { fault, region, proof }) = self.plan.step(step).map(|step| &step.action)
            else {
                continue;
            };
            let Ok(fault) = serde_json::from_value::<FaultKind>(fault.clone()) else { continue };
            if *region == side.region
                && fault.behaviour().cuts_off(side)
                && self.is_in_effect(step, &fault, region, proof).await
            {
                return true;
            }
        }
        false
    }

    /// Whether a fault is in effect now: its objects say it, or its probe where they cannot be read.
    async fn is_in_effect(&self, step: &StepId, fault: &FaultKind, region: &Region, proof: &Proof) -> bool {
        match (self.objects_show(step, fault, region).await.1, &proof.by) {
            (Ok(progress), _) => progress == Progress::Done,
            (Err(_), ProofBy::Probe(probe)) => self.live.fails_everywhere(probe, self.vantages_of(probe)),
            (Err(_), ProofBy::Objects) => false,
        }
    }

    /// Keeps every side but those that took over from taking writes, and proves it; returns those that it could not.
    pub(super) async fn fence_others(
        &self,
        moved: &[Moved<'_>],
        by: &Name,
    ) -> Result<Vec<Outstanding>, SinkError> {
        let mut left = Vec::new();
        for Moved { authority, .. } in moved {
            for other in &authority.others {
                if let Err(why) = self.fence(authority, other, by).await? {
                    left.push(Outstanding {
                        effect: None,
                        what: format!(
                            "{} in {} could not be fenced: {why}",
                            authority.workload, other.region
                        ),
                        advice: "make sure by hand that it takes no writes, before you remove the fault"
                            .to_owned(),
                    });
                }
            }
        }
        Ok(left)
    }

    async fn fence(
        &self,
        authority: &Authority,
        fence: &Fence,
        by: &Name,
    ) -> Result<Result<(), String>, SinkError> {
        let status = match self.status(&fence.exec).await {
            Ok(status) => status,
            Err(why) => return Ok(Err(why)),
        };
        if authority.promoted.shown_by(&status) {
            let step = StepId::from(by.as_str());
            let outcome = self.perform(&step, Act::Exec(fence.exec.clone()), Of::Fence).await?;
            if let Some(why) = outcome.why() {
                return Ok(Err(why.to_owned()));
            }
            let text = format!(
                "{} in {} was fenced: it takes no writes until it is promoted again",
                authority.workload, fence.region
            );
            self.tell(by, &text).await?;
        }
        let sent = self.world.clock.now();
        let tried = self.prints(&fence.exec.at, fence.exec.container.as_ref(), &fence.refused.argv).await;
        let outcome = match tried {
            Ok(printed) if fence.refused.shown_by(&printed) => Outcome::Ok,
            Ok(_) => Outcome::failed("it took a write"),
            Err(why) => Outcome::unknown(why),
        };
        let result = outcome.why().map_or(Ok(()), |why| Err(why.to_owned()));
        self.observed(format!("fenced:{}", fence.region), sent, outcome)?;
        Ok(result)
    }

    /// Says no where a side would take writes again beside another that takes them, or may.
    pub(super) async fn may_take_writes(
        &self,
        exec: &Exec,
        before: &BTreeMap<String, Value>,
    ) -> Result<(), String> {
        let Some(authority) = self.plan.authority_of(&exec.at) else { return Ok(()) };
        let promoted = &authority.promoted;
        if !promoted.done.iter().all(|(field, value)| before.get(field) == Some(value)) {
            return Ok(());
        }
        let sides = authority.others.iter().map(|other| &other.exec.at).chain([&authority.takeover]);
        for side in sides.filter(|side| **side != exec.at) {
            let status = self.prints(side, exec.container.as_ref(), &promoted.argv).await?;
            if promoted.shown_by(&status) {
                return Err(format!("{side} takes the writes"));
            }
        }
        Ok(())
    }
}
