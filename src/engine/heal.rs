//! Putting the world back, and never into a split brain (I4, I5).
//!
//! ```text
//! authority at home        remove faults ─► reverse recoveries, so that users go back only to who serves them (`home`)
//! authority moved away     fence the other sides, proved by a refused write ─► remove faults ─► tell people;
//!                          recoveries stay, and are listed with the way on
//! ```
//! One promoted workload is enough for the second way. The same code serves the end of a run, an abort and
//! `heal`; everything here may be done twice, and by two at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Engine;
use super::api::{self, Body, Reply};
use super::authority::Moved;
use super::effects::EXEC_ENDS_WITHIN;
use super::health::{HEALTHY_WITHIN, LOOK_EVERY};
use super::home::faults;
use crate::model::effect::{Act, EffectId, Exec, Of, RUN_LABEL, Ref, Touch, Undo};
use crate::model::event::{Conflict, Outcome, Outstanding, SinkError, What};
use crate::model::name::{Name, Region, RunId, StepId, Uid};
use crate::undo::{Open, inverse, is_restored, later, outstanding, promotions};

/// How often a restoring patch is computed anew when somebody else changes the object in between.
const TRIES: u32 = 5;

impl Engine {
    /// Puts back all that may be put back, and returns what is left.
    pub(super) async fn heal(&self, by: &Name) -> Result<Vec<Outstanding>, SinkError> {
        self.landed().await;
        self.answering().await;
        self.close_what_is_restored(by).await?;
        let open = self.open();
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let moved = self.moved().await;
        if moved.is_empty() { self.go_home(&open, by).await } else { self.stay_away(&moved, &open, by).await }
    }

