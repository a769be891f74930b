//! Runs a plan in a world: guards, calibrates, measures, breaks, recovers, heals; every step of it an event on disk first.
//!
//! ```text
//! run ─► guards ─► agents ─► calibration ─► steady state ─► inject · detect · declare · failover ─► restored? ─► verify · operate · failback
//!                                                        │ abort, Ctrl-C, a broken journal, Return          │
//!                                                        └──────────────► heal ◄─────────────────────────────┘
//! recorder    the pen: an event is on disk before anything else learns of it
//! agents      what it makes first so that somebody asks from a vantage, and takes away last
//! instrument  probes and ledger clients, their rows into the evidence
//! live        what they say right now, for the engine's own waits
//! steady      when a run may begin, and what stops it
//! steps       what each step does
//! proof       whether a fault shows its effect
//! effects     intent, act, outcome (I3)
//! authority   who may write, asked of the databases; fences (I5)
//! api         one request to an API server: done, refused, unknown
//! health      whether the lost side can serve again
//! heal        putting back, never into a split brain (I4, I5)
//! home        in which order, where nothing was promoted
//! writes      what the run wrote is removed, or named
//! tell        those who may decide learn of a fence and of what is left
//! ```
//! The engine decides nothing about results: it emits events, and `measure` reads them.

mod agents;
mod api;
mod authority;
mod effects;
mod heal;
mod health;
mod home;
mod instrument;
mod live;
mod proof;
mod recorder;
mod steady;
mod steps;
mod tell;
mod writes;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;

pub use recorder::{SharedSink, Shown, Watcher};

use crate::ledger;
use crate::model::event::{Ended, Event, JOURNAL_VERSION, Outcome, Outstanding, SinkError, What};
use crate::model::name::{Name, Region, RunId, Sha256};
use crate::model::outage::restores_after;
use crate::model::plan::{Action, Plan, Stage};
use crate::model::sample::RowFile;
use crate::model::target::ObjectiveKind;
use crate::model::time::{At, Duration};
use crate::prober::calibration::{Calibration, calibrate};
use crate::world::{World, watch};
use instrument::Instrument;
use live::Live;
use proof::Owed;
use recorder::Recorder;

/// What the first event says of a run, beside its plan.
#[derive(Debug, Clone)]
pub struct Head {
    pub run: RunId,
    pub version: String,
    pub rehearsal: bool,
    pub seed: Option<u64>,
    /// Input files with their digests.
    pub inputs: BTreeMap<String, Sha256>,
}

/// How a run or a healing came out, as the exit code sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    pub how: Ended,
    /// What is left as it should not be.
    pub outstanding: Vec<Outstanding>,
    /// Why the journal could not be written, if it could not.
    pub journal: Option<String>,
}

/// Why the script of a run stops.
#[derive(Debug)]
enum Stop {
    Abort(String),
    Interrupt,
    /// A person wants to fail back now.
    Return,
    /// A bug of ours: what panicked said this.
    Crash(String),
    Sink(SinkError),
}

impl From<SinkError> for Stop {
    fn from(error: SinkError) -> Self {
        Stop::Sink(error)
    }
}

/// Shortest patience for the services to be restored once the last recovery step is done: DNS caches may take their time. Whoever promises
/// a longer recovery gets as long.
const RESTORED_WITHIN: Duration = Duration::from_secs(900);

/// How long a ledger may take to be read back until stable. What was read to its end once by then is read once more, however long that takes.
const READ_WITHIN: Duration = Duration::from_secs(120);

struct Engine {
    world: World,
    /// The world's.
    regions: Vec<Region>,
    plan: Arc<Plan>,
    run: RunId,
    recorder: Recorder,
    live: Arc<Live>,
    /// Faults whose objects must go on showing their effect.
    owed: RefCell<Vec<Owed>>,
    /// Held by whoever looks at write authority and then moves or frees it, so that no two steps do so at once.
    authority: tokio::sync::Mutex<()>,
    /// What healing left.
    left: RefCell<Vec<Outstanding>>,
    /// The ledgers' read-backs so far, by store.
    readings: RefCell<BTreeMap<Name, Readings>>,
}

/// How a store was read back so far.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    /// How many readings have begun: each has its own number, also where several are under way.
    begun: u32,
    /// The last that read it whole: when it began, and how many events there were.
    whole: Option<(At, usize)>,
}

