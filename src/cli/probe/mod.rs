//! `drillmaster probe`: one probe on its own, like a precise ping: when a service was down, to the interval that holds the truth, and how long
//! its answers took.
//!
//! It is the very prober of a drill: open loop, so that a service that hangs is asked as often as one that answers. In a rehearsal nothing
//! else would be asked.

mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::mpsc;

use super::{OutputFormat, exit, failed, live, print, print_json, say};
use crate::cluster::ClusterError;
use crate::cluster::clock::LiveClock;
use crate::cluster::net::SocketNet;
use crate::cluster::trust::Trust;
use crate::model::plan;
use crate::model::sample::{Sample, Seen};
use crate::model::time::{At, Duration};
use crate::prober::{self, BadProbe, Observation, ProbeRun};
use crate::world::{Clock as _, watch};
use summary::Summary;

/// Observations under way.
const UNDER_WAY: usize = 1024;

/// The first question comes so long after the start.
const FIRST_AFTER: Duration = Duration::from_millis(10);

/// After so many questions it ends by itself: each is kept, so that outages can be told.
const MOST_ASKED: u64 = 5_000_000;

/// Ask one service again and again, at fixed instants, whether it answers or not; say when it was down, as intervals that hold the truth, and how
/// long its answers took. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: drillmaster probe http://checkout.shop.example/ --every 10ms --for 1m

Exit codes: 0 every answer was as expected, 2 it cannot be asked, 10 one was not, 11 nothing was shown.")]
pub struct Args {
    /// What to ask: `http://checkout.shop.example/`
    pub url: String,
    /// From one question to the next; 1ms and longer.
    #[arg(long, default_value = "100ms")]
    every: Duration,
    /// How long an answer is waited for.
    #[arg(long, default_value = "1s")]
    timeout: Duration,
    /// How long to ask; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<Duration>,
    /// The status of the right answer.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(100..=599))]
    status: u16,
    /// A text that must stand in its body.
    #[arg(long, value_name = "TEXT")]
    body_contains: Option<String>,
    /// For how long every answer must be right until an outage is over.
    #[arg(long, default_value = "1s", value_name = "TIME")]
    restored_for: Duration,
    /// A SOCKS5 proxy to ask through: 127.0.0.1:1080.
    #[arg(long)]
    proxy: Option<std::net::SocketAddr>,
    /// A resolver to ask: 192.0.2.53:53. Without it, the system's.
    #[arg(long)]
    dns: Option<std::net::SocketAddr>,
    /// A PEM file of a certificate authority that is accepted beside those that this machine trusts; may be given again.
    #[arg(long = "certificate-authority", value_name = "FILE")]
    certificate_authorities: Vec<String>,
    /// What people read, or JSON.
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
enum NoProbe {
    #[error("--every is {0}: the clock of a probe has whole milliseconds, so give it at least 1ms")]
    Period(Duration),
    #[error("the timeout is 0s: no answer would ever come in time")]
    Timeout,
    #[error(transparent)]
    Net(#[from] ClusterError),
    #[error(transparent)]
    Probe(#[from] BadProbe),
}

/// Runs the command.
pub fn run(arguments: &Args) -> ExitCode {
    let runtime = match live::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, exit::BUG),
    };
    let summary = match runtime.block_on(asked(arguments)) {
        Ok(summary) => summary,
        Err(error) => return failed(&error, exit::USAGE),
    };
    match arguments.output {
        OutputFormat::Text => print(&summary.text()),
        OutputFormat::Json => match serde_json::to_string_pretty(&summary) {
            Ok(json) => print_json(&json),
            Err(error) => return failed(&error, exit::BUG),
        },
    }
    exit::code(summary.exit())
}

async fn asked(arguments: &Args) -> Result<Summary, NoProbe> {
    if arguments.every < Duration::from_millis(1) {
        return Err(NoProbe::Period(arguments.every));
    }
    if arguments.timeout == Duration::ZERO {
        return Err(NoProbe::Timeout);
    }
    let trust = Trust::of(&arguments.certificate_authorities, Path::new(""))?;
    let net = Arc::new(SocketNet::new(arguments.proxy, arguments.dns, None, trust)?);
    let clock = Arc::new(LiveClock::begin());
    let probe = probe(arguments);
    let began = clock.wall_unix_ns().saturating_sub(clock.now().0);
    let start = clock.now().plus(FIRST_AFTER);
    let run = ProbeRun {
        probe: probe.clone(),
        vantage: "outside".into(),
        net,
        clock: clock.clone(),
        ranges: Arc::new([]),
        regions: Arc::new([]),
        start,
    };
    let (out, mut seen) = mpsc::channel(UNDER_WAY);
    let (stop, stopped) = watch::channel(false);
    let most = arguments.every.std().saturating_mul(u32::try_from(MOST_ASKED).unwrap_or(u32::MAX));
    let lasts = arguments.lasts.map_or(most, |lasts| lasts.std().min(most));
    let mut teller = Teller { began, url: arguments.url.clone(), was: None };
    let collecting = async move {
        let mut samples = Vec::new();
        while let Some(observation) = seen.recv().await {
            if let Observation::Sample { sample, .. } = observation {
                teller.take(&sample);
                samples.push(sample);
            }
        }
        samples
    };
    let ending = async {
        tokio::select! {
            biased;
            // Without a handler the process ends at once, as it would anyway.
            _ = tokio::signal::ctrl_c() => {}
            () = tokio::time::sleep(FIRST_AFTER.std() + lasts) => {}
        }
        stop.send(true);
    };
    // What cannot be asked ends at once, whatever time it was given.
    let probing = async { prober::run(run, out, stopped).await };
    let mut asking = Box::pin(async { futures::join!(probing, collecting) });
    let (probed, samples) = tokio::select! {
        biased;
        probed = &mut asking => probed,
        () = ending => asking.await,
    };
    probed?;
    Ok(Summary::of(&arguments.url, &probe, arguments.restored_for, began, &samples))
}

/// What is asked.
fn probe(arguments: &Args) -> plan::Probe {
    let mut expect = json!({"status": arguments.status});
    if let Some(text) = &arguments.body_contains {
        expect["bodyContains"] = json!(text);
    }
    plan::Probe {
        id: "probe".into(),
        service: None,
        control: false,
        every: arguments.every,
        timeout: arguments.timeout,
        from: vec!["outside".into()],
        fresh_every: 1,
        ask: json!({"http": {"url": arguments.url, "expect": expect}}),
    }
}

/// Tells of each turn as it is seen.
struct Teller {
    /// The anchor of the clock, in Unix nanoseconds.
    began: i64,
    url: String,
    was: Option<bool>,
}

impl Teller {
    fn take(&mut self, sample: &Sample) {
        let (is_up, what) = match &sample.seen {
            Seen::Ok => (true, "answers".to_owned()),
            Seen::Failed(failure) => (false, format!("fails: {failure}")),
            Seen::Gap => return,
        };
        if self.was.replace(is_up) != Some(is_up) {
            let by = sample.address.map(|address| format!(" ({address})")).unwrap_or_default();
            say(&format!("{}  {}{by} {what}", wall(self.began, sample.sent), self.url));
        }
    }
}

/// An instant on the wall clock in UTC, to the millisecond.
fn wall(began: i64, at: At) -> String {
    let time: DateTime<Utc> = DateTime::from_timestamp_nanos(began.saturating_add(at.0));
    time.format("%H:%M:%S%.3f").to_string()
}