    /// Something was promoted: its other sides are fenced before their faults go, and every recovery stays.
    async fn stay_away(
        &self,
        moved: &[Moved<'_>],
        open: &[Open],
        by: &Name,
    ) -> Result<Vec<Outstanding>, SinkError> {
        let unfenced = self.fence_others(moved, by).await?;
        let stays = |open: &Open| {
            let region = open.effect.act.at().map(|at| &at.region);
            unfenced.iter().any(|unfenced| region.is_none_or(|region| *region == unfenced.region))
        };
        let mut left = Vec::new();
        for open in faults(open) {
            match stays(open) {
                false => left.extend(self.undo(open, by).await?),
                true => left.push(left_open(
                    open,
                    "it stays until the other side is fenced: run `drillmaster heal` again",
                )),
            }
        }
        left.extend(unfenced.into_iter().map(|unfenced| unfenced.left));
        let kept = self.open();
        let kept: Vec<&Open> = kept.iter().filter(|open| open.effect.of != Of::Fault).collect();
        left.extend(kept.iter().map(|open| left_open(open, way_on(open, moved))));
        // Promoted by hand, so by none of our effects.
        let by_hand = moved.iter().filter(|moved| !kept.iter().any(|open| moved.is_by(&open.step)));
        left.extend(by_hand.map(|moved| Outstanding {
            effect: None,
            what: moved.what(),
            advice: moved.way_on().to_owned(),
        }));
        left.extend(self.sides_that_keep_writes(moved).await);
        Ok(left)
    }

    /// Waits until every effect whose end nobody saw must have landed: until then, nothing that an object or a status shows is
    /// final.
    pub(super) async fn landed(&self) {
        let unseen = |open: &&Open| matches!(open.ended, None | Some(Outcome::Unknown { .. }));
        let open = self.recorder.with_events(outstanding);
        let last = open.iter().filter(unseen).map(|open| open.intended.plus(EXEC_ENDS_WITHIN)).max();
        if let Some(lands_by) = last {
            tokio::time::sleep(lands_by.since(self.world.clock.now()).std()).await;
        }
    }

    /// Waits a moment for API servers that do not answer: a short disturbance at the end of a run leaves nothing.
    async fn answering(&self) {
        let deadline = self.world.clock.now().plus(EXEC_ENDS_WITHIN);
        let open = self.recorder.with_events(outstanding);
        let one_each: BTreeMap<&Region, &Ref> =
            open.iter().filter_map(|open| open.effect.act.at()).map(|at| (&at.region, at)).collect();
        for (region, at) in one_each {
            let Ok(client) = self.client(region) else { continue };
            while matches!(api::get(client, at).await, Reply::Unknown(_) | Reply::Refused { code: 500.., .. })
                && self.world.clock.now() < deadline
            {
                tokio::time::sleep(LOOK_EVERY.std()).await;
            }
        }
    }

    /// Notes as undone what is as it was before, by whatever way it came back: a failback's own steps, or somebody else's.
    pub(super) async fn close_what_is_restored(&self, by: &Name) -> Result<(), SinkError> {
        let open = self.open();
        let mut groups: BTreeMap<&Ref, Vec<&Open>> = BTreeMap::new();
        for open in open.iter().rev() {
            if let Some(at) = open.effect.act.at() {
                groups.entry(at).or_default().push(open);
            }
        }
        for (at, group) in groups {
            if self.is_as_before(at, &group).await {
                // Newest first: what is left open, should we die in between, still begins as it was before.
                for open in group.into_iter().rev() {
                    self.undone(open.effect.id, by, Outcome::Ok, vec![])?;
                }
            }
        }
        Ok(())
    }

    /// Whether an object is as it was before the oldest of its effects; `group` is oldest first.
    async fn is_as_before(&self, at: &Ref, group: &[&Open]) -> bool {
        match &group[0].undo {
            Undo::Reverse { exec, before } => self.status(exec).await.is_ok_and(|now| {
                let was = |(field, value): (&String, &Value)| now.get(field) == Some(value);
                !before.is_empty() && (before.iter().all(was) || self.went_home(exec, before, &now))
            }),
            Undo::Restore { uid, .. } => {
                let Ok(client) = self.client(&at.region) else { return false };
                let Reply::Done(now) = api::get(client, at).await else { return false };
                let mut first: BTreeMap<&[String], &Touch> = BTreeMap::new();
                for open in group {
                    let Undo::Restore { touched, .. } = &open.undo else { return false };
                    for touch in touched {
                        let (Touch::Field { path, .. } | Touch::Created { path }) = touch;
                        first.entry(path).or_insert(touch);
                    }
                }
                let first: Vec<Touch> = first.into_values().cloned().collect();
                is_restored(&now, uid.as_str(), &first)
            }
            Undo::Nothing { .. }
            | Undo::Remove { .. }
            | Undo::PutBack { .. }
            | Undo::Act(_)
            | Undo::Irreversible => false,
        }
    }

    /// Whether a side has the write authority, or its lack, that it had before the run, and had it no more before our first effect on it:
    /// people moved it meanwhile, and to take our way home back would move it away again.
    fn went_home(&self, exec: &Exec, before: &BTreeMap<String, Value>, now: &Value) -> bool {
        let Some(authority) = self.plan.authority_of(&exec.at) else { return false };
        let home = self.recorder.with_events(|events| promotions(events, authority));
        let home = home.is_home(&exec.at.region, authority);
        let promoted = &authority.promoted;
        promoted.shown_by(&json!(before)) != home && promoted.shown_by(now) == home
    }

    fn undone(
        &self,
        effect: EffectId,
        by: &Name,
        outcome: Outcome,
        conflicts: Vec<Conflict>,
    ) -> Result<(), SinkError> {
        self.recorder.append(What::UndoEnded { effect, by: by.clone(), outcome, conflicts })
    }

    /// Takes one effect back; returns what is left of it.
    pub(super) async fn undo(&self, open: &Open, by: &Name) -> Result<Option<Outstanding>, SinkError> {
        let effect = open.effect.id;
        self.recorder.append(What::UndoStarted { effect, by: by.clone() })?;
        let (outcome, conflicts) = match &open.undo {
            Undo::Nothing { .. } => (Outcome::Ok, vec![]),
            Undo::Restore { at, uid, touched } => {
                let later = self.recorder.with_events(|events| later(&outstanding(events), &open.effect));
                self.restore(at, uid.as_str(), touched, &later).await
            }
            Undo::Remove { at, run, uid } => (self.remove(at, run, uid.as_ref()).await, vec![]),
            Undo::PutBack { at, object } => (self.put_back(at, object).await, vec![]),
            Undo::Reverse { exec, before } => (self.reverse(exec, before, open.effect.of).await, vec![]),
            Undo::Act(act) => (self.act_back(&open.step, act).await?, vec![]),
            Undo::Irreversible => (Outcome::failed("nothing takes it back"), vec![]),
        };
        let left = outcome
            .why()
            .map(|why| left_open(open, &format!("{why}; run `drillmaster heal` again, or do it by hand")));
        let conflict =
            conflicts.first().map(|first| left_open(open, &format!("{}: {}", first.field, first.advice)));
        self.undone(effect, by, outcome, conflicts)?;
        Ok(left.or(conflict))
    }

    async fn restore(
        &self,
        at: &Ref,
        uid: &str,
        touched: &[Touch],
        later: &[Touch],
    ) -> (Outcome, Vec<Conflict>) {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return (outcome, vec![]),
        };
        let mut outcome = Outcome::failed("the object kept changing");
        for _ in 0..TRIES {
            let now = match api::get(client, at).await {
                Reply::Done(now) => now,
                // Nothing of ours is left, and nothing that could be as before.
                Reply::Missing => {
                    let advice = "somebody deleted it: make it again from your manifests".to_owned();
                    return (Outcome::Ok, vec![Conflict { field: at.to_string(), advice }]);
                }
                reply @ (Reply::Refused { .. } | Reply::Unknown(_)) => return (reply.outcome(), vec![]),
            };
            let inverse = inverse(&now, uid, touched, later, &at.to_string());
            if inverse.patch.is_empty() {
                return (Outcome::Ok, inverse.conflicts);
            }
            let reply = api::patch(client, at, Body::JsonPatch, &Value::Array(inverse.patch), false).await;
            outcome = reply.outcome();
            match reply {
                Reply::Done(_) => return (Outcome::Ok, inverse.conflicts),
                // A test failed, or the answer was lost: the object tells.
                Reply::Refused { code: 409 | 422, .. } | Reply::Unknown(_) => {}
                Reply::Missing | Reply::Refused { .. } => return (outcome, inverse.conflicts),
            }
        }
        (outcome, vec![])
    }

