//! The processes of one region's pods, as its kubelets, its API server and its network ask for them.
//!
//! A process is one incarnation of a container: it starts when the container's status shows that it runs, and ends by itself at
//! SIGTERM (the pod's deletion), at a crash, with its node, or with settings that make no sense. Answers come from memory, since the
//! store is locked while a kubelet asks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::ledger::LedgerListener;
use super::log::Log;
use super::{HttpStandIn, Storages, choice};
use crate::ledger::{Config, Service, control};
use crate::model::effect::Resource;
use crate::model::name::{Name, Region};
use crate::sandbox::clock::Clock;
use crate::sandbox::control::Processes;
use crate::sandbox::control::kubelet::container::drawn;
use crate::sandbox::net::{Listener, Network, Source};
use crate::sandbox::spec::{StandIn, StandInRule};
use crate::sandbox::state::{Containers, Printed, Ran};
use crate::sandbox::store::Key;

/// What a process that was killed shows: 128 and SIGKILL.
const KILLED: i32 = 137;

/// A container by its pod's uid and its name.
type Container = (String, String);

/// The processes of one region.
pub struct Pods {
    region: Region,
    clock: Clock,
    network: Arc<Network>,
    storages: Storages,
    /// The nodes that have a machine; others exist in the API only.
    machines: BTreeSet<String>,
    /// What stands in for which images.
    rules: Vec<StandInRule>,
    /// Carries the keys of pods and nodes whose health changed to the controllers.
    wakes: UnboundedSender<Key>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<Container, Process>,
    logs: BTreeMap<Container, Log>,
    /// Nodes without power.
    dark: BTreeSet<String>,
}

/// One incarnation.
struct Process {
    pod: Key,
    address: Ipv4Addr,
    node: String,
    incarnation: u64,
    exited: Option<i32>,
    runs: Runs,
    ports: Vec<u16>,
    tasks: Vec<AbortHandle>,
}

enum Runs {
    Ledger(Arc<Service>),
    Http(Arc<HttpStandIn>),
    /// It only exists.
    Nothing,
}

/// What a container starts with.
pub struct Start<'a> {
    pub pod: &'a Value,
    pub container: &'a Value,
    pub incarnation: u64,
    /// As a kubelet resolves it when the container starts.
    pub env: BTreeMap<String, String>,
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn key(pod: &Value) -> Key {
    Key::of(&Resource::pods(), pod)
}

impl Pods {
    /// No processes yet.
    pub fn new(
        region: Region,
        clock: Clock,
        network: Arc<Network>,
        storages: Storages,
        machines: BTreeSet<String>,
        rules: Vec<StandInRule>,
        wakes: UnboundedSender<Key>,
    ) -> Arc<Pods> {
        Arc::new(Pods { region, clock, network, storages, machines, rules, wakes, state: Mutex::default() })
    }

    pub(super) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    pub(super) fn region(&self) -> Name {
        self.region.as_str().into()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, key: Key) {
        // Without controllers nobody is to be woken.
        let _ = self.wakes.send(key);
    }

    /// Whether this incarnation of a container is known already.
    pub(super) fn knows(&self, uid: &str, container: &str, incarnation: u64) -> bool {
        let state = self.lock();
        let found = state.processes.get(&(uid.to_owned(), container.to_owned()));
        found.is_some_and(|process| process.incarnation == incarnation)
    }

    /// Starts a process, in place of the one that the container had before.
    pub(super) fn start(&self, start: &Start<'_>) {
        let Ok(address) = text(start.pod, "/status/podIP").parse() else { return };
        let name = text(start.container, "/name").to_owned();
        let uid = text(start.pod, "/metadata/uid").to_owned();
        self.stop(&uid, &name);
        let source = Source {
            place: self.region(),
            address,
            pod: Some((
                text(start.pod, "/metadata/namespace").to_owned(),
                text(start.pod, "/metadata/name").to_owned(),
            )),
        };
        let mut process = Process {
            pod: key(start.pod),
            address,
            node: text(start.pod, "/spec/nodeName").to_owned(),
            incarnation: start.incarnation,
            exited: None,
            runs: Runs::Nothing,
            ports: Vec::new(),
            tasks: Vec::new(),
        };
        let mut printed = vec![format!("{} started", text(start.container, "/image"))];
        match choice::choose(start.pod, start.container, &self.rules) {
            StandIn::Ledger => printed.extend(self.start_ledger(start, source, &mut process).err()),
            StandIn::Http => {
                let service = HttpStandIn::new(self.region.as_str(), &start.env, self.network.view(source));
                process.runs = Runs::Http(Arc::new(service));
                process.ports = choice::ports(start.container);
            }
            StandIn::Completes => process.exited = Some(0),
            StandIn::Idle => {}
        }
        self.listen(&process);
        let pod = process.pod.clone();
        let mut state = self.lock();
        let log = state.logs.entry((uid.clone(), name.clone())).or_default();
        log.begin();
        printed.into_iter().for_each(|line| log.print(self.clock.now(), line));
        if process.exited.is_some() {
            log.end();
        }
        state.processes.insert((uid, name), process);
        drop(state);
        self.wake(pod);
    }

