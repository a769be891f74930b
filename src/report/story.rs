//! What happened, step by step: stages, steps, people, guards, proofs, and what did not go by plan.

use serde_json::Value;

use super::chart::Window;
use super::view::{Calibration, Deviation, Guard, Person, Proof, Response, Stage, Step};
use super::words;
use crate::measure::{Measured, StepMeasured};
use crate::model::event::{Conflict, Decision, Event, Outcome, Said, What};
use crate::model::evidence::Evidence;
use crate::model::plan::{self, Action, Check, Wait};
use crate::model::time::{At, Duration, Interval};

/// The stages, those that the drill lacks as well.
pub fn stages(measured: &Measured, window: Window) -> Vec<Stage> {
    let stage = |stage: &crate::measure::StageMeasured| {
        let steps = || measured.steps.iter().filter(|step| step.stage == stage.stage);
        let from = steps().filter_map(|step| step.started).min();
        let to = steps().map(|step| step.ended.unwrap_or(window.to)).max();
        Stage {
            stage: stage.stage.to_string(),
            actual: stage.took.as_ref().map(Into::into),
            budget: stage.budget.map(Into::into),
            text: stage.took.as_ref().map_or("not exercised".to_owned(), words::span),
            bar: from.zip(to).map(|(from, to)| window.bar(&Interval::between(from, to))),
        }
    };
    measured.stages.iter().map(stage).collect()
}

/// Every step of the plan, executed or not.
pub fn steps(evidence: &Evidence, measured: &Measured, window: Window) -> Vec<Step> {
    let Some(header) = evidence.header() else { return Vec::new() };
    measured.steps.iter().filter_map(|took| Some(step(header.plan.step(&took.step)?, took, window))).collect()
}

fn step(planned: &plan::Step, measured: &StepMeasured, window: Window) -> Step {
    let (status, sign) = match (&measured.outcome, measured.started) {
        (Some(Outcome::Ok), _) => ("done", "✓"),
        (Some(Outcome::Failed { .. }), _) => ("failed", "✗"),
        (Some(Outcome::Unknown { .. }), _) => ("unknown", "?"),
        (None, Some(_)) => ("unfinished", "…"),
        (None, None) => ("not executed", "–"),
    };
    let against = measured
        .took
        .zip(measured.budget)
        .map(|(took, budget)| if took <= budget { "within" } else { "over" });
    let ended = measured.ended.unwrap_or(window.to);
    let notes = [
        (measured.timed_out, "timed out"),
        (measured.held > 0, "held for a person"),
        (measured.by_hand, "done or skipped by hand"),
    ];
    Step {
        id: planned.id.to_string(),
        title: planned.title.clone().unwrap_or_else(|| planned.id.to_string()),
        stage: planned.stage.to_string(),
        does: does(&planned.action),
        role: planned.role.as_ref().map(ToString::to_string),
        runbook: planned.runbook.clone(),
        status: status.to_owned(),
        sign,
        why: measured.outcome.as_ref().and_then(Outcome::why).map(str::to_owned),
        started: measured.started.map(|at| since_start(at).into()),
        took: measured.took.map(Into::into),
        budget: measured.budget.map(Into::into),
        against,
        notes: notes.into_iter().filter_map(|(so, note)| so.then_some(note)).collect(),
        bar: measured.started.map(|from| window.bar(&Interval::between(from, ended))),
    }
}

fn since_start(at: At) -> Duration {
    at.since(At(0))
}

/// What a step does, in a few words.
fn does(action: &Action) -> String {
    match action {
        Action::Fault { fault, region, .. } => format!("fault {} in {region}", kind(fault)),
        Action::Recover { recover, region, moves_authority } => {
            let authority = if *moves_authority { ", moves write authority" } else { "" };
            format!("{} in {region}{authority}", kind(recover))
        }
        Action::RemoveFault { step } => format!("removes the fault of {step}"),
        Action::Declare { role, .. } => format!("{role} declares"),
        Action::Wait(Wait::Alert(alert)) => format!("waits for the alert {alert}"),
        Action::Wait(Wait::Duration(length)) => format!("waits {length}"),
        Action::Wait(Wait::Succeeds(wait)) => {
            format!("waits until {} succeeds for {}", wait.probe, wait.lasting)
        }
        Action::Task { role, text } => format!("{role}: {text}"),
        Action::Notify { audience, .. } => format!("tells {audience}"),
        Action::Check(Check::Ledger(_)) => "reads the ledger back".to_owned(),
        Action::Check(Check::Probe(probe)) => format!("checks the probe {probe}"),
        Action::Parallel { steps } => format!("{} at once", words::count(steps.len() as u64, "step")),
        Action::Procedure { name, .. } => format!("the procedure {name}"),
    }
}