    async fn remove(&self, at: &Ref, run: &RunId, uid: Option<&Uid>) -> Outcome {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return outcome,
        };
        let still_there = "it is still there; a finalizer may hold it";
        let mut why = still_there.to_owned();
        let mut tries = 0..TRIES;
        // A pod has its grace to end.
        let gone_by = self.world.clock.now().plus(EXEC_ENDS_WITHIN);
        loop {
            let now = match api::get(client, at).await {
                Reply::Done(now) => now,
                Reply::Missing => return Outcome::Ok,
                reply @ (Reply::Refused { .. } | Reply::Unknown(_)) => return reply.outcome(),
            };
            let is_ours = match uid {
                Some(uid) => now["metadata"]["uid"] == json!(uid.as_str()),
                None => now["metadata"]["labels"][RUN_LABEL] == json!(run.as_str()),
            };
            if !is_ours {
                // Ours is gone, and somebody made another.
                return Outcome::Ok;
            }
            if !now["metadata"]["deletionTimestamp"].is_null() {
                if self.world.clock.now() >= gone_by {
                    return Outcome::unknown(still_there);
                }
                tokio::time::sleep(LOOK_EVERY.std()).await;
            } else if tries.next().is_some() {
                let uid = now["metadata"]["uid"].as_str().unwrap_or_default();
                let deleted = api::delete(client, at, uid, None).await.outcome();
                if let Some(refused) = deleted.why() {
                    why = format!("it is still there: {refused}");
                }
            } else {
                return Outcome::unknown(why);
            }
        }
    }

    async fn put_back(&self, at: &Ref, object: &crate::model::effect::Held) -> Outcome {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return outcome,
        };
        let crate::model::effect::Held::Plain(object) = object else {
            return Outcome::failed("its values are sealed, and their file is not here");
        };
        match api::get(client, at).await {
            Reply::Done(_) => Outcome::Ok,
            Reply::Missing => api::create(client, at, object).await.outcome(),
            reply @ (Reply::Refused { .. } | Reply::Unknown(_)) => reply.outcome(),
        }
    }

    async fn reverse(&self, exec: &Exec, before: &BTreeMap<String, Value>, of: Of) -> Outcome {
        let is_before = |now: &Value| before.iter().all(|(field, value)| now.get(field) == Some(value));
        let mut outcome = Outcome::unknown("it was not tried");
        // The undo before this one may restart the pod under the first try.
        for _ in 0..2 {
            let now = match self.status_once_up(exec).await {
                Ok(now) if is_before(&now) => return Outcome::Ok,
                Ok(now) => now,
                Err(why) => return Outcome::unknown(why),
            };
            let way_back = match self.way_back(exec, of, before, &now).await {
                Ok(way_back) => way_back,
                Err(why) => return Outcome::failed(why),
            };
            outcome = self.execute(exec, &way_back).await;
            match (self.status_once_up(exec).await, &outcome) {
                (Ok(now), _) if is_before(&now) => return Outcome::Ok,
                (Ok(_), Outcome::Ok) => {
                    return Outcome::failed("it was reversed, and its state is another than before");
                }
                (_, Outcome::Unknown { .. }) => {}
                (_, Outcome::Ok | Outcome::Failed { .. }) => return outcome,
            }
        }
        outcome
    }

    async fn act_back(&self, step: &StepId, act: &Act) -> Result<Outcome, SinkError> {
        Ok(match act {
            Act::Http { from, request, .. } => self.requested(from, request).await,
            Act::Command { name, argv, success, .. } => self.commanded(name, argv, success).await,
            Act::Ask { role, text } => {
                let asked = self.asked(step, role, text.clone(), crate::world::About::Task);
                match tokio::time::timeout(HEALTHY_WITHIN.std(), asked).await {
                    Ok(answer) => answer.map(|_| Outcome::Ok)?,
                    Err(_) => Outcome::failed(format!("{role} did not answer within {HEALTHY_WITHIN}")),
                }
            }
            Act::Create { .. }
            | Act::Patch { .. }
            | Act::Delete { .. }
            | Act::Evict { .. }
            | Act::Exec(_) => Outcome::failed("this act is taken back by its own undo"),
        })
    }
}

pub(super) fn left_open(open: &Open, advice: &str) -> Outstanding {
    Outstanding {
        effect: Some(open.effect.id),
        what: format!("step {}: {}", open.step, open.effect.act),
        advice: advice.to_owned(),
    }
}

/// The way on from an effect that stays, since authority moved.
fn way_on(open: &Open, moved: &[Moved<'_>]) -> &'static str {
    let at = open.effect.act.at();
    let moves = |moved: &&Moved| moved.is_by(&open.step) || at.is_some_and(|at| moved.is_to(at));
    if let Some(moved) = moved.iter().find(moves) {
        return moved.way_on();
    }
    match open.effect.of {
        Of::Fence => "it stays fenced until you resynchronise it and promote it again",
        Of::Recovery { .. } | Of::Fault | Of::Instrument => {
            "it stays while the other side may serve: reverse it when you fail back"
        }
    }
}
