//! What the engine's tests share: a drill in simulated regions whose API servers stand behind a gate, a pen that dies at a
//! chosen event, writers that never stop, and what must hold of the world afterwards.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test sets up must work")]
#![expect(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use drillmaster::cli::inputs::{self, Inputs};
use drillmaster::cli::rehearsal::{Rehearsal, runtime};
use drillmaster::engine::{self, Finished, SharedSink, Watcher};
use drillmaster::http::{Ask, exchange};
use drillmaster::journal::Memory;
use drillmaster::model::effect::Request as Plain;
use drillmaster::model::event::{Decision, Event, Sink, SinkError, What};
use drillmaster::model::name::{Name, Vantage};
use drillmaster::model::sample::RowFile;
use drillmaster::model::time::{At, Duration};
use drillmaster::sandbox::state::RegionState;
use drillmaster::sandbox::truth::LedgerTruth;
use drillmaster::world::{People, Question, Reply, World, watch};
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

/// A drill of the shop's two regions, by its text; what it refers to is shipped.
pub fn drill(text: &str) -> Inputs {
    drill_with(text, ["scenarios/catalogue.yaml", "scenarios/shop-two-regions.yaml"])
}

/// A drill of two databases in each region, by its text.
pub fn drill_of_two_databases(text: &str) -> Inputs {
    drill_with(text, ["tests/drills/catalogue.yaml", "tests/drills/sandbox-two-databases.yaml"])
}

/// A drill of the same shop with a third region, `south`, which has a database of its own that is primary.
pub fn drill_of_three_regions(text: &str) -> Inputs {
    drill_with(text, ["tests/drills/catalogue.yaml", "tests/drills/sandbox-three-regions.yaml"])
}

fn drill_with(text: &str, more: [&str; 2]) -> Inputs {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drill.yaml");
    std::fs::write(&file, text).unwrap();
    let more: Vec<PathBuf> = more.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).into();
    inputs::load(&file, &more).unwrap_or_else(|findings| panic!("{findings:?}"))
}

/// Runs a test in virtual time.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    runtime().unwrap().block_on(test)
}

/// What becomes of a request to an API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// Never arrives.
    Lost,
    /// Is carried out, and its answer lost.
    AnswerLost,
    /// Is carried out, and answered by a 500.
    AnsweredBadly,
    /// Is answered by a 403, and not carried out.
    Refused,
    /// Is answered by a 503, and not carried out.
    Unavailable,
}

type Judge = Box<dyn FnMut(&str, &Request<Body>) -> Fate + Send>;

/// Decides about each request.
#[derive(Clone)]
pub struct Gate(Arc<Mutex<Judge>>);

impl Gate {
    pub fn new(judge: impl FnMut(&str, &Request<Body>) -> Fate + Send + 'static) -> Gate {
        Gate(Arc::new(Mutex::new(Box::new(judge))))
    }

    /// A world whose API servers stand behind the gate.
    pub fn before(&self, mut world: World) -> World {
        for (region, client) in &mut world.regions {
            let (gate, region, inner) = (self.clone(), region.to_string(), client.clone());
            let service = tower::service_fn(move |request: Request<Body>| {
                let (gate, region, inner) = (gate.clone(), region.clone(), inner.clone());
                async move {
                    let fate = (gate.0.lock().unwrap())(&region, &request);
                    match fate {
                        Fate::Passes => inner.send(request).await,
                        Fate::Lost => std::future::pending().await,
                        Fate::AnswerLost => {
                            drop(inner.send(request).await);
                            std::future::pending().await
                        }
                        Fate::AnsweredBadly => {
                            drop(inner.send(request).await);
                            Ok(failure(500, "InternalError", "etcdserver: request timed out"))
                        }
                        Fate::Refused => Ok(failure(403, "Forbidden", "you may not")),
                        Fate::Unavailable => Ok(failure(503, "ServiceUnavailable", "not now")),
                    }
                }
            });
            *client = kube::Client::new(service, "default");
        }
        world
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code});
    Response::builder().status(code).body(Body::from(status.to_string().into_bytes())).unwrap()
}

/// Where an orchestrator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    Never,
    /// The n-th event is not written any more.
    Before(usize),
    /// The n-th event is the last.
    After(usize),
    /// So many polls after the n-th event.
    Within(usize, u32),
}

/// Keeps events, until its orchestrator dies.
pub struct Pen {
    pub memory: Memory,
    pub death: Death,
    pub written: usize,
    pub dead: bool,
}

impl Pen {
    pub fn new(death: Death) -> Arc<Mutex<Pen>> {
        Arc::new(Mutex::new(Pen { memory: Memory::default(), death, written: 0, dead: false }))
    }
}

impl Sink for Pen {
    fn append(&mut self, at: At, what: What) -> Result<Event, SinkError> {
        self.dead |= self.death == Death::Before(self.written);
        if self.dead {
            return Err(SinkError { why: "dead".to_owned() });
        }
        let event = self.memory.append(at, what);
        self.dead |= self.death == Death::After(self.written);
        self.written += 1;
        event
    }