/// The kind of a fault or a recovery: the one key of its text.
fn kind(value: &Value) -> &str {
    value.as_object().and_then(|fields| fields.keys().next()).map_or("something", String::as_str)
}

/// An enum of the model as it stands in evidence.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// People and audiences against what was promised.
pub fn responses(measured: &Measured) -> Vec<Response> {
    let say = |response: &crate::measure::Response| {
        let who =
            [response.who.as_ref().map(ToString::to_string), response.role.as_ref().map(ToString::to_string)];
        Response {
            step: response.step.to_string(),
            kind: response.kind.to_string(),
            who: who.into_iter().flatten().collect::<Vec<_>>().join(", "),
            simulated: response.simulated,
            took: (&response.took).into(),
            since: response.since.clone(),
            target: response.target.map(Into::into),
        }
    };
    measured.responses.iter().map(say).collect()
}

/// What people said, and when.
pub fn people(evidence: &Evidence) -> Vec<Person> {
    evidence.events.iter().filter_map(person).collect()
}

fn person(event: &Event) -> Option<Person> {
    let (role, who, simulated, said, text) =
        if let What::Said { role, who, simulated, said, text, .. } = &event.what {
            let said = match said {
                Said::Acknowledged => "acknowledged",
                Said::Declared => "declared",
                Said::Done => "done",
                Said::Note => "noted",
                Said::SignedOff => "signed off",
            };
            let text = if text == said { String::new() } else { text.clone() };
            (role, who, *simulated, said.to_owned(), text)
        } else if let What::Decided { role, who, simulated, step, decision } = &event.what {
            (role, who, *simulated, format!("decided on {step}"), decided(decision))
        } else {
            return None;
        };
    Some(Person {
        at: since_start(event.at).into(),
        who: who.to_string(),
        role: role.to_string(),
        simulated,
        said,
        text,
    })
}

fn decided(decision: &Decision) -> String {
    match decision {
        Decision::Retry => "retry".to_owned(),
        Decision::Skip { reason } => format!("skip: {reason}"),
        Decision::Done => "done by hand".to_owned(),
        Decision::Return => "return".to_owned(),
    }
}

/// Whether each fault was shown.
pub fn proofs(measured: &Measured) -> Vec<Proof> {
    let say = |fault: &crate::measure::FaultShown| {
        let from_to = |at: &Interval| super::view::When::from(at).text;
        let text = match (&fault.invalid, &fault.effective, &fault.gone) {
            (Some(why), _, _) => why.clone(),
            (None, Some(from), Some(to)) => {
                format!("showed from {} until {}, by {}", from_to(from), from_to(to), fault.source)
            }
            (None, Some(from), None) => format!("showed from {}, by {}", from_to(from), fault.source),
            (None, None, _) => "not shown, and not owed yet".to_owned(),
        };
        Proof {
            step: fault.step.to_string(),
            shown: fault.invalid.is_none() && fault.effective.is_some(),
            text,
        }
    };
    measured.faults.iter().map(say).collect()
}

fn outcome(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Ok => ("held", "✓"),
        Outcome::Failed { .. } => ("refused", "✗"),
        Outcome::Unknown { .. } => ("unknown", "?"),
    }
}

