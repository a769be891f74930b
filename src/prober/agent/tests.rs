//! An agent and this end of the way to it, in virtual time: clocks that run differently, links that are slow and that break.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as Std;

use futures::future::BoxFuture;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::http::simulated::{TestClock, TestNet};
use crate::model::event::Outcome;
use crate::model::outage::outages;
use crate::model::sample::{Sample, Seen};
use crate::model::target::RestoredClause;
use crate::prober::Observation;
use crate::world::{Clock, Net, Remote, Stream, watch};
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;

/// A clock that is ahead of the runtime's, and faster by parts in a million.
struct Skewed {
    start: Instant,
    ahead: i64,
    ppm: i64,
}

impl Clock for Skewed {
    fn now(&self) -> At {
        let passed = i64::try_from(self.start.elapsed().as_nanos()).unwrap();
        At(self.ahead + passed + passed / 1_000_000 * self.ppm)
    }

    fn wall_unix_ns(&self) -> i64 {
        self.now().0
    }
}

/// The way to an agent through a net, where what is under way takes its time in either direction.
struct Slow {
    net: Arc<TestNet>,
    /// At most so many milliseconds there, and back.
    takes: [u64; 2],
    random: Mutex<fastrand::Rng>,
}

impl Remote for Slow {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let address = self.net.resolve("agent").await?;
            let there = self.net.connect((address[0], 1).into()).await?;
            let (ours, relayed) = duplex(1 << 16);
            let (from_us, to_us) = tokio::io::split(relayed);
            let (from_them, to_them) = tokio::io::split(there);
            let fork = || self.random.lock().unwrap().fork();
            tokio::spawn(relay(from_us, to_them, self.takes[0], fork()));
            tokio::spawn(relay(from_them, to_us, self.takes[1], fork()));
            Ok(Box::new(ours) as Stream)
        })
    }
}

