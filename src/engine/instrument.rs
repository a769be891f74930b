//! The instrument of a run: all probes and ledger clients, and the one place where their rows reach the evidence.
//!
//! They run as tasks and send what they saw down one bounded channel; the engine takes it out alongside whatever else it does,
//! so a row is never ahead of its event and the journal has one writer.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::live::Live;
use super::recorder::{Recorder, Shown};
use crate::ledger;
use crate::model::event::{Outcome, SinkError, What};
use crate::model::name::{Name, RunId};
use crate::model::plan::Plan;
use crate::model::sample::RowFile;
use crate::model::time::Duration;
use crate::prober::agent::{Followed, follow};
use crate::prober::{self, Observation, ProbeRun};
use crate::world::{World, watch};

/// Observations under way; a prober that finds it full waits, and says so by a gap.
const UNDER_WAY: usize = 1024;

/// Probes and writes begin a moment after the start, all on the same grid.
const FIRST_AFTER: Duration = Duration::from_millis(10);

/// How much longer than a run may last an agent asks, whose orchestrator has died: its steady state, and its healing.
pub(super) const AFTER: Duration = Duration::from_secs(3600);

/// Running probes and ledger clients; they end when this is dropped.
pub(super) struct Instrument {
    observations: mpsc::Receiver<Observation>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    live: Arc<Live>,
    recorder: Recorder,
    /// Of each ledger's writes.
    periods: BTreeMap<Name, Duration>,
}

impl Instrument {
    /// Starts every probe at each of its vantages, and every ledger's client.
    pub(super) fn start(
        world: &World,
        plan: &Plan,
        run: &RunId,
        live: Arc<Live>,
        recorder: Recorder,
    ) -> Self {
        let (out, observations) = mpsc::channel(UNDER_WAY);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let start = world.clock.now().plus(FIRST_AFTER);
        let ranges: Arc<[_]> = world.addresses.clone().into();
        let regions: Arc<[_]> = plan.regions.clone().into();
        for probe in &plan.probes {
            for vantage in &probe.from {
                let Some(net) = world.vantages.get(vantage) else { continue };
                let probe_run = ProbeRun {
                    probe: probe.clone(),
                    vantage: vantage.clone(),
                    net: net.clone(),
                    clock: world.clock.clone(),
                    ranges: ranges.clone(),
                    regions: regions.clone(),
                    start,
                };
                let probing = prober::run(probe_run, out.clone(), stopped.clone());
                // A probe that cannot ask never answers: the steady state is refused, and names it.
                tasks.spawn(async { drop(probing.await) });
            }
        }
        for (vantage, agent) in &world.agents {
            let probes: Vec<_> = plan.probes.iter().filter(|probe| probe.from.contains(vantage)).collect();
            if probes.is_empty() {
                continue;
            }
            let followed = Followed {
                job: format!("{run}/{vantage}"),
                probes: probes.into_iter().cloned().collect(),
                vantage: vantage.clone(),
                agent: agent.clone(),
                clock: world.clock.clone(),
                ranges: world.addresses.clone(),
                regions: plan.regions.clone(),
                lasts: plan.limits.max_duration.plus(AFTER),
            };
            tasks.spawn(follow(followed, out.clone(), stopped.clone()));
        }
        for ledger in &plan.ledgers {
            let Some(net) = world.vantages.get(&ledger.from) else { continue };
            let ledger_run = ledger::client::LedgerRun {
                plan: ledger.clone(),
                net: net.clone(),
                clock: world.clock.clone(),
                run: run.clone(),
                start,
            };
            let writing = ledger::client::run(ledger_run, out.clone(), stopped.clone());
            // A client that cannot write leaves no acknowledged write: its objective is inconclusive.
            tasks.spawn(async { drop(writing.await) });
        }
        let periods = plan.ledgers.iter().map(|ledger| (ledger.store.clone(), ledger.period())).collect();
        Self { observations, stop, tasks, live, recorder, periods }
    }

    fn take(&self, observation: Observation) -> Result<(), SinkError> {
        match observation {
            Observation::Sample { probe, vantage, sample } => {
                self.recorder.row(&RowFile::Probe(probe.clone(), vantage.clone()), &sample)?;
                if let Some(up) = self.live.sample(&probe, &vantage, &sample) {
                    self.recorder.turned(&probe, &vantage, up)?;
                }
            }
            Observation::Write { store, write } => {
                self.recorder.row(&RowFile::Writes(store.clone()), &write)?;
                let period = self.periods.get(&store).copied().unwrap_or_default();
                self.live.write(&store, &write, period);
                self.recorder.show(Shown::Written { store: &store, seen: write.seen });
            }
            Observation::Agent { vantage, outcome } => {
                self.recorder.append(What::Reached { vantage, outcome })?;
            }
            Observation::Calibrated { vantage, truth, measured } => {
                let vantage = Some(vantage);
                self.recorder.append(What::Calibrated { vantage, truth, measured, outcome: Outcome::Ok })?;
            }
            Observation::ClockKnown { vantage, within } => {
                self.recorder.append(What::ClockKnown { vantage, within })?;
            }
        }
        Ok(())
    }

    /// Runs a future to its end while observations reach the evidence.
    pub(super) async fn alongside<T>(&mut self, future: impl Future<Output = T>) -> Result<T, SinkError> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                Some(observation) = self.observations.recv() => self.take(observation)?,
                done = &mut future => return Ok(done),
            }
        }
    }

    /// Sends nothing more, and takes in what is still under way.
    pub(super) async fn finish(&mut self) -> Result<(), SinkError> {
        self.stop.send(true);
        while let Some(observation) = self.observations.recv().await {
            self.take(observation)?;
        }
        while self.tasks.join_next().await.is_some() {}
        self.recorder.bind()
    }
}
