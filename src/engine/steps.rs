//! The steps of a plan, in order: each starts and ends with an event, has its own time, and does one thing.

use std::cell::Cell;
use std::time::Duration as StdDuration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, try_join_all};
use tokio::sync::Notify;

use super::effects::EXEC_ENDS_WITHIN;
use super::{Engine, Stop};
use crate::fault::FaultKind;
use crate::model::effect::Of;
use crate::model::event::{Decision, Event, Outcome, Said, SinkError, What};
use crate::model::name::{Name, ProbeId, Region, Role, StepId};
use crate::model::plan::{Action, Check, OnTimeout, Proof, Rung, Stage, Step, Wait};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::time::{At, Interval};
use crate::recovery::RecoveryKind;
use crate::undo::outstanding;
use crate::world::About;

/// How often a success condition is looked at.
pub(super) const LOOK_EVERY: StdDuration = StdDuration::from_secs(1);

/// Who decides about a held step that names no role, in a drill without owned services.
pub(super) const OPERATOR: &str = "operator";

/// A step that is held for a person, while somebody else may be asked as well.
#[derive(Default)]
struct Hold {
    /// Whether it is held now, and not under way.
    is_held: Cell<bool>,
    /// It is held, once more.
    held: Notify,
    /// Whoever else was asked wants it tried again.
    again: Notify,
}

impl Engine {
    /// Runs every step of a stage.
    pub(super) async fn stage(&self, stage: Stage) -> Result<(), Stop> {
        for step in self.plan.steps.iter().filter(|step| step.stage == stage) {
            self.step(step).await?;
        }
        Ok(())
    }

    /// Runs one step within its time.
    fn step<'a>(&'a self, step: &'a Step) -> LocalBoxFuture<'a, Result<(), Stop>> {
        async move {
            self.recorder.append(What::StepStarted { step: step.id.clone() })?;
            let outcome = self.within_its_time(step).await?;
            let ended = What::StepEnded { step: step.id.clone(), outcome: outcome.clone() };
            self.recorder.append(ended)?;
            match (&step.action, outcome.why()) {
                (Action::Fault { .. } | Action::RemoveFault { .. }, Some(why)) => {
                    Err(Stop::Abort(format!("step {}: {why}", step.id)))
                }
                _ => Ok(()),
            }
        }
        .boxed_local()
    }

    async fn within_its_time(&self, step: &Step) -> Result<Outcome, Stop> {
        let hold = Hold::default();
        let mut doing = std::pin::pin!(self.until_decided(step, &hold));
        if let Ok(done) = tokio::time::timeout(step.timeout.std(), &mut doing).await {
            return done;
        }
        self.recorder.append(What::TimedOut { step: step.id.clone() })?;
        let late = format!("it took longer than {}", step.timeout);
        match step.on_timeout {
            OnTimeout::Finding => Ok(Outcome::failed(late)),
            OnTimeout::Abort => Err(Stop::Abort(format!("step {}: {late}", step.id))),
            OnTimeout::Escalate => {
                let mut escalating = std::pin::pin!(self.escalate(step, &late, &hold));
                tokio::select! {
                    biased;
                    done = &mut doing => done,
                    stop = &mut escalating => stop,
                }
            }
        }
    }

    /// Asks whoever may declare, and goes on by what they decide. Who wants to try again has a held step tried, within the time that is left;
    /// one that is under way gets its time again, and when that is over they are asked again.
    async fn escalate(&self, step: &Step, why: &str, hold: &Hold) -> Result<Outcome, Stop> {
        let role = self.last_on_the_ladder(step);
        let a_while = || self.world.clock.now().plus(step.timeout);
        let mut until = a_while();
        let left = |until: At| until.since(self.world.clock.now()).std();
        for before in 0.. {
            let decided = tokio::time::timeout(left(until), self.decide(step, &role, why, before));
            let Ok(decision) = decided.await else { break };
            match decision? {
                Decision::Retry if hold.is_held.get() => {
                    let held_again = hold.held.notified();
                    hold.again.notify_waiters();
                    if tokio::time::timeout(left(until), held_again).await.is_err() {
                        break;
                    }
                }
                Decision::Retry => {
                    // Held or over its time: either asks them again.
                    let _ = tokio::time::timeout(step.timeout.std(), hold.held.notified()).await;
                    until = a_while();
                }
                Decision::Skip { reason } => {
                    return Ok(Outcome::Failed { why: format!("skipped: {reason}") });
                }
                Decision::Done => return Ok(Outcome::Ok),
                Decision::Return => return Err(Stop::Return),
            }
        }
        Err(Stop::Abort(format!("step {}: {why}, and nobody could help", step.id)))
    }

