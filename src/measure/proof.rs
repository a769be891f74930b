//! Whether each fault was shown to take effect, and for as long as it was owed (DESIGN section 5): a drill whose fault did
//! nothing, or was reverted by somebody, proves nothing.

use super::measured::FaultShown;
use super::story::Story;
use super::view::{View, was_there_at};
use crate::model::event::What;
use crate::model::name::{ProbeId, StepId};
use crate::model::outage::Outage;
use crate::model::plan::{Action, Proof, ProofBy, ProofUntil, Step};
use crate::model::time::{At, Duration, Interval};

/// What shows a fault.
struct Shown {
    effective: Option<Interval>,
    gone: Option<Interval>,
    source: String,
}

/// Every fault of the plan; `restored` is when the last service was.
pub(super) fn faults(story: &Story<'_>, views: &[View<'_>], restored: Option<Interval>) -> Vec<FaultShown> {
    let fault = |step: &Step| match &step.action {
        Action::Fault { proof, .. } => Some(fault(story, views, restored, (&step.id, proof))),
        Action::Recover { .. }
        | Action::RemoveFault { .. }
        | Action::Declare { .. }
        | Action::Wait(_)
        | Action::Task { .. }
        | Action::Notify { .. }
        | Action::Check(_)
        | Action::Parallel { .. }
        | Action::Procedure { .. } => None,
    };
    story.plan.all_steps().filter_map(fault).collect()
}

fn fault(
    story: &Story<'_>,
    views: &[View<'_>],
    restored: Option<Interval>,
    (step, proof): (&StepId, &Proof),
) -> FaultShown {
    let mut told = FaultShown {
        step: step.clone(),
        requested: None,
        effective: None,
        gone: None,
        owed_until: None,
        invalid: None,
        source: String::new(),
    };
    let is_cut = story.ended.is_none();
    let Some((requested, _)) = story.intent(step) else {
        told.invalid = Some(format!("the fault {step} was never injected")).filter(|_| !is_cut);
        return told;
    };
    let removed = story.undo_started(step).into_iter().chain(story.stopped).min();
    // What a journal that was cut off does not hold any more is owed by nobody.
    let watched = match &proof.by {
        ProofBy::Probe(probe) if is_cut => {
            views.iter().filter(|view| view.probe.id == *probe).map(View::seen_until).max()
        }
        ProofBy::Probe(_) | ProofBy::Objects => None,
    };
    let end = removed.unwrap_or(story.end).min(watched.unwrap_or(story.end));
    let owed = match proof.until {
        ProofUntil::Once => None,
        ProofUntil::Recovery => {
            Some(story.first_recovery_since(requested).map_or(end, |(at, _)| at.min(end)))
        }
        ProofUntil::Restored => Some(restored.map_or(end, |at| at.latest.min(end))),
    };
    let shown = match &proof.by {
        ProofBy::Probe(probe) => {
            let views = views.iter().filter(|view| view.probe.id == *probe && !view.excluded);
            by_probe(views, requested, requested.plus(proof.within).min(owed.unwrap_or(end)))
        }
        ProofBy::Objects => by_objects(story, step, requested, (proof.within, owed.unwrap_or(end))),
    };
    let unwatched = |from: Interval, until: At| match &proof.by {
        ProofBy::Probe(probe) => longest_silence(views, probe, Interval::between(from.latest, until)),
        ProofBy::Objects => longest_unread(story, step, Interval::between(from.latest, until)),
    };
    let blind = match &proof.by {
        ProofBy::Probe(probe) => {
            views.iter().filter(|view| view.probe.id == *probe).all(|view| view.excluded)
        }
        ProofBy::Objects => false,
    };
    told.invalid = match (shown.effective, shown.gone, owed) {
        (None, ..) if blind => {
            Some(format!("nobody could see what the fault {step} did: its probe's vantage is excluded"))
        }
        (None, ..) if is_cut && end < requested.plus(proof.within) => None,
        (None, ..) => Some(format!("the fault {step} had no effect that anything showed")),
        (Some(at), ..) if at.earliest > requested.plus(proof.within) => {
            Some(format!("the fault {step} took effect only after its {}", proof.within))
        }
        (Some(_), Some(gone), Some(owed)) if shown_until(proof, owed, end, gone) < owed => {
            Some(format!("the fault {step} was gone at {} already, and was owed until {owed}", gone.latest))
        }
        (Some(at), _, Some(owed)) if unwatched(at, owed) > proof.within => {
            Some(format!("nobody looked at the fault {step} for longer than its {}", proof.within))
        }
        (Some(_), ..) => None,
    };
    FaultShown {
        requested: Some(Interval::exactly(requested)),
        effective: shown.effective,
        gone: shown.gone,
        owed_until: owed,
        source: shown.source,
        ..told
    }
}

/// Until when the fault showed. Where its end may be what restored the service, until it was last seen; where a recovery or its
/// removal ends it, until it was first seen gone, since the last look before that came a little earlier by nature.
fn shown_until(proof: &Proof, owed: At, end: At, gone: Interval) -> At {
    if proof.until == ProofUntil::Restored && owed < end { gone.earliest } else { gone.latest }
}

/// The probe's first failure since the request, and its first success after that: each proves what it says, however short it was. A fault
/// cannot work before it is asked for, and what was failing already shows nothing of it; while its effect may still come and is owed, it may
/// also come and go.
fn by_probe<'a>(views: impl Iterator<Item = &'a View<'a>>, requested: At, comes_until: At) -> Shown {
    let first = views
        .filter_map(|view| {
            let failures = view.failures();
            // One that surely failed before the request, or whose last failure was sent before it, says nothing of it.
            let was_there = was_there_at(&view.samples, requested);
            let later = |failed: &&Outage| {
                !was_there(failed) && failed.end.is_none_or(|end| end.earliest >= requested)
            };
            let mut later = failures.iter().filter(later);
            let first = later.next()?;
            let onset = |failed: &&Outage| failed.begin.latest <= comes_until;
            let last = later.take_while(onset).last().unwrap_or(first);
            Some((first.begin, last.end, view.name()))
        })
        .min_by_key(|(begin, ..)| begin.latest);
    match first {
        None => Shown { effective: None, gone: None, source: "no failure of its probe".to_owned() },
        Some((begin, gone, source)) => Shown { effective: Some(after(begin, requested)), gone, source },
    }
}

