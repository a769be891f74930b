//! Whether the lost side can serve its users again: only then may healing send them back to it.
//!
//! It is what it was before the run: each workload with the replicas that it had, all of its newest template, seen by its controller and
//! ready; and what failed for a fault answers, where its probe asks that side. What is there now is no measure alone: a workload that
//! somebody scaled away or deleted meanwhile lacks nothing by its own word.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::api::{self, Reply};
use super::{Engine, Shown};
use crate::model::effect::{Of, Ref, Resource};
use crate::model::event::{Outcome, SinkError, What};
use crate::model::name::{Name, Region, StepId};
use crate::model::plan::{Action, Probe, ProofBy};
use crate::model::rollout;
use crate::model::sample::{Sample, Seen};
use crate::model::time::Duration;
use crate::prober::{self, Observation, ProbeRun};
use crate::undo::outstanding;

/// How long the lost side has to become healthy once its faults are gone.
pub(super) const HEALTHY_WITHIN: Duration = Duration::from_secs(900);

/// How often what heals is looked at meanwhile.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Waits until the lost side is healthy; what is not when time is up. A run that broke nothing waits for nothing.
    pub(super) async fn lost_side_unhealthy(&self) -> Result<Option<String>, SinkError> {
        let Some(lost) = &self.plan.lost else { return Ok(None) };
        let broke = self.steps_that_broke();
        if broke.is_empty() {
            return Ok(None);
        }
        let sent = self.world.clock.now();
        let deadline = sent.plus(HEALTHY_WITHIN);
        let mut last = None;
        let outcome = loop {
            let unhealthy = match self.unready(lost).await {
                None => self.unanswered(lost, &broke).await,
                unready => unready,
            };
            match unhealthy {
                None => break Outcome::Ok,
                Some(unhealthy) if self.world.clock.now() >= deadline => break Outcome::failed(unhealthy),
                Some(unhealthy) => {
                    if last.as_ref() != Some(&unhealthy) {
                        let what = format!("{lost} is healthy again ({unhealthy})");
                        self.recorder.show(Shown::Waiting { what: &what, at_most: HEALTHY_WITHIN });
                        last = Some(unhealthy);
                    }
                    tokio::time::sleep(LOOK_EVERY.std()).await;
                }
            }
        };
        let unhealthy = outcome.why().map(|why| format!("{lost} is not healthy: {why}"));
        self.observed(format!("healthy:{lost}"), sent, outcome)?;
        Ok(unhealthy)
    }

    fn steps_that_broke(&self) -> BTreeSet<StepId> {
        let broke = |what: &What| match what {
            What::EffectIntended { step, effect, .. } if effect.of == Of::Fault => Some(step.clone()),
            _ => None,
        };
        self.recorder.with_events(|events| events.iter().filter_map(|event| broke(&event.what)).collect())
    }

    /// What of the side's workloads is missing, behind or not ready.
    async fn unready(&self, region: &Region) -> Option<String> {
        let Ok(client) = self.client(region) else { return Some(format!("there is no region {region}")) };
        let open = self.recorder.with_events(outstanding);
        let changed_by_us = |at: &Ref| open.iter().any(|open| open.effect.act.at() == Some(at));
        for namespace in &self.plan.namespaces {
            for resource in [Resource::deployments(), Resource::stateful_sets()] {
                let list = match api::list(client, &resource, namespace.as_str()).await {
                    Reply::Done(list) => list,
                    reply @ (Reply::Missing | Reply::Refused { .. } | Reply::Unknown(_)) => {
                        return reply.outcome().why().map(str::to_owned);
                    }
                };
                let now: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
                let named =
                    |name: &Name| now.iter().find(|object| object["metadata"]["name"] == *name.as_str());
                let before = self.plan.whole.iter().filter(|whole| {
                    let at = &whole.at;
                    at.region == *region
                        && at.resource == resource
                        && at.namespace.as_ref() == Some(namespace)
                });
                for whole in before {
                    let Some(object) = named(&whole.at.name) else {
                        return Some(format!("{} does not exist any more", whole.at));
                    };
                    let wanted = rollout::wanted(object);
                    if wanted < whole.replicas && !changed_by_us(&whole.at) {
                        return Some(format!(
                            "{} wants {wanted} replicas and had {}",
                            whole.at, whole.replicas
                        ));
                    }
                }
                let waiting = now.iter().find_map(|object| rollout::waits_for(object));
                if let Some(why) = waiting {
                    return Some(why);
                }
            }
        }
        None
    }

    /// What failed for a fault and does not answer yet, where it asks this side: it answered before the fault.
    async fn unanswered(&self, lost: &Region, broke: &BTreeSet<StepId>) -> Option<String> {
        for step in self.plan.all_steps().filter(|step| broke.contains(&step.id)) {
            let Action::Fault { proof, .. } = &step.action else { continue };
            let ProofBy::Probe(probe) = &proof.by else { continue };
            let Some(probe) = self.plan.probes.iter().find(|planned| planned.id == *probe) else { continue };
            for sample in self.asked_once(probe).await {
                if sample.seen != Seen::Ok && self.may_be_in(sample.address, lost) {
                    return Some(format!("the probe {} fails", probe.id));
                }
            }
        }
        None
    }

    /// One answer of a probe at each of its vantages, past what the run measures: a healing has no instrument.
    async fn asked_once(&self, probe: &Probe) -> Vec<Sample> {
        let mut samples = Vec::new();
        for vantage in &probe.from {
            let Some(net) = self.world.vantages.get(vantage) else { continue };
            let run = ProbeRun {
                probe: probe.clone(),
                vantage: vantage.clone(),
                net: net.clone(),
                clock: self.world.clock.clone(),
                ranges: self.world.addresses.clone().into(),
                regions: self.plan.regions.clone().into(),
                start: self.world.clock.now(),
            };
            let (out, mut seen) = mpsc::channel(1);
            let (_goes_on, stop) = watch::channel(false);
            tokio::select! {
                biased;
                Some(Observation::Sample { sample, .. }) = seen.recv() => samples.push(sample),
                // A probe that cannot ask says nothing.
                _ = prober::run(run, out, stop) => {}
            }
        }
        samples
    }
}
