//! The agent's end: does jobs, and hands over what it saw to whoever asks for it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::lines::{Reader, Writer, lines};
use super::{Ask, Job, Tell, VERSION, unasked};
use crate::model::name::ProbeId;
use crate::model::sample::Row as _;
use crate::model::time::{Duration, Span};
use crate::prober::calibration::{Calibration, calibrate};
use crate::prober::{self, Observation, ProbeRun};
use crate::world::{Clock, Net, Stream, watch};

/// So many jobs are kept at once, and the oldest that has ended makes room.
const MOST_JOBS: usize = 16;

/// So many samples are kept until they are handed over; then the oldest are lost, and missing.
const MOST_KEPT: usize = 1 << 20;

/// So many at once are handed over before it listens again.
const AT_ONCE: usize = 256;

/// No job lasts longer.
const LONGEST_JOB: Duration = Duration::from_secs(48 * 3600);

/// Samples under way between the probers of a job.
const UNDER_WAY: usize = 1024;

/// What asks at one place, for whoever connects.
pub struct Agent {
    /// No other agent has it.
    name: String,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    /// By name, in the order in which they began.
    jobs: Mutex<Vec<(String, Arc<Doing>)>>,
}

/// A job that was begun.
struct Doing {
    /// The pause of known length, and how it was measured before.
    calibrated: (Span, Span),
    seen: Mutex<Seen>,
    /// How many samples there were so far, and whether there will be more.
    news: watch::Sender<(u64, bool)>,
    stop: watch::Sender<bool>,
    /// The newest connection: an older one gives way to it.
    connection: watch::Sender<u64>,
}

/// What was seen and is not confirmed.
#[derive(Default)]
struct Seen {
    /// The number of the first of them.
    first: u64,
    rows: VecDeque<(usize, String)>,
}

impl Agent {
    /// An agent in a network, with its clock, by a name that no other has.
    pub fn new(name: String, net: Arc<dyn Net>, clock: Arc<dyn Clock>) -> Agent {
        Agent { name, net, clock, jobs: Mutex::default() }
    }

    /// Serves one connection to its end, or until a newer one takes over its job.
    ///
    /// # Errors
    /// Where it breaks, or what comes is no question.
    pub async fn serve(&self, stream: Stream) -> io::Result<()> {
        let (mut asks, mut tells) = lines(stream);
        let Some(Ask::Hello { version, job }) = asks.next().await? else { return Ok(()) };
        let doing = self.job(&job);
        let agent = self.name.clone();
        tells.say(&Tell::Hello { version: VERSION, has_it: doing.is_some(), agent }).await?;
        if version != VERSION {
            return Ok(());
        }
        let doing = match doing {
            Some(doing) => doing,
            None => loop {
                match asks.next().await? {
                    Some(Ask::Time(number)) => self.tell_time(&mut tells, number).await?,
                    Some(Ask::Begin(asked)) => match self.begin(&job, *asked).await {
                        Ok(doing) => break doing,
                        Err(why) => return tells.say(&Tell::Refused(why)).await,
                    },
                    Some(Ask::Hello { .. } | Ask::From(_) | Ask::Stop) => return Err(unasked()),
                    None => return Ok(()),
                }
            },
        };
        let (own, mut newest) = doing.connected();
        tokio::select! {
            biased;
            _ = newest.wait_for(|newest| *newest != own) => Ok(()),
            done = self.hand_over(&job, &doing, (asks, tells)) => done,
        }
    }