/// For how long a probe was not sent in a window, at most.
fn longest_silence(views: &[View<'_>], probe: &ProbeId, within: Interval) -> Duration {
    let watching = views.iter().filter(|view| view.probe.id == *probe && !view.excluded);
    watching.map(|view| view.longest_silence(within)).min().unwrap_or_default()
}

/// What was written down about its objects. Where they show it again within the time that it may take to show, and while it is owed, it was
/// not gone: controllers come and go between two states.
fn by_objects(story: &Story<'_>, of: &StepId, requested: At, (within, owed): (Duration, At)) -> Shown {
    let mut shown = Shown { effective: None, gone: None, source: "no proof by its objects".to_owned() };
    for event in story.events {
        let What::Proof { step, seen, shown: shows, .. } = &event.what else { continue };
        if step != of {
            continue;
        }
        match (shown.effective, shown.gone, *shows) {
            (None, _, true) => {
                shown.effective = Some(after(*seen, requested));
                shown.source = format!("event {}", event.seq);
            }
            (Some(_), None, false) => shown.gone = Some(*seen),
            (Some(_), Some(gone), true)
                if seen.latest <= owed && seen.latest.since(gone.earliest) <= within =>
            {
                shown.gone = None;
            }
            (None, _, false) | (Some(_), None, true) | (Some(_), Some(_), true | false) => {}
        }
    }
    shown
}

/// For how long a fault's objects could not be read in a window, at most.
fn longest_unread(story: &Story<'_>, of: &StepId, window: Interval) -> Duration {
    let looked = Proof::looked_at(of);
    let mut unread: Vec<Interval> = Vec::new();
    for event in story.events {
        let What::Observed { what, sent, done, outcome } = &event.what else { continue };
        if *what == looked {
            match (outcome.is_ok(), unread.last_mut()) {
                (true, Some(open)) => open.latest = *done,
                (true, None) => {}
                (false, _) => unread.push(Interval::between(*sent, At(i64::MAX))),
            }
        }
    }
    let inside = |one: &Interval| one.latest.min(window.latest).since(one.earliest.max(window.earliest));
    unread.iter().map(inside).max().unwrap_or_default()
}

fn after(seen: Interval, requested: At) -> Interval {
    Interval { earliest: seen.earliest.max(requested), latest: seen.latest.max(requested) }
}