async fn relay<R, W>(mut from: R, mut to: W, takes: u64, mut random: fastrand::Rng)
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    let mut bytes = vec![0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        sleep(Std::from_millis(random.u64(0..=takes))).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A shop that answers at once, and an agent beside it; `cut("shop")` and `cut("agent")` make them unreachable.
struct Place {
    net: Arc<TestNet>,
    clock: Arc<TestClock>,
    agent: Arc<Mutex<Arc<Agent>>>,
    agents: AtomicU64,
}

impl Place {
    fn new(ahead: i64, ppm: i64) -> Place {
        let net = TestNet::new();
        net.says("shop", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let place = Place {
            agent: Arc::new(Mutex::new(Arc::new(agent(&net, "first", ahead, ppm)))),
            clock: TestClock::start(),
            agents: AtomicU64::new(0),
            net,
        };
        let agent = Arc::clone(&place.agent);
        place.net.serves("agent", move |stream| {
            let agent = Arc::clone(&agent.lock().unwrap());
            tokio::spawn(async move { drop(agent.serve(stream).await) });
        });
        place
    }

    /// The agent dies, and another one comes up with its own clock.
    fn restart(&self, ahead: i64) {
        let name = format!("another {}", self.agents.fetch_add(1, Ordering::Relaxed));
        *self.agent.lock().unwrap() = Arc::new(agent(&self.net, &name, ahead, 0));
    }

    fn followed(&self, takes: [u64; 2], seed: u64) -> Followed {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        Followed {
            job: "run/west".into(),
            probes: vec![probe("checkout", "http://shop/"), probe("basket", "http://shop/basket")],
            vantage: "west".into(),
            agent: Arc::new(Slow { net: Arc::clone(&self.net), takes, random }),
            clock: self.clock.clone(),
            ranges: vec![],
            regions: vec!["east".into()],
            lasts: Duration::from_secs(3600),
        }
    }
}

fn agent(net: &Arc<TestNet>, name: &str, ahead: i64, ppm: i64) -> Agent {
    Agent::new(name.into(), net.clone(), Arc::new(Skewed { start: Instant::now(), ahead, ppm }))
}

fn probe(id: &str, url: &str) -> Probe {
    Probe {
        id: id.into(),
        service: None,
        control: false,
        every: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        from: vec!["west".into()],
        fresh_every: 1,
        ask: serde_json::json!({"http": {"url": url}}),
    }
}

/// What was seen of one probe, in the order of sending, and what was told of the agent: its reach, how often it had measured a known pause, and
/// how exactly its clock was known at worst.
type Told = (Vec<Sample>, Vec<Outcome>, (usize, Duration));

/// Follows until an instant in seconds, while something else happens.
async fn followed(spec: Followed, until: i64, meanwhile: impl Future<Output = ()>) -> Told {
    let start = Instant::now();
    let (out, mut seen) = mpsc::channel(1 << 20);
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(follow(spec, out, stopped));
    let (mut samples, mut told, mut calibrated, mut within) = (Vec::new(), Vec::new(), 0, None);
    let collecting = async {
        while let Some(observation) = seen.recv().await {
            match observation {
                Observation::Sample { probe, sample, .. } if probe.as_str() == "checkout" => {
                    samples.push(sample)
                }
                Observation::Sample { .. } => {}
                Observation::Agent { outcome, .. } => told.push(outcome),
                Observation::Calibrated { truth, measured, .. } => {
                    assert!(measured.least <= truth.least && measured.most >= truth.most, "{measured}");
                    calibrated += 1;
                }
                Observation::ClockKnown { within: known, .. } => within = Some(known),
                Observation::Write { .. } => panic!("no ledger is here"),
            }
        }
    };
    let stopping = async {
        sleep_until(start + Std::from_secs(until.unsigned_abs())).await;
        stop.send(true);
    };
    tokio::join!(collecting, stopping, meanwhile);
    following.await.unwrap();
    samples.sort_by_key(|sample| sample.sent);
    (samples, told, (calibrated, within.unwrap_or_default()))
}

fn rehearsed<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(what)
}

/// Each was due a period after the one before, and every one of them says something.
fn whole(samples: &[Sample]) -> bool {
    samples.windows(2).all(|two| two[1].scheduled.0 - two[0].scheduled.0 == SECOND / 5)
        && samples.iter().all(|sample| sample.seen != Seen::Gap)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_outage_is_where_the_agent_saw_it_whatever_its_clock_and_its_link_do(
        ahead in -1_000_000 * SECOND..1_000_000 * SECOND,
        ppm in -450_i64..450,
        takes in [0_u64..200, 0_u64..200],
        seed: u64,
        outage in (20_000_u64..60_000, 3_000_u64..20_000),
        cut in (20_000_u64..60_000, 0_u64..40_000),
    ) {
        rehearsed(async {
            let place = Place::new(ahead, ppm);
            let at = |milliseconds| sleep_until(Instant::now() + Std::from_millis(milliseconds));
            let break_it = async {
                let (begins, ends) = (at(outage.0), at(outage.0 + outage.1));
                begins.await;
                place.net.cut("shop", true);
                ends.await;
                place.net.cut("shop", false);
            };
            let cut_off = async {
                let (begins, ends) = (at(cut.0), at(cut.0 + cut.1));
                begins.await;
                place.net.cut("agent", true);
                ends.await;
                place.net.cut("agent", false);
            };
            let meanwhile = async {
                tokio::join!(break_it, cut_off);
            };
            let (samples, _, (calibrated, within)) = followed(place.followed(takes, seed), 130, meanwhile).await;
            prop_assert!(samples.len() > 600, "{}", samples.len());
            prop_assert!(whole(&samples), "nothing is missing, whatever the link did");
            // An answer comes at once, so what lies between the two instants is what nobody knows of the clock.
            let answered = samples.iter().filter(|sample| sample.seen == Seen::Ok);
            let widest = answered.map(|sample| sample.completed.since(sample.sent)).max();
            prop_assert!(calibrated == 1 && widest.is_some_and(|widest| widest <= within), "{widest:?} {within}");
            let clause = RestoredClause { lasting: Duration::from_secs(5), ..RestoredClause::default() };
            let found = outages(&samples, &clause);
            let [one] = found.as_slice() else { panic!("{found:?}") };
            let true_begin = At(i64::try_from(outage.0).unwrap() * 1_000_000);
            let true_end = true_begin.plus(Duration::from_millis(outage.1));
            let end = one.end.unwrap();
            prop_assert!(one.begin.contains(true_begin), "{true_begin} is not in {:?}", one.begin);
            prop_assert!(end.contains(true_end), "{true_end} is not in {end:?}");
            // A period and a timeout, and what the two clocks leave open: the way there and back, and their drift while the link was cut.
            let open = Duration::from_millis(1_200 + 2 * (takes[0] + takes[1]) + 2 * 60);
            prop_assert!(one.begin.width() <= open && end.width() <= open, "{found:?}");
            Ok(())
        })?;
    }
}

#[test]
fn an_agent_that_died_is_followed_anew_and_what_it_did_not_hand_over_is_missing() {
    rehearsed(async {
        let place = Place::new(5 * SECOND, 0);
        let meanwhile = async {
            sleep(Std::from_secs(30)).await;
            place.net.cut("agent", true);
            sleep(Std::from_secs(5)).await;
            place.restart(-7 * SECOND);
            place.net.cut("agent", false);
        };
        let (samples, told, (calibrated, _)) = followed(place.followed([3, 3], 1), 90, meanwhile).await;
        assert_eq!(calibrated, 2);
        let [Outcome::Ok, Outcome::Failed { why }, Outcome::Ok] = told.as_slice() else { panic!("{told:?}") };
        assert!(why.contains("nothing came from it for 10s"), "{why}");
        let late = samples.windows(2).filter(|two| two[1].sent.since(two[0].sent) > Duration::from_secs(1));
        let late: Vec<_> = late.map(|two| (two[0].sent, two[1].sent)).collect();
        let [(before, after)] = late.as_slice() else { panic!("{late:?}") };
        assert!((29 * SECOND..=30 * SECOND).contains(&before.0), "{before}");
        assert!((40 * SECOND..=50 * SECOND).contains(&after.0), "{after}");
    });
}

#[test]
fn an_agent_out_of_reach_is_told_once_and_given_up_after_the_end_a_while_later_where_it_may_have_seen_something()
 {
    for (cut_at, told_of, gives_up) in [(0, 1, 30), (20, 2, 90)] {
        rehearsed(async {
            let place = Place::new(0, 0);
            let begun = Instant::now();
            let meanwhile = async {
                sleep(Std::from_secs(cut_at)).await;
                place.net.cut("agent", true);
            };
            let (samples, told, _) = followed(place.followed([0, 0], 1), 30, meanwhile).await;
            assert_eq!((samples.is_empty(), told.len()), (cut_at == 0, told_of), "{told:?}");
            assert_eq!(begun.elapsed().as_secs(), gives_up);
        });
    }
}

#[test]
fn what_an_agent_still_has_is_taken_over_after_the_end() {
    rehearsed(async {
        let place = Place::new(0, 0);
        let meanwhile = async {
            sleep(Std::from_secs(20)).await;
            place.net.cut("agent", true);
            sleep(Std::from_secs(30)).await;
            place.net.cut("agent", false);
        };
        // The end comes while nobody reaches it.
        let (samples, _, _) = followed(place.followed([2, 2], 1), 40, meanwhile).await;
        let last = samples.last().unwrap();
        assert!(whole(&samples) && last.sent.0 > 40 * SECOND, "{last:?}");
    });
}

/// Whatever an agent says that is no agent.
struct Hostile(&'static str);

impl Remote for Hostile {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        let (ours, mut theirs) = duplex(1 << 16);
        let says = self.0;
        tokio::spawn(async move {
            drop(theirs.write_all(says.as_bytes()).await);
            let mut bytes = [0; 1024];
            while let Ok(1..) = theirs.read(&mut bytes).await {}
        });
        Box::pin(async { Ok(Box::new(ours) as Stream) })
    }
}

#[test]
fn what_is_no_agent_is_refused_and_gives_no_sample() {
    let hello = "{\"hello\":{\"version\":1,\"has_it\":false,\"agent\":\"x\"}}\n";
    let time = |number: u64, now: i64| format!("{{\"time\":{{\"number\":{number},\"now\":{now}}}}}\n");
    let times: String = (0..8).map(|number| time(number, 0)).collect();
    let begun = |rest: &str| format!("{hello}{times}{rest}");
    let saw = |number: u64, probe: u64, row: &str| {
        format!("{{\"saw\":{{\"number\":{number},\"probe\":{probe},\"row\":{row:?}}}}}\n")
    };
    for (case, says) in [
        ("nothing", String::new()),
        ("no JSON", "hello\n".to_owned()),
        ("no end", "x".repeat(LONGEST_LINE + 1)),
        ("another version", hello.replace("\"version\":1", "\"version\":2")),
        ("has it already", hello.replace("false", "true")),
        ("a time that nobody asked for", format!("{hello}{}", time(7, 0))),
        ("a row that is none", begun(&saw(0, 0, "1,2"))),
        ("a probe that nobody asked for", begun(&saw(0, 2, "0,0,0,ok,,,,0,0,0,0,0"))),
        ("a refusal", begun("{\"refused\":\"busy\"}\n")),
        ("hello again", begun(hello)),
    ] {
        rehearsed(async {
            let place = Place::new(0, 0);
            let says: &'static str = Box::leak(says.into_boxed_str());
            let spec = Followed { agent: Arc::new(Hostile(says)), ..place.followed([0, 0], 1) };
            let (samples, told, _) = followed(spec, 20, async {}).await;
            assert!(samples.is_empty(), "{case}: {samples:?}");
            assert!(matches!(told.as_slice(), [Outcome::Failed { .. }]), "{case}: {told:?}");
        });
    }
}

#[test]
fn an_agent_does_so_many_jobs_and_ends_each_by_itself() {
    rehearsed(async {
        let place = Place::new(0, 0);
        let spec = |job: u64| Followed {
            job: format!("job {job}"),
            lasts: Duration::from_secs(60),
            ..place.followed([0, 0], job)
        };
        let mut tasks = tokio::task::JoinSet::new();
        let (out, mut seen) = mpsc::channel(1 << 20);
        for job in 0..17 {
            let (goes_on, stop) = watch::channel(false);
            let out = out.clone();
            let spec = spec(job);
            tasks.spawn(async move {
                follow(spec, out, stop).await;
                drop(goes_on);
            });
            sleep(Std::from_secs(1)).await;
        }
        drop(out);
        sleep(Std::from_secs(20)).await;
        let mut refused = Vec::new();
        while let Ok(observation) = seen.try_recv() {
            if let Observation::Agent { outcome: Outcome::Failed { why }, .. } = observation {
                refused.push(why);
            }
        }
        assert_eq!(refused, ["the agent is busy with 16 other jobs"]);
        // The first ends after a minute, and makes room.
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert!(place.clock.now().0 < 200 * SECOND, "{}", place.clock.now());
    });
}