    /// Starts the ledger; says what is wrong where it ends at once.
    fn start_ledger(&self, start: &Start<'_>, source: Source, process: &mut Process) -> Result<(), String> {
        // In place of another program it listens where that does.
        let mut env = start.env.clone();
        if let Some(port) = choice::ports(start.container).first() {
            env.entry("LEDGER_PORT".into()).or_insert_with(|| port.to_string());
        }
        let made = Config::from_env(&env).map_err(|bad| bad.to_string()).and_then(|config| {
            let port = config.port;
            let told = |path: &str| start.pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
            let (pod, namespace) = (told("/metadata/name"), told("/metadata/namespace"));
            let config = Config { pod, namespace, ..config };
            let storage = self.storages.of(&self.region, start.pod, config.role, self.clock);
            let net = self.network.view(source);
            let service = Service::new(config, Box::new(storage), net, Arc::new(self.clock));
            service.map(|service| (service, port)).map_err(|error| error.to_string())
        });
        match made {
            Ok((service, port)) => {
                let replicating = Arc::clone(&service);
                let replicate = async move { replicating.replicate().await };
                process.tasks.push(tokio::spawn(replicate).abort_handle());
                let (watched, network) = (Arc::clone(&service), Arc::clone(&self.network));
                let (wakes, pod) = (self.wakes.clone(), process.pod.clone());
                let watch = async move {
                    loop {
                        watched.until_readable(!watched.is_readable()).await;
                        network.touched();
                        if wakes.send(pod.clone()).is_err() {
                            return;
                        }
                    }
                };
                process.tasks.push(tokio::spawn(watch).abort_handle());
                process.runs = Runs::Ledger(service);
                process.ports = vec![port];
                Ok(())
            }
            Err(why) => {
                process.exited = Some(1);
                Err(why)
            }
        }
    }

    fn listen(&self, process: &Process) {
        let listener: Arc<dyn Listener> = match &process.runs {
            Runs::Ledger(service) => Arc::new(LedgerListener(Arc::clone(service))),
            Runs::Http(service) => Arc::clone(service) as Arc<dyn Listener>,
            Runs::Nothing => return,
        };
        for port in &process.ports {
            self.network.listen(process.address, *port, Arc::clone(&listener));
        }
    }

    /// Forgets a container's process; it ends if it still runs.
    pub(super) fn stop(&self, uid: &str, container: &str) {
        let stopped = self.lock().processes.remove(&(uid.to_owned(), container.to_owned()));
        if let Some(process) = stopped {
            self.end(&process);
        }
    }

    /// Forgets all processes of a pod.
    pub(super) fn remove(&self, pod: &Value) {
        let uid = text(pod, "/metadata/uid");
        let mut state = self.lock();
        for container in of_pod(&state.logs, uid) {
            state.logs.remove(&container);
        }
        let gone: Vec<Process> =
            of_pod(&state.processes, uid).iter().filter_map(|each| state.processes.remove(each)).collect();
        drop(state);
        gone.iter().for_each(|process| self.end(process));
    }

    fn end(&self, process: &Process) {
        process.tasks.iter().for_each(AbortHandle::abort);
        if process.exited.is_none() {
            process.ports.iter().for_each(|port| self.network.silence(process.address, *port));
        }
    }

    /// The pod is told to stop: its processes do.
    pub(super) fn terminate(&self, pod: &Value) {
        let state = self.lock();
        let which = of_pod(&state.processes, text(pod, "/metadata/uid"));
        self.exit(state, 0, which);
    }

    /// The processes of pods die at once; how many pods.
    pub fn crash(&self, meant: impl Fn(&Key) -> bool) -> usize {
        self.kill(|process| meant(&process.pod))
    }

    /// A node loses its power, and all that runs on it, or gets power back.
    pub fn power(&self, node: &str, on: bool) {
        if on {
            self.lock().dark.remove(node);
        } else {
            self.lock().dark.insert(node.to_owned());
            self.kill(|process| process.node == node);
        }
        self.network.darken(&self.region(), node, !on);
        self.wake(Key::new(&Resource::nodes(), None, node));
    }

    fn kill(&self, which: impl Fn(&Process) -> bool) -> usize {
        let state = self.lock();
        let meant = state.processes.iter().filter(|(_, process)| which(process));
        let meant = meant.map(|(container, _)| container.clone()).collect();
        self.exit(state, KILLED, meant)
    }

