//! What a rehearsal costs: probes and writes through the real simulated regions, an idle hour of them, and whole drills of four
//! hours run by the binary as a user runs it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration as Std;

use drillmaster::cli::inputs;
use drillmaster::cli::rehearsal::{Rehearsal, runtime};
use drillmaster::ledger::client::{LedgerRun, run as write};
use drillmaster::model::plan;
use drillmaster::model::time::Duration;
use drillmaster::prober::{ProbeRun, run as probe};
use drillmaster::world::{Clock, Net, watch};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::cost;

/// Clock ticks in a second, as `/proc/PID/stat` counts (USER_HZ, which Linux fixes at 100).
const TICKS: f64 = 100.0;

/// How often it is asked, and written, in virtual time.
const PROBES_PER_SECOND: u32 = 10;
const WRITES_PER_SECOND: u32 = 50;

/// What is measured in one pair of simulated regions.
pub enum Work {
    Probes(u32),
    Writes(u32),
    IdleHour,
}

/// The CPU time in nanoseconds that some work costs in the shipped regions, without their start; `linked` with the latencies of their
/// links, each of which is a step of the clock, else with none.
pub fn in_regions(work: &Work, linked: bool) -> io::Result<f64> {
    let runtime = runtime()?;
    let rehearsal = runtime.block_on(async {
        let drill = scenarios().join("checkout-region-failover.yaml");
        let mut inputs = inputs::load(&drill, &[]).map_err(|found| io::Error::other(format!("{found:?}")))?;
        if let Some(sandbox) = inputs.sandbox.as_mut().filter(|_| !linked) {
            sandbox.spec.links.clear();
        }
        Rehearsal::prepare(&inputs, 7, 0).await.map_err(io::Error::other)
    })?;
    let world = rehearsal.sandbox.world();
    let (net, clock) = (world.vantages["outside"].clone(), world.clock.clone());
    cost(|| {
        runtime.block_on(async {
            match work {
                Work::Probes(count) => probes(net, clock, "http://checkout.shop.example/", *count).await,
                Work::Writes(count) => {
                    writes(net, clock, "http://checkout.shop.example/ledger", *count).await;
                }
                Work::IdleHour => sleep(Std::from_secs(3600)).await,
            }
        });
        Ok(())
    })
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// So many probes, [`PROBES_PER_SECOND`].
pub async fn probes(net: Arc<dyn Net>, clock: Arc<dyn Clock>, url: &str, count: u32) {
    let run = ProbeRun {
        probe: plan::Probe {
            id: "checkout".into(),
            service: None,
            control: false,
            every: Duration::from_millis(1000 / u64::from(PROBES_PER_SECOND)),
            timeout: Duration::from_secs(1),
            from: vec!["outside".into()],
            fresh_every: 1,
            ask: serde_json::json!({"http": {"url": url}}),
        },
        vantage: "outside".into(),
        net,
        regions: Arc::new([]),
        start: clock.now(),
        clock,
        ranges: Arc::new([]),
    };
    let (out, mut seen) = mpsc::channel(1000);
    let (_stop, stopped) = watch::channel(false);
    let probing = tokio::spawn(probe(run, out, stopped));
    for _ in 0..count {
        seen.recv().await;
    }
    probing.abort();
}

/// So many writes, [`WRITES_PER_SECOND`].
pub async fn writes(net: Arc<dyn Net>, clock: Arc<dyn Clock>, url: &str, count: u32) {
    let plan = plan::Ledger {
        service: "checkout".into(),
        store: "orders".into(),
        url: url.into(),
        writes_per_second: WRITES_PER_SECOND,
        timeout: Duration::from_secs(1),
        from: "outside".into(),
    };
    let run = LedgerRun { plan, net, start: clock.now(), clock, run: "run".into() };
    let (out, mut seen) = mpsc::channel(1000);
    let (_stop, stopped) = watch::channel(false);
    let writing = tokio::spawn(write(run, out, stopped));
    for _ in 0..count {
        seen.recv().await;
    }
    writing.abort();
}

/// What a process cost.
pub struct Process {
    pub cpu_seconds: f64,
    pub peak_mebibytes: f64,
    pub evidence_mebibytes: f64,
}

/// Four hours of the region failover, at so many probes a second from three vantages and five times so many writes.
pub fn four_hours(rate: u32) -> io::Result<Process> {
    let folder = std::env::temp_dir().join(format!("drillmaster-bench-{}-{rate}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let drill = folder.join("four-hours.yaml");
    let period = format!("{}ms", 1000 / rate);
    let text = FOUR_HOURS.replace("PERIOD", &period).replace("WRITES", &(5 * rate).to_string());
    std::fs::write(&drill, text)?;
    let evidence = folder.join("evidence");
    let mut command = Command::new(env!("CARGO_BIN_EXE_drillmaster"));
    command.arg("run").arg(&drill).args(["--quiet", "--seed", "7", "--evidence"]).arg(&evidence);
    for file in ["catalogue.yaml", "shop-two-regions.yaml"] {
        command.arg("--file").arg(scenarios().join(file));
    }
    let measured = process(command);
    let evidence_mebibytes = size(&evidence)? as f64 / f64::from(1 << 20);
    std::fs::remove_dir_all(&folder)?;
    Ok(Process { evidence_mebibytes, ..measured? })
}

/// The CPU seconds that so many starts of a program cost, each.
pub fn start(program: &str, arguments: &[&str], times: u32) -> io::Result<f64> {
    let before = children()?;
    for _ in 0..times {
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    }
    Ok((children()? - before) / f64::from(times))
}

fn process(mut command: Command) -> io::Result<Process> {
    let before = children()?;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak: f64 = 0.0;
    let ended = loop {
        // The kernel keeps the highest: the last look before the end tells all but the very end.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Std::from_millis(2));
    };
    if !ended.success() {
        let said = io::read_to_string(child.stderr.take().ok_or(io::ErrorKind::Other)?)?;
        return Err(io::Error::other(format!("{ended}: {said}")));
    }
    Ok(Process { cpu_seconds: children()? - before, peak_mebibytes: peak / 1024.0, evidence_mebibytes: 0.0 })
}

/// The CPU seconds of all children that have ended (`cutime` and `cstime`, fields 16 and 17 of proc(5)).
fn children() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: Option<Vec<f64>> = after_name.split(' ').skip(13).take(2).map(|n| n.parse().ok()).collect();
    ticks.map(|ticks| ticks.iter().sum::<f64>() / TICKS).ok_or(io::ErrorKind::InvalidData.into())
}

fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// Whether a program is there.
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok()
}

/// The least cost of each sort of work: a probe and a write without what the regions do by themselves meanwhile, which is the idle
/// hour's.
pub fn least_of(rounds: u32, linked: bool) -> io::Result<BTreeMap<&'static str, f64>> {
    const COUNT: u32 = 5_000;
    let works = [
        ("probe", Work::Probes(COUNT), COUNT, 1.0 / f64::from(PROBES_PER_SECOND)),
        ("write", Work::Writes(COUNT), COUNT, 1.0 / f64::from(WRITES_PER_SECOND)),
        ("idle", Work::IdleHour, 1, 0.0),
    ];
    let mut least = BTreeMap::new();
    for _ in 0..rounds {
        for (name, work, count, _) in &works {
            let cost = in_regions(work, linked)? / f64::from(*count);
            least.entry(*name).and_modify(|known: &mut f64| *known = known.min(cost)).or_insert(cost);
        }
    }
    let idle_second = least["idle"] / 3600.0;
    for (name, _, _, seconds) in &works {
        least.entry(*name).and_modify(|cost| *cost -= idle_second * seconds);
    }
    Ok(least)
}

