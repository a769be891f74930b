//! What the events say: when each step, effect and word was. One pass; everything else asks here.

use std::collections::{BTreeMap, BTreeSet};

use super::measured::{Actual, Moment, Response, StageMeasured, StepMeasured};
use super::moves;
use crate::model::effect::EffectId;
use crate::model::event::{Decision, Ended, Event, Outcome, Said, Subject, What};
use crate::model::evidence::Evidence;
use crate::model::name::{Name, Role, StepId};
use crate::model::plan::{Action, Plan, Stage, Step};
use crate::model::sample::Found;
use crate::model::time::{At, Duration, Interval, Span};

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
    /// When somebody decided to fail back at once.
    returned: Option<At>,
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
            returned: None,
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
                if *decision == Decision::Return {
                    self.returned.get_or_insert(at);
                }
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
            | What::Reached { .. }
            | What::ClockKnown { .. }
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

    /// Whether a step began that asks somebody to declare.
    pub fn asked_to_declare(&self) -> bool {
        let asks = |step: &&Step| matches!(step.action, Action::Declare { .. });
        self.plan.all_steps().filter(asks).any(|step| self.started(&step.id).is_some())
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

    /// The faults' first intent; in a drill without any, when a person was first asked to break something.
    pub fn first_fault(&self) -> Option<(At, u64)> {
        let is_fault = |step: &&Step| matches!(step.action, Action::Fault { .. });
        if self.plan.all_steps().any(|step| is_fault(&step)) {
            return self.plan.all_steps().filter(is_fault).filter_map(|step| self.intent(&step.id)).min();
        }
        let tasks: BTreeSet<&StepId> = self
            .steps_in(Stage::Inject)
            .filter(|step| matches!(step.action, Action::Task { .. }))
            .map(|step| &step.id)
            .collect();
        let asked = self.first(|what| match what {
            What::Asked { step, .. } if tasks.contains(step) => Some(()),
            _ => None,
        });
        asked.map(|(event, ())| (event.at, event.seq))
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
        let own = self.plan.steps.iter().filter(|step| step.stage == stage);
        let told = || self.steps_in(stage).map(|step| self.of_step(&step.id));
        let is_open = told().any(|step| step.started.is_some() && step.ended.is_none());
        let ended = told().filter_map(|step| step.ended).map(|(at, _)| at).max().filter(|_| !is_open);
        let returned = self.returned.filter(|_| stage < Stage::Failback);
        let left = returned.into_iter().chain(self.stopped).min().unwrap_or(self.end);
        let took = self.stage_started(stage).map(|started| match ended {
            Some(at) => Interval::exactly(started).until(&Interval::exactly(at)),
            None => Span::at_least(left.since(started)),
        });
        let budget = own.filter_map(Step::stated_budget).reduce(Duration::plus);
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

    /// What people and audiences were asked and told, how long it took, and since what. Each question is its role's own, about one thing:
    /// one that nobody answered counts until its step ended, and not at all where it ended before the answer was due. A declaration counts
    /// from the step's first page, updates until all is restored, and a notice from the impact or, where none was seen, from the first
    /// that the team could know of.
    pub fn responses(&self, impact: Option<Interval>, restored: Option<Interval>) -> Vec<Response> {
        let mut found = Vec::new();
        let mut open: Vec<Question> = Vec::new();
        let mut paged: BTreeMap<&StepId, At> = BTreeMap::new();
        for event in self.events {
            match &event.what {
                What::Asked { step, role, about, .. } => {
                    let page = if *about == Subject::Page { Some(event.at) } else { None };
                    let first = paged.get(step).copied().or(page);
                    paged.extend(first.map(|at| (step, at)));
                    let first = first.filter(|_| *about == Subject::Declaration);
                    let since = match (first, about) {
                        (Some(_), _) => "the step's first page",
                        (None, Subject::Page) => "the page",
                        (None, Subject::Declaration | Subject::Task | Subject::Decision) => "the question",
                    };
                    open.push(Question { step, role, about: *about, at: first.unwrap_or(event.at), since });
                }
                What::Decided { step, role, .. } => {
                    answered(&mut open, step, role, Subject::Decision);
                }
                What::Said { step: Some(step), role, who, simulated, said, .. } => {
                    let about = match said {
                        Said::Acknowledged => Subject::Page,
                        Said::Declared => Subject::Declaration,
                        Said::Done => Subject::Task,
                        Said::Note | Said::SignedOff => continue,
                    };
                    let Some(question) = answered(&mut open, step, role, about) else { continue };
                    let took = question.took(exactly(event.at.since(question.at)));
                    let who = Some(who.clone());
                    found.push(Response { who, simulated: *simulated, ..self.response(&question, took) });
                }
                What::Notified { step, audience, outcome } => {
                    found.push(self.notice(step, audience, outcome, event.at, impact));
                }
                What::StepEnded { step, .. } => {
                    let late = open.extract_if(.., |question| question.step == step).filter_map(|question| {
                        let response = self.unanswered(&question, event.at);
                        let waited = event.at.since(question.at);
                        response.target.is_some_and(|target| waited > target).then_some(response)
                    });
                    found.extend(late);
                }
                _ => {}
            }
        }
        found.extend(open.iter().map(|question| self.unanswered(question, self.end)));
        found.extend(impact.and_then(|impact| self.updates(impact, restored)));
        found
    }

    /// The longest time without news between the impact and the restoration, in a drill that tells anybody anything.
    fn updates(&self, impact: Interval, restored: Option<Interval>) -> Option<Response> {
        let target = self.plan.severity.as_ref()?.update?;
        let is_notice = |step: &&Step| matches!(step.action, Action::Notify { .. });
        let last = &self.plan.all_steps().filter(is_notice).last()?.id;
        let told = self.events.iter().filter_map(|event| match &event.what {
            What::Notified { step, outcome: Outcome::Ok, .. } => Some((Interval::exactly(event.at), step)),
            _ => None,
        });
        let (over, until) = (restored.map_or(self.end, |at| at.earliest), restored.map(|at| (at, last)));
        let told = told.filter(|(at, _)| impact.earliest <= at.latest && at.latest < over).chain(until);
        let (mut from, mut longest) = (impact, (Span::ZERO, last));
        for (at, step) in told {
            longest = std::cmp::max_by_key(longest, (from.until(&at), step), |(gap, _)| gap.least);
            from = at;
        }
        if restored.is_none() {
            let since = (Span::at_least(self.end.since(from.latest)), last);
            longest = std::cmp::max_by_key(longest, since, |(gap, _)| gap.least);
        }
        let (took, step) = (Actual::Took(longest.0), longest.1.clone());
        Some(Response {
            step,
            kind: "update".into(),
            role: None,
            who: None,
            simulated: false,
            took,
            since: "the impact or the news before it".to_owned(),
            target: Some(target),
        })
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
        let from = impact.map(|impact| (impact, "the impact")).or_else(|| self.known(step, at));
        let took = match from {
            None => Actual::not_exercised("nothing came before it from which it could count"),
            Some((from, _)) if outcome.is_ok() => Actual::Took(from.until(&Interval::exactly(at))),
            Some((from, _)) => Actual::Took(Span::at_least(self.end.since(from.latest))),
        };
        Response {
            step: step.clone(),
            kind: "notify".into(),
            role: None,
            who: Some(audience.clone()),
            simulated: false,
            took,
            since: from.map_or("nothing", |(_, since)| since).to_owned(),
            target,
        }
    }

    /// The first that the team could know of before an instant, and what it was: an alert or a page, or else the drill's own beginning,
    /// which is no step that only tells of it.
    fn known(&self, telling: &StepId, before: At) -> Option<(Interval, &'static str)> {
        let told = self.events.iter().find_map(|event| match &event.what {
            What::Alerted { arrived, .. } => Some((*arrived, "the first alert")),
            What::Asked { about: Subject::Page, .. } => Some((Interval::exactly(event.at), "the first page")),
            _ => None,
        });
        let inject = || Some((self.stage_started(Stage::Inject)?, "the first step of the stage inject"));
        let first = || {
            let others = self.plan.all_steps().filter(|step| step.id != *telling);
            let started = others.filter_map(|step| self.started(&step.id)).min()?;
            Some((started, "the first step"))
        };
        let earlier = |at: At| (at <= before).then(|| Interval::exactly(at));
        let begun = || inject().or_else(first).and_then(|(at, what)| Some((earlier(at)?, what)));
        told.filter(|(at, _)| at.latest <= before).or_else(begun)
    }

    fn unanswered(&self, question: &Question<'_>, until: At) -> Response {
        self.response(question, question.took(Span::at_least(until.since(question.at))))
    }

    fn response(&self, question: &Question<'_>, took: Span) -> Response {
        let severity = self.plan.severity.as_ref();
        // A recovery may be a person's as well: it has the step's own time.
        let action = self.plan.step(question.step).map(|step| &step.action);
        let is_task = matches!(action, Some(Action::Task { .. }));
        let (kind, target) = match question.about {
            Subject::Page => ("acknowledge", severity.and_then(|times| times.acknowledge)),
            Subject::Declaration => ("declare", severity.and_then(|times| times.declare)),
            Subject::Task if is_task => ("engage", severity.and_then(|times| times.engage)),
            Subject::Task | Subject::Decision => ("answer", None),
        };
        Response {
            step: question.step.clone(),
            kind: kind.into(),
            role: Some(question.role.clone()),
            who: None,
            simulated: false,
            took: Actual::Took(took),
            since: question.since.to_owned(),
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
        // One good reading does not stand for a check that failed.
        let read = read.map(|(told, ())| (at(told.at), event(told.seq))).or_else(verified);
        add(Moment::DataVerified, read.filter(|_| self.unchecked().next().is_none()));
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
        let followed = |(when, source): (At, &str)| (at(when), source.to_owned());
        let redundant = moves::second_sides(self).map(|since| since.map(followed).or(done));
        add(Moment::RedundancyRestored, redundant.unwrap_or_default());
        found
    }

    /// The checks of the stage `verify` that did not end well, or never did.
    fn unchecked(&self) -> impl Iterator<Item = &'a Step> {
        let is_check = |step: &&Step| matches!(step.action, Action::Check(_));
        self.steps_in(Stage::Verify).filter(is_check).filter(|step| self.done(step).is_none())
    }

    fn faults_removed(&self) -> Option<Interval> {
        let faults = self
            .plan
            .all_steps()
            .filter(|step| matches!(step.action, Action::Fault { .. }) && self.intent(&step.id).is_some());
        let removed: Option<Vec<Interval>> = faults.map(|step| self.undone(&step.id)).collect();
        removed?.into_iter().reduce(|a, b| a.max(&b))
    }
}

/// A question to somebody.
struct Question<'a> {
    step: &'a StepId,
    role: &'a Role,
    about: Subject,
    /// From when on its answer is waited for, and what was then.
    at: At,
    since: &'static str,
}

impl Question<'_> {
    /// How long the answer took; whoever says that a task is done began to work on it at some time before.
    fn took(&self, answered: Span) -> Span {
        let least = if self.about == Subject::Task { Duration::ZERO } else { answered.least };
        Span { least, ..answered }
    }
}

/// Takes out the oldest question to a role about something.
fn answered<'a>(
    open: &mut Vec<Question<'a>>,
    step: &StepId,
    role: &Role,
    about: Subject,
) -> Option<Question<'a>> {
    let asked = |one: &Question<'_>| one.step == step && one.role == role && one.about == about;
    open.iter().position(asked).map(|index| open.remove(index))
}

/// A length that is known exactly.
pub(super) fn exactly(length: Duration) -> Span {
    Span { least: length, most: Some(length) }
}