    /// Who may declare last; somebody absent cannot help.
    fn last_on_the_ladder(&self, step: &Step) -> Role {
        let here = |rung: &&Rung| rung.may_declare && !self.plan.absent.contains(&rung.role);
        let last = self.plan.ladder.iter().rev().find(here);
        last.map_or_else(|| self.decider(step), |rung| rung.role.clone())
    }

    /// Whom a held step is for: its own role, else the owner of the first service, who knows the system.
    fn decider(&self, step: &Step) -> Role {
        let owner = || self.plan.services.iter().find_map(|service| service.owner.clone());
        step.role.clone().or_else(owner).unwrap_or_else(|| OPERATOR.into())
    }

    async fn decide(&self, step: &Step, role: &Role, why: &str, before: u32) -> Result<Decision, Stop> {
        self.recorder.append(What::Held { step: step.id.clone(), why: why.to_owned() })?;
        let text = format!("step {} failed: {why}. Retry, skip, done by hand, or return?", step.id);
        let reply = self.asked(&step.id, role, text, About::Hold { before }).await?;
        let decision = reply.decision.unwrap_or(Decision::Retry);
        self.recorder.append(What::Decided {
            step: step.id.clone(),
            role: role.clone(),
            who: reply.who,
            simulated: reply.simulated,
            decision: decision.clone(),
        })?;
        Ok(decision)
    }

    /// Does what the step says; a recovery that fails is held for a person, while its time counts.
    async fn until_decided(&self, step: &Step, hold: &Hold) -> Result<Outcome, Stop> {
        let mut held = 0;
        loop {
            let outcome = self.act(step).await?;
            let (Action::Recover { .. }, Some(why)) = (&step.action, outcome.why()) else {
                return Ok(outcome);
            };
            let role = self.decider(step);
            hold.is_held.set(true);
            hold.held.notify_waiters();
            let decided = tokio::select! {
                biased;
                () = hold.again.notified() => Decision::Retry,
                decided = self.decide(step, &role, why, held) => decided?,
            };
            hold.is_held.set(false);
            match decided {
                Decision::Retry => held += 1,
                Decision::Skip { reason } => {
                    return Ok(Outcome::Failed { why: format!("skipped: {reason}") });
                }
                Decision::Done => return Ok(Outcome::Ok),
                Decision::Return => return Err(Stop::Return),
            }
        }
    }

    async fn act(&self, step: &Step) -> Result<Outcome, Stop> {
        match &step.action {
            Action::Fault { fault, region, proof } => {
                let fault: FaultKind = match serde_json::from_value(fault.clone()) {
                    Ok(fault) => fault,
                    Err(error) => return Ok(Outcome::failed(format!("no such fault: {error}"))),
                };
                self.inject(&step.id, &fault, region, proof).await
            }
            Action::Recover { recover, region, moves_authority } => {
                let recovery: RecoveryKind = match serde_json::from_value(recover.clone()) {
                    Ok(recovery) => recovery,
                    Err(error) => return Ok(Outcome::failed(format!("no such recovery: {error}"))),
                };
                self.recover(&step.id, &recovery, region, *moves_authority).await
            }
            Action::RemoveFault { step: fault } => self.remove_fault(fault).await,
            Action::Declare { role, escalation } => self.declare(&step.id, role, escalation).await,
            Action::Wait(wait) => self.wait(&step.id, wait).await,
            Action::Task { role, text } => {
                let reply = self.asked(&step.id, role, text.clone(), About::Task).await?;
                self.said(Some(&step.id), role, reply, Said::Done)?;
                Ok(Outcome::Ok)
            }
            Action::Notify { audience, text, .. } => {
                let outcome = match self.world.people.notify(audience, text).await {
                    Ok(()) => Outcome::Ok,
                    Err(error) => Outcome::failed(error),
                };
                let told = What::Notified {
                    step: step.id.clone(),
                    audience: audience.clone(),
                    outcome: outcome.clone(),
                };
                self.recorder.append(told)?;
                Ok(outcome)
            }
            Action::Check(check) => self.check(&step.id, check).await,
            Action::Parallel { steps } => {
                // The first that stops the run stops the others too: the end of what they had under way is found out by healing.
                try_join_all(steps.iter().map(|step| self.step(step))).await?;
                Ok(Outcome::Ok)
            }
            Action::Procedure { steps, .. } => {
                for step in steps {
                    self.step(step).await?;
                }
                Ok(Outcome::Ok)
            }
        }
    }

