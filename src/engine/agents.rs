//! Agents that a run makes for itself: there before anything is asked, gone once all of it is measured.
//!
//! Each is an effect like any other, with its intent and its undo on disk first (I3), and no part of what is healed while the run still
//! measures: what a side shows on its way back is seen through it. Whoever heals after a run that has died takes it away last.

use std::io::ErrorKind;
use std::sync::Arc;

use super::instrument::AFTER;
use super::{Engine, Shown, Stop, until_true};
use crate::model::effect::{Act, Of};
use crate::model::event::{Ended, Outstanding, SinkError};
use crate::model::name::{Name, StepId, Vantage};
use crate::model::time::Duration;
use crate::prober::agent::greet;
use crate::undo::{Open, outstanding};
use crate::world::{Remote, watch};

/// How long an agent has to answer once it was made: an image is pulled in that time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(300);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Engine {
    /// Makes what the vantages need that probes ask from, and waits until each answers; why the run does not start, where one does not.
    pub(super) async fn make_agents(
        &self,
        interrupted: &watch::Receiver<bool>,
    ) -> Result<Option<Ended>, Stop> {
        let asked = |vantage: &Vantage| self.plan.probes.iter().any(|probe| probe.from.contains(vantage));
        let so_long = self.plan.limits.max_duration.plus(AFTER);
        let mut made: Vec<(&Vantage, &Arc<dyn Remote>)> = Vec::new();
        for (vantage, agent) in self.world.agents.iter().filter(|(vantage, _)| asked(vantage)) {
            let Some((at, object)) = agent.makes(so_long) else { continue };
            let outcome = self.perform(&step(vantage), Act::Create { at, object }, Of::Instrument).await?;
            if let Some(why) = outcome.why() {
                return Ok(Some(refused(vantage, why)));
            }
            made.push((vantage, agent));
        }
        for (vantage, agent) in made {
            let what = format!("the agent at {vantage} answers");
            self.recorder.show(Shown::Waiting { what: &what, at_most: ANSWERS_WITHIN });
            let answers = tokio::select! {
                biased;
                () = until_true(interrupted.clone()) => return Err(Stop::Interrupt),
                answers = self.answers(agent.as_ref()) => answers,
            };
            if let Some(why) = answers {
                let why = format!("its agent does not answer: {why}");
                return Ok(Some(refused(vantage, &why)));
            }
        }
        Ok(None)
    }

    /// Waits until an agent answers; what is in its way, when time is up.
    async fn answers(&self, agent: &dyn Remote) -> Option<String> {
        let deadline = self.world.clock.now().plus(ANSWERS_WITHIN);
        loop {
            match greet(agent, self.world.clock.as_ref()).await {
                Ok(_) => return None,
                Err(why) if why.kind() == ErrorKind::PermissionDenied => return Some(why.to_string()),
                Err(why) if self.world.clock.now() >= deadline => {
                    return Some(format!("no answer within {ANSWERS_WITHIN}: {why}"));
                }
                Err(_) => tokio::time::sleep(ASK_EVERY.std()).await,
            }
        }
    }

    /// Takes away what was made to measure with; what is left of it.
    pub(super) async fn remove_agents(&self, by: &Name) -> Result<Vec<Outstanding>, SinkError> {
        self.landed().await;
        let mut left = Vec::new();
        for open in self.recorder.with_events(outstanding).iter().filter(|open| is_instrument(open)) {
            left.extend(self.undo(open, by).await?);
        }
        Ok(left)
    }

    /// What is open of what the run did to the world, newest first; what it measures with is none of it.
    pub(super) fn open(&self) -> Vec<Open> {
        let mut open = self.recorder.with_events(outstanding);
        open.retain(|open| !is_instrument(open));
        open
    }
}

fn is_instrument(open: &Open) -> bool {
    open.effect.of == Of::Instrument
}

/// As whose effect it stands in the journal: it is before all steps of the drill.
fn step(vantage: &Vantage) -> StepId {
    format!("vantage-{vantage}").into()
}

fn refused(vantage: &Vantage, why: &str) -> Ended {
    Ended::Refused { guard: "vantages".into(), why: format!("the vantage {vantage}: {why}") }
}
