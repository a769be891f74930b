//! The fold over a journal: which effects are still owed, and which of them move authority.

use crate::model::effect::{Effect, EffectId, Of, Undo};
use crate::model::event::{Event, Outcome, What};
use crate::model::name::StepId;
use crate::model::time::At;

/// An effect that has no successful undo yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub step: StepId,
    pub effect: Effect,
    pub undo: Undo,
    pub intended: At,
    /// `None`: the journal ends before its end, so nobody knows.
    pub ended: Option<Outcome>,
}

impl Open {
    /// Whether it surely never happened.
    pub fn never_happened(&self) -> bool {
        matches!(self.ended, Some(Outcome::Failed { .. }))
    }
}

/// Every effect whose end or undo is still owed, newest first. Effects that failed for sure, or that nothing needs to take back,
/// are not among them.
pub fn outstanding(events: &[Event]) -> Vec<Open> {
    let mut open: Vec<Open> = all(events, true);
    open.retain(|open| !open.never_happened() && !matches!(open.undo, Undo::Nothing { .. }));
    open.reverse();
    open
}

/// Every effect that was to move write authority, oldest first, undone ones too.
pub fn authority_moves(events: &[Event]) -> Vec<Open> {
    let mut moves = all(events, false);
    moves.retain(|open| matches!(open.effect.of, Of::Recovery { moves_authority: true }));
    moves
}

/// Effects that were taken back already, oldest first.
pub fn taken_back(events: &[Event]) -> Vec<Open> {
    let open = all(events, true);
    let mut gone = all(events, false);
    gone.retain(|effect| !open.iter().any(|open| open.effect.id == effect.effect.id));
    gone
}

fn all(events: &[Event], without_undone: bool) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    let mut place: std::collections::BTreeMap<EffectId, usize> = std::collections::BTreeMap::new();
    let mut undone: std::collections::BTreeSet<EffectId> = std::collections::BTreeSet::new();
    for event in events {
        match &event.what {
            What::EffectIntended { step, effect, undo } => {
                place.insert(effect.id, open.len());
                open.push(Open {
                    step: step.clone(),
                    effect: effect.clone(),
                    undo: undo.clone(),
                    intended: event.at,
                    ended: None,
                });
            }
            What::EffectEnded { effect, outcome, undo } => {
                if let Some(open) = place.get(effect).and_then(|place| open.get_mut(*place)) {
                    open.ended = Some(outcome.clone());
                    if let Some(undo) = undo {
                        open.undo = undo.clone();
                    }
                }
            }
            What::UndoEnded { effect, outcome: Outcome::Ok, .. } => {
                undone.insert(*effect);
            }
            What::UndoEnded { outcome: Outcome::Failed { .. } | Outcome::Unknown { .. }, .. }
            | What::RunStarted { .. }
            | What::Guarded { .. }
            | What::Calibrated { .. }
            | What::Steady { .. }
            | What::StepStarted { .. }
            | What::StepEnded { .. }
            | What::TimedOut { .. }
            | What::Held { .. }
            | What::Decided { .. }
            | What::UndoStarted { .. }
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
            | What::AbortRequested { .. }
            | What::HealStarted { .. }
            | What::HealEnded { .. }
            | What::RunEnded { .. }
            | What::Unknown(_) => {}
        }
    }
    if without_undone {
        open.retain(|open| !undone.contains(&open.effect.id));
    }
    open
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::effect::{Act, Ref, Resource};
    use crate::model::name::RunId;

    fn events(whats: Vec<What>) -> Vec<Event> {
        whats
            .into_iter()
            .enumerate()
            .map(|(i, what)| Event { seq: i as u64, at: At(i as i64), what })
            .collect()
    }

    fn create(id: u32) -> What {
        let at = Ref::new(&"east".into(), Resource::network_policies(), Some("shop"), "drill");
        What::EffectIntended {
            step: "lose".into(),
            effect: Effect {
                id: EffectId(id),
                act: Act::Create { at: at.clone(), object: json!({}) },
                of: Of::Fault,
            },
            undo: Undo::Remove { at, run: RunId::from("r") },
        }
    }

    fn ended(id: u32, outcome: Outcome) -> What {
        What::EffectEnded { effect: EffectId(id), outcome, undo: None }
    }

    fn undone(id: u32, outcome: Outcome) -> What {
        What::UndoEnded { effect: EffectId(id), by: "engine".into(), outcome, conflicts: vec![] }
    }

    #[test]
    fn an_effect_is_owed_from_its_intent_until_a_successful_undo() {
        let owed =
            |whats| outstanding(&events(whats)).iter().map(|open| open.effect.id.0).collect::<Vec<_>>();
        assert_eq!(owed(vec![create(1), create(2), ended(1, Outcome::Ok)]), vec![2, 1]);
        assert_eq!(owed(vec![create(1), ended(1, Outcome::unknown("lost"))]), vec![1]);
        assert_eq!(owed(vec![create(1), ended(1, Outcome::failed("409"))]), Vec::<u32>::new());
        assert_eq!(owed(vec![create(1), undone(1, Outcome::failed("503"))]), vec![1]);
        assert_eq!(
            owed(vec![create(1), undone(1, Outcome::failed("503")), undone(1, Outcome::Ok)]),
            Vec::<u32>::new()
        );
    }
}
