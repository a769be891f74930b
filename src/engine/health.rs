//! Whether the lost side can serve its users again: only then may healing send them back to it.
//!
//! Each workload that it had is there, wants at least one pod, and every pod that it wants is of its newest template, seen by its controller
//! and ready; and where the users' probes, and those that show a fault, ask that side, they succeed. How many it wants is its own matter: an
//! autoscaler shrinks a side that nobody uses. Nobody at all is no side: a workload that somebody scaled away or deleted lacks nothing by
//! its own word.

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

use super::api::{self, Reply};
use super::{Engine, Shown};
use crate::model::effect::{Exec, Of, Ref, Resource};
use crate::model::event::{Outcome, SinkError, What};
use crate::model::name::{Name, ProbeId, Region, Vantage};
use crate::model::plan::{Action, Probe, ProofBy};
use crate::model::rollout;
use crate::model::sample::{Sample, Seen};
use crate::model::time::Duration;
use crate::prober::agent::{Followed, follow};
use crate::prober::{self, Observation, ProbeRun};
use crate::world::{World, watch};

/// How long the lost side has to become healthy once its faults are gone.
pub(super) const HEALTHY_WITHIN: Duration = Duration::from_secs(900);

/// Within this, beside its own time, an agent is asked one question.
const IN_REACH: Duration = Duration::from_secs(15);

/// How often what heals is looked at meanwhile.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Waits until the lost side is healthy; what is not when time is up. A run that did nothing to it waits for nothing.
    pub(super) async fn lost_side_unhealthy(&self) -> Result<Option<String>, SinkError> {
        let Some(lost) = &self.plan.lost else { return Ok(None) };
        if !self.changed(lost) {
            return Ok(None);
        }
        let sent = self.world.clock.now();
        let deadline = sent.plus(HEALTHY_WITHIN);
        let mut last = None;
        let outcome = loop {
            let unhealthy = match self.unready(lost).await {
                None => self.unanswered(lost).await,
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

    /// What a command's status shows, of a pod that may be on its way: the undo before this one may have restarted it. Not every pod gets ready,
    /// a fenced one does not, and holds its own replacement up: so it counts as up once it answers.
    pub(super) async fn status_once_up(&self, exec: &Exec) -> Result<Value, String> {
        let side = self.plan.authority_of(&exec.at).and_then(|authority| authority.side(&exec.at.region));
        let (Some(side), Ok(client)) = (side, self.client(&exec.at.region)) else {
            return self.status(exec).await;
        };
        let deadline = self.world.clock.now().plus(HEALTHY_WITHIN);
        let mut is_told = false;
        loop {
            // Where it cannot be read, nobody knows what to wait for.
            let Reply::Done(workload) = api::get(client, &side.workload).await else {
                return self.status(exec).await;
            };
            match (self.status(exec).await, rollout::waits_for(&workload)) {
                (Err(_), Some(why)) if self.world.clock.now() < deadline => {
                    if !is_told {
                        let what = format!("{} is up again ({why})", exec.at);
                        self.recorder.show(Shown::Waiting { what: &what, at_most: HEALTHY_WITHIN });
                        is_told = true;
                    }
                    tokio::time::sleep(LOOK_EVERY.std()).await;
                }
                (status, _) => return status,
            }
        }
    }

    /// Whether the run broke something, or changed the side itself. (A name's record that stands there is none of it.)
    fn changed(&self, lost: &Region) -> bool {
        let inside = |at: &Ref| at.region == *lost && at.resource != Resource::dns_endpoints();
        let changed = |what: &What| {
            matches!(what, What::EffectIntended { effect, .. }
                if effect.of == Of::Fault || effect.of != Of::Instrument && effect.act.at().is_some_and(inside))
        };
        self.recorder.with_events(|events| events.iter().any(|event| changed(&event.what)))
    }

    /// What of the side's workloads is missing, behind or not ready.
    async fn unready(&self, region: &Region) -> Option<String> {
        let Ok(client) = self.client(region) else { return Some(format!("there is no region {region}")) };
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
                    if rollout::wanted(object) == 0 && whole.replicas > 0 {
                        return Some(format!("{} wants 0 replicas and had {}", whole.at, whole.replicas));
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

    /// What does not answer yet, where it asks this side: it answered before the fault, or the run had not begun.
    async fn unanswered(&self, lost: &Region) -> Option<String> {
        let shows_a_fault = |probe: &ProbeId| {
            self.plan.all_steps().any(|step| {
                matches!(&step.action, Action::Fault { proof, .. } if proof.by == ProofBy::Probe(probe.clone()))
            })
        };
        let asked = |probe: &&Probe| probe.service.is_some() || shows_a_fault(&probe.id);
        for probe in self.plan.probes.iter().filter(asked) {
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
            let (out, mut seen) = mpsc::channel(1);
            let (_goes_on, stop) = watch::channel(false);
            let Some(asking) = self.asking(probe, vantage, out, stop) else { continue };
            let first = async {
                loop {
                    match seen.recv().await {
                        Some(Observation::Sample { sample, .. }) => return Some(sample),
                        Some(_) => {}
                        None => return None,
                    }
                }
            };
            tokio::select! {
                biased;
                sample = first => samples.extend(sample),
                () = asking => {}
            }
        }
        samples
    }

    /// A probe at a vantage, until it is dropped or cannot ask.
    fn asking(
        &self,
        probe: &Probe,
        vantage: &Vantage,
        out: mpsc::Sender<Observation>,
        stop: watch::Receiver<bool>,
    ) -> Option<BoxFuture<'static, ()>> {
        let World { vantages, agents, clock, addresses, .. } = &self.world;
        if let Some(net) = vantages.get(vantage) {
            let run = ProbeRun {
                probe: probe.clone(),
                vantage: vantage.clone(),
                net: net.clone(),
                clock: clock.clone(),
                ranges: addresses.clone().into(),
                regions: self.plan.regions.clone().into(),
                start: clock.now(),
            };
            // A probe that cannot ask says nothing.
            return Some(Box::pin(async { drop(prober::run(run, out, stop).await) }));
        }
        let lasts = probe.timeout.plus(IN_REACH);
        let followed = Followed {
            job: format!("{}/{}.{vantage} at {}", self.run, probe.id, clock.now()),
            probes: vec![probe.clone()],
            vantage: vantage.clone(),
            agent: agents.get(vantage)?.clone(),
            clock: clock.clone(),
            ranges: addresses.clone(),
            regions: self.plan.regions.clone(),
            lasts,
        };
        // Nor does an agent that is out of reach.
        Some(Box::pin(
            async move { drop(tokio::time::timeout(lasts.std(), follow(followed, out, stop)).await) },
        ))
    }
}