/// Runs a plan to its end, whatever happens on the way. `interrupted` turns true at Ctrl-C.
pub async fn run(
    world: World,
    plan: Plan,
    head: Head,
    sink: SharedSink,
    watcher: Watcher,
    interrupted: watch::Receiver<bool>,
) -> Finished {
    let recorder = Recorder::new(world.clock.clone(), sink, watcher, Vec::new());
    let engine = Engine::new(world, plan, head.run.clone(), recorder);
    let how = caught(engine.run(head, interrupted)).await;
    if let Err(Stop::Crash(_)) = how {
        engine.leave_what_is_open();
    }
    engine.finish(how).await
}

/// Runs something to its end, or to its panic.
async fn caught<T>(run: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    // What a panic leaves half done is in the engine's own cells and locks, which hold across none of its waits.
    std::panic::AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Stop::Crash(format!("a bug in drillmaster: {}", said.unwrap_or_default())))
    })
}

/// Heals from a journal's events: in a world that may have gone on without us.
///
/// # Errors
/// Where the journal holds an event of a kind that this version does not know, or has no first event: nobody can say what is
/// owed then.
pub async fn heal(
    world: World,
    events: Vec<Event>,
    sink: SharedSink,
    watcher: Watcher,
) -> Result<Finished, HealError> {
    if let Some(event) = events.iter().find(|event| matches!(event.what, What::Unknown(_))) {
        return Err(HealError::UnknownEvent { seq: event.seq });
    }
    let Some(What::RunStarted { run, plan, .. }) = events.first().map(|event| &event.what) else {
        return Err(HealError::NoStart);
    };
    let (run, plan) = (run.clone(), plan.as_ref().clone());
    let how = events.iter().find_map(|event| match &event.what {
        What::RunEnded { how } => Some(how.clone()),
        _ => None,
    });
    let recorder = Recorder::new(world.clock.clone(), sink, watcher, events);
    let engine = Engine::new(world, plan, run, recorder);
    let outstanding = engine.healed("heal", true).await;
    let how = how.unwrap_or(Ended::Aborted { why: "the orchestrator died".to_owned() });
    Ok(Finished { how, outstanding, journal: engine.recorder.broken().map(|error| error.why) })
}

/// Why a journal cannot be healed from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealError {
    #[error(
        "event {seq} is of a kind that this version does not know, so nobody can say what it owes: heal with the version that wrote it"
    )]
    UnknownEvent { seq: u64 },
    #[error("the journal has no start, so nothing was done by it")]
    NoStart,
}

impl Engine {
    fn new(world: World, plan: Plan, run: RunId, recorder: Recorder) -> Self {
        Self {
            regions: world.regions.keys().cloned().collect(),
            world,
            plan: Arc::new(plan),
            run,
            recorder,
            live: Arc::new(Live::default()),
            owed: RefCell::default(),
            authority: tokio::sync::Mutex::default(),
            left: RefCell::default(),
            readings: RefCell::default(),
        }
    }

    async fn run(&self, head: Head, interrupted: watch::Receiver<bool>) -> Result<Ended, Stop> {
        self.recorder.append(What::RunStarted {
            journal: JOURNAL_VERSION,
            version: head.version,
            run: head.run,
            rehearsal: head.rehearsal,
            wall_unix_ns: self.world.clock.wall_unix_ns().saturating_sub(self.world.clock.now().0),
            seed: head.seed,
            inputs: head.inputs,
            plan: Box::new(self.plan.as_ref().clone()),
        })?;
        if let Some(refused) = self.guards()? {
            return Ok(refused);
        }
        let how = match self.make_agents(&interrupted).await {
            Ok(None) => self.measured(interrupted).await,
            Ok(Some(refused)) => Ok(refused),
            Err(stop) => Err(stop),
        };
        let kept = self.remove_agents(&"engine".into()).await?;
        self.left.borrow_mut().extend(kept);
        how
    }

    /// The run with its instrument, from its calibration to the last sample, however it ends.
    async fn measured(&self, interrupted: watch::Receiver<bool>) -> Result<Ended, Stop> {
        let measures = !self.plan.probes.is_empty() || !self.plan.ledgers.is_empty();
        if measures {
            let Calibration { truth, measured, outcome } = calibrate(self.world.clock.clone()).await;
            let failed = outcome.why().map(str::to_owned);
            self.recorder.append(What::Calibrated { vantage: None, truth, measured, outcome })?;
            if let Some(why) = failed {
                let why = format!(
                    "{why}: this machine is too busy, or its clock too coarse, to measure by; run it again, where it has a processor to itself"
                );
                return Ok(Ended::Refused { guard: "calibration".into(), why });
            }
        }
        let mut instrument =
            Instrument::start(&self.world, &self.plan, &self.run, self.live.clone(), self.recorder.clone());
        let how = instrument
            .alongside(caught(self.script(interrupted)))
            .await
            .unwrap_or_else(|error| Err(error.into()));
        if let Err(Stop::Sink(_)) = how {
            self.recorder.heal_whatever_happens();
        }
        instrument.alongside(self.aftermath(&how)).await??;
        instrument.finish().await?;
        let kept = self.remove_writes(READ_WITHIN).await?;
        self.left.borrow_mut().extend(kept);
        how
    }

