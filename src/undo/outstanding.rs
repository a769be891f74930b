//! The fold over a journal: which effects are still owed.
//!
//! A recovery that mends what a fault broke found the fault's value, and must not put that back once the fault is gone: where one
//! effect begins with what an earlier one left that is taken back by now, what counts as "before" is what the earlier one found.
//!
//! What commands did to one thing is taken back as one, whatever is taken back by then: to put a side through every role that it had on its
//! way would promote it beside another.
//!
//! The other way round, the fault may be taken back while such a recovery stands: the field is the recovery's by then ([`later`]), and is
//! left to its undo. Both hold for fields with the same path; a recovery that changes the inside of what a fault made is a conflict.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::effect::{Act, Effect, EffectId, Held, Ref, Touch, Undo};
use crate::model::event::{Event, Outcome, What};
use crate::model::name::StepId;
use crate::model::time::At;

/// An effect that has no successful undo yet; one that left a conflict has none.
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

/// Every effect whose end or undo is still owed, newest first. Effects that failed for sure, or that nothing needs to take back, are not
/// among them, nor one that is done for good, as the scenario allowed by name: at once, or by another try of its step.
pub fn outstanding(events: &[Event]) -> Vec<Open> {
    let mut open: Vec<Open> = all(events);
    let done: Vec<(StepId, Act)> = open
        .iter()
        .filter(|open| open.undo == Undo::Irreversible && open.ended == Some(Outcome::Ok))
        .map(|open| (open.step.clone(), open.effect.act.clone()))
        .collect();
    open.retain(|open| {
        let for_good = open.undo == Undo::Irreversible
            && done.iter().any(|(step, act)| (step, act) == (&open.step, &open.effect.act));
        !open.never_happened() && !matches!(open.undo, Undo::Nothing { .. }) && !for_good
    });
    open.reverse();
    open
}

/// What later effects that are still open touched of the object of an effect; `open` is newest first.
pub fn later(open: &[Open], of: &Effect) -> Vec<Touch> {
    let touches = |open: &Open| match &open.undo {
        Undo::Restore { at, touched, .. } if Some(at) == of.act.at() => touched.clone(),
        Undo::Restore { .. }
        | Undo::Nothing { .. }
        | Undo::Remove { .. }
        | Undo::PutBack { .. }
        | Undo::Reverse { .. }
        | Undo::Act(_)
        | Undo::Irreversible => Vec::new(),
    };
    open.iter().filter(|open| open.effect.id > of.id).flat_map(touches).collect()
}

fn all(events: &[Event]) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    let mut place: BTreeMap<EffectId, usize> = BTreeMap::new();
    let mut undone: BTreeSet<EffectId> = BTreeSet::new();
    let mut found = Found::default();
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
            What::UndoEnded { effect, outcome: Outcome::Ok, conflicts, .. } if conflicts.is_empty() => {
                undone.insert(*effect);
            }
            What::UndoEnded { .. }
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
            | What::Reached { .. }
            | What::ClockKnown { .. }
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
    for open in &mut open {
        begin_where_the_run_began(&mut found, open, undone.contains(&open.effect.id));
    }
    open.retain(|open| !undone.contains(&open.effect.id));
    open
}

/// The value that a run found in a field, and the one that it left there.
type FirstAndLast = (Option<Held>, Option<Held>);

/// What a run met on its way.
#[derive(Default)]
struct Found {
    /// By object and field, where the last effect on it was a command or was taken back: what the run found there first, and what it left.
    fields: BTreeMap<(Ref, Vec<String>), FirstAndLast>,
    /// What it made on the way to a field: whoever removes the last field of it, removes it too.
    made: BTreeSet<(Ref, Vec<String>)>,
}

