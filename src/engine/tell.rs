//! Who must know when a reverter fences a side or leaves something: those who may declare, since they decide how to go on (I5).
//!
//! Each is told by name, and each telling is an event. One that fails or takes long stops no healing.

use std::collections::BTreeSet;

use super::Engine;
use super::steps::OPERATOR;
use crate::model::event::{Outcome, Outstanding, SinkError, What};
use crate::model::name::{Name, Role, StepId};
use crate::model::plan::Action;
use crate::model::time::Duration;

/// How long a telling may take.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Tells everybody who may decide, in the name of a reverter.
    pub(super) async fn tell(&self, by: &Name, text: &str) -> Result<(), SinkError> {
        let text = format!("{}: {text}", self.plan.drill);
        for role in self.deciders() {
            let audience = Name::from(role.as_str());
            let told = self.world.people.notify(&audience, &text);
            let outcome = match tokio::time::timeout(TOLD_WITHIN.std(), told).await {
                Ok(Ok(())) => Outcome::Ok,
                Ok(Err(error)) => Outcome::failed(error),
                Err(_) => Outcome::unknown(format!("no answer within {TOLD_WITHIN}")),
            };
            let step = StepId::from(by.as_str());
            self.recorder.append(What::Notified { step, audience, outcome })?;
        }
        Ok(())
    }

    pub(super) async fn tell_what_is_left(&self, by: &Name, left: &[Outstanding]) -> Result<(), SinkError> {
        if left.is_empty() {
            return Ok(());
        }
        let each: Vec<String> = left.iter().map(|left| format!("{} ({})", left.what, left.advice)).collect();
        self.tell(by, &format!("not all was put back: {}", each.join("; "))).await
    }

    /// Who may declare a disaster, by the drill and its ladder; the operator where nobody is named.
    fn deciders(&self) -> BTreeSet<Role> {
        let declares = self.plan.all_steps().filter_map(|step| match &step.action {
            Action::Declare { role, escalation } => Some((role, escalation)),
            Action::Fault { .. }
            | Action::Recover { .. }
            | Action::RemoveFault { .. }
            | Action::Wait(_)
            | Action::Task { .. }
            | Action::Notify { .. }
            | Action::Check(_)
            | Action::Parallel { .. }
            | Action::Procedure { .. } => None,
        });
        let roles: BTreeSet<Role> = declares
            .flat_map(|(role, ladder)| {
                let may = ladder.iter().filter(|rung| rung.may_declare).map(|rung| rung.role.clone());
                may.chain([role.clone()])
            })
            .chain(self.plan.ladder.iter().filter(|rung| rung.may_declare).map(|rung| rung.role.clone()))
            .collect();
        if roles.is_empty() { [Role::from(OPERATOR)].into() } else { roles }
    }
}
