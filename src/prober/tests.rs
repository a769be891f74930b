//! Tests of the prober in virtual time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration as Std;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::*;
use crate::http::simulated::{TestClock, TestNet};
use crate::model::sample::{Failure, Stages};
use crate::world::Stream;

fn probe(net: &Arc<TestNet>, host: &str, every: u64, timeout: u64) -> ProbeRun {
    ProbeRun {
        probe: plan::Probe {
            id: "checkout".into(),
            service: None,
            control: false,
            every: Duration::from_millis(every),
            timeout: Duration::from_millis(timeout),
            from: vec!["outside".into()],
            fresh_every: 1,
            ask: serde_json::json!({"http": {"url": format!("http://{host}/")}}),
        },
        vantage: "outside".into(),
        net: net.clone(),
        clock: TestClock::start(),
        ranges: Arc::new([AddressRange {
            region: "east".into(),
            network: "10.0.0.0".parse().unwrap(),
            prefix: 24,
        }]),
        regions: Arc::new(["east".into(), "west".into()]),
        start: At(1_000_000_000),
    }
}

fn sample(observation: Observation) -> Sample {
    match observation {
        Observation::Sample { sample, .. } => sample,
        Observation::Write { .. }
        | Observation::Agent { .. }
        | Observation::Calibrated { .. }
        | Observation::ClockKnown { .. } => panic!("neither ledger nor agent is here"),
    }
}

/// Runs a probe for some seconds, and gives its samples in the order of sending.
async fn samples(run: ProbeRun, seconds: u64) -> Vec<Sample> {
    let (out, mut seen) = mpsc::channel(100_000);
    let (stop, stopped) = watch::channel(false);
    let probing = tokio::spawn(super::run(run, out, stopped));
    sleep(Std::from_secs(seconds)).await;
    stop.send(true);
    probing.await.unwrap().unwrap();
    let mut samples = Vec::new();
    while let Some(observation) = seen.recv().await {
        samples.push(sample(observation));
    }
    samples.sort_by_key(|sample| sample.scheduled);
    samples
}

/// A server that answers every request on a connection after a time.
fn answering(net: &TestNet, host: &str, after: u64) {
    saying(net, host, after, "");
}