fn begin_where_the_run_began(found: &mut Found, open: &mut Open, undone: bool) {
    if open.never_happened() {
        return;
    }
    let mut chain =
        |key: (Ref, Vec<String>), before: &mut Option<Held>, after: Option<Held>, goes_on: bool| {
            // Where somebody else changed it in between, that is what is to be kept.
            if let Some((first, _)) = found.fields.remove(&key).filter(|(_, left)| left == before) {
                *before = first;
            }
            if goes_on {
                found.fields.insert(key, (before.clone(), after));
            }
        };
    match &mut open.undo {
        Undo::Restore { at, touched, .. } => {
            for touch in touched.iter_mut() {
                if let Touch::Field { path, before, after } = touch {
                    chain((at.clone(), path.clone()), before, after.clone(), undone);
                }
            }
            found.made.extend(touched.iter().filter_map(|touch| match touch {
                Touch::Created { path } => Some((at.clone(), path.clone())),
                Touch::Field { .. } => None,
            }));
            let around = |made: &Vec<String>| {
                let inside =
                    |touch: &Touch| matches!(touch, Touch::Field { path, .. } if path.starts_with(made));
                let known = |touch: &Touch| matches!(touch, Touch::Created { path } if path == made);
                touched.iter().any(inside) && !touched.iter().any(known)
            };
            let made = found.made.iter().filter(|(of, made)| of == at && around(made));
            let made: Vec<Touch> = made.map(|(_, path)| Touch::Created { path: path.clone() }).collect();
            touched.extend(made);
        }
        Undo::Reverse { exec, before } => {
            for (field, value) in before {
                let mut held = Some(Held::Plain(value.clone()));
                let after = exec.status.done.get(field).cloned().map(Held::Plain);
                chain((exec.at.clone(), vec![field.clone()]), &mut held, after, true);
                if let Some(Held::Plain(first)) = held {
                    *value = first;
                }
            }
        }
        Undo::Nothing { .. }
        | Undo::Remove { .. }
        | Undo::PutBack { .. }
        | Undo::Act(_)
        | Undo::Irreversible => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{inverse, touched};
    use super::*;
    use crate::model::effect::{Exec, Of, Resource};
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
            undo: Undo::Remove { at, run: RunId::from("r"), uid: None },
        }
    }

    fn ended(id: u32, outcome: Outcome) -> What {
        What::EffectEnded { effect: EffectId(id), outcome, undo: None }
    }

    fn undone(id: u32, outcome: Outcome) -> What {
        What::UndoEnded { effect: EffectId(id), by: "engine".into(), outcome, conflicts: vec![] }
    }

    fn patch(id: u32, before: i64, after: i64) -> What {
        let at = Ref::new(&"east".into(), Resource::config_maps(), Some("shop"), "settings");
        let held = |value: i64| Some(Held::Plain(json!(value)));
        let touch = Touch::Field { path: vec!["data".into()], before: held(before), after: held(after) };
        What::EffectIntended {
            step: "s".into(),
            effect: Effect {
                id: EffectId(id),
                act: Act::Patch { at: at.clone(), merge: json!({}) },
                of: Of::Fault,
            },
            undo: Undo::Restore { at, uid: "u".into(), touched: vec![touch] },
        }
    }

    #[test]
    fn what_an_effect_found_of_one_that_is_taken_back_is_what_that_one_found() {
        let befores = |whats| {
            let open = outstanding(&events(whats));
            let before = |open: &Open| match &open.undo {
                Undo::Restore { touched, .. } => match &touched[0] {
                    Touch::Field { before: Some(Held::Plain(value)), .. } => value.as_i64().unwrap(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            open.iter().map(before).collect::<Vec<_>>()
        };
        assert_eq!(befores(vec![patch(1, 1, 2), patch(2, 2, 3)]), vec![2, 1]);
        assert_eq!(befores(vec![patch(1, 1, 2), undone(1, Outcome::Ok), patch(2, 2, 3)]), vec![1]);
        assert_eq!(befores(vec![patch(1, 1, 2), patch(2, 2, 3), undone(1, Outcome::Ok)]), vec![1]);
        assert_eq!(
            befores(vec![patch(1, 1, 2), undone(1, Outcome::Ok), patch(2, 5, 3), patch(3, 3, 4)]),
            vec![3, 5]
        );
        assert_eq!(befores(vec![patch(1, 1, 2), ended(1, Outcome::failed("409")), patch(2, 9, 3)]), vec![9]);
    }

    #[test]
    fn what_commands_did_to_a_side_is_taken_back_to_what_the_first_found() {
        let does = |id: u32, before: &str, after: &str| {
            let at = Ref::new(&"west".into(), Resource::pods(), Some("shop"), "ledger-0");
            let status = crate::model::canary::status("role", json!(after));
            let exec = Exec { at, container: None, argv: vec![], status, reverse: None };
            What::EffectIntended {
                step: "s".into(),
                effect: Effect {
                    id: EffectId(id),
                    act: Act::Exec(exec.clone()),
                    of: Of::Recovery { moves_authority: false },
                },
                undo: Undo::Reverse {
                    exec: Box::new(exec),
                    before: [("role".to_owned(), json!(before))].into(),
                },
            }
        };
        let befores = |whats: &[What]| {
            let open = outstanding(&events(whats.to_vec()));
            let before = |open: &Open| match &open.undo {
                Undo::Reverse { before, .. } => before["role"].as_str().unwrap().to_owned(),
                other => panic!("{other:?}"),
            };
            open.iter().map(before).collect::<Vec<_>>()
        };
        let there =
            [does(1, "replica", "primary"), does(2, "primary", "replica"), does(3, "replica", "fenced")];
        assert_eq!(befores(&there), ["replica", "replica", "replica"]);
        let one_less = [&there[..], &[undone(3, Outcome::Ok)]].concat();
        assert_eq!(befores(&one_less), ["replica", "replica"]);
        let meanwhile = [does(1, "replica", "fenced"), does(2, "primary", "replica")];
        assert_eq!(befores(&meanwhile), ["primary", "replica"], "people promoted it meanwhile");
        let failed =
            [does(1, "primary", "fenced"), ended(1, Outcome::failed("no")), does(2, "replica", "fenced")];
        assert_eq!(befores(&failed), ["replica"]);
    }

    #[test]
    fn what_is_done_for_good_is_not_owed_even_where_nobody_saw_the_end_of_its_first_try() {
        let tries = |id: u32, step: &str| What::EffectIntended {
            step: step.into(),
            effect: Effect {
                id: EffectId(id),
                act: Act::Ask { role: "dba".into(), text: "restore it".to_owned() },
                of: Of::Recovery { moves_authority: false },
            },
            undo: Undo::Irreversible,
        };
        let owed =
            |whats| outstanding(&events(whats)).iter().map(|open| open.effect.id.0).collect::<Vec<_>>();
        let unknown = vec![tries(1, "s"), ended(1, Outcome::unknown("lost"))];
        assert_eq!(owed(unknown.clone()), vec![1]);
        let then = |step| [unknown.clone(), vec![tries(2, step), ended(2, Outcome::Ok)]].concat();
        assert_eq!(owed(then("s")), Vec::<u32>::new());
        assert_eq!(owed(then("t")), vec![1], "another step's is another");
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A fault and the recovery that mends it by the same fields, taken back in either order, leave what the fault found.
        #[test]
        fn a_fault_and_its_mending_leave_what_was_before_whichever_is_taken_back_first(
            found in fields(), broken in fields(), mended in fields(), fault_first: bool,
        ) {
            let versions = [found, broken, mended].map(|data| json!({"metadata": {"uid": "u"}, "data": data}));
            let at = Ref::new(&"east".into(), Resource::config_maps(), Some("shop"), "settings");
            let does = |id: u32, of: Of, before: &Value, after: &Value| What::EffectIntended {
                step: "s".into(),
                effect: Effect { id: EffectId(id), act: Act::Patch { at: at.clone(), merge: json!({}) }, of },
                undo: Undo::Restore { at: at.clone(), uid: "u".into(), touched: touched(before, after) },
            };
            let mut whats = vec![
                does(1, Of::Fault, &versions[0], &versions[1]),
                does(2, Of::Recovery { moves_authority: false }, &versions[1], &versions[2]),
            ];
            let mut now = versions[2].clone();
            for id in if fault_first { [1, 2] } else { [2, 1] } {
                let open = outstanding(&events(whats.clone()));
                let undoing = open.iter().find(|open| open.effect.id.0 == id).unwrap();
                let Undo::Restore { touched, .. } = &undoing.undo else { panic!("{undoing:?}") };
                let inverse = inverse(&now, "u", touched, &later(&open, &undoing.effect), "x");
                prop_assert_eq!(&inverse.conflicts, &vec![]);
                let patch: json_patch::Patch = serde_json::from_value(Value::Array(inverse.patch)).unwrap();
                let kept = now["metadata"].clone();
                now["metadata"]["resourceVersion"] = Value::Null;
                json_patch::patch(&mut now, &patch).unwrap();
                now["metadata"] = kept;
                whats.push(undone(id, Outcome::Ok));
            }
            prop_assert_eq!(&now, &versions[0]);
        }
    }

    /// A few fields with plain values.
    fn fields() -> impl Strategy<Value = std::collections::BTreeMap<String, i64>> {
        proptest::collection::btree_map("[p-s]", 0..3_i64, 0..4)
    }
}