    fn guards(&self) -> Result<Option<Ended>, SinkError> {
        let vantages = self.world.vantages.keys().cloned().collect();
        let agents = self.world.agents.keys().cloned().collect();
        let regions = self.world.regions.keys().cloned().collect();
        let mut refused = None;
        for (guard, outcome) in
            crate::guard::check(&self.plan, &crate::guard::Facts { vantages, agents, regions })
        {
            if let (None, Some(why)) = (&refused, outcome.why()) {
                refused = Some(Ended::Refused { guard: guard.clone(), why: why.to_owned() });
            }
            self.recorder.append(What::Guarded { guard, outcome, overridden_by: None })?;
        }
        Ok(refused)
    }

    /// All that the plan says, until it is through or something stops it.
    async fn script(&self, interrupted: watch::Receiver<bool>) -> Result<Ended, Stop> {
        tokio::select! {
            biased;
            () = until_true(interrupted) => Err(Stop::Interrupt),
            why = self.limits() => self.limited(why),
            stop = self.watch_proofs() => Err(stop),
            ended = self.stages() => ended,
        }
    }

    async fn stages(&self) -> Result<Ended, Stop> {
        if let Some(refused) = self.steady().await? {
            return Ok(refused);
        }
        self.note_who_writes().await?;
        for stage in [Stage::Inject, Stage::Detect, Stage::Declare, Stage::Failover] {
            match self.stage(stage).await {
                Err(Stop::Return) => return self.turn_back().await,
                done => done?,
            }
        }
        let mut recovered = self.world.clock.now();
        self.restored(Stage::Failover).await?;
        for stage in [Stage::Verify, Stage::Operate] {
            // What the last stage of a drill wrote is read too. (To read back what hours of writing left costs as much as the hours.)
            if stage == Stage::Operate && self.ends_with(stage) {
                recovered = self.world.clock.now();
            }
            match self.stage(stage).await {
                Err(Stop::Return) => return self.turn_back().await,
                done => done?,
            }
        }
        self.read_back_missing(recovered).await?;
        self.fail_back().await
    }

    /// Whether a stage is the last of the drill.
    fn ends_with(&self, stage: Stage) -> bool {
        self.plan.steps.iter().map(|step| step.stage).max() == Some(stage)
    }

    /// A person wants to go back now: by the scenario's failback once something was promoted; before that an abort puts back all there is.
    async fn turn_back(&self) -> Result<Ended, Stop> {
        if self.moved().await.is_empty() {
            return Err(Stop::Abort("turned back before anything was promoted".to_owned()));
        }
        self.fail_back().await
    }

    async fn fail_back(&self) -> Result<Ended, Stop> {
        match self.stage(Stage::Failback).await {
            Err(Stop::Return) => return Err(Stop::Abort("the failback was given up".to_owned())),
            done => done?,
        }
        if self.plan.steps.iter().any(|step| step.stage == Stage::Failback) {
            let returned = self.world.clock.now();
            self.restored(Stage::Failback).await?;
            self.read_back_missing(returned).await?;
        }
        Ok(Ended::Completed)
    }