/// A server whose answers have another header line.
fn saying(net: &TestNet, host: &str, after: u64, header: &'static str) {
    net.serves(host, move |mut stream| {
        tokio::spawn(async move {
            let mut head = [0; 1024];
            while let Ok(1..) = stream.read(&mut head).await {
                sleep(Std::from_millis(after)).await;
                let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    });
}

#[tokio::test(start_paused = true)]
async fn send_instants_are_exact_under_a_hung_target_and_each_probe_has_its_own_timeout() {
    let net = TestNet::new();
    net.serves("hung", |_| {});
    net.cut("hung", true);
    let samples = samples(probe(&net, "hung", 100, 1000), 61).await;
    assert_eq!(samples.len(), 600);
    for (number, sample) in samples.iter().enumerate() {
        let sent = At(1_000_000_000 + 100_000_000 * i64::try_from(number).unwrap());
        assert_eq!((sample.scheduled, sample.sent), (sent, sent));
        assert_eq!(sample.completed, sent.plus(Duration::from_secs(1)));
        assert_eq!(sample.seen, Seen::Failed(Failure::Timeout));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_names_its_region_and_how_long_it_took() {
    let net = TestNet::new();
    answering(&net, "slow", 250);
    let samples = samples(probe(&net, "slow", 100, 1000), 2).await;
    assert_eq!(samples.len(), 10);
    for sample in samples {
        assert_eq!((sample.seen, sample.answered_by), (Seen::Ok, Some("east".into())));
        assert_eq!(sample.stages.first_byte, 250_000_000);
        assert_eq!(sample.completed, sample.sent.plus(Duration::from_millis(250)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_the_probe_names_says_who_answered_if_the_drill_knows_that_region() {
    let net = TestNet::new();
    for (host, says) in [("west", "x-region: west\r\n"), ("mars", "x-region: mars\r\n"), ("nobody", "")] {
        saying(&net, host, 10, says);
    }
    for (host, answered_by) in [("west", Some("west".into())), ("mars", None), ("nobody", None)] {
        let mut run = probe(&net, host, 100, 1000);
        run.probe.ask =
            serde_json::json!({"http": {"url": format!("http://{host}/"), "answeredBy": "X-Region"}});
        for sample in samples(run, 2).await {
            assert_eq!((sample.seen, sample.answered_by), (Seen::Ok, answered_by.clone()), "{host}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_sends_no_more_and_waits_for_what_is_in_flight() {
    let net = TestNet::new();
    answering(&net, "slow", 900);
    let run = probe(&net, "slow", 300, 1000);
    let clock = run.clock.clone();
    let samples = samples(run, 2).await;
    assert_eq!(samples.last().unwrap().sent, At(1_900_000_000));
    assert!(samples.iter().all(|sample| sample.seen == Seen::Ok));
    assert_eq!(clock.now(), At(2_800_000_000));
}

/// Whether each instant up to 2s was a gap, where nobody takes the samples for some milliseconds: the second one blocks the loop,
/// which is the prober's own fault.
async fn gaps_when_blocked_until(milliseconds: u64) -> Vec<bool> {
    let net = TestNet::new();
    answering(&net, "quick", 0);
    let (out, mut seen) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let probing = tokio::spawn(super::run(probe(&net, "quick", 100, 1000), out, stopped));
    sleep(Std::from_millis(milliseconds)).await;
    let taking = tokio::spawn(async move {
        let mut gaps = Vec::new();
        while let Some(observation) = seen.recv().await {
            gaps.push(sample(observation).seen == Seen::Gap);
        }
        gaps
    });
    sleep(Std::from_millis(2050 - milliseconds)).await;
    stop.send(true);
    probing.await.unwrap().unwrap();
    taking.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_instant_missed_by_more_than_half_a_period_is_a_gap() {
    for (blocked_until, gaps) in [(1640, 12..16), (1660, 12..17)] {
        let expected: Vec<bool> = (10..=20).map(|turn| gaps.contains(&turn)).collect();
        assert_eq!(gaps_when_blocked_until(blocked_until).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reused_between_fresh_ones() {
    let net = TestNet::new();
    answering(&net, "quick", 10);
    let mut run = probe(&net, "quick", 100, 1000);
    run.probe.fresh_every = 10;
    let samples = samples(run, 11).await;
    assert_eq!(samples.len(), 100);
    assert!(samples.iter().all(|sample| sample.seen == Seen::Ok));
    assert_eq!(net.connects.lock().unwrap()["quick"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_while_idle_is_no_failure_of_the_target() {
    let net = TestNet::new();
    // It closes between two probes, so that only the next one finds out.
    net.serves("closing", |mut stream| {
        tokio::spawn(async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            sleep(Std::from_millis(50)).await;
        });
    });
    let mut run = probe(&net, "closing", 100, 1000);
    run.probe.fresh_every = 10;
    let samples = samples(run, 5).await;
    assert!(samples.iter().all(|sample| sample.seen == Seen::Ok), "{samples:?}");
    assert_eq!(net.connects.lock().unwrap()["closing"], samples.len() as u64);
}

/// A net that takes its time to resolve and to connect.
struct Slow(Arc<TestNet>);

impl Net for Slow {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            sleep(Std::from_millis(20)).await;
            self.0.resolve(host).await
        })
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.resolve(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            sleep(Std::from_millis(30)).await;
            self.0.connect(to).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_reusing_probe_tells_what_its_fresh_connections_cost() {
    let net = TestNet::new();
    answering(&net, "quick", 10);
    for (fresh_every, fresh) in [(1, [true; 5]), (4, [true, false, false, false, true])] {
        let mut run = probe(&net, "quick", 200, 1000);
        (run.net, run.probe.fresh_every) = (Arc::new(Slow(net.clone())), fresh_every);
        let samples = samples(run, 2).await;
        for (sample, fresh) in samples.iter().zip(fresh) {
            let (resolve, connect) = if fresh { (20_000_000, 30_000_000) } else { (0, 0) };
            assert_eq!(
                sample.stages,
                Stages { resolve, connect, first_byte: 10_000_000, ..Stages::default() }
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_no_known_kind_is_refused() {
    let mut run = probe(&TestNet::new(), "a", 100, 1000);
    run.probe.ask = serde_json::json!({"carrierPigeon": {}});
    let (out, _seen) = mpsc::channel(1);
    let (_stop, stopped) = watch::channel(false);
    assert!(matches!(super::run(run, out, stopped).await, Err(BadProbe::Kind { .. })));
}
