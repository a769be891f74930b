//! A run calibrates its own instrument before the fault (I13), and each agent its own: the very prober that will measure the drill measures a pause of
//! known length, made by a shim in this process. The interval that it reports must contain the truth, or the run does not start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Observation, ProbeRun};
use crate::model::event::Outcome;
use crate::model::outage::outages;
use crate::model::plan::Probe;
use crate::model::sample::Sample;
use crate::model::target::RestoredClause;
use crate::model::time::{At, Duration, Span};
use crate::world::{Clock, Net, Stream, watch};

const EVERY: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_millis(50);
const BEFORE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(250);
const AFTER: Duration = Duration::from_millis(200);

/// A network with one host on it, which answers at once, and not at all during its pause.
struct Shim {
    clock: Arc<dyn Clock>,
    pause: (At, At),
}

impl Net for Shim {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.resolve(host)
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        let now = self.clock.now();
        let paused = self.pause.0 <= now && now < self.pause.1;
        Box::pin(async move {
            if paused {
                std::future::pending::<()>().await;
            }
            let (ours, mut theirs) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let mut request = [0; 2048];
                if theirs.read(&mut request).await.is_ok() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    // Whoever asked may be gone by now.
                    let _ = theirs.write_all(answer).await;
                }
            });
            Ok(Box::new(ours) as Stream)
        })
    }
}

/// What an instrument measured of a pause of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibration {
    pub truth: Span,
    pub measured: Span,
    pub outcome: Outcome,
}

/// Measures the known pause.
pub async fn calibrate(clock: Arc<dyn Clock>) -> Calibration {
    let start = clock.now().plus(EVERY);
    let pause = (start.plus(BEFORE), start.plus(BEFORE).plus(PAUSE));
    let truth = Span { least: PAUSE, most: Some(PAUSE) };
    let (out, mut observations) = mpsc::channel(256);
    let (stop, stopped) = watch::channel(false);
    let probe = Probe {
        id: "calibration".into(),
        service: None,
        control: false,
        every: EVERY,
        timeout: TIMEOUT,
        from: vec!["outside".into()],
        fresh_every: 1,
        ask: json!({"http": {"url": "http://calibration.invalid/"}}),
    };
    let run = ProbeRun {
        probe,
        vantage: "outside".into(),
        net: Arc::new(Shim { clock: clock.clone(), pause }),
        clock: clock.clone(),
        ranges: Arc::new([]),
        regions: Arc::new([]),
        start,
    };
    let probing = super::run(run, out, stopped);
    let stopping = async {
        tokio::time::sleep(pause.1.plus(AFTER).since(clock.now()).std()).await;
        stop.send(true);
    };
    let collecting = async {
        let mut samples = Vec::new();
        while let Some(observation) = observations.recv().await {
            if let Observation::Sample { sample, .. } = observation {
                samples.push(sample);
            }
        }
        samples
    };
    let (_, (), samples) = tokio::join!(probing, stopping, collecting);
    let (measured, outcome) = judge(samples);
    Calibration { truth, measured, outcome }
}

/// What the samples say of the pause, and whether its true length lies in that interval.
fn judge(mut samples: Vec<Sample>) -> (Span, Outcome) {
    samples.sort_by_key(|sample| sample.sent);
    let clause = RestoredClause { lasting: Duration::from_millis(100), ..RestoredClause::default() };
    let found = outages(&samples, &clause);
    let [outage] = found.as_slice() else {
        let why = match found.len() {
            0 => "the pause was not seen".to_owned(),
            several => format!("one pause was seen as {several}"),
        };
        return (Span::ZERO, Outcome::failed(why));
    };
    let Some(end) = &outage.end else {
        return (Span::at_least(Duration::ZERO), Outcome::failed("the end of the pause was not seen"));
    };
    let measured = outage.begin.until(end);
    if measured.contains(PAUSE) {
        (measured, Outcome::Ok)
    } else {
        (measured, Outcome::failed("the pause lies outside of the interval"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::{Failure, Seen, Stages};

    /// A probe each 10 ms for 700 ms, answered within a millisecond, but not between these instants in milliseconds.
    fn seen(silent: std::ops::Range<i64>) -> Vec<Sample> {
        let at = |milliseconds: i64| At(milliseconds * 1_000_000);
        let sample = |number: i64| {
            let sent = number * 10;
            let (took, seen) =
                if silent.contains(&sent) { (50, Seen::Failed(Failure::Timeout)) } else { (1, Seen::Ok) };
            Sample {
                scheduled: at(sent),
                sent: at(sent),
                completed: at(sent + took),
                seen,
                address: None,
                answered_by: None,
                stages: Stages::default(),
            }
        };
        (0..70).map(sample).collect()
    }

    #[test]
    fn an_instrument_is_good_only_where_its_interval_holds_the_true_pause() {
        let failed = |silent| match judge(seen(silent)) {
            (_, Outcome::Failed { why }) => why,
            (measured, other) => panic!("{measured:?} {other:?}"),
        };
        let (measured, outcome) = judge(seen(100..350));
        assert_eq!(outcome, Outcome::Ok);
        assert!(measured.contains(PAUSE), "{measured:?}");
        assert_eq!(failed(100..500), "the pause lies outside of the interval");
        assert_eq!(failed(100..160), "the pause lies outside of the interval");
        assert_eq!(failed(0..0), "the pause was not seen");
        assert_eq!(failed(100..800), "the end of the pause was not seen");
        let twice = seen(100..200).into_iter().zip(seen(400..500));
        let twice = twice.map(|(one, other)| if one.seen == Seen::Ok { other } else { one }).collect();
        assert!(matches!(judge(twice), (_, Outcome::Failed { why }) if why == "one pause was seen as 2"));
    }
}