    /// Ends processes by themselves; how many pods it concerns.
    fn exit(&self, mut state: MutexGuard<'_, State>, code: i32, which: Vec<Container>) -> usize {
        let mut ended = BTreeSet::new();
        let mut ports = Vec::new();
        let State { processes, logs, .. } = &mut *state;
        for container in which {
            if let Some(process) = processes.get_mut(&container).filter(|process| process.exited.is_none()) {
                process.exited = Some(code);
                let log = logs.entry(container).or_default();
                log.print(self.clock.now(), format!("exited with {code}"));
                log.end();
                process.tasks.iter().for_each(AbortHandle::abort);
                ports.extend(process.ports.iter().map(|port| (process.address, *port)));
                ended.insert(process.pod.clone());
            }
        }
        drop(state);
        ports.into_iter().for_each(|(address, port)| self.network.silence(address, port));
        let count = ended.len();
        ended.into_iter().for_each(|pod| self.wake(pod));
        count
    }

    /// The ledger of a container that runs, as a program finds it.
    fn ledger(&self, pod: &Value, container: Option<&str>, program: &str) -> io::Result<Arc<Service>> {
        let uid = text(pod, "/metadata/uid");
        let state = self.lock();
        if state.dark.contains(text(pod, "/spec/nodeName")) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the pod's node does not answer"));
        }
        let mine = of_pod(&state.processes, uid);
        let meant = mine.iter().find(|(_, name)| container.is_none_or(|wanted| wanted == name));
        match meant.and_then(|meant| state.processes.get(meant)) {
            Some(Process { exited: None, runs: Runs::Ledger(service), .. }) => Ok(Arc::clone(service)),
            Some(Process { exited: None, runs: Runs::Http(_) | Runs::Nothing, .. }) => {
                Err(missing(uid, program))
            }
            Some(Process { exited: Some(_), .. }) | None => {
                Err(io::Error::new(io::ErrorKind::NotFound, "container not running"))
            }
        }
    }
}

/// The containers of a pod.
fn of_pod<T>(all: &BTreeMap<Container, T>, uid: &str) -> Vec<Container> {
    let from = all.range((uid.to_owned(), String::new())..).map(|(container, _)| container);
    from.take_while(|(of, _)| of == uid).cloned().collect()
}

/// What a runtime says of a program that a container does not have.
fn missing(uid: &str, program: &str) -> io::Error {
    let id = drawn(&format!("{uid} {program}"));
    io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "failed to exec in container: failed to start exec \"{id}\": OCI runtime exec failed: exec failed: unable to \
             start container process: exec: \"{program}\": executable file not found in $PATH: unknown"
        ),
    )
}

impl Processes for Pods {
    fn answers(&self, pod: &Value, container: &str, probe: &Value) -> bool {
        let state = self.lock();
        let found = state.processes.get(&(text(pod, "/metadata/uid").to_owned(), container.to_owned()));
        let Some(process) = found.filter(|process| process.exited.is_none()) else { return false };
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        let spec = containers.into_iter().flatten().find(|each| each["name"] == container);
        let listens = spec
            .and_then(|spec| choice::probed(spec, probe))
            .is_none_or(|port| port.is_some_and(|port| process.ports.contains(&port)));
        let well = match &process.runs {
            Runs::Ledger(service) => service.is_readable(),
            Runs::Http(service) => service.is_ready(),
            Runs::Nothing => true,
        };
        listens && (well || probe.get("httpGet").is_none())
    }

    fn exited(&self, pod_uid: &str, container: &str) -> Option<i32> {
        self.lock().processes.get(&(pod_uid.to_owned(), container.to_owned()))?.exited
    }

    fn heartbeat(&self, node: &str) -> bool {
        self.machines.contains(node) && !self.lock().dark.contains(node)
    }
}

impl Containers for Pods {
    fn exec<'a>(
        &'a self,
        pod: &'a Value,
        container: Option<&'a str>,
        argv: &'a [String],
    ) -> BoxFuture<'a, io::Result<Ran>> {
        Box::pin(async move {
            let program = argv.first().map(String::as_str).unwrap_or_default();
            let service = self.ledger(pod, container, program)?;
            if program != "drillmaster" {
                return Err(missing(text(pod, "/metadata/uid"), program));
            }
            let ran = control(&service, argv).await;
            Ok(Ran { stdout: format!("{}\n", ran.stdout).into_bytes(), stderr: Vec::new(), code: ran.code })
        })
    }

    fn logs(&self, pod: &Value, container: &str, previous: bool, follow: bool) -> io::Result<Printed> {
        let mut state = self.lock();
        let log = state.logs.get_mut(&(text(pod, "/metadata/uid").to_owned(), container.to_owned()));
        let printed = log.and_then(|log| match (previous, follow) {
            (true, _) => log.previous(),
            (false, true) => Some(log.follow()),
            (false, false) => Some(log.read()),
        });
        printed.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nothing is known of the container"))
    }
}