    /// Waits until every service has kept its clause, answered by the side that a stage moves it to, if it does, and by its writes, for as
    /// long as that asks, so that the rows hold it.
    async fn restored(&self, stage: Stage) -> Result<(), SinkError> {
        let sent = self.world.clock.now();
        let measured = self.plan.probes.iter().filter_map(|probe| {
            let service = self.plan.service(probe.service.as_ref()?)?;
            let clause = &service.restored;
            Some((probe, clause, restores_after(clause, probe.every), self.plan.restored_by(service)))
        });
        let measured: Vec<_> = measured.collect();
        if measured.is_empty() {
            return Ok(());
        }
        let written = self.plan.ledgers.iter().filter_map(|ledger| {
            let clause = self.plan.service(&ledger.service)?.restored.of_writes();
            let lasting = restores_after(&clause, ledger.period()).plus(Duration::from_secs(1));
            Some((ledger, clause, lasting))
        });
        let written: Vec<_> = written.collect();
        let lasting = measured.iter().map(|one| one.2).chain(written.iter().map(|one| one.2));
        self.live.keep(lasting.max());
        let now = || self.world.clock.now();
        // Where the stage recovers nothing, nobody is moved.
        let mut steps = self.plan.all_steps().filter(|step| step.stage == stage);
        let moves = steps.any(|step| matches!(step.action, Action::Recover { .. }));
        let right = |side: &Region, by: Option<&Region>| match by {
            Some(by) if moves => (side == by) != (stage == Stage::Failback),
            Some(_) | None => true,
        };
        // What succeeded before this does not count: the last step may be about to break it.
        let lasted = |lasting: Duration| now() >= sent.plus(lasting);
        let up = |live: &Live| {
            measured.iter().all(|(p, clause, lasting, by)| {
                lasted(*lasting)
                    && live.holds((&p.id, p.every), &p.from, clause, (now().minus(*lasting), now()))
                    && live.answered_by(&p.id, |side| right(side, *by), *lasting, now())
            }) && written.iter().all(|(ledger, clause, lasting)| {
                lasted(*lasting)
                    && live.writes_hold(
                        (&ledger.store, ledger.period()),
                        clause,
                        (now().minus(*lasting), now()),
                    )
            })
        };
        let patience = patience(&self.plan);
        let names: Vec<&str> = measured.iter().map(|(probe, ..)| probe.id.as_str()).collect();
        let verb = if names.len() == 1 { "succeeds" } else { "succeed" };
        let what = format!("{} {verb} as long as promised", names.join(", "));
        self.recorder.show(Shown::Waiting { what: &what, at_most: patience });
        let outcome = match tokio::time::timeout(patience.std(), self.live.until(up)).await {
            Ok(()) => Outcome::Ok,
            Err(_) => Outcome::failed(format!("not all services were restored within {patience}")),
        };
        self.live.keep(None);
        self.observed("restored".to_owned(), sent, outcome)
    }

    fn observed(&self, what: String, sent: At, outcome: Outcome) -> Result<(), SinkError> {
        self.recorder.append(What::Observed { what, sent, done: self.world.clock.now(), outcome })
    }

    /// Reads ledgers back that were not read whole since, or that may have lost something after it: something was done to the world, or a
    /// write was not acknowledged. What a stage's own steps lost is no loss of the way back, and without a reading nobody would see it.
    async fn read_back_missing(&self, since: At) -> Result<(), SinkError> {
        let is_read = |store: &Name| {
            let (began, events) = self.readings.borrow().get(store)?.whole?;
            let acted = self.recorder.with_events(|all| all.iter().skip(events).any(|one| one.what.acts()));
            let unsure = self.live.unacknowledged(store).is_some_and(|sent| sent >= began);
            (began >= since && !acted && !unsure).then_some(())
        };
        let missing: Vec<Name> = {
            let unread = self.plan.ledgers.iter().filter(|ledger| is_read(&ledger.store).is_none());
            unread.map(|ledger| ledger.store.clone()).collect()
        };
        for store in missing {
            self.read_back(Some(&store)).await?;
        }
        Ok(())
    }

    /// Reads ledgers back from whatever serves, until stable; each reading has its own number and its own rows.
    async fn read_back(&self, store: Option<&Name>) -> Result<Outcome, SinkError> {
        let mut worst = Outcome::Ok;
        for ledger in
            self.plan.ledgers.iter().filter(|ledger| store.is_none_or(|store| ledger.store == *store))
        {
            let Some(net) = self.world.vantages.get(&ledger.from) else { continue };
            let began = self.world.clock.now();
            let events = self.recorder.with_events(<[Event]>::len);
            let pass = {
                let mut readings = self.readings.borrow_mut();
                let readings = readings.entry(ledger.store.clone()).or_default();
                readings.begun += 1;
                readings.begun
            };
            // An answer may be here that is not written down yet: all that was due is looked for.
            let up_to = self.live.due(&ledger.store, ledger.period(), began);
            // One try that hangs must not be the only one.
            let deadline = began.plus(READ_WITHIN.max(ledger.timeout.plus(ledger.timeout)));
            let clock = self.world.clock.as_ref();
            let read =
                ledger::client::read_back(net.as_ref(), clock, ledger, &self.run, up_to, deadline).await;
            let (answered_by, (pod, namespace), stable, outcome) = match read {
                Ok(read) => {
                    let file = RowFile::Read(ledger.store.clone(), pass);
                    for found in &read.found {
                        self.recorder.row(&file, found)?;
                    }
                    self.recorder.bind()?;
                    let region = self.world.region_of(read.answered_by);
                    let answered_by =
                        region.map_or_else(|| read.answered_by.to_string(), ToString::to_string);
                    let once = read.once.map(|failure| {
                        Outcome::failed(format!("read to its end only once in time: {failure}"))
                    });
                    (answered_by, (read.pod, read.namespace), read.stable, once.unwrap_or(Outcome::Ok))
                }
                Err(error) => ("nobody".to_owned(), (None, None), false, Outcome::failed(error)),
            };
            self.recorder.append(What::ReadBack {
                store: ledger.store.clone(),
                pass,
                began,
                answered_by: answered_by.into(),
                pod: pod.map(Name::from),
                namespace: namespace.map(Name::from),
                stable,
                outcome: outcome.clone(),
            })?;
            if !outcome.is_ok() {
                worst = outcome;
            } else if !stable {
                worst = Outcome::failed("it still changed when time was up");
            } else if let Some(readings) = self.readings.borrow_mut().get_mut(&ledger.store) {
                readings.whole = readings.whole.max(Some((began, events)));
            }
        }
        Ok(worst)
    }

