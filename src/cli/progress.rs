//! What a person sees while a drill runs: a live line on a terminal, plain lines otherwise. It only ever shows what is on disk.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration as StdDuration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{say, steerless};
use crate::engine::{Shown, Watcher};
use crate::model::event::{Decision, Event, Outcome, What};
use crate::model::name::{ProbeId, StepId, Vantage};
use crate::model::plan::Plan;
use crate::model::sample::WriteSeen;
use crate::model::time::{At, Duration};

/// The state of the display.
struct Display {
    plan: Plan,
    bar: Option<ProgressBar>,
    running: Vec<(StepId, At)>,
    up: BTreeMap<(ProbeId, Vantage), bool>,
    acknowledged: u64,
    refused: u64,
    unknown: u64,
}

/// A display on stderr for a plan's run.
pub fn watcher(plan: &Plan, quiet: bool) -> Watcher {
    if quiet {
        return Box::new(|_, _| {});
    }
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar
    });
    let mut display = Display {
        plan: plan.clone(),
        bar,
        running: Vec::new(),
        up: BTreeMap::new(),
        acknowledged: 0,
        refused: 0,
        unknown: 0,
    };
    Box::new(move |at, shown| display.show(at, shown))
}

impl Display {
    fn show(&mut self, at: At, shown: Shown<'_>) {
        match shown {
            Shown::Event(event) => {
                self.note(event);
                if let Some(line) = self.line(event) {
                    self.print(&format!("{:>12}  {line}", clock(event.at)));
                }
                if let (What::RunEnded { .. }, Some(bar)) = (&event.what, &self.bar) {
                    bar.finish_and_clear();
                    return;
                }
            }
            Shown::Turned { probe, vantage, up } => {
                let first = self.up.insert((probe.clone(), vantage.clone()), up).is_none();
                if !(first && up) {
                    let state = if up { "answers" } else { "FAILS" };
                    self.print(&format!("{:>12}  probe {probe} from {vantage} {state}", clock(at)));
                }
            }
            Shown::Waiting { what, at_most } => {
                self.print(&format!(
                    "{:>12}  waiting until {what}, at most {}",
                    clock(at),
                    at_most.in_whole_millis()
                ));
            }
            Shown::Written { seen, .. } => match seen {
                WriteSeen::Ok { .. } => self.acknowledged += 1,
                WriteSeen::Failed(_) => self.refused += 1,
                WriteSeen::Unknown(_) => self.unknown += 1,
            },
        }
        if let Some(bar) = &self.bar {
            bar.set_message(steerless(&self.status(at)));
            bar.tick();
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(steerless(line)),
            None => say(line),
        }
    }

    fn note(&mut self, event: &Event) {
        match &event.what {
            What::StepStarted { step } => self.running.push((step.clone(), event.at)),
            What::StepEnded { step, .. } => self.running.retain(|(running, _)| running != step),
            _ => {}
        }
    }

    /// `failover › promote-west 12s of 2m · checkout DOWN, west-direct up · 812 written, 31 refused, 2 unknown`
    fn status(&self, at: At) -> String {
        let mut parts = Vec::new();
        if let Some((id, since)) = self.running.last() {
            let step = self.plan.step(id);
            let stage = step.map_or(String::new(), |step| format!("{} › ", step.stage));
            let budget =
                step.and_then(|step| step.budget).map_or(String::new(), |budget| format!(" of {budget}"));
            parts.push(format!("{stage}{id} {}{budget}", seconds(at.since(*since))));
        }
        let mut probes: BTreeMap<&ProbeId, bool> = BTreeMap::new();
        for ((probe, _), up) in &self.up {
            *probes.entry(probe).or_insert(true) &= up;
        }
        let states: Vec<String> =
            probes.iter().map(|(probe, up)| format!("{probe} {}", if *up { "up" } else { "DOWN" })).collect();
        if !states.is_empty() {
            parts.push(states.join(", "));
        }
        if self.acknowledged + self.refused + self.unknown > 0 {
            let (ok, refused, unknown) = (self.acknowledged, self.refused, self.unknown);
            parts.push(format!("{ok} written, {refused} refused, {unknown} unknown"));
        }
        format!("{:>10}  {}", clock(at), parts.join(" · "))
    }

