//! What the events say: when each step, effect and word was. One pass; everything else asks here.

use std::collections::{BTreeMap, BTreeSet};

use super::measured::{Actual, Moment, Response, StageMeasured, StepMeasured};
use crate::model::effect::{Effect, EffectId, Of};
use crate::model::event::{Decision, Ended, Event, Outcome, Said, What};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, Region, Role, StepId};
use crate::model::plan::{Action, Plan, Stage, Step};
use crate::model::sample::Found;
use crate::model::time::{At, Duration, Interval, Span};

/// What makes another side primary.
const MOVES: Of = Of::Recovery { moves_authority: true };

/// The events of a run, sorted by what they are about.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub plan: &'a Plan,
    pub events: &'a [Event],
    reads: &'a BTreeMap<(Name, u32), Vec<Found>>,
    steps: BTreeMap<&'a StepId, Told<'a>>,
    effects: BTreeMap<EffectId, &'a StepId>,
    /// The end of the last event.
    pub end: At,
    /// When an abort was asked for, or a reverter began.
    pub stopped: Option<At>,
    pub ended: Option<&'a Ended>,
}

/// What the events say about one step.
#[derive(Debug, Clone, Default)]
struct Told<'a> {
    started: Option<At>,
    ended: Option<(At, &'a Outcome)>,
    intent: Option<(At, u64)>,
    undo_started: Option<At>,
    undo_ended: Option<At>,
    timed_out: bool,
    held: u32,
    by_hand: bool,
    skipped: bool,
}

impl<'a> Story<'a> {
    /// Reads the events once.
    pub fn of(plan: &'a Plan, evidence: &'a Evidence) -> Self {
        let mut story = Self {
            plan,
            events: &evidence.events,
            reads: &evidence.reads,
            steps: BTreeMap::new(),
            effects: BTreeMap::new(),
            end: evidence.end(),
            stopped: None,
            ended: None,
        };
        for event in &evidence.events {
            story.take(event);
        }
        story
    }

    fn take(&mut self, event: &'a Event) {
        let at = event.at;
        match &event.what {
            What::StepStarted { step } => {
                self.told(step).started.get_or_insert(at);
            }
            What::StepEnded { step, outcome } => self.told(step).ended = Some((at, outcome)),
            What::TimedOut { step } => self.told(step).timed_out = true,
            What::Held { step, .. } => self.told(step).held += 1,
            What::Decided { step, decision, .. } => {
                let told = self.told(step);
                told.by_hand |= matches!(decision, Decision::Skip { .. } | Decision::Done);
                told.skipped = matches!(decision, Decision::Skip { .. });
            }
            What::EffectIntended { step, effect, .. } => {
                self.effects.insert(effect.id, step);
                self.told(step).intent.get_or_insert((at, event.seq));
            }
            What::UndoStarted { effect, .. } => {
                if let Some(step) = self.effects.get(effect).copied() {
                    self.told(step).undo_started.get_or_insert(at);
                }
            }
            What::UndoEnded { effect, outcome, .. } => {
                if let Some(step) = self.effects.get(effect).copied().filter(|_| outcome.is_ok()) {
                    self.told(step).undo_ended = Some(at);
                }
            }
            What::AbortRequested { .. } => {
                self.stopped.get_or_insert(at);
            }
            What::HealStarted { .. } if self.ended.is_none() => {
                self.stopped.get_or_insert(at);
            }
            What::RunEnded { how } => self.ended = Some(how),
            What::HealStarted { .. }
            | What::RunStarted { .. }
            | What::Guarded { .. }
            | What::Calibrated { .. }
            | What::Steady { .. }
            | What::EffectEnded { .. }
            | What::Proof { .. }
            | What::Alerted { .. }
            | What::Asked { .. }
            | What::Said { .. }
            | What::Notified { .. }
            | What::Observed { .. }
            | What::Rows { .. }
            | What::ReadBack { .. }
            | What::WritesRemoved { .. }
            | What::ClockStepped { .. }
            | What::HealEnded { .. }
            | What::Unknown(_) => {}
        }
    }

    fn told(&mut self, step: &'a StepId) -> &mut Told<'a> {
        self.steps.entry(step).or_default()
    }

    fn of_step(&self, step: &StepId) -> Told<'a> {
        self.steps.get(step).cloned().unwrap_or_default()
    }

    /// The step's first intent and its event's number.
    pub fn intent(&self, step: &StepId) -> Option<(At, u64)> {
        self.of_step(step).intent
    }

    /// When the step began.
    pub fn started(&self, step: &StepId) -> Option<At> {
        self.of_step(step).started
    }

    /// From when a step's effects were being undone.
    pub fn undo_started(&self, step: &StepId) -> Option<At> {
        self.of_step(step).undo_started
    }