    /// What follows the script, however it ended: the abort is written down, and all is healed.
    async fn aftermath(&self, how: &Result<Ended, Stop>) -> Result<(), SinkError> {
        self.recorder.heal_whatever_happens();
        if let Err(stop) = how {
            let why = match stop {
                Stop::Abort(why) | Stop::Crash(why) => why.clone(),
                Stop::Interrupt => "interrupted".to_owned(),
                Stop::Return => "returned".to_owned(),
                Stop::Sink(error) => error.to_string(),
            };
            self.recorder.append(What::AbortRequested { why, by: "engine".into() })?;
        }
        self.owed.borrow_mut().clear();
        let left = self.healed("engine", false).await;
        self.left.replace(left);
        Ok(())
    }

    /// Where not even healing came to its end: every effect that is open is left, for `drillmaster heal`.
    fn leave_what_is_open(&self) {
        self.recorder.heal_whatever_happens();
        let open = self.recorder.with_events(crate::undo::outstanding);
        self.left.replace(open.iter().map(|open| heal::left_open(open, "run `drillmaster heal`")).collect());
    }

    /// Heals, between its two events; a journal that cannot be written stops nothing here. What a dead run wrote is removed as well; one
    /// that lives still writes.
    async fn healed(&self, by: &str, is_dead: bool) -> Vec<Outstanding> {
        let by = Name::from(by);
        self.recorder.heal_whatever_happens();
        let healing = async {
            self.recorder.append(What::HealStarted { by: by.clone() })?;
            let mut outstanding = self.heal(&by).await?;
            if is_dead {
                outstanding.extend(self.remove_what_was_written().await?);
                outstanding.extend(self.remove_agents(&by).await?);
            }
            self.tell_what_is_left(&by, &outstanding).await?;
            self.recorder.append(What::HealEnded { by: by.clone(), outstanding: outstanding.clone() })?;
            Ok::<_, SinkError>(outstanding)
        };
        healing.await.unwrap_or_else(|error| {
            vec![Outstanding {
                effect: None,
                what: error.to_string(),
                advice: "run `drillmaster heal` on a disk with space".to_owned(),
            }]
        })
    }

    async fn finish(&self, how: Result<Ended, Stop>) -> Finished {
        let how = match how {
            Ok(ended) => ended,
            Err(Stop::Abort(why)) => Ended::Aborted { why },
            Err(Stop::Crash(why)) => Ended::Crashed { why },
            Err(Stop::Interrupt) => Ended::Interrupted,
            Err(Stop::Return) => Ended::Aborted { why: "returned".to_owned() },
            Err(Stop::Sink(error)) => Ended::Aborted { why: error.to_string() },
        };
        // A failure is in `broken`, and so in what this returns.
        let _ = self.recorder.append(What::RunEnded { how: how.clone() });
        Finished {
            how,
            outstanding: self.left.take(),
            journal: self.recorder.broken().map(|error| error.why),
        }
    }
}

/// How long the services may take to be restored: at least as long as was promised, or the way back would begin under way.
fn patience(plan: &Plan) -> Duration {
    let times = plan.objectives.iter().filter(|objective| match objective.kind {
        ObjectiveKind::Rta | ObjectiveKind::Failback => true,
        ObjectiveKind::Rpa
        | ObjectiveKind::Integrity
        | ObjectiveKind::Response
        | ObjectiveKind::Mtpd
        | ObjectiveKind::Exposure => false,
    });
    times.filter_map(|objective| objective.target).fold(RESTORED_WITHIN, Duration::max)
}

async fn until_true(mut value: watch::Receiver<bool>) {
    // A sender that is gone will never interrupt.
    if value.wait_for(|value| *value).await.is_err() {
        std::future::pending::<()>().await;
    }
}
