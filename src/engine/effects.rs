//! One effect: read what it will touch, put intent and undo on disk, act, put the outcome on disk (I3, I6).
//!
//! ```text
//! look ─► EffectIntended{effect, undo} ─► act ─► EffectEnded{ok | failed | unknown}
//! ```
//! An unknown end is found out by reading; what stays unknown is owed like one that was done.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Engine;
use super::api::{self, Body, Reply};
use crate::model::effect::{Act, Effect, Exec, Of, RUN_LABEL, Ref, Request, Status, Success, Touch, Undo};
use crate::model::event::{Outcome, SinkError, Subject, What};
use crate::model::name::{Name, Region, Role, StepId, Uid, Vantage};
use crate::model::time::{At, Duration};
use crate::undo::touched;
use crate::world::{About, Question};

/// How long a command in a container has to end; a promotion must have landed or failed by then.
pub(super) const EXEC_ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How often the status of such a command is read, where its answer was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often an eviction that a disruption budget refuses is tried again, as `kubectl drain` does.
const EVICT_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How often a patch is derived anew when somebody else changes the object in between.
const TRIES: u32 = 5;

impl Engine {
    /// Does one act as an effect of a step.
    pub(super) async fn perform(&self, step: &StepId, act: Act, of: Of) -> Result<Outcome, SinkError> {
        match act {
            Act::Create { at, object } => self.perform_create(step, at, object, of).await,
            Act::Patch { at, merge } => self.perform_patch(step, at, merge, of).await,
            Act::Delete { at, uid, grace } => self.perform_delete(step, at, uid, grace, of).await,
            Act::Evict { at, uid, grace } => self.perform_evict(step, at, uid, grace, of).await,
            Act::Exec(exec) => self.perform_exec(step, exec, of).await,
            Act::Http { from, request, reverse } => self.perform_http(step, from, request, reverse, of).await,
            Act::Command { name, argv, success, reverse } => {
                self.perform_command(step, name, argv, success, reverse, of).await
            }
            Act::Ask { role, text } => self.perform_ask(step, role, text, of).await,
        }
    }

    fn intend(&self, step: &StepId, act: Act, of: Of, undo: Undo) -> Result<Effect, SinkError> {
        let effect = Effect { id: self.recorder.effect_id(), act, of };
        self.recorder.append(What::EffectIntended { step: step.clone(), effect: effect.clone(), undo })?;
        Ok(effect)
    }

    fn ended(&self, effect: &Effect, outcome: Outcome, undo: Option<Undo>) -> Result<Outcome, SinkError> {
        self.recorder.append(What::EffectEnded { effect: effect.id, outcome: outcome.clone(), undo })?;
        Ok(outcome)
    }

    pub(super) fn client(&self, region: &Region) -> Result<&kube::Client, Outcome> {
        self.world.regions.get(region).ok_or_else(|| Outcome::failed(format!("there is no region {region}")))
    }

