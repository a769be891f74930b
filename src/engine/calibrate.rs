//! A run calibrates its own instrument before the fault (I13): the very prober that will measure the drill measures a pause of
//! known length, made by a shim in this process. The interval that it reports must contain the truth, or the run does not start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::model::event::{Outcome, What};
use crate::model::outage::outages;
use crate::model::plan::Probe;
use crate::model::target::RestoredClause;
use crate::model::time::{At, Duration, Span};
use crate::prober::{self, Observation, ProbeRun};
use crate::world::{Clock, Net, Stream};

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

/// Measures the known pause.
pub(super) async fn calibrate(clock: Arc<dyn Clock>) -> What {
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
        start,
    };
    let probing = prober::run(run, out, stopped);
    let stopping = async {
        tokio::time::sleep(pause.1.plus(AFTER).since(clock.now()).std()).await;
        let _ = stop.send(true);
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
    let (_, (), mut samples) = tokio::join!(probing, stopping, collecting);
    samples.sort_by_key(|sample| sample.sent);
    let clause = RestoredClause { lasting: Duration::from_millis(100), ..RestoredClause::default() };
    let found = outages(&samples, &clause);
    let (measured, outcome) = match found.as_slice() {
        [outage] => match outage.end {
            Some(end) => {
                let measured = outage.begin.until(&end);
                let holds = measured.contains(PAUSE);
                (
                    measured,
                    if holds {
                        Outcome::Ok
                    } else {
                        Outcome::failed("the pause lies outside of the interval")
                    },
                )
            }
            None => (Span::at_least(Duration::ZERO), Outcome::failed("the end of the pause was not seen")),
        },
        [] => (Span::ZERO, Outcome::failed("the pause was not seen")),
        several => (Span::ZERO, Outcome::failed(format!("one pause was seen as {}", several.len()))),
    };
    What::Calibrated { truth, measured, outcome }
}
