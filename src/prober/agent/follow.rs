//! This end of the way to an agent: gives it its job, asks for its time, and takes over what it saw, across links that break.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::clocks::{Clocks, Exchange};
use super::lines::{Reader, Writer, lines};
use super::{Ask, Job, Tell, VERSION, unasked};
use crate::model::event::Outcome;
use crate::model::name::{Region, Vantage};
use crate::model::plan::Probe;
use crate::model::sample::{Row as _, Sample, Seen};
use crate::model::time::{At, Duration};
use crate::prober::Observation;
use crate::world::{AddressRange, Clock, Remote, watch};

/// An agent that says nothing for so long is out of reach.
const SILENT: Duration = Duration::from_secs(10);

/// After a link broke, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// From one exchange of times to the next.
const EXCHANGE: Duration = Duration::from_secs(1);

/// So many exchanges come before the first question: the quickest of them bounds the clocks.
const FIRST_EXCHANGES: u64 = 8;

/// From the last of those to the first question; meanwhile the agent shows that it measures.
const FIRST_AFTER: Duration = Duration::from_secs(2);

/// Told to stop, so long it is waited for what an agent still has.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many samples are taken over before the agent may forget them.
const CONFIRM: u64 = 256;

/// What is asked at an agent's vantage.
pub struct Followed {
    /// A name that no other job of that agent has.
    pub job: String,
    pub probes: Vec<Probe>,
    pub vantage: Vantage,
    pub agent: Arc<dyn Remote>,
    pub clock: Arc<dyn Clock>,
    /// Whose addresses are whose.
    pub ranges: Vec<AddressRange>,
    /// What a header may name (I15).
    pub regions: Vec<Region>,
    /// The agent ends by itself after this, whoever is left to tell it.
    pub lasts: Duration,
}

/// Has an agent ask until told to stop, or until nobody listens; then waits for what it still has. Whenever it comes into reach, or goes
/// out of it, that is told.
pub async fn follow(spec: Followed, out: mpsc::Sender<Observation>, stop: watch::Receiver<bool>) {
    let mut stopped = stop.clone();
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let given_up = async move {
        // Also where whoever could say so has gone.
        let _ = stopped.wait_for(|stop| *stop).await;
        if begun.load(Ordering::Relaxed) {
            sleep(PATIENCE.std()).await;
        }
    };
    let mut link = Link { spec, out, stop, known: Known::default(), reached: None, has_begun, within: None };
    let following = async {
        while let Err(why) = link.once().await {
            if link.tell(Outcome::failed(why)).await.is_err() {
                return;
            }
            sleep(RETRY.std()).await;
        }
    };
    tokio::select! {
        biased;
        () = following => {}
        () = given_up => {}
    }
    if let Some(within) = link.within {
        let vantage = link.spec.vantage.clone();
        // Whoever listened may have gone.
        let _ = link.out.send(Observation::ClockKnown { vantage, within }).await;
    }
}

/// Whether an agent can be reached and speaks as this version does; and how exactly its clock is known after the first exchanges.
///
/// # Errors
/// Why not.
pub async fn greet(agent: &dyn Remote, clock: &dyn Clock) -> io::Result<Duration> {
    let (mut from, mut to, _, _) = hello(agent, "none").await?;
    let mut clocks = Clocks::default();
    let mut theirs = At(0);
    for number in 0..FIRST_EXCHANGES {
        let exchange = exchanged((&mut from, &mut to), clock, number).await?;
        clocks.learn(exchange);
        theirs = exchange.theirs;
    }
    Ok(clocks.ours(theirs).ok_or_else(jumped)?.width())
}

/// A new connection about a job: whether the agent has it, and which agent that is.
async fn hello(agent: &dyn Remote, job: &str) -> io::Result<(Reader, Writer, bool, String)> {
    let (mut from, mut to) = lines(in_time(agent.connect()).await?);
    say(&mut to, &Ask::Hello { version: VERSION, job: job.to_owned() }).await?;
    let Tell::Hello { version, has_it, agent } = heard(&mut from).await? else { return Err(unasked()) };
    if version != VERSION {
        let why =
            format!("it speaks version {version}, and this is {VERSION}: run the same drillmaster there");
        return Err(io::Error::other(why));
    }
    Ok((from, to, has_it, agent))
}

/// An exchange of the time, while nothing else is said.
async fn exchanged(
    (from, to): (&mut Reader, &mut Writer),
    clock: &dyn Clock,
    number: u64,
) -> io::Result<Exchange> {
    let asked = clock.now();
    say(to, &Ask::Time(number)).await?;
    match heard(from).await? {
        Tell::Time { number: told, now } if told == number => {
            Ok(Exchange { asked, theirs: now, had: clock.now() })
        }
        _ => Err(unasked()),
    }
}

