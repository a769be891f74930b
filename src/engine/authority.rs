//! Where the write authority of each workload is, and keeping it in one place (I5).
//!
//! Only the databases' own records say where it is, never our memory: before anything changes every side is asked who has it, and again
//! whenever a fault goes, since a promotion that failed may have landed, one that was held may have been done by hand, and a side may have
//! taken over by itself. Of several that take the writes, the one promoted last has it. One that was promoted and then fenced has it still,
//! as long as every side that takes the writes missed that promotion: they lack what it took. A side that cannot be asked counts as promoted
//! where the last word on it is that it was, or may have been. Else nothing moved, and to fence the only side that takes writes would leave
//! nobody who does. To undo what was done to a side makes it primary only where it was that before and no other side is, or may be. Each workload has its own authority, and each is asked, fenced and lifted for itself; a region without it is no side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Engine;
use super::api::{self, Reply};
use super::effects::EXEC_ENDS_WITHIN;
use crate::fault::FaultKind;
use crate::model::effect::{Act, Exec, Of, Ref};
use crate::model::event::{Outcome, Outstanding, SinkError};
use crate::model::name::{Name, Region, StepId};
use crate::model::plan::{Action, Authority, Proof, ProofBy, Side};
use crate::model::scene::Progress;
use crate::model::time::Duration;
use crate::undo::{outstanding, promotions, wrote_before};

/// How often a side whose silence would mean that it took over is asked again: a short disturbance must fence nobody.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What to do about a side that could not be fenced.
const UNFENCED: &str = "make sure by hand that it takes no writes, before you remove the fault; where it has no pods, let them start where \
                        nobody reaches them, and run `drillmaster heal`, which fences them";

/// Who may write to a workload now, if it is not who might before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The side that took over, as its own record says.
    Away,
    /// The side that took over, perhaps: it cannot be asked, so it counts as moved.
    Perhaps,
    /// A promotion took, and by now nobody may write who has all that was written, as far as the sides can be asked.
    Nobody,
}

/// An authority that is not where it was before the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved<'a> {
    authority: &'a Authority,
    holder: Holder,
    /// Who took over, or may have; where nobody may write, who alone has the newest writes.
    to: Option<&'a Side>,
}

impl<'a> Moved<'a> {
    /// The sides that did not take over.
    pub(super) fn others(&self) -> impl Iterator<Item = (&'a Authority, &'a Side)> + use<'a> {
        let Moved { authority, to, .. } = *self;
        authority.sides.iter().filter(move |side| Some(*side) != to).map(move |side| (authority, side))
    }

    /// Whether a step moves it.
    pub(super) fn is_by(&self, step: &StepId) -> bool {
        self.authority.moves.iter().any(|moved| moved.step == *step)
    }

    /// Whether it went to the side of a pod.
    pub(super) fn is_to(&self, pod: &Ref) -> bool {
        self.to.is_some_and(|side| side.pod() == pod)
    }

    /// What happened to it, as far as is known.
    pub(super) fn what(&self) -> String {
        let workload = &self.authority.workload;
        match (self.holder, self.to) {
            (Holder::Away | Holder::Nobody, Some(to)) => format!("{workload} was given to {}", to.region),
            (Holder::Perhaps, Some(to)) => format!("{workload} was given to {}, or perhaps", to.region),
            (_, None) => format!("{workload} was moved, and no side says that it takes the writes"),
        }
    }

    /// The way on, which says of no side more than its record does.
    pub(super) fn way_on(&self) -> &'static str {
        match (self.holder, self.to) {
            (Holder::Away, _) => {
                "it serves the writes now: fail back by the scenario's failback steps, or keep it"
            }
            (Holder::Perhaps, _) => "it may have taken over: look before you unfence the other side",
            (Holder::Nobody, Some(_)) => {
                "nobody takes the writes now: promote it: it has the newest writes, which a resynchronisation of it would put aside"
            }
            (Holder::Nobody, None) => "nobody takes the writes now: resynchronise the sides, and promote one",
        }
    }
}

/// A side that could not be kept from taking writes.
pub(super) struct Unfenced {
    pub(super) region: Region,
    pub(super) left: Outstanding,
}