    pub(super) fn scene<'a>(&'a self, step: &'a StepId, region: &'a Region) -> Scene<'a> {
        Scene { run: &self.run, step, region, regions: &self.regions, namespaces: &self.plan.namespaces }
    }

    async fn inject(
        &self,
        step: &StepId,
        fault: &FaultKind,
        region: &Region,
        proof: &Proof,
    ) -> Result<Outcome, Stop> {
        let scene = self.scene(step, region);
        let behaviour = fault.behaviour();
        let facts = crate::inventory::read(&self.world, &behaviour.reads(&scene)).await;
        let acts = match behaviour.acts(&scene, &facts) {
            Ok(acts) if acts.is_empty() => return Ok(Outcome::failed("there is nothing for it to act on")),
            Ok(acts) => acts,
            Err(refusal) => return Ok(Outcome::failed(refusal)),
        };
        // An answer may come late, long after the effect.
        let began = self.world.clock.now();
        for act in acts {
            let outcome = self.perform(step, act, Of::Fault).await?;
            if !outcome.is_ok() {
                return Ok(outcome);
            }
        }
        self.shown(step, fault, region, proof, began).await
    }

    async fn recover(
        &self,
        step: &StepId,
        recovery: &RecoveryKind,
        region: &Region,
        moves_authority: bool,
    ) -> Result<Outcome, Stop> {
        let scene = self.scene(step, region);
        let behaviour = recovery.behaviour();
        let facts = crate::inventory::read(&self.world, &behaviour.reads(&scene)).await;
        let acts = match behaviour.acts(&scene, &facts) {
            Ok(acts) => acts,
            Err(Refusal::NoTarget(why) | Refusal::OutOfScope(why)) => return Ok(Outcome::Failed { why }),
            Err(Refusal::Unread(unread)) => return Ok(Outcome::failed(unread)),
        };
        // Who may write is looked at and changed by one step at a time.
        let one = self.authority.lock().await;
        if let Some(authority) = behaviour.authority(&scene)
            && let Some(why) = self.second_primary(&authority).await
        {
            return Ok(Outcome::Failed { why });
        }
        for freed in acts.iter().filter_map(|act| self.frees(act)) {
            if let Err(why) = self.fence_before_freeing(&freed, &Name::from("engine")).await? {
                return Ok(Outcome::Failed { why });
            }
        }
        let of = if behaviour.fences() { Of::Fence } else { Of::Recovery { moves_authority } };
        for act in acts {
            let outcome = self.perform(step, act, of).await?;
            if !outcome.is_ok() {
                return Ok(outcome);
            }
        }
        drop(one);
        self.settled(step, recovery, region).await
    }

    /// Waits for a recovery's own success condition; the step's timeout ends it.
    async fn settled(
        &self,
        step: &StepId,
        recovery: &RecoveryKind,
        region: &Region,
    ) -> Result<Outcome, Stop> {
        let scene = self.scene(step, region);
        let watches = recovery.behaviour().watches(&scene);
        loop {
            let sent = self.world.clock.now();
            let facts = crate::inventory::read(&self.world, &watches).await;
            if let Ok(Progress::Done) = recovery.behaviour().settled(&scene, &facts) {
                self.observed(format!("settled:{step}"), sent, Outcome::Ok)?;
                return Ok(Outcome::Ok);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes a fault back; where authority moved, its side is fenced first, whatever the scenario forgot (I5).
    async fn remove_fault(&self, fault: &StepId) -> Result<Outcome, Stop> {
        let by = Name::from("engine");
        let _one = self.authority.lock().await;
        if let Some(Action::Fault { region, .. }) = self.plan.step(fault).map(|step| &step.action)
            && let Err(why) = self.fence_before_freeing(region, &by).await?
        {
            return Ok(Outcome::failed(why));
        }
        self.owed.borrow_mut().retain(|owed| owed.step != *fault);
        let open = self.recorder.with_events(outstanding);
        // In the order in which they were done.
        for open in open.iter().rev().filter(|open| open.step == *fault && open.effect.of == Of::Fault) {
            if let Some(left) = self.undo(open, &by).await? {
                return Ok(Outcome::failed(format!("{}: {}", left.what, left.advice)));
            }
        }
        Ok(Outcome::Ok)
    }

    /// Pages the ladder, rung by rung, until somebody who may declares.
    async fn declare(&self, step: &StepId, role: &Role, escalation: &[Rung]) -> Result<Outcome, Stop> {
        let first = Rung { after: crate::model::time::Duration::ZERO, role: role.clone(), may_declare: true };
        let mut rungs = escalation.to_vec();
        if !rungs.iter().any(|rung| rung.role == *role) {
            rungs.insert(0, first);
        }
        let mut paged: futures::stream::FuturesUnordered<_> =
            rungs.iter().map(|rung| self.page(step, rung, rung.may_declare || rung.role == *role)).collect();
        use futures::StreamExt as _;
        while let Some(declared) = paged.next().await {
            if declared? {
                return Ok(Outcome::Ok);
            }
        }
        Ok(Outcome::failed("nobody on the ladder may declare"))
    }

    async fn page(&self, step: &StepId, rung: &Rung, may_declare: bool) -> Result<bool, Stop> {
        tokio::time::sleep(rung.after.std()).await;
        let text = format!("{}: a region failed, please acknowledge", self.plan.drill);
        let reply = self.asked(step, &rung.role, text, About::Acknowledge).await?;
        self.said(Some(step), &rung.role, reply, Said::Acknowledged)?;
        if !may_declare {
            return Ok(false);
        }
        let text = "do you declare the disaster?".to_owned();
        let reply = self.asked(step, &rung.role, text, About::Declare).await?;
        self.said(Some(step), &rung.role, reply, Said::Declared)?;
        Ok(true)
    }

    fn said(
        &self,
        step: Option<&StepId>,
        role: &Role,
        reply: crate::world::Reply,
        said: Said,
    ) -> Result<(), SinkError> {
        self.recorder.append(What::Said {
            step: step.cloned(),
            role: role.clone(),
            who: reply.who,
            simulated: reply.simulated,
            said,
            text: reply.text,
        })
    }

    async fn wait(&self, step: &StepId, wait: &Wait) -> Result<Outcome, Stop> {
        match wait {
            Wait::Alert(alert) => {
                let asked = self.world.clock.now();
                // One that fired before the first fault tells of something else.
                let fault = self.recorder.with_events(|events| {
                    let of_a_fault = |event: &&Event| {
                        matches!(&event.what, What::EffectIntended { effect, .. } if effect.of == Of::Fault)
                    };
                    events.iter().find(of_a_fault).map(|event| event.at)
                });
                match self.world.alerts.arrives(alert, fault.unwrap_or(At(i64::MIN))).await {
                    Ok(arrived) => {
                        let arrived = Interval::between(arrived, self.world.clock.now().max(asked));
                        self.recorder.append(What::Alerted {
                            step: step.clone(),
                            alert: alert.clone(),
                            arrived,
                        })?;
                        Ok(Outcome::Ok)
                    }
                    Err(error) => Ok(Outcome::failed(error)),
                }
            }
            Wait::Duration(duration) => {
                tokio::time::sleep(duration.std()).await;
                Ok(Outcome::Ok)
            }
            Wait::Succeeds(succeeds) => {
                self.succeeds(&succeeds.probe, succeeds.lasting).await;
                Ok(Outcome::Ok)
            }
        }
    }

    /// Waits until a probe has been answering at all its vantages for a time from now on.
    pub(super) async fn succeeds(&self, probe: &ProbeId, lasting: crate::model::time::Duration) {
        let vantages = self.vantages_of(probe);
        let earliest = self.world.clock.now().plus(lasting);
        let now = || self.world.clock.now();
        self.live
            .until(|live| now() >= earliest && live.succeeded_for(probe, vantages, lasting, now()))
            .await;
    }

    pub(super) fn vantages_of(&self, probe: &ProbeId) -> usize {
        self.plan
            .probes
            .iter()
            .find(|planned| planned.id == *probe)
            .map_or(usize::MAX, |planned| planned.from.len())
    }

    async fn check(&self, step: &StepId, check: &Check) -> Result<Outcome, Stop> {
        let sent = self.world.clock.now();
        let outcome = match check {
            Check::Ledger(which) => self.read_back(which.store.as_ref()).await?,
            Check::Probe(probe) => {
                let vantages = self.vantages_of(probe);
                let up = self.live.until(|live| {
                    live.succeeded_for(probe, vantages, Default::default(), self.world.clock.now())
                });
                match tokio::time::timeout(EXEC_ENDS_WITHIN.std(), up).await {
                    Ok(()) => Outcome::Ok,
                    Err(_) => Outcome::failed(format!("{probe} did not succeed within {EXEC_ENDS_WITHIN}")),
                }
            }
        };
        self.observed(format!("check:{step}"), sent, outcome.clone())?;
        Ok(outcome)
    }
}