struct Link {
    spec: Followed,
    out: mpsc::Sender<Observation>,
    stop: watch::Receiver<bool>,
    known: Known,
    /// What was told last: whether the agent can be reached.
    reached: Option<bool>,
    /// An agent may have seen something.
    has_begun: Arc<AtomicBool>,
    /// How exactly an instant that it told of was known at worst.
    within: Option<Duration>,
}

/// What is known of the agent that has the job.
#[derive(Default)]
struct Known {
    /// Its name.
    agent: String,
    clocks: Clocks,
    /// It is on record how it measured a known pause.
    calibrated: bool,
    /// The first question, by its clock and by ours.
    start: (At, At),
    /// The number of the sample that comes next, and up to which it may have forgotten them.
    next: u64,
    confirmed: u64,
}

impl Link {
    /// One connection, until the job has ended.
    async fn once(&mut self) -> io::Result<()> {
        let (mut from, mut to, has_it, agent) = hello(self.spec.agent.as_ref(), &self.spec.job).await?;
        if has_it && self.known.agent != agent {
            return Err(io::Error::other("another agent has this job"));
        }
        if !has_it {
            // Its clock is another one, or counts anew.
            self.known = Known { agent, ..Known::default() };
        }
        for number in 0..FIRST_EXCHANGES {
            let exchange = exchanged((&mut from, &mut to), self.spec.clock.as_ref(), number).await?;
            self.known.clocks.learn(exchange);
            if !has_it {
                self.begin_after(exchange.theirs)?;
            }
        }
        if !has_it {
            self.has_begun.store(true, Ordering::Relaxed);
            say(&mut to, &Ask::Begin(Box::new(self.job()))).await?;
        }
        self.take_over(from, to).await
    }

    /// The first question comes a while after the agent's clock showed this.
    fn begin_after(&mut self, theirs: At) -> io::Result<()> {
        let theirs = theirs.plus(FIRST_AFTER);
        let ours = self.known.clocks.ours(theirs).ok_or_else(jumped)?;
        self.known.start = (theirs, At(ours.earliest.0.midpoint(ours.latest.0)));
        Ok(())
    }

    fn job(&self) -> Job {
        Job {
            probes: self.spec.probes.clone(),
            regions: self.spec.regions.clone(),
            ranges: self.spec.ranges.clone(),
            start: self.known.start.0,
            lasts: self.spec.lasts,
        }
    }

    /// Takes over what the agent saw and sees, until it sees nothing more.
    async fn take_over(&mut self, mut from: Reader, mut to: Writer) -> io::Result<()> {
        say(&mut to, &Ask::From(self.known.next)).await?;
        let mut ticks = interval(EXCHANGE.std());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = FIRST_EXCHANGES;
        let mut asked: Option<At> = None;
        let mut stop = self.stop.clone();
        let mut told_to_stop = false;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop), if !told_to_stop => {
                    told_to_stop = true;
                    say(&mut to, &Ask::Stop).await?;
                }
                told = from.next() => match told?.ok_or(io::ErrorKind::UnexpectedEof)? {
                    Tell::Time { number: told, now } => {
                        let asked = asked.take().filter(|_| told == number).ok_or_else(unasked)?;
                        let had = self.spec.clock.now();
                        self.known.clocks.learn(Exchange { asked, theirs: now, had });
                        number += 1;
                        // Not before: whatever refuses a job listens, too.
                        self.tell(Outcome::Ok).await?;
                    }
                    Tell::Begun { truth, measured } => {
                        if !std::mem::replace(&mut self.known.calibrated, true) {
                            let vantage = self.spec.vantage.clone();
                            let seen = Observation::Calibrated { vantage, truth, measured };
                            self.out.send(seen).await.map_err(|_| nobody())?;
                        }
                    }
                    Tell::Saw { number, probe, row } => {
                        self.saw(number, probe, &row).await?;
                        if self.known.next >= self.known.confirmed + CONFIRM {
                            self.confirm(&mut to).await?;
                        }
                    }
                    Tell::Ended(_) => return self.confirm(&mut to).await,
                    Tell::Refused(why) => return Err(io::Error::other(why)),
                    Tell::Hello { .. } => return Err(unasked()),
                },
                _ = ticks.tick() => match asked {
                    Some(at) if self.spec.clock.now().since(at) > SILENT => return Err(silent()),
                    Some(_) => {}
                    None => {
                        asked = Some(self.spec.clock.now());
                        say(&mut to, &Ask::Time(number)).await?;
                        self.confirm(&mut to).await?;
                    }
                },
            }
        }
    }

    /// What came before the next one is here, and need not be kept there.
    async fn confirm(&mut self, to: &mut Writer) -> io::Result<()> {
        self.known.confirmed = self.known.next;
        say(to, &Ask::From(self.known.next)).await
    }

    /// A sample; one that is here already is none. What the agent could not keep is missing.
    async fn saw(&mut self, number: u64, probe: usize, row: &str) -> io::Result<()> {
        let probe = self.spec.probes.get(probe).ok_or_else(unasked)?.id.clone();
        let sample = Sample::read(row).ok_or_else(unasked)?;
        if number < self.known.next {
            return Ok(());
        }
        self.known.next = number + 1;
        let (vantage, sample) = (self.spec.vantage.clone(), self.by_our_clock(sample));
        self.out.send(Observation::Sample { probe, vantage, sample }).await.map_err(|_| nobody())
    }

    /// The same by this clock: what proved something of an instant in a time proves it of one in the time that surely holds that.
    fn by_our_clock(&mut self, sample: Sample) -> Sample {
        let Known { clocks, start, .. } = &self.known;
        let scheduled = At(start.1.0.saturating_add(sample.scheduled.0.saturating_sub(start.0.0)));
        let answered_by = sample.answered_by.clone().filter(|by| self.spec.regions.contains(by));
        match (clocks.ours(sample.sent), clocks.ours(sample.completed)) {
            (Some(sent), Some(completed)) => {
                self.within = self.within.max(Some(sent.width().max(completed.width())));
                Sample {
                    scheduled,
                    sent: sent.earliest,
                    completed: completed.latest.max(sent.earliest),
                    answered_by,
                    ..sample
                }
            }
            // Nobody knows when it was: it says nothing.
            (_, _) => Sample {
                scheduled,
                sent: scheduled,
                completed: scheduled,
                seen: Seen::Gap,
                answered_by,
                ..sample
            },
        }
    }

    /// Tells whether the agent can be reached, where that is new.
    async fn tell(&mut self, outcome: Outcome) -> io::Result<()> {
        let reached = outcome == Outcome::Ok;
        if self.reached.replace(reached) == Some(reached) {
            return if self.out.is_closed() { Err(nobody()) } else { Ok(()) };
        }
        let vantage = self.spec.vantage.clone();
        self.out.send(Observation::Agent { vantage, outcome }).await.map_err(|_| nobody())
    }
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(SILENT.std(), what).await.map_err(|_| silent())?
}