    async fn perform_create(
        &self,
        step: &StepId,
        at: Ref,
        object: Value,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return Ok(outcome),
        };
        let mut object = object;
        object["metadata"]["labels"][RUN_LABEL] = json!(self.run.as_str());
        let undo = |uid| Undo::Remove { at: at.clone(), run: self.run.clone(), uid };
        let act = Act::Create { at: at.clone(), object: object.clone() };
        let effect = self.intend(step, act, of, undo(None))?;
        let uid = |made: &Value| made["metadata"]["uid"].as_str().map(Uid::from);
        let reply = api::create(client, &at, &object).await;
        let (outcome, uid) = match (&reply, reply.outcome()) {
            (Reply::Done(made), outcome) => (outcome, uid(made)),
            (_, outcome @ Outcome::Unknown { .. }) => match api::get(client, &at).await {
                Reply::Done(now) if now["metadata"]["labels"][RUN_LABEL] == json!(self.run.as_str()) => {
                    (Outcome::Ok, uid(&now))
                }
                Reply::Done(_) | Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_) => {
                    (outcome, None)
                }
            },
            (_, outcome) => (outcome, None),
        };
        self.ended(&effect, outcome, uid.map(|uid| undo(Some(uid))))
    }

    async fn perform_patch(
        &self,
        step: &StepId,
        at: Ref,
        merge: Value,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return Ok(outcome),
        };
        let mut outcome = Outcome::failed("the object kept changing");
        for _ in 0..TRIES {
            let before = match api::get(client, &at).await {
                Reply::Done(before) => before,
                reply @ (Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_)) => {
                    return Ok(reply.outcome());
                }
            };
            let Some(bound) = at_version(&merge, &before) else {
                return Ok(Outcome::failed("the patch is no mapping, or its metadata is none"));
            };
            let after = match api::patch(client, &at, Body::MergePatch, &bound, true).await {
                Reply::Done(after) => after,
                Reply::Refused { code: 409, .. } => continue,
                reply @ (Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_)) => {
                    return Ok(reply.outcome());
                }
            };
            let undo = restore(&at, &before, touched(&before, &after));
            let effect = self.intend(step, Act::Patch { at: at.clone(), merge: merge.clone() }, of, undo)?;
            let reply = api::patch(client, &at, Body::MergePatch, &bound, false).await;
            let again = matches!(reply, Reply::Refused { code: 409, .. });
            outcome = match (&reply, reply.outcome()) {
                (Reply::Done(stored), done) => {
                    let stored = restore(&at, &before, touched(&before, stored));
                    return self.ended(&effect, done, Some(stored));
                }
                (_, outcome @ Outcome::Unknown { .. }) => {
                    self.found_out(client, &at, &before, &after, outcome).await
                }
                (_, outcome) => outcome,
            };
            outcome = self.ended(&effect, outcome, None)?;
            if !again {
                break;
            }
        }
        Ok(outcome)
    }

    /// Whether a patch without an answer was applied: the object tells.
    async fn found_out(
        &self,
        client: &kube::Client,
        at: &Ref,
        before: &Value,
        after: &Value,
        unknown: Outcome,
    ) -> Outcome {
        let Reply::Done(now) = api::get(client, at).await else { return unknown };
        if now["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"] {
            // It may still be on its way.
            return unknown;
        }
        let differs = touched(before, after).iter().any(|touch| match touch {
            Touch::Field { path, .. } => crate::undo::lookup(&now, path) != crate::undo::lookup(after, path),
            Touch::Created { .. } => false,
        });
        if differs { unknown } else { Outcome::Ok }
    }

    async fn perform_delete(
        &self,
        step: &StepId,
        at: Ref,
        uid: Uid,
        grace: Option<Duration>,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return Ok(outcome),
        };
        let undo = match api::get(client, &at).await {
            Reply::Done(object) if object["metadata"]["uid"].as_str() != Some(uid.as_str()) => {
                return Ok(Outcome::failed("another object has its name by now"));
            }
            Reply::Done(object) if has_controller(&object) => {
                Undo::Nothing { because: "its controller makes another".to_owned() }
            }
            Reply::Done(object) => {
                Undo::PutBack { at: at.clone(), object: crate::model::effect::Held::Plain(as_new(object)) }
            }
            reply @ (Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_)) => {
                return Ok(reply.outcome());
            }
        };
        let act = Act::Delete { at: at.clone(), uid: uid.clone(), grace };
        let effect = self.intend(step, act, of, undo)?;
        let outcome = api::delete(client, &at, uid.as_str(), grace).await.outcome();
        self.ended(&effect, outcome, None)
    }

    async fn perform_evict(
        &self,
        step: &StepId,
        at: Ref,
        uid: Uid,
        grace: Option<Duration>,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let client = match self.client(&at.region) {
            Ok(client) => client,
            Err(outcome) => return Ok(outcome),
        };
        let undo = Undo::Nothing { because: "its controller makes another".to_owned() };
        let effect = self.intend(step, Act::Evict { at: at.clone(), uid: uid.clone(), grace }, of, undo)?;
        let mut options = json!({"preconditions": {"uid": uid.as_str()}});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": at.name.as_str(), "namespace": at.namespace.as_ref().map(AsRef::<str>::as_ref)},
            "deleteOptions": options,
        });
        let mut told = None;
        loop {
            let sent = self.world.clock.now();
            let reply = api::create_sub(client, &at, "eviction", &eviction).await;
            let waits = match &reply {
                // A disruption budget's word.
                Reply::Refused { code: 429, .. } => true,
                // Somebody else changed the pod, or it is another one.
                Reply::Refused { code: 409, .. } => self.is_there(client, &at, &uid).await,
                Reply::Done(_) | Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_) => false,
            };
            match reply {
                refused if waits => {
                    let refused = Some(refused.outcome());
                    if told != refused
                        && let Some(refused) = &refused
                    {
                        self.observed(format!("evicted:{}", at.name), sent, refused.clone())?;
                    }
                    told = refused;
                    tokio::time::sleep(EVICT_AGAIN_AFTER.std()).await;
                }
                // Gone by itself, or another has its name: what was wanted.
                Reply::Missing | Reply::Refused { code: 409, .. } => {
                    return self.ended(&effect, Outcome::Ok, None);
                }
                reply @ (Reply::Done(_) | Reply::Refused { .. } | Reply::Unknown(_)) => {
                    return self.ended(&effect, reply.outcome(), None);
                }
            }
        }
    }

    /// Whether an object is still the one with this uid, as far as anybody says.
    async fn is_there(&self, client: &kube::Client, at: &Ref, uid: &Uid) -> bool {
        match api::get(client, at).await {
            Reply::Done(now) => now["metadata"]["uid"].as_str() == Some(uid.as_str()),
            Reply::Missing => false,
            Reply::Refused { .. } | Reply::Unknown(_) => true,
        }
    }

    async fn perform_exec(&self, step: &StepId, exec: Exec, of: Of) -> Result<Outcome, SinkError> {
        let before = match self.status(&exec).await {
            Ok(before) => before,
            Err(why) => return Ok(Outcome::failed(why)),
        };
        let fields = exec.status.done.keys();
        let before: BTreeMap<String, Value> =
            fields.filter_map(|field| Some((field.clone(), before.get(field)?.clone()))).collect();
        let undo = match (&exec.reverse, of) {
            _ if exec.status.done == before => Undo::Nothing { because: "it was so already".to_owned() },
            (Some(_), _) | (None, Of::Fence) => {
                Undo::Reverse { exec: Box::new(exec.clone()), before: before.clone() }
            }
            (None, Of::Fault | Of::Recovery { .. } | Of::Instrument) => Undo::Irreversible,
        };
        let effect = self.intend(step, Act::Exec(exec.clone()), of, undo)?;
        let lands_by = self.world.clock.now().plus(EXEC_ENDS_WITHIN);
        let outcome = self.execute(&exec, &exec.argv).await;
        let outcome = match outcome {
            Outcome::Unknown { .. } if self.shows_by(&exec, lands_by).await => Outcome::Ok,
            Outcome::Failed { why } => {
                let now = self.status(&exec).await;
                after_a_failure(&exec.status, &before, now.ok().as_ref(), why)
            }
            outcome @ (Outcome::Ok | Outcome::Unknown { .. }) => outcome,
        };
        self.ended(&effect, outcome, None)
    }

    /// Whether a command whose answer was lost shows as done, by the time at which it must have ended.
    async fn shows_by(&self, exec: &Exec, lands_by: At) -> bool {
        loop {
            if self.status(exec).await.is_ok_and(|now| exec.status.shown_by(&now)) {
                return true;
            }
            if self.world.clock.now() >= lands_by {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY.std()).await;
        }
    }

    /// Runs a command in an exec's container.
    pub(super) async fn execute(&self, exec: &Exec, argv: &[String]) -> Outcome {
        let client = match self.client(&exec.at.region) {
            Ok(client) => client,
            Err(outcome) => return outcome,
        };
        let ran = crate::inventory::exec(client, &exec.at, exec.container.as_ref(), argv);
        match tokio::time::timeout(EXEC_ENDS_WITHIN.std(), ran).await {
            Ok(Ok(ran)) if ran.code == 0 => Outcome::Ok,
            Ok(Ok(ran)) => Outcome::failed(format!("exit status {}: {}", ran.code, said(&ran.stdout))),
            Ok(Err(error)) => Outcome::unknown(error),
            Err(_) => Outcome::unknown(format!("no end within {EXEC_ENDS_WITHIN}")),
        }
    }

    /// What a status command prints.
    pub(super) async fn status(&self, exec: &Exec) -> Result<Value, String> {
        self.prints(&exec.at, exec.container.as_ref(), &exec.status.argv).await
    }

    /// What a command in a container prints, as JSON.
    pub(super) async fn prints(
        &self,
        at: &Ref,
        container: Option<&Name>,
        argv: &[String],
    ) -> Result<Value, String> {
        let client =
            self.client(&at.region).map_err(|outcome| outcome.why().unwrap_or_default().to_owned())?;
        let ran = crate::inventory::exec(client, at, container, argv);
        match tokio::time::timeout(EXEC_ENDS_WITHIN.std(), ran).await {
            Ok(Ok(ran)) => serde_json::from_str(&ran.stdout).map_err(|_| {
                format!("`{}` in {at} printed no JSON: {}", argv.join(" "), first_line(&ran.stdout))
            }),
            Ok(Err(error)) => Err(format!("`{}` in {at}: {error}", argv.join(" "))),
            Err(_) => Err(format!("`{}` in {at} did not end within {EXEC_ENDS_WITHIN}", argv.join(" "))),
        }
    }

    async fn perform_http(
        &self,
        step: &StepId,
        from: Name,
        request: Request,
        reverse: Option<Request>,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let undo = reverse.clone().map_or(Undo::Irreversible, |request| {
            Undo::Act(Box::new(Act::Http { from: from.clone(), request, reverse: None }))
        });
        let act = Act::Http { from: from.clone(), request: request.clone(), reverse };
        let effect = self.intend(step, act, of, undo)?;
        let outcome = self.requested(&from, &request).await;
        self.ended(&effect, outcome, None)
    }

    /// Sends a request from a vantage; any status below 400 is success.
    pub(super) async fn requested(&self, from: &Name, request: &Request) -> Outcome {
        let Some(net) = self.world.vantages.get(&Vantage::from(from.as_str())) else {
            return Outcome::failed(format!("there is no vantage {from}"));
        };
        let ask = match crate::http::Ask::new(request) {
            Ok(ask) => ask,
            Err(error) => return Outcome::failed(error),
        };
        match crate::http::exchange(net.as_ref(), self.world.clock.as_ref(), &ask, Some(EXEC_ENDS_WITHIN))
            .await
        {
            Ok(answer) if answer.status < 400 => Outcome::Ok,
            Ok(answer) => Outcome::failed(format!("status {}", answer.status)),
            Err(broken) if broken.sent => Outcome::unknown(broken.failure),
            Err(broken) => Outcome::failed(broken.failure),
        }
    }

    async fn perform_command(
        &self,
        step: &StepId,
        name: Name,
        argv: Vec<String>,
        success: Success,
        reverse: Option<Vec<String>>,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let undo = reverse.clone().map_or(Undo::Irreversible, |argv| {
            let act = Act::Command { name: name.clone(), argv, success: Success::ExitZero, reverse: None };
            Undo::Act(Box::new(act))
        });
        let act = Act::Command { name: name.clone(), argv: argv.clone(), success: success.clone(), reverse };
        let effect = self.intend(step, act, of, undo)?;
        let outcome = self.commanded(&name, &argv, &success).await;
        self.ended(&effect, outcome, None)
    }

    /// Runs a local command.
    pub(super) async fn commanded(&self, name: &Name, argv: &[String], success: &Success) -> Outcome {
        match self.world.commands.run(name, argv, EXEC_ENDS_WITHIN).await {
            Err(error) => Outcome::unknown(error),
            Ok(printed) => match success {
                _ if printed.status != 0 => Outcome::failed(format!("exit status {}", printed.status)),
                Success::ExitZero => Outcome::Ok,
                Success::Prints(text) if printed.out.contains(text.as_str()) => Outcome::Ok,
                Success::Prints(text) => Outcome::failed(format!("it did not print `{text}`")),
            },
        }
    }

    async fn perform_ask(
        &self,
        step: &StepId,
        role: Role,
        text: String,
        of: Of,
    ) -> Result<Outcome, SinkError> {
        let undo = match of {
            Of::Fault => {
                Undo::Act(Box::new(Act::Ask { role: role.clone(), text: format!("take back: {text}") }))
            }
            Of::Recovery { .. } | Of::Fence | Of::Instrument => Undo::Irreversible,
        };
        let act = Act::Ask { role: role.clone(), text: text.clone() };
        let effect = self.intend(step, act, of, undo)?;
        self.asked(step, &role, text, About::Task).await?;
        self.ended(&effect, Outcome::Ok, None)
    }

    /// Asks a person, and writes down question and answer.
    pub(super) async fn asked(
        &self,
        step: &StepId,
        role: &Role,
        text: String,
        about: About,
    ) -> Result<crate::world::Reply, SinkError> {
        let subject = match about {
            About::Acknowledge => Subject::Page,
            About::Declare => Subject::Declaration,
            About::Task => Subject::Task,
            About::Hold { .. } => Subject::Decision,
        };
        let asked =
            What::Asked { step: step.clone(), role: role.clone(), about: subject, text: text.clone() };
        self.recorder.append(asked)?;
        let question = Question { step: step.clone(), role: role.clone(), text, about };
        Ok(self.world.people.ask(question).await)
    }
}

