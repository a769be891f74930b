//! What a large simulated region costs: until all its pods are ready, in an idle hour, and for one more change; with 100, 1,000 and 10,000 pods
//! on a tenth of that number of nodes.
//!
//! `cargo bench --bench scale`, or with the numbers of pods that are wanted: `cargo bench --bench scale -- 500`. Each size runs in a process of its own,
//! so that its peak of memory is its own. CPU time is the kernel's account of the one thread (Linux). Prints; asserts nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io;
use std::process::Command;
use std::time::{Duration as Std, Instant};

use drillmaster::cli::rehearsal::runtime;
use drillmaster::model::effect::Resource;
use drillmaster::model::time::At;
use drillmaster::sandbox::control::read;
use drillmaster::sandbox::state::RegionState;
use drillmaster::sandbox::store::{Key, Part};
use drillmaster::sandbox::{Sandbox, SandboxSpec};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 3] = [100, 1_000, 10_000];
/// Says to a process of this benchmark that it is the one that measures.
const PODS: &str = "SCALE_PODS";
/// How long the region has to settle before the clock shows 0.
const SETTLES: Std = Std::from_secs(300);
/// When the node fails, on that clock, and how long is looked at what follows: its pods are sent away after six minutes.
const NODE_FAILS: Std = Std::from_secs(2 * 3600);
const AFTERMATH: Std = Std::from_secs(600);

fn main() -> io::Result<()> {
    if let Some(pods) = std::env::var(PODS).ok().and_then(|text| text.parse().ok()) {
        return measure(pods);
    }
    let asked: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { &SIZES[..] } else { &asked };
    println!(
        "pods    nodes  start: CPU, wall, peak        ready after   idle hour   one replica   one node lost"
    );
    for pods in sizes {
        let ended = Command::new(std::env::current_exe()?).env(PODS, pods.to_string()).status()?;
        if !ended.success() {
            println!("{pods:<7} {ended}");
        }
    }
    Ok(())
}

fn measure(pods: u32) -> io::Result<()> {
    let runtime = runtime()?;
    let (cpu, wall) = (cpu()?, Instant::now());
    let sandbox = runtime.block_on(start(pods))?;
    let (cpu, wall) = (self::cpu()? - cpu, wall.elapsed().as_secs_f64());
    let peak = peak()?;
    let Some((_, state)) = sandbox.regions().next() else { return Err(io::ErrorKind::NotFound.into()) };
    let (count, ready_after) = readiness(state);
    let cost = |what: &dyn Fn(), lasts: Std| -> io::Result<f64> {
        let before = self::cpu()?;
        runtime.block_on(async {
            what();
            sleep(lasts).await;
        });
        Ok(self::cpu()? - before)
    };
    let idle = cost(&|| {}, Std::from_secs(3600))?;
    let scaled = cost(&|| scale(state), Std::from_secs(60))?;
    let grown = readiness(state).0;
    let soon = At(i64::try_from(NODE_FAILS.as_nanos()).unwrap_or(i64::MAX) - 1_000_000_000);
    runtime.block_on(async { sleep_until(state.clock.instant(soon)).await });
    let lost = cost(&|| {}, AFTERMATH)?;
    println!(
        "{count:<7} {:<6} {cpu:>7.2} s {wall:>7.2} s {peak:>6.0} MiB {:>11.1} s {:>8.1} ms {:>7.1} ms ({:+}) {:>8.1} ms ({:+})",
        nodes(pods),
        ready_after.as_secs_f64(),
        idle * 1e3,
        scaled * 1e3,
        grown - count,
        lost * 1e3,
        readiness(state).0 - grown,
    );
    Ok(())
}

/// The CPU seconds of this thread so far.
fn cpu() -> io::Result<f64> {
    // The kernel brings the account up to date when the thread gives way.
    std::thread::yield_now();
    let stat = read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    nanos.map(|nanos| nanos / 1e9).ok_or(io::ErrorKind::InvalidData.into())
}

/// The most memory that this process has had, in MiB.
fn peak() -> io::Result<f64> {
    let status = read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.map(|kibibytes| kibibytes / 1024.0).ok_or(io::ErrorKind::InvalidData.into())
}