async fn say(to: &mut Writer, what: &impl Serialize) -> io::Result<()> {
    in_time(to.say(what)).await
}

async fn heard(from: &mut Reader) -> io::Result<Tell> {
    in_time(from.next()).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nothing came from it for {SILENT}"))
}

fn jumped() -> io::Error {
    io::Error::other("its clock jumps")
}

fn nobody() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::simulated::TestClock;
    use crate::world::Stream;
    use futures::future::BoxFuture;

    struct Nowhere;

    impl Remote for Nowhere {
        fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_number_counts_once_and_nothing_by_a_clock_that_jumped_or_of_a_region_that_nobody_named() {
        let probe = Probe {
            id: "checkout".into(),
            service: None,
            control: false,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            from: vec!["west".into()],
            fresh_every: 1,
            ask: serde_json::Value::Null,
        };
        let spec = Followed {
            job: "job".into(),
            probes: vec![probe],
            vantage: "west".into(),
            agent: Arc::new(Nowhere),
            clock: TestClock::start(),
            ranges: vec![],
            regions: vec!["east".into()],
            lasts: Duration::from_secs(1),
        };
        let (out, mut seen) = mpsc::channel(8);
        let (_goes_on, stop) = watch::channel(false);
        let mut link = Link {
            spec,
            out,
            stop,
            known: Known::default(),
            reached: None,
            has_begun: Arc::default(),
            within: None,
        };
        link.known.clocks.learn(Exchange { asked: At(0), theirs: At(50), had: At(100) });
        let row = |at: i64, by: &str| format!("{at},{at},{at},ok,,,{by},0,0,0,0,0");
        for (number, row) in [(0, row(50, "east")), (0, row(50, "east")), (2, row(50, "mars"))] {
            link.saw(number, 0, &row).await.unwrap();
        }
        link.known.clocks.learn(Exchange { asked: At(200), theirs: At(9_000), had: At(210) });
        link.saw(3, 0, &row(9_000, "east")).await.unwrap();
        assert!(link.saw(4, 0, "1,2").await.is_err() && link.saw(4, 1, &row(50, "east")).await.is_err());
        drop(link);
        let mut samples = Vec::new();
        while let Some(Observation::Sample { sample, .. }) = seen.recv().await {
            samples.push((sample.seen, sample.sent, sample.completed, sample.answered_by));
        }
        // A clock may have drifted by a nanosecond since it was read.
        let known = |by: Option<Region>| (Seen::Ok, At(-1), At(101), by);
        assert_eq!(
            samples,
            [known(Some("east".into())), known(None), (Seen::Gap, At(9_000), At(9_000), Some("east".into()))]
        );
    }
}