    /// From the first undo until the last that worked.
    pub fn undone(&self, step: &StepId) -> Option<Interval> {
        let told = self.of_step(step);
        Some(Interval::between(told.undo_started?, told.undo_ended?))
    }

    /// Steps of a stage, in order.
    pub fn steps_in(&self, stage: Stage) -> impl Iterator<Item = &'a Step> {
        self.plan.all_steps().filter(move |step| step.stage == stage)
    }

    /// When the first step of a stage began.
    pub fn stage_started(&self, stage: Stage) -> Option<At> {
        self.steps_in(stage).filter_map(|step| self.started(&step.id)).min()
    }

    /// When the last step of a stage ended; `None` while one has not, or did not go well.
    pub fn stage_done(&self, stage: Stage) -> Option<At> {
        let ends: Option<Vec<At>> = self.steps_in(stage).map(|step| self.done(step)).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }

    /// When a step ended well, or was done by hand; one that was skipped was not done.
    pub fn done(&self, step: &Step) -> Option<At> {
        let told = self.of_step(&step.id);
        let done = |outcome: &Outcome| !told.skipped && (outcome.is_ok() || told.by_hand);
        told.ended.filter(|(_, outcome)| done(outcome)).map(|(at, _)| at)
    }

    /// Each time that write authority was moved to another side: from the first intent to make it primary to the last end that was
    /// reported well. Promoting a primary once more moves nothing.
    pub fn promotions(&self) -> Vec<Interval> {
        let mut moves: Vec<(&Region, Option<Interval>, At)> = Vec::new();
        let mut side = self.plan.lost.as_ref();
        let mut open: BTreeMap<EffectId, usize> = BTreeMap::new();
        for event in self.events {
            match &event.what {
                What::EffectIntended { effect: Effect { id, act, of: MOVES }, .. } => {
                    let Some(region) = act.at().map(|at| &at.region) else { continue };
                    if side != Some(region) {
                        side = Some(region);
                        moves.push((region, None, event.at));
                    }
                    // Nothing moved where the side that had it from the beginning is promoted.
                    if let Some(last) = moves.len().checked_sub(1) {
                        open.insert(*id, last);
                    }
                }
                What::EffectEnded { effect, outcome: Outcome::Ok, .. } => {
                    let moved = open.get(effect).and_then(|index| moves.get_mut(*index));
                    if let Some((_, done, begun)) = moved {
                        *done = Some(Interval::between(*begun, event.at));
                    }
                }
                _ => {}
            }
        }
        moves.into_iter().filter_map(|(_, done, _)| done).collect()
    }

    /// The first intent of a recovery from the first fault to the failback. (What was made ready before it recovers nothing.)
    pub fn first_recovery(&self) -> Option<(At, u64)> {
        self.first_recovery_since(self.first_fault().map_or(At(i64::MIN), |(at, _)| at))
    }

    /// The first intent of a recovery from an instant to the failback.
    pub fn first_recovery_since(&self, since: At) -> Option<(At, u64)> {
        let recoveries = self
            .plan
            .all_steps()
            .filter(|step| step.stage != Stage::Failback && matches!(step.action, Action::Recover { .. }));
        recoveries.filter_map(|step| self.intent(&step.id)).filter(|(at, _)| *at >= since).min()
    }

    /// The faults' first intent.
    pub fn first_fault(&self) -> Option<(At, u64)> {
        let faults = self.plan.all_steps().filter(|step| matches!(step.action, Action::Fault { .. }));
        faults.filter_map(|step| self.intent(&step.id)).min()
    }

    /// The first event that a test accepts.
    pub fn first<T>(&self, mut wanted: impl FnMut(&'a What) -> Option<T>) -> Option<(&'a Event, T)> {
        self.events.iter().find_map(|event| wanted(&event.what).map(|found| (event, found)))
    }

    /// When a person first said this.
    pub fn said(&self, wanted: Said) -> Option<(&'a Event, &'a Name)> {
        self.first(|what| match what {
            What::Said { said, who, .. } if *said == wanted => Some(who),
            _ => None,
        })
    }

    /// All stages, in order.
    pub fn stages(&self) -> Vec<StageMeasured> {
        Stage::ALL.into_iter().map(|stage| self.stage(stage)).collect()
    }

    fn stage(&self, stage: Stage) -> StageMeasured {
        let own = || self.plan.steps.iter().filter(|step| step.stage == stage);
        let ended = self.steps_in(stage).filter_map(|step| self.of_step(&step.id).ended).map(|(at, _)| at);
        let took = self.stage_started(stage).map(|started| match ended.max() {
            Some(at) => Interval::exactly(started).until(&Interval::exactly(at)),
            None => Span::at_least(self.end.since(started)),
        });
        let budget = own().filter_map(|step| step.budget).reduce(Duration::plus);
        StageMeasured { stage, took, budget }
    }

    /// Every step of the plan.
    pub fn steps(&self) -> Vec<StepMeasured> {
        let step = |step: &Step| {
            let told = self.of_step(&step.id);
            let ended = told.ended.map(|(at, _)| at);
            StepMeasured {
                step: step.id.clone(),
                stage: step.stage,
                started: told.started,
                ended,
                outcome: told.ended.map(|(_, outcome)| outcome.clone()),
                took: told.started.zip(ended).map(|(from, to)| to.since(from)),
                budget: step.budget,
                timed_out: told.timed_out,
                held: told.held,
                by_hand: told.by_hand,
            }
        };
        self.plan.all_steps().map(step).collect()
    }

    /// What people and audiences were asked and told, and how long it took; notices count from the impact. Each question is its role's
    /// own: one that nobody answered counts until its step ended, and not at all where it ended before the answer was due. A declaration
    /// counts from the step's first page.
    pub fn responses(&self, impact: Option<Interval>) -> Vec<Response> {
        let severity = self.plan.severity.as_ref();
        let mut found = Vec::new();
        let mut open: BTreeMap<(&StepId, &Role), Asked> = BTreeMap::new();
        let mut acknowledged: BTreeSet<(&StepId, &Role)> = BTreeSet::new();
        let mut paged: BTreeMap<&StepId, At> = BTreeMap::new();
        for event in self.events {
            match &event.what {
                What::Asked { step, role, .. } => {
                    let page = *paged.entry(step).or_insert(event.at);
                    let again = acknowledged.contains(&(step, role));
                    let at = if again { page } else { event.at };
                    open.entry((step, role)).or_insert(Asked { at, again });
                }
                What::Decided { step, role, .. } => {
                    open.remove(&(step, role));
                }
                What::Said { step: Some(step), role, who, simulated, said, .. } => {
                    let (kind, target) = match said {
                        Said::Acknowledged => ("acknowledge", severity.and_then(|times| times.acknowledge)),
                        Said::Declared => ("declare", severity.and_then(|times| times.declare)),
                        Said::Done => ("engage", severity.and_then(|times| times.engage)),
                        Said::Note | Said::SignedOff => continue,
                    };
                    if *said == Said::Acknowledged {
                        acknowledged.insert((step, role));
                    }
                    let Some(asked) = open.remove(&(step, role)) else { continue };
                    found.push(Response {
                        step: step.clone(),
                        kind: kind.into(),
                        role: Some(role.clone()),
                        who: Some(who.clone()),
                        simulated: *simulated,
                        took: Actual::Took(exactly(event.at.since(asked.at))),
                        target,
                    });
                }
                What::Notified { step, audience, outcome } => {
                    found.push(self.notice(step, audience, outcome, event.at, impact));
                }
                What::StepEnded { step, .. } => {
                    let of_the_step = |(of, _): &(&StepId, &Role)| *of == step;
                    let ended: Vec<_> = open.keys().copied().filter(of_the_step).collect();
                    let late = ended.into_iter().filter_map(|key| {
                        let response = self.unanswered(key, open.remove(&key)?, event.at);
                        let waited = response.took.span()?.least;
                        response.target.is_some_and(|target| waited > target).then_some(response)
                    });
                    found.extend(late);
                }
                _ => {}
            }
        }
        found.extend(open.into_iter().map(|(key, asked)| self.unanswered(key, asked, self.end)));
        found
    }

    fn notice(
        &self,
        step: &StepId,
        audience: &Name,
        outcome: &Outcome,
        at: At,
        impact: Option<Interval>,
    ) -> Response {
        let target = match self.plan.step(step).map(|step| &step.action) {
            Some(Action::Notify { within, .. }) => *within,
            _ => None,
        };
        let from = impact.or(self.started(step).map(Interval::exactly)).unwrap_or(Interval::exactly(at));
        let took = if outcome.is_ok() {
            from.until(&Interval::exactly(at))
        } else {
            Span::at_least(self.end.since(from.latest))
        };
        Response {
            step: step.clone(),
            kind: "notify".into(),
            role: None,
            who: Some(audience.clone()),
            simulated: false,
            took: Actual::Took(took),
            target,
        }
    }

    fn unanswered(&self, (step, role): (&StepId, &Role), asked: Asked, until: At) -> Response {
        let severity = self.plan.severity.as_ref();
        let (kind, target) = match self.plan.step(step).map(|step| &step.action) {
            Some(Action::Declare { .. }) if asked.again => {
                ("declare", severity.and_then(|times| times.declare))
            }
            Some(Action::Declare { .. }) => ("acknowledge", severity.and_then(|times| times.acknowledge)),
            Some(Action::Task { .. }) => ("engage", severity.and_then(|times| times.engage)),
            _ => ("answer", None),
        };
        Response {
            step: step.clone(),
            kind: kind.into(),
            role: Some(role.clone()),
            who: None,
            simulated: false,
            took: Actual::Took(Span::at_least(until.since(asked.at))),
            target,
        }
    }

    /// The moments that events alone tell, with the events that say so.
    pub fn moments(&self) -> Vec<(Moment, Interval, String)> {
        let at = |at: At| Interval::exactly(at);
        let event = |seq: u64| format!("event {seq}");
        let stage = |stage: Stage, what: &str| format!("{what} of the stage {stage}");
        let mut found = Vec::new();
        let mut add = |moment, told: Option<(Interval, String)>| {
            found.extend(told.map(|(interval, source)| (moment, interval, source)));
        };
        add(Moment::FaultRequested, self.first_fault().map(|(when, seq)| (at(when), event(seq))));
        let alerted = self.first(|what| match what {
            What::Alerted { arrived, .. } => Some(*arrived),
            _ => None,
        });
        let noticed = || {
            let ends = self.steps_in(Stage::Detect).filter_map(|step| self.done(step)).min();
            ends.map(|when| (at(when), stage(Stage::Detect, "the first end")))
        };
        let alerted = alerted.map(|(told, arrived)| (arrived, event(told.seq)));
        add(Moment::Detected, alerted.or_else(noticed));
        for (moment, said) in [
            (Moment::Acknowledged, Said::Acknowledged),
            (Moment::Declared, Said::Declared),
            (Moment::Closed, Said::SignedOff),
        ] {
            add(moment, self.said(said).map(|(told, _)| (at(told.at), event(told.seq))));
        }
        let started = || {
            self.stage_started(Stage::Failover)
                .map(|when| (at(when), stage(Stage::Failover, "the first step")))
        };
        let recovery = self.first_recovery().map(|(when, seq)| (at(when), event(seq)));
        add(Moment::FailoverStarted, recovery.or_else(started));
        let recovering = self.first_recovery().map_or(At(i64::MIN), |(when, _)| when);
        let intact = |store: &Name, pass: u32| {
            self.reads.get(&(store.clone(), pass)).is_none_or(|found| found.iter().all(|one| one.intact))
        };
        let mut was_read = false;
        let read = self.first(|what| match what {
            What::ReadBack { store, pass, began, stable, outcome, .. } if *began >= recovering => {
                was_read = true;
                (*stable && outcome.is_ok() && intact(store, *pass)).then_some(())
            }
            _ => None,
        });
        let verified =
            || self.stage_done(Stage::Verify).map(|when| (at(when), stage(Stage::Verify, "the end")));
        let verified = || if was_read { None } else { verified() };
        add(Moment::DataVerified, read.map(|(told, ())| (at(told.at), event(told.seq))).or_else(verified));
        add(
            Moment::FaultRemoved,
            self.faults_removed().map(|when| (when, "the last undo of a fault".into())),
        );
        let failback = self.stage_started(Stage::Failback);
        add(
            Moment::FailbackStarted,
            failback.map(|when| (at(when), stage(Stage::Failback, "the first step"))),
        );
        let done = self.stage_done(Stage::Failback);
        let done = done.map(|when| (at(when), stage(Stage::Failback, "the end")));
        add(Moment::FailbackDone, done.clone());
        let synced = self.resynced().map(|when| (at(when), "the end of the resynchronisation".to_owned()));
        add(Moment::RedundancyRestored, synced.or(done));
        found
    }

    fn faults_removed(&self) -> Option<Interval> {
        let faults = self
            .plan
            .all_steps()
            .filter(|step| matches!(step.action, Action::Fault { .. }) && self.intent(&step.id).is_some());
        let removed: Option<Vec<Interval>> = faults.map(|step| self.undone(&step.id)).collect();
        removed?.into_iter().reduce(|a, b| a.max(&b))
    }

    fn resynced(&self) -> Option<At> {
        let resync = |step: &&Step| match &step.action {
            Action::Recover { recover, .. } => recover.get("resync").is_some(),
            _ => false,
        };
        self.plan.all_steps().filter(resync).filter_map(|step| self.done(step)).max()
    }
}

/// A question to somebody.
struct Asked {
    /// From when on its answer is waited for.
    at: At,
    /// The same role had acknowledged in this step already: it is asked to declare now.
    again: bool,
}

/// A length that is known exactly.
pub(super) fn exactly(length: Duration) -> Span {
    Span { least: length, most: Some(length) }
}