/// How many pods are ready, and how long after the start of everything the last one of them got so.
fn readiness(state: &RegionState) -> (i64, Std) {
    state.read(|store| {
        let conditions = store
            .list("", "pods", None)
            .map(|(_, pod)| pod)
            .filter(|pod| read::holds(pod, "Ready") && !read::terminating(pod))
            .filter_map(|pod| read::condition(pod, "Ready"));
        let since: Vec<i64> = conditions
            .filter_map(|ready| store.clock().read(read::text(ready, "/lastTransitionTime")))
            .map(|at| at.0)
            .collect();
        let last = since.iter().max().copied().unwrap_or_default();
        let settles = i64::try_from(SETTLES.as_nanos()).unwrap_or_default();
        let after = u64::try_from(last.saturating_add(settles)).unwrap_or_default();
        (i64::try_from(since.len()).unwrap_or_default(), Std::from_nanos(after))
    })
}

/// One replica more of the first Deployment.
fn scale(state: &RegionState) {
    let key = Key::new(&Resource::deployments(), Some("team-0"), "web-0");
    state.write(|store| {
        let Some(mut deployment) = store.get(&key).map(|found| Value::clone(found)) else { return };
        deployment["spec"]["replicas"] = json!(read::number(&deployment, "/spec/replicas").unwrap_or(0) + 1);
        // The bench shows how many pods there are more.
        let _ = store.update(&key, deployment, Part::AllButStatus);
    });
}

fn nodes(pods: u32) -> u32 {
    (pods / 10).max(3)
}

async fn start(pods: u32) -> io::Result<Sandbox> {
    let zone = |node: u32| ["a", "b", "c"][(node % 3) as usize];
    let machines: Vec<Value> = (0..nodes(pods))
        .map(|node| json!({"name": format!("node-{node}"), "zone": format!("east-{}", zone(node))}))
        .collect();
    let millis = |time: Std| format!("{}s", time.as_secs());
    let spec: SandboxSpec = serde_json::from_value(json!({
        "regions": [{"name": "east", "addresses": "10.0.0.0/12", "nodes": machines, "manifests": ["all.yaml"]}],
        "settlesWithin": millis(SETTLES),
        "happenings": [{"at": millis(NODE_FAILS), "what": {"nodeDown": {"region": "east", "node": "node-1"}}}],
    }))?;
    let objects: Vec<String> = objects(pods).iter().map(Value::to_string).collect();
    let texts = BTreeMap::from([("all.yaml".to_owned(), objects.join("\n---\n"))]);
    Sandbox::start(&spec, &texts, 7, 1_767_225_600_000_000_000, &[]).await.map_err(io::Error::other)
}

/// What four teams run: an agent on each node, a fifth of the pods in StatefulSets of five with claims, the rest in Deployments of ten to a hundred
/// replicas; each workload has its Service, and every third Deployment a budget.
fn objects(pods: u32) -> Vec<Value> {
    let mut objects = vec![daemon_set()];
    let mut left = pods - nodes(pods);
    let sets = pods / 5 / 5;
    for number in 0..sets {
        objects.extend(stateful_set(number));
        left -= 5;
    }
    let sizes = [10, 20, 30, 50, 100];
    let mut number = 0;
    while left > 0 {
        let replicas = left.min(sizes[number as usize % sizes.len()]);
        objects.extend(deployment(number, replicas));
        left -= replicas;
        number += 1;
    }
    objects
}

fn team(number: u32) -> String {
    format!("team-{}", number % 4)
}

/// A pod's template with one container that is probed.
fn template(labels: &Value, image: &str) -> Value {
    let container = json!({
        "name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
    });
    json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}})
}

fn daemon_set() -> Value {
    let labels = json!({"app.kubernetes.io/name": "agent"});
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": labels}, "template": template(&labels, "agent:1")}})
}

fn stateful_set(number: u32) -> [Value; 2] {
    let (name, namespace) = (format!("store-{number}"), team(number));
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"});
    let mut template = template(&labels, "store:1");
    template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}]);
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "10Gi"}}}});
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": "None", "selector": labels, "ports": [{"name": "http", "port": 8080}]}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": 5, "serviceName": name, "selector": {"matchLabels": labels}, "template": template,
                "volumeClaimTemplates": [claim]}}),
    ]
}

fn deployment(number: u32, replicas: u32) -> Vec<Value> {
    let (name, namespace) = (format!("web-{number}"), team(number));
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"});
    let mut template = template(&labels, "web:1");
    if number.is_multiple_of(2) {
        template["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": labels}}]);
    }
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}),
    ];
    if number.is_multiple_of(3) {
        objects.push(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}}));
    }
    objects
}