impl Engine {
    /// Writes down which sides take the writes before the run changes anything: that is where authority is at home.
    pub(super) async fn note_who_writes(&self) -> Result<(), SinkError> {
        for authority in &self.plan.authorities {
            for side in &authority.sides {
                let sent = self.world.clock.now();
                let outcome = match self.takes_writes(authority, side).await {
                    Ok(true) => Outcome::Ok,
                    Ok(false) => Outcome::failed("it takes no writes"),
                    Err(why) => Outcome::unknown(why),
                };
                self.observed(wrote_before(authority, &side.region), sent, outcome)?;
            }
        }
        Ok(())
    }

    /// The authorities that are not where they were before the run.
    pub(super) async fn moved(&self) -> Vec<Moved<'_>> {
        let mut moved = Vec::new();
        for authority in &self.plan.authorities {
            moved.extend(self.moved_of(authority).await);
        }
        moved
    }

    async fn moved_of<'a>(&self, authority: &'a Authority) -> Option<Moved<'a>> {
        let known = self.recorder.with_events(|events| promotions(events, authority));
        // A promotion whose answer was lost may still land: until it must have ended, nothing it shows is final.
        if let Some(intended) = known.in_flight {
            let lands_by = intended.plus(EXEC_ENDS_WITHIN);
            tokio::time::sleep(lands_by.since(self.world.clock.now()).std()).await;
        }
        let (mut primaries, mut others, mut silent) = (Vec::new(), Vec::new(), Vec::new());
        for side in &authority.sides {
            let asked = match known.may_hold(&side.region) {
                true => self.record_patiently(side).await,
                false => self.record(side).await,
            };
            match asked {
                Ok(record) if authority.promoted.shown_by(&record) => primaries.push((side, record)),
                Ok(record) => others.push((side, record)),
                Err(_) => silent.push(side),
            }
        }
        let home = |side: &Side| known.is_home(&side.region, authority);
        let promoted = |side: &Side| known.promoted(&side.region);
        let epoch = |record: &Value| record.get(authority.epoch.as_ref()?)?.as_u64();
        let newest = primaries.iter().filter_map(|(_, record)| epoch(record)).max();
        let has_the_newest = |(side, record): &(&Side, Value)| {
            let is_shut = side.fence.status.shown_by(record) && known.wrote(&side.region);
            is_shut && !home(side) && epoch(record) > newest
        };
        let shut = others.iter().filter(|other| has_the_newest(other)).map(|(side, _)| *side);
        let shut = shut.max_by_key(|side| promoted(side));
        // One that was not promoted and did not have it before took it by itself.
        let holder = primaries.iter().map(|(side, _)| *side).max_by_key(|side| (promoted(side), !home(side)));
        let silent_since = silent
            .iter()
            .copied()
            .filter(|side| known.may_hold(&side.region) && !home(side))
            .max_by_key(|side| promoted(side))
            .filter(|silent| holder.is_none_or(|holder| promoted(silent) > promoted(holder)));
        let (holder, to) = match (silent_since, holder) {
            (Some(silent), _) => (Holder::Perhaps, Some(silent)),
            (None, _) if shut.is_some() => (Holder::Nobody, shut),
            (None, Some(holder)) if home(holder) => return None,
            (None, Some(holder)) => (Holder::Away, Some(holder)),
            (None, None) if !authority.sides.iter().any(|side| known.wrote(&side.region) && !home(side)) => {
                return None;
            }
            (None, None) if silent.is_empty() => (Holder::Nobody, None),
            (None, None) => (Holder::Perhaps, None),
        };
        Some(Moved { authority, holder, to })
    }

    /// Whether a side takes writes, as its own record says.
    pub(super) async fn takes_writes(&self, authority: &Authority, side: &Side) -> Result<bool, String> {
        self.record(side).await.map(|record| authority.promoted.shown_by(&record))
    }

    /// What a side says of itself; nothing where there is no such workload: then there is no side.
    async fn record(&self, side: &Side) -> Result<Value, String> {
        match self.status(&side.fence).await {
            Ok(record) => Ok(record),
            Err(why) => match self.client(&side.region) {
                Ok(client) if api::get(client, &side.workload).await == Reply::Missing => Ok(Value::Null),
                Ok(_) | Err(_) => Err(why),
            },
        }
    }

    async fn record_patiently(&self, side: &Side) -> Result<Value, String> {
        let deadline = self.world.clock.now().plus(EXEC_ENDS_WITHIN);
        loop {
            let asked = self.record(side).await;
            if asked.is_ok() || self.world.clock.now() >= deadline {
                return asked;
            }
            tokio::time::sleep(ASK_AGAIN_AFTER.std()).await;
        }
    }

    /// Why a promotion would make a second primary, if it may: no fault of ours keeps everybody from another side, and that side says
    /// that it takes writes, or cannot be asked. Its silence is the loss that we promote for only where a fault of ours makes the loss.
    pub(super) async fn second_primary(&self, authority: &Authority) -> Option<String> {
        let takeover = authority.takeover()?;
        for other in authority.others(&takeover.region) {
            let side = other.pod();
            if self.is_cut_off(side).await {
                continue;
            }
            match self.takes_writes(authority, other).await {
                Ok(true) => {
                    return Some(format!(
                        "{side} takes the writes, and no fault cuts it off: demote or fence it first, or two sides accept"
                    ));
                }
                Ok(false) => {}
                Err(why) => {
                    return Some(format!(
                        "{side} may take the writes: no fault cuts it off, and it cannot be asked: {why}"
                    ));
                }
            }
        }
        None
    }

    /// The faults of ours that are in and keep everybody from a side, with where and how.
    fn faults_that_cut_off(&self, side: &Ref) -> Vec<(StepId, FaultKind, Region, Proof)> {
        let open = self.recorder.with_events(outstanding);
        let steps: BTreeSet<&StepId> =
            open.iter().filter(|open| open.effect.of == Of::Fault).map(|open| &open.step).collect();
        let cuts_off = |step: &StepId| {
            let Action::Fault { fault, region, proof } = &self.plan.step(step)?.action else { return None };
            let fault: FaultKind = serde_json::from_value(fault.clone()).ok()?;
            (*region == side.region && fault.behaviour().cuts_off(side))
                .then(|| (step.clone(), fault, region.clone(), proof.clone()))
        };
        steps.into_iter().filter_map(cuts_off).collect()
    }

    /// Whether a fault of ours keeps everybody from a side now. That it was injected is not enough: somebody may have reverted it since.
    async fn is_cut_off(&self, side: &Ref) -> bool {
        for (step, fault, region, proof) in self.faults_that_cut_off(side) {
            if self.keeps_off(&step, &fault, &region, &proof, side).await {
                return true;
            }
        }
        false
    }

    /// Whether a fault keeps everybody from a side: its objects say so, and its probe does not say otherwise. Where they cannot be read, its
    /// probe must say so, and so must the ledger's own writes: what a probe asks may be down for a reason of its own.
    async fn keeps_off(
        &self,
        step: &StepId,
        fault: &FaultKind,
        region: &Region,
        proof: &Proof,
        side: &Ref,
    ) -> bool {
        let scene = self.scene(step, region);
        let facts = crate::inventory::read(&self.world, &fault.behaviour().watches(&scene)).await;
        let objects = fault.behaviour().keeps_off(&scene, &facts, side);
        let reaches = |probe| self.live.answers_from(probe).iter().any(|from| self.may_be_in(*from, region));
        match (objects, &proof.by) {
            (Ok(progress), ProofBy::Objects) => progress == Progress::Done,
            (Ok(progress), ProofBy::Probe(probe)) => progress == Progress::Done && !reaches(probe),
            (Err(_), ProofBy::Probe(probe)) => {
                self.live.fails_everywhere(probe, self.vantages_of(probe))
                    && self.takes_no_write(region).await
            }
            (Err(_), ProofBy::Objects) => false,
        }
    }

    /// Whether every ledger's next write is tried, and none is acknowledged from a region.
    async fn takes_no_write(&self, region: &Region) -> bool {
        let ledgers = &self.plan.ledgers;
        let now = self.world.clock.now();
        let tried = self.live.until(|live| ledgers.iter().all(|l| live.written_since(&l.store, now)));
        if ledgers.is_empty() || tokio::time::timeout(EXEC_ENDS_WITHIN.std(), tried).await.is_err() {
            return false;
        }
        let theirs = |from| self.may_be_in(from, region);
        ledgers.iter().all(|ledger| self.live.acknowledged_by_none(&ledger.store, theirs))
    }

    /// Whether an address is in a region, or nobody knows where it is.
    pub(super) fn may_be_in(&self, address: Option<std::net::IpAddr>, region: &Region) -> bool {
        address.and_then(|address| self.world.region_of(address)).is_none_or(|of| of == region)
    }

    /// Keeps every side but those that took over from taking writes, and proves it; returns those that it could not.
    pub(super) async fn fence_others(
        &self,
        moved: &[Moved<'_>],
        by: &Name,
    ) -> Result<Vec<Unfenced>, SinkError> {
        let mut unfenced = Vec::new();
        for (authority, side) in moved.iter().flat_map(Moved::others) {
            if let Err(why) = self.fence(authority, side, by).await? {
                let left = Outstanding {
                    effect: None,
                    what: format!("{} in {} could not be fenced: {why}", authority.workload, side.region),
                    advice: UNFENCED.to_owned(),
                };
                unfenced.push(Unfenced { region: side.region.clone(), left });
            }
        }
        Ok(unfenced)
    }

    /// What keeps a region's faults in: where authority moved, its sides are fenced before they are freed, whatever the scenario forgot.
    pub(super) async fn fence_before_freeing(
        &self,
        region: &Region,
        by: &Name,
    ) -> Result<Result<(), String>, SinkError> {
        let moved = self.moved().await;
        let unfenced = self.fence_others(&moved, by).await?;
        let first = unfenced.into_iter().find(|unfenced| unfenced.region == *region);
        Ok(first.map_or(Ok(()), |first| Err(first.left.what)))
    }

    /// The regions whose sides an act frees, since it touches what a fault made to cut them off.
    pub(super) fn frees(&self, act: &Act) -> Option<Region> {
        let at = act.at()?;
        let open = self.recorder.with_events(outstanding);
        let mut cutting = self
            .plan
            .authorities
            .iter()
            .flat_map(|authority| &authority.sides)
            .flat_map(|side| self.faults_that_cut_off(side.pod()).into_iter().map(|(step, ..)| step));
        let touched = |step: &StepId| {
            open.iter().any(|open| {
                open.step == *step && open.effect.of == Of::Fault && open.effect.act.at() == Some(at)
            })
        };
        cutting.any(|step| touched(&step)).then(|| at.region.clone())
    }

    async fn fence(
        &self,
        authority: &Authority,
        side: &Side,
        by: &Name,
    ) -> Result<Result<(), String>, SinkError> {
        let status = match self.status(&side.fence).await {
            Ok(status) => status,
            Err(why) => {
                let is_no_side = self.takes_writes(authority, side).await == Ok(false);
                return Ok(if is_no_side { Ok(()) } else { Err(why) });
            }
        };
        if authority.promoted.shown_by(&status) {
            let step = StepId::from(by.as_str());
            let outcome = self.perform(&step, Act::Exec(side.fence.clone()), Of::Fence).await?;
            if let Some(why) = outcome.why() {
                return Ok(Err(why.to_owned()));
            }
            let text = format!(
                "{} in {} was fenced: it takes no writes until it is promoted again",
                authority.workload, side.region
            );
            self.tell(by, &text).await?;
        }
        let sent = self.world.clock.now();
        let tried = self.prints(side.pod(), side.fence.container.as_ref(), &side.refused.argv).await;
        let outcome = match tried {
            Ok(printed) if side.refused.shown_by(&printed) => Outcome::Ok,
            Ok(_) => Outcome::failed("it took a write"),
            Err(why) => Outcome::unknown(why),
        };
        let result = outcome.why().map_or(Ok(()), |why| Err(why.to_owned()));
        self.observed(format!("fenced:{}", side.region), sent, outcome)?;
        Ok(result)
    }

    /// The command that brings what another one changed back to what it was `before`, from what it is `now`. A side takes the writes again only
    /// where it did before, and no other side does, or may; one that a fence found following follows again.
    pub(super) async fn way_back(
        &self,
        exec: &Exec,
        of: Of,
        before: &BTreeMap<String, Value>,
        now: &Value,
    ) -> Result<Vec<String>, String> {
        let own = || exec.reverse.clone().ok_or_else(|| "nothing reverses it".to_owned());
        let authority = self.plan.authority_of(&exec.at);
        let says_who = |of: &&Authority| of.promoted.done.keys().all(|field| before.contains_key(field));
        let Some(authority) = authority.filter(says_who) else { return own() };
        match (authority.promoted.shown_by(&json!(before)), authority.promoted.shown_by(now)) {
            (true, _) => {
                for side in authority.others(&exec.at.region) {
                    if authority.promoted.shown_by(&self.record_patiently(side).await?) {
                        return Err(format!("{} takes the writes", side.pod()));
                    }
                }
                Ok(authority.unfence.clone())
            }
            (false, false) if of == Of::Fence && !authority.follow.is_empty() => Ok(authority.follow.clone()),
            (false, true) if exec.status.done == authority.promoted.done => own(),
            (false, _) => Err("its role is another by now than the run gave it".to_owned()),
        }
    }
}