const FOUR_HOURS: &str = r#"apiVersion: drillmaster.dev/v1alpha1
kind: Drill
metadata: {name: four-hours}
spec:
  purpose: Four hours of a region failover.
  type: full
  announced: true
  catalogue: shop
  sandbox: shop-two-regions
  regions: {lost: east, takesOver: west}
  services: [checkout]
  probes:
    - id: checkout
      service: checkout
      every: PERIOD
      timeout: 1s
      from: [outside, east, west]
      http: {url: "http://checkout.shop.example/"}
    - id: east-direct
      every: 10s
      timeout: 1s
      http: {url: "http://checkout.east.shop.example/"}
  workload:
    ledger: {service: checkout, store: orders-postgres, url: "http://checkout.shop.example/ledger", writesPerSecond: WRITES}
  steadyState: {for: 30s}
  limits: {maxDuration: 6h, namespaces: [shop]}
  stages:
    inject:
      - id: lose-east
        fault: {isolate: {namespaces: [shop]}}
        proof: {probe: east-direct, failsWithin: 30s, until: restored}
    failover:
      - id: promote-west
        recover: {promote: {workload: statefulset/ledger, namespace: shop}}
        budget: 2m
      - id: traffic-west
        recover: {dnsSwitch: {record: checkout.shop.example}}
        budget: 1m
    verify:
      - id: read
        check: {ledger: {}}
    operate:
      - id: hold
        wait: {duration: 4h}
    failback:
      - id: fence-east
        recover: {fence: {region: east, workload: statefulset/ledger, namespace: shop}}
      - id: east-back
        removeFault: lose-east
      - id: resync-east
        recover: {resync: {region: east, workload: statefulset/ledger, namespace: shop}}
      - id: west-steps-down
        recover: {demote: {workload: statefulset/ledger, namespace: shop}}
      - id: promote-east
        recover: {promote: {region: east, workload: statefulset/ledger, namespace: shop}}
      - id: traffic-east
        recover: {dnsSwitch: {region: east, record: checkout.shop.example}}
"#;