    fn line(&self, event: &Event) -> Option<String> {
        let ended = |outcome: &Outcome| outcome.why().map_or("ok".to_owned(), |why| format!("FAILED: {why}"));
        Some(match &event.what {
            What::RunStarted { run, rehearsal, .. } => {
                format!("{} {run} starts", if *rehearsal { "rehearsal" } else { "run" })
            }
            What::Guarded { guard, outcome, .. } if !outcome.is_ok() => {
                format!("guard {guard} {}", ended(outcome))
            }
            What::Calibrated { vantage: None, truth, measured, outcome } => {
                format!("calibrated: a pause of {truth} measured as {measured}: {}", ended(outcome))
            }
            What::Steady { outcome, .. } => format!("steady state: {}", ended(outcome)),
            What::StepStarted { step } => {
                let planned = self.plan.step(step);
                let stage = planned.map_or(String::new(), |planned| planned.stage.to_string());
                let title = planned.and_then(|planned| planned.title.as_deref()).unwrap_or_default();
                format!("{stage:<8}  {step}  {title}").trim_end().to_owned()
            }
            What::StepEnded { step, outcome } => {
                format!("{:<8}  {step} {}", "", ended(outcome))
            }
            What::TimedOut { step } => format!("{:<8}  {step} took longer than its timeout", ""),
            What::Held { step, why } => format!("{:<8}  {step} is held: {why}", ""),
            What::Decided { who, decision, .. } => format!("{:<8}  {who} decides: {}", "", words(decision)),
            What::EffectIntended { effect, .. } => format!("{:<8}    {}", "", effect.act),
            What::EffectEnded { outcome, .. } if !outcome.is_ok() => {
                format!("{:<8}      {}", "", ended(outcome))
            }
            What::UndoEnded { effect, outcome, .. } => {
                format!("{:<8}    undo of effect {} {}", "", effect.0, ended(outcome))
            }
            What::Alerted { alert, .. } => format!("{:<8}    alert {alert} arrived", ""),
            What::Said { role, who, said, .. } => format!("{:<8}    {who} ({role}): {said:?}", ""),
            What::Reached { vantage, outcome } => match outcome.why() {
                None => format!("the agent at {vantage} is in reach"),
                Some(why) => format!("the agent at {vantage} is out of reach: {why}"),
            },
            What::ReadBack { store, outcome, .. } => {
                format!("{:<8}    {store} read back: {}", "", ended(outcome))
            }
            What::AbortRequested { why, .. } => format!("ABORT     {why}"),
            What::HealStarted { .. } => "healing".to_owned(),
            What::HealEnded { outstanding, .. } if !outstanding.is_empty() => {
                format!("{} left to do", outstanding.len())
            }
            What::RunEnded { .. } => "the run is over".to_owned(),
            _ => return None,
        })
    }
}

/// What somebody decided, as the commands that say it have it.
fn words(decision: &Decision) -> String {
    match decision {
        Decision::Retry => "retry".to_owned(),
        Decision::Skip { reason } => format!("skip, since {reason}"),
        Decision::Done => "done by hand".to_owned(),
        Decision::Return => "return".to_owned(),
    }
}

/// An instant as `h:mm:ss.mmm`.
fn clock(at: At) -> String {
    let ms = at.0.max(0) / 1_000_000;
    format!("{}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

fn seconds(duration: Duration) -> String {
    Duration::from(StdDuration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_said_in_words() {
        let skip = Decision::Skip { reason: "told by phone".to_owned() };
        assert_eq!([words(&skip), words(&Decision::Done)], ["skip, since told by phone", "done by hand"]);
    }
}