    fn row(&mut self, at: At, file: &RowFile, row: &str) -> Result<(), SinkError> {
        if self.dead { Ok(()) } else { self.memory.row(at, file, row) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.memory.flush()
    }

    fn bind(&mut self, at: At) -> Result<(), SinkError> {
        if self.dead { Ok(()) } else { self.memory.bind(at) }
    }
}

pub fn nobody_watches() -> Watcher {
    Box::new(|_, _| {})
}

pub fn never_interrupted() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// Runs a rehearsal whose orchestrator dies with its pen: from then on nothing of it reaches the world. `None` where it died.
pub async fn run_until_death(rehearsal: &Rehearsal, pen: &Arc<Mutex<Pen>>) -> Option<Finished> {
    run_in_until_death(rehearsal.sandbox.world(), rehearsal, pen).await
}

/// The same in a world that may differ from the rehearsal's.
pub async fn run_in_until_death(
    world: World,
    rehearsal: &Rehearsal,
    pen: &Arc<Mutex<Pen>>,
) -> Option<Finished> {
    let gate = Gate::new({
        let pen = pen.clone();
        move |_, _| if pen.lock().unwrap().dead { Fate::Lost } else { Fate::Passes }
    });
    let world = gate.before(world);
    let (plan, head) = (rehearsal.plan.clone(), rehearsal.head.clone());
    let sink: SharedSink = pen.clone();
    let mut run = Box::pin(engine::run(world, plan, head, sink, nobody_watches(), never_interrupted()));
    let mut polls = 0;
    std::future::poll_fn(|context| {
        let polled = run.as_mut().poll(context);
        let mut pen = pen.lock().unwrap();
        if let Death::Within(event, most) = pen.death
            && pen.written > event
        {
            polls += 1;
            pen.dead |= polls > most;
        }
        if pen.dead { std::task::Poll::Ready(None) } else { polled.map(Some) }
    })
    .await
}

/// Heals from what a pen has written, and writes on with it.
pub async fn heal(world: World, pen: &Arc<Mutex<Pen>>) -> Finished {
    let events = {
        let mut pen = pen.lock().unwrap();
        (pen.dead, pen.death) = (false, Death::Never);
        pen.memory.events().to_vec()
    };
    engine::heal(world, events, pen.clone(), nobody_watches()).await.unwrap()
}

/// Writes to both sides from everywhere, every second, for as long as it is not dropped.
pub fn write_everywhere(world: &World) -> tokio::task::JoinSet<()> {
    let mut writers = tokio::task::JoinSet::new();
    for (place, (vantage, net)) in world.vantages.iter().enumerate() {
        for (side, host) in ["east", "west"].into_iter().enumerate() {
            let (vantage, net, clock) = (vantage.clone(), net.clone(), world.clock.clone());
            writers.spawn(async move {
                for turn in 0_u64.. {
                    let number = turn * 10 + (place * 2 + side) as u64;
                    let ask = write("everywhere", &vantage, host, number);
                    drop(
                        exchange(net.as_ref(), clock.as_ref(), &ask, Some(Duration::from_millis(500))).await,
                    );
                    seconds(1).await;
                }
            });
        }
    }
    writers
}

/// A record of a run, for one side's ledger.
pub fn write(run: &str, vantage: &Vantage, side: &str, number: u64) -> Ask {
    let payload = format!("from {vantage}");
    let digest = drillmaster::journal::chain::sha256(payload.as_bytes());
    let record =
        json!({"run": run, "number": number, "payload": payload, "digest": digest, "synthetic": true});
    let request = Plain {
        method: "POST".to_owned(),
        url: format!("http://checkout.{side}.shop.example/ledger"),
        headers: BTreeMap::new(),
        body: Some(record.to_string()),
    };
    Ask::new(&request).unwrap()
}

/// No epoch is taken by two sides, and none begins before an older one took its last write; returns the epochs that took any.
pub fn assert_no_two_accepted(ledgers: &[LedgerTruth], what: &str) -> Vec<u64> {
    let mut spans: BTreeMap<(u64, String), (At, At)> = BTreeMap::new();
    for ledger in ledgers {
        for taken in &ledger.accepted {
            let span = spans.entry((taken.epoch, ledger.region.to_string())).or_insert((taken.at, taken.at));
            span.1 = taken.at;
        }
    }
    let epochs: Vec<_> = spans.iter().collect();
    for pair in epochs.windows(2) {
        let (((old, side), before), ((new, other), after)) = (pair[0], pair[1]);
        assert_ne!(old, new, "{what}: epoch {old} was taken by {side} and by {other}");
        assert!(
            before.1 < after.0,
            "{what}: epoch {old} took in {side} until {before:?}, epoch {new} in {other} from {after:?} on"
        );
    }
    spans.into_keys().map(|(epoch, _)| epoch).collect()
}

/// What people wrote in each region, as they wrote it: labels, annotations, spec and data, without what controllers make and note.
pub fn written(rehearsal: &Rehearsal) -> BTreeMap<String, Value> {
    const MADE: [&str; 5] = ["events", "leases", "endpointslices", "pods", "replicasets"];
    let mut found = BTreeMap::new();
    for (region, state) in rehearsal.sandbox.regions() {
        state.read(|store| {
            let by_people = store.all().filter(|(key, object)| {
                !MADE.contains(&key.plural()) && object["metadata"]["ownerReferences"].is_null()
            });
            for (key, object) in by_people {
                let mut annotations = object["metadata"]["annotations"].clone();
                if let Some(noted) = annotations.as_object_mut() {
                    noted.remove("deployment.kubernetes.io/revision");
                }
                let parts =
                    json!([object["metadata"]["labels"], annotations, object["spec"], object["data"]]);
                found.insert(format!("{region} {key}"), parts);
            }
        });
    }
    found
}

/// Which workloads have fewer replicas ready than they want.
pub fn unready(rehearsal: &Rehearsal) -> Vec<String> {
    let mut found = Vec::new();
    for (region, state) in rehearsal.sandbox.regions() {
        state.read(|store| {
            let workloads =
                store.all().filter(|(key, _)| ["deployments", "statefulsets"].contains(&key.plural()));
            let short = workloads.filter(|(_, object)| {
                object["status"]["readyReplicas"].as_u64().unwrap_or(0)
                    < object["spec"]["replicas"].as_u64().unwrap_or(1)
            });
            found.extend(short.map(|(key, _)| format!("{region} {key}")));
        });
    }
    found
}

/// What is meant to be in each region: every object without what servers, clocks and readiness write.
pub fn stores(rehearsal: &Rehearsal) -> BTreeMap<String, Value> {
    let mut stores = BTreeMap::new();
    for (region, state) in rehearsal.sandbox.regions() {
        state.read(|store| {
            let moves_by_itself = ["leases", "events", "endpointslices"];
            for (key, object) in store.all().filter(|(key, _)| !moves_by_itself.contains(&key.plural())) {
                let mut object = object.as_ref().clone();
                object.as_object_mut().unwrap().remove("status");
                for field in ["resourceVersion", "generation", "managedFields"] {
                    object["metadata"].as_object_mut().unwrap().remove(field);
                }
                stores.insert(format!("{region} {key}"), object);
            }
        });
    }
    stores
}

/// Whatever ended the run: the fault is gone, and the world is as before or what is left is told.
pub async fn assert_put_back(
    rehearsal: &Rehearsal,
    before: &BTreeMap<String, Value>,
    finished: &Finished,
    what: &str,
) {
    let now = stores(rehearsal);
    assert_eq!(now.keys().filter(|key| key.contains("networkpolicies")).count(), 0, "{what}");
    let (east, west) = (ledger_status(rehearsal, "east").await, ledger_status(rehearsal, "west").await);
    if east["role"] == "primary" {
        assert_eq!(west["role"], "replica", "{what}");
        assert!(now == *before, "{what}: not as before");
        assert_eq!(finished.outstanding, vec![], "{what}");
    } else {
        assert!(!finished.outstanding.is_empty(), "{what}: nothing is told");
    }
}

/// What a ledger says of itself, past every gate.
pub async fn ledger_status(rehearsal: &Rehearsal, region: &str) -> Value {
    by_hand(rehearsal, region, "ledger-0", "status").await
}

/// What a person at a database does by hand, past every gate, and what it says.
pub async fn by_hand(rehearsal: &Rehearsal, region: &str, pod: &str, verb: &str) -> Value {
    let (_, state) = rehearsal.sandbox.regions().find(|(name, _)| name.as_str() == region).unwrap();
    at_the_database(state, pod, verb).await
}

/// The same in one region.
pub async fn at_the_database(state: &RegionState, pod: &str, verb: &str) -> Value {
    let argv = ["drillmaster", "ledger", verb].map(str::to_owned);
    let pod = state.read(|store| {
        store.all().find(|(key, _)| key.plural() == "pods" && key.name() == pod).unwrap().1.clone()
    });
    let ran = state.containers().unwrap().exec(&pod, Some("ledger"), &argv).await.unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
}

type Answers = Box<dyn Fn(&Question) -> Option<(u64, Option<Decision>)> + Send + Sync>;

/// People who answer as a test wants: after so many seconds with a decision, or never.
pub struct Scripted(Answers);

impl Scripted {
    pub fn people(
        answers: impl Fn(&Question) -> Option<(u64, Option<Decision>)> + Send + Sync + 'static,
    ) -> Arc<dyn People> {
        Arc::new(Scripted(Box::new(answers)))
    }
}

impl People for Scripted {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        let answer = (self.0)(&question);
        Box::pin(async move {
            let Some((after, decision)) = answer else { return std::future::pending().await };
            seconds(after).await;
            Reply { who: "Sam".into(), simulated: true, decision, text: String::new() }
        })
    }

    fn notify<'a>(&'a self, _: &'a Name, _: &'a str) -> BoxFuture<'a, std::io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