/// What was asked before the start.
pub fn guards(evidence: &Evidence) -> Vec<Guard> {
    let say = |event: &Event| {
        let What::Guarded { guard, outcome, overridden_by } = &event.what else { return None };
        let (word, sign) = self::outcome(outcome);
        Some(Guard {
            guard: guard.to_string(),
            outcome: word.to_owned(),
            sign,
            why: outcome.why().map(str::to_owned),
            overridden_by: overridden_by.as_ref().map(ToString::to_string),
        })
    };
    evidence.events.iter().filter_map(say).collect()
}

/// The instrument against a known pause.
pub fn calibration(evidence: &Evidence) -> Option<Calibration> {
    evidence.events.iter().find_map(|event| {
        let What::Calibrated { vantage: None, truth, measured, outcome } = &event.what else { return None };
        let outcome = match outcome {
            Outcome::Ok => "the truth lies inside".to_owned(),
            Outcome::Failed { why } | Outcome::Unknown { why } => why.clone(),
        };
        Some(Calibration { truth: truth.into(), measured: measured.into(), outcome })
    })
}

/// What did not go by plan, in order.
pub fn deviations(evidence: &Evidence) -> Vec<Deviation> {
    let texts = evidence
        .events
        .iter()
        .flat_map(|event| deviation(&event.what).into_iter().map(|text| (event.at, text)));
    texts.map(|(at, text)| Deviation { at: since_start(at).into(), text }).collect()
}

fn deviation(what: &What) -> Vec<String> {
    let failed = |what: String, outcome: &Outcome| match outcome {
        Outcome::Ok => Vec::new(),
        Outcome::Failed { why } => vec![format!("{what} failed: {why}")],
        Outcome::Unknown { why } => vec![format!("{what} ended nobody knows how: {why}")],
    };
    match what {
        What::Guarded { guard, overridden_by: Some(by), .. } => {
            vec![format!("the guard {guard} was overridden by {by}")]
        }
        What::TimedOut { step } => vec![format!("the step {step} timed out")],
        What::Held { step, why } => vec![format!("the step {step} was held for a person: {why}")],
        What::Decided { step, who, decision, .. } => {
            vec![format!("{who} decided on {step}: {}", decided(decision))]
        }
        What::StepEnded { step, outcome } => failed(format!("the step {step}"), outcome),
        What::EffectEnded { effect, outcome, .. } => failed(format!("the effect {}", effect.0), outcome),
        What::Observed { what, outcome, .. } if what == "restored" => {
            failed("the wait for the services".to_owned(), outcome)
        }
        What::Reached { vantage, outcome } => failed(format!("reaching the agent at {vantage}"), outcome),
        What::Notified { audience, outcome, .. } => failed(format!("telling {audience}"), outcome),
        What::UndoEnded { effect, outcome, conflicts, .. } => {
            let mut texts = failed(format!("undoing the effect {}", effect.0), outcome);
            let say = |Conflict { field, advice }: &Conflict| {
                format!("{field} was changed by somebody else and kept: {advice}")
            };
            texts.extend(conflicts.iter().map(say));
            texts
        }
        What::ReadBack { store, stable: false, .. } => {
            vec![format!("{store} still changed while it was read back")]
        }
        What::WritesRemoved { store, outcome } => {
            failed(format!("removing the drill's writes from {store}"), outcome)
        }
        What::ClockStepped { by_ns } => {
            let by = Duration::from_nanos(by_ns.unsigned_abs());
            vec![format!("the wall clock stepped by {}{by}", if *by_ns < 0 { "-" } else { "" })]
        }
        What::AbortRequested { why, by } => vec![format!("{by} asked to abort: {why}")],
        What::Unknown(_) => vec!["an event of a kind that this version does not know".to_owned()],
        What::RunStarted { .. }
        | What::Guarded { .. }
        | What::Calibrated { .. }
        | What::ClockKnown { .. }
        | What::Steady { .. }
        | What::StepStarted { .. }
        | What::EffectIntended { .. }
        | What::UndoStarted { .. }
        | What::Proof { .. }
        | What::Alerted { .. }
        | What::Asked { .. }
        | What::Said { .. }
        | What::Observed { .. }
        | What::Rows { .. }
        | What::ReadBack { .. }
        | What::HealStarted { .. }
        | What::HealEnded { .. }
        | What::RunEnded { .. } => Vec::new(),
    }
}
