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
use super::{HttpStandIn, Storages};
use crate::ledger::{Config, Service, control};
use crate::model::effect::Resource;
use crate::model::name::{Name, Region};
use crate::sandbox::clock::Clock;
use crate::sandbox::control::Processes;
use crate::sandbox::net::{Listener, Network, Source};
use crate::sandbox::state::{Containers, Ran};
use crate::sandbox::store::Key;

/// What a process that was killed shows: 128 and SIGKILL.
const KILLED: i32 = 137;

/// The longest log that is kept of a container.
const LOG: usize = 64 * 1024;

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
    /// Carries the keys of pods and nodes whose health changed to the controllers.
    wakes: UnboundedSender<Key>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<Container, Process>,
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
    log: Vec<u8>,
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
        wakes: UnboundedSender<Key>,
    ) -> Arc<Pods> {
        Arc::new(Pods { region, clock, network, storages, machines, wakes, state: Mutex::default() })
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
            log: format!("{} started\n", text(start.container, "/image")).into_bytes(),
        };
        let ports = container_ports(start.container);
        if text(start.container, "/image").contains("drillmaster") {
            self.start_ledger(start, source, &mut process);
        } else if !ports.is_empty() {
            let service = HttpStandIn::new(self.region.as_str(), &start.env, self.network.view(source));
            process.runs = Runs::Http(Arc::new(service));
            process.ports = ports;
        }
        self.listen(&process);
        let pod = process.pod.clone();
        self.lock().processes.insert((uid, name), process);
        self.wake(pod);
    }

    fn start_ledger(&self, start: &Start<'_>, source: Source, process: &mut Process) {
        let made = Config::from_env(&start.env).map_err(|bad| bad.to_string()).and_then(|config| {
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
            }
            Err(why) => {
                process.log.extend_from_slice(format!("{why}\n").as_bytes());
                process.exited = Some(1);
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
        let (gone, stay) =
            std::mem::take(&mut state.processes).into_iter().partition(|((of, _), _)| of == uid);
        state.processes = stay;
        drop(state);
        let gone: BTreeMap<Container, Process> = gone;
        gone.values().for_each(|process| self.end(process));
    }

    fn end(&self, process: &Process) {
        process.tasks.iter().for_each(AbortHandle::abort);
        if process.exited.is_none() {
            process.ports.iter().for_each(|port| self.network.silence(process.address, *port));
        }
    }

    /// The pod is told to stop: its processes do.
    pub(super) fn terminate(&self, pod: &Value) {
        let uid = text(pod, "/metadata/uid").to_owned();
        self.exit(0, |(of, _), _| *of == uid);
    }

    /// The processes of pods die at once; how many pods.
    pub fn crash(&self, meant: impl Fn(&Key) -> bool) -> usize {
        self.exit(KILLED, |_, process| meant(&process.pod))
    }

    /// A node loses its power, and all that runs on it, or gets power back.
    pub fn power(&self, node: &str, on: bool) {
        if on {
            self.lock().dark.remove(node);
        } else {
            self.lock().dark.insert(node.to_owned());
            self.exit(KILLED, |_, process| process.node == node);
        }
        self.network.darken(&self.region(), node, !on);
        self.wake(Key::new(&Resource::nodes(), None, node));
    }

    /// Ends processes by themselves; how many pods it concerns.
    fn exit(&self, code: i32, which: impl Fn(&Container, &Process) -> bool) -> usize {
        let mut ended = BTreeSet::new();
        let mut ports = Vec::new();
        for (container, process) in &mut self.lock().processes {
            if process.exited.is_none() && which(container, process) {
                process.exited = Some(code);
                process.log.extend_from_slice(format!("exited with {code}\n").as_bytes());
                process.tasks.iter().for_each(AbortHandle::abort);
                ports.extend(process.ports.iter().map(|port| (process.address, *port)));
                ended.insert(process.pod.clone());
            }
        }
        ports.into_iter().for_each(|(address, port)| self.network.silence(address, port));
        let count = ended.len();
        ended.into_iter().for_each(|pod| self.wake(pod));
        count
    }

    /// The ledger of a container that runs, as a command finds it.
    fn ledger(&self, pod: &Value, container: Option<&str>) -> io::Result<Arc<Service>> {
        let uid = text(pod, "/metadata/uid");
        let state = self.lock();
        if state.dark.contains(text(pod, "/spec/nodeName")) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the pod's node does not answer"));
        }
        let mut mine = state
            .processes
            .iter()
            .filter(|((of, name), _)| of == uid && container.is_none_or(|wanted| wanted == name));
        match mine.next() {
            Some((_, Process { exited: None, runs: Runs::Ledger(service), .. })) => Ok(Arc::clone(service)),
            Some((_, Process { exited: None, runs: Runs::Http(_) | Runs::Nothing, .. })) => {
                Err(io::Error::new(io::ErrorKind::NotFound, "executable file not found in $PATH"))
            }
            Some((_, Process { exited: Some(_), .. })) | None => {
                Err(io::Error::new(io::ErrorKind::NotFound, "container not running"))
            }
        }
    }
}

/// The TCP ports that a container states.
fn container_ports(container: &Value) -> Vec<u16> {
    let ports = container["ports"].as_array().into_iter().flatten();
    ports
        .filter_map(|port| port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok()))
        .collect()
}

impl Processes for Pods {
    fn answers(&self, pod: &Value, container: &str, probe: &Value) -> bool {
        let state = self.lock();
        let found = state.processes.get(&(text(pod, "/metadata/uid").to_owned(), container.to_owned()));
        let Some(process) = found.filter(|process| process.exited.is_none()) else { return false };
        let port = probe.pointer("/httpGet/port").or(probe.pointer("/tcpSocket/port"));
        let listens = port
            .and_then(Value::as_u64)
            .is_none_or(|port| u16::try_from(port).is_ok_and(|port| process.ports.contains(&port)));
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
            let service = self.ledger(pod, container)?;
            if argv.first().is_none_or(|program| program != "drillmaster") {
                return Err(io::Error::new(io::ErrorKind::NotFound, "executable file not found in $PATH"));
            }
            let ran = control(&service, argv).await;
            Ok(Ran { stdout: format!("{}\n", ran.stdout).into_bytes(), stderr: Vec::new(), code: ran.code })
        })
    }

    fn logs<'a>(&'a self, pod: &'a Value, container: Option<&'a str>) -> BoxFuture<'a, io::Result<Vec<u8>>> {
        let uid = text(pod, "/metadata/uid");
        let state = self.lock();
        let mut mine = state.processes.iter();
        let found = mine.find(|((of, name), _)| of == uid && container.is_none_or(|wanted| wanted == name));
        let log = found.map(|(_, process)| process.log.iter().take(LOG).copied().collect());
        Box::pin(std::future::ready(log.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}