fn restore(at: &Ref, before: &Value, touched: Vec<Touch>) -> Undo {
    if touched.is_empty() {
        return Undo::Nothing { because: "it was so already".to_owned() };
    }
    let uid = Uid::from(before["metadata"]["uid"].as_str().unwrap_or_default());
    Undo::Restore { at: at.clone(), uid, touched }
}

/// What a command did that ended with an error: its status tells. It may have failed after it had done something, as a promotion whose answer
/// could not be written, so it surely never happened only where its status is as before.
fn after_a_failure(
    status: &Status,
    before: &BTreeMap<String, Value>,
    now: Option<&Value>,
    why: String,
) -> Outcome {
    match now {
        Some(now) if status.shown_by(now) => Outcome::Ok,
        Some(now) if before.iter().all(|(field, value)| now.get(field) == Some(value)) => {
            Outcome::Failed { why }
        }
        Some(_) | None => Outcome::Unknown { why },
    }
}

/// A merge patch that only this version of an object takes; `None` where it can be no such patch.
fn at_version(merge: &Value, before: &Value) -> Option<Value> {
    let mut bound = merge.as_object()?.clone();
    let metadata = bound.entry("metadata").or_insert_with(|| json!({}));
    let version = before["metadata"]["resourceVersion"].clone();
    metadata.as_object_mut()?.insert("resourceVersion".to_owned(), version);
    Some(Value::Object(bound))
}

fn has_controller(object: &Value) -> bool {
    object["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == json!(true)))
}

/// An object as it can be created again.
fn as_new(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
            "deletionTimestamp",
        ] {
            metadata.remove(field);
        }
    }
    object
}

/// What a command said went wrong: the `error` of the object that it printed, else its first line.
fn said(printed: &str) -> String {
    let object = serde_json::from_str::<Value>(printed).unwrap_or_default();
    first_line(object["error"].as_str().unwrap_or(printed))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ended_with_an_error_is_judged_by_its_status() {
        let status = crate::model::canary::status("role", json!("primary"));
        let before = [("role".to_owned(), json!("replica"))].into();
        let judged =
            |now: Option<Value>| after_a_failure(&status, &before, now.as_ref(), "exit status 1".to_owned());
        assert_eq!(judged(Some(json!({"role": "primary"}))), Outcome::Ok);
        assert_eq!(judged(Some(json!({"role": "replica", "epoch": 2}))), Outcome::failed("exit status 1"));
        for unclear in [Some(json!({"role": "fenced"})), Some(json!({})), None] {
            assert_eq!(judged(unclear), Outcome::unknown("exit status 1"));
        }
    }
}