    async fn hand_over(
        &self,
        job: &str,
        doing: &Doing,
        (mut asks, mut tells): (Reader, Writer),
    ) -> io::Result<()> {
        // What is handed over next; nothing before somebody asked for it.
        let mut next: Option<u64> = None;
        loop {
            let more = async {
                match next {
                    Some(next) => doing.more(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ask = asks.next() => match ask? {
                    None => return Ok(()),
                    Some(Ask::Time(number)) => self.tell_time(&mut tells, number).await?,
                    Some(Ask::From(number)) if doing.is_over_at(number) => {
                        self.jobs().retain(|(name, _)| name != job);
                        return Ok(());
                    }
                    Some(Ask::From(number)) => {
                        if next.is_none() {
                            let (truth, measured) = doing.calibrated;
                            tells.say(&Tell::Begun { truth, measured }).await?;
                        }
                        doing.seen().forget(number);
                        next = Some(number.max(next.unwrap_or(0)));
                    }
                    Some(Ask::Stop) => doing.stop.send(true),
                    Some(Ask::Hello { .. } | Ask::Begin(_)) => return Err(unasked()),
                },
                (rows, ended) = more => {
                    for (number, probe, row) in rows {
                        tells.feed(&Tell::Saw { number, probe, row }).await?;
                        next = Some(number + 1);
                    }
                    if let Some(count) = ended {
                        tells.feed(&Tell::Ended(count)).await?;
                        next = None;
                    }
                    tells.flush().await?;
                }
            }
        }
    }

    async fn tell_time(&self, tells: &mut Writer, number: u64) -> io::Result<()> {
        tells.say(&Tell::Time { number, now: self.clock.now() }).await
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<(String, Arc<Doing>)>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, name: &str) -> Option<Arc<Doing>> {
        self.jobs().iter().find(|(known, _)| known == name).map(|(_, doing)| Arc::clone(doing))
    }

    /// Begins a job once this instrument has shown that it measures (I13).
    async fn begin(&self, name: &str, job: Job) -> Result<Arc<Doing>, String> {
        let Calibration { truth, measured, outcome } = calibrate(Arc::clone(&self.clock)).await;
        if let Some(why) = outcome.why() {
            return Err(format!("the agent does not measure: {why}"));
        }
        let (stop, stopped) = watch::channel(false);
        let (news, connection) = (watch::Sender::new((0, false)), watch::Sender::new(0));
        let doing =
            Arc::new(Doing { calibrated: (truth, measured), seen: Mutex::default(), news, stop, connection });
        {
            let mut jobs = self.jobs();
            if jobs.len() >= MOST_JOBS {
                let ended = jobs.iter().position(|(_, doing)| doing.news.get().1);
                let ended = ended.ok_or_else(|| format!("the agent is busy with {MOST_JOBS} other jobs"))?;
                jobs.remove(ended);
            }
            jobs.push((name.to_owned(), Arc::clone(&doing)));
        }
        let (out, observations) = mpsc::channel(UNDER_WAY);
        let mut probers = JoinSet::new();
        let (ranges, regions): (Arc<[_]>, Arc<[_]>) = (job.ranges.into(), job.regions.into());
        let names: BTreeMap<_, _> =
            job.probes.iter().enumerate().map(|(index, probe)| (probe.id.clone(), index)).collect();
        for probe in job.probes {
            let run = ProbeRun {
                probe,
                vantage: name.into(),
                net: Arc::clone(&self.net),
                clock: Arc::clone(&self.clock),
                ranges: Arc::clone(&ranges),
                regions: Arc::clone(&regions),
                start: job.start,
            };
            let probing = prober::run(run, out.clone(), stopped.clone());
            // One that cannot ask never answers: whoever waits for it is told by that.
            probers.spawn(async { drop(probing.await) });
        }
        drop(out);
        let lasts = job.lasts.min(LONGEST_JOB);
        tokio::spawn(Arc::clone(&doing).keep(names, observations, probers, lasts));
        Ok(doing)
    }
}

impl Doing {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that was seen comes before a number, and nothing will follow.
    fn is_over_at(&self, number: u64) -> bool {
        let (count, ended) = self.news.get();
        ended && number >= count
    }

    /// A new connection's number, and how to learn of a newer one.
    fn connected(&self) -> (u64, watch::Receiver<u64>) {
        let own = self.connection.get() + 1;
        self.connection.send(own);
        (own, self.connection.subscribe())
    }

    /// Keeps what the probers see until all of them have ended.
    async fn keep(
        self: Arc<Self>,
        names: BTreeMap<ProbeId, usize>,
        mut observations: mpsc::Receiver<Observation>,
        probers: JoinSet<()>,
        lasts: Duration,
    ) {
        let mut over = std::pin::pin!(tokio::time::sleep(lasts.std()));
        loop {
            let observation = tokio::select! {
                biased;
                observation = observations.recv() => observation,
                () = &mut over, if !self.stop.get() => {
                    self.stop.send(true);
                    continue;
                }
            };
            let Some(observation) = observation else { break };
            if let Observation::Sample { probe, sample, .. } = observation
                && let Some(probe) = names.get(&probe)
            {
                let mut row = String::new();
                sample.write(&mut row);
                let count = self.seen().add(*probe, row);
                self.news.send((count, false));
            }
        }
        drop(probers);
        let count = self.news.get().0;
        self.news.send((count, true));
    }

    /// What was seen from a number on, and, where that is all and nothing will follow, how much there was; waits for it.
    async fn more(&self, from: u64) -> (Vec<(u64, usize, String)>, Option<u64>) {
        let mut news = self.news.subscribe();
        loop {
            let (count, ended) = news.get_and_update();
            let rows = self.seen().from(from);
            let is_all = from + rows.len() as u64 >= count;
            if !rows.is_empty() || ended && is_all {
                return (rows, (ended && is_all).then_some(count));
            }
            if news.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Seen {
    /// Takes in a sample, and says how many there were.
    fn add(&mut self, probe: usize, row: String) -> u64 {
        self.rows.push_back((probe, row));
        if self.rows.len() > MOST_KEPT {
            self.rows.pop_front();
            self.first += 1;
        }
        self.first + self.rows.len() as u64
    }

    fn from(&self, number: u64) -> Vec<(u64, usize, String)> {
        let first = number.max(self.first);
        let skipped = usize::try_from(first - self.first).unwrap_or(usize::MAX);
        let rows = self.rows.iter().skip(skipped).take(AT_ONCE);
        (first..).zip(rows).map(|(number, (probe, row))| (number, *probe, row.clone())).collect()
    }

    /// Whatever comes before a number has been handed over.
    fn forget(&mut self, number: u64) {
        while self.first < number && self.rows.pop_front().is_some() {
            self.first += 1;
        }
    }
}
