//! Routes, listeners and open connections between places.
//!
//! What a connection meets, as on real networks: a policy, a dark node or a cut place drops packets (nothing answers, ever); a
//! service without ready endpoints and a port without a process refuse; an address of one's own region that nobody has is
//! unreachable after a neighbour lookup's three seconds; an address that nobody routes at once. One process-wide lock guards the
//! state: the sandbox runs on one thread, and never waits while it holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, pending};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::index::{Index, Key, Stands};
use super::ingress::Backend;
use super::names::{Cache, Records, Sources};
use super::pipe::{Cable, End, pipe};
use super::policy::Direction;
use super::proxy::{HTTP, Turn};
use crate::model::lookup::{Answers, Query};
use crate::model::name::Name;
use crate::model::time::At;
use crate::sandbox::clock::Clock;
use crate::sandbox::spec::{Host, Link, Network as Range, OUTSIDE};
use crate::sandbox::truth::Recorder;
use crate::world::{NO_END, Net, Secured, Speaks, Stream};

/// How long a neighbour lookup takes to fail: three tries, a second each.
const NOBODY_THERE: Duration = Duration::from_secs(3);

/// Below so many connections, ended ones are not looked for.
const FEW: usize = 64;

/// A process that takes connections.
pub trait Listener: Send + Sync {
    /// Serves a connection from an address in a task of its own.
    fn accept(&self, stream: End, from: Ipv4Addr) -> AbortHandle;

    /// For the truth only: whether a GET would be answered well now; `asks` tells the same of a URL that it needs.
    fn serves(&self, asks: &dyn Fn(&str) -> bool) -> bool;
}

/// Somebody who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A region, or `outside`.
    pub place: Name,
    pub address: Ipv4Addr,
    /// The namespace and name of the pod that it is.
    pub pod: Option<Key>,
}

/// What of a URL an Ingress goes by.
#[derive(Clone, Copy)]
pub(in crate::sandbox) struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
}

/// The network of all places.
pub struct Network {
    pub(in crate::sandbox) clock: Clock,
    state: Mutex<State>,
}

/// What is known of the network now.
pub struct State {
    pub(super) regions: BTreeMap<Name, Index>,
    ranges: Vec<(Name, Range)>,
    hosts: BTreeMap<Ipv4Addr, Host>,
    links: BTreeMap<(Name, Name), Duration>,
    pub(super) listeners: BTreeMap<(Ipv4Addr, u16), Arc<dyn Listener>>,
    /// Nodes without power, by region.
    dark: BTreeSet<(Name, String)>,
    /// Addresses whose packets vanish, and how many reasons they have for it.
    vanished: BTreeMap<Ipv4Addr, u32>,
    routes: BTreeMap<(Ipv4Addr, Ipv4Addr, u16), Route>,
    /// By the address of a controller: whom it asks next.
    pub(super) turns: BTreeMap<Ipv4Addr, BTreeMap<Backend, Turn>>,
    open: Vec<Open>,
    /// How many open connections there were when ended ones were last removed.
    kept: usize,
    generation: u64,
    pub(super) random: fastrand::Rng,
    pub(super) sources: BTreeMap<Name, Sources>,
    /// When each region's ExternalDNS syncs next.
    pub(super) syncs: BTreeMap<Name, At>,
    pub(super) published: BTreeMap<Name, Records>,
    pub(in crate::sandbox) records: Records,
    pub(super) caches: BTreeMap<Name, Cache>,
    pub(in crate::sandbox) recorder: Option<Recorder>,
}

struct Open {
    from: Arc<Source>,
    hop: Hop,
    cable: Cable,
    server: AbortHandle,
}

/// What a connection meets on its way.
enum Route {
    /// These endpoints in turn.
    Endpoints {
        hops: Vec<Hop>,
        next: usize,
    },
    Dropped,
    /// After the way there and back.
    Refused(Duration),
    Nobody,
    Unrouted,
}

impl Route {
    fn next(&mut self) -> Way {
        match self {
            Route::Endpoints { hops, next } => {
                let hop = hops[*next % hops.len()];
                *next = (*next + 1) % hops.len();
                Way::To(hop)
            }
            Route::Dropped => Way::Dropped,
            Route::Refused(latency) => Way::Refused(*latency),
            Route::Nobody => Way::Nobody,
            Route::Unrouted => Way::Unrouted,
        }
    }
}

/// Where a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    to: SocketAddrV4,
    /// The address that the sender's own network sees: the endpoint's in its own region, else the service's.
    via: Ipv4Addr,
    latency: Duration,
    passes: bool,
}

impl Network {
    /// The network of some regions, their links, and the third parties outside.
    pub fn new(
        clock: Clock,
        ranges: Vec<(Name, Range)>,
        links: &[Link],
        hosts: &[Host],
        random: fastrand::Rng,
    ) -> Arc<Network> {
        let mut both = BTreeMap::new();
        for Link { between: [a, b], latency } in links {
            both.insert((a.clone(), b.clone()), latency.std());
            both.insert((b.clone(), a.clone()), latency.std());
        }
        let state = State {
            regions: ranges.iter().map(|(name, _)| (name.clone(), Index::default())).collect(),
            ranges,
            hosts: hosts.iter().map(|host| (host.address, host.clone())).collect(),
            links: both,
            listeners: BTreeMap::new(),
            dark: BTreeSet::new(),
            vanished: BTreeMap::new(),
            routes: BTreeMap::new(),
            turns: BTreeMap::new(),
            open: Vec::new(),
            kept: FEW,
            generation: 0,
            random,
            sources: BTreeMap::new(),
            syncs: BTreeMap::new(),
            published: BTreeMap::from([(OUTSIDE.into(), super::resolver::of_hosts(hosts))]),
            records: super::resolver::of_hosts(hosts),
            caches: BTreeMap::new(),
            recorder: None,
        };
        Arc::new(Network { clock, state: Mutex::new(state) })
    }

    /// Takes in an object of a region as it is now.
    pub fn apply(self: &Arc<Self>, region: &Name, kind: &str, object: &Value) {
        let mut state = self.lock();
        if state.regions.get_mut(region).is_some_and(|index| index.apply(kind, object)) {
            if kind == "Ingress" {
                self.stand_controllers(&mut state, region);
            }
            self.changed(&mut state);
        }
        self.sync_names(&mut state, region, |sources| sources.apply(kind, object));
    }

    /// Forgets an object of a region.
    pub fn delete(self: &Arc<Self>, region: &Name, kind: &str, key: &Key) {
        let mut state = self.lock();
        if state.regions.get_mut(region).is_some_and(|index| index.delete(kind, key)) {
            self.changed(&mut state);
        }
        self.sync_names(&mut state, region, |sources| sources.delete(kind, key));
    }

    /// A process takes connections at an address and a port.
    pub fn listen(&self, address: Ipv4Addr, port: u16, listener: Arc<dyn Listener>) {
        let mut state = self.lock();
        state.listeners.insert((address, port), listener);
        self.changed(&mut state);
    }

    /// The process at an address and a port is gone: its connections break.
    pub fn silence(&self, address: Ipv4Addr, port: u16) {
        let mut state = self.lock();
        state.listeners.remove(&(address, port));
        state.open.retain(|open| {
            let ends = open.hop.to == SocketAddrV4::new(address, port);
            if ends {
                open.server.abort();
            }
            !ends
        });
        self.changed(&mut state);
    }

    /// A node loses its power, or gets it back.
    pub fn darken(&self, region: &Name, node: &str, dark: bool) {
        let mut state = self.lock();
        let node = (region.clone(), node.to_owned());
        if dark {
            state.dark.insert(node)
        } else {
            state.dark.remove(&node)
        };
        self.changed(&mut state);
    }

    /// The packets from and to an address vanish, or no longer do; each `true` is taken back by one `false`.
    pub fn vanish(&self, address: Ipv4Addr, vanished: bool) {
        let mut state = self.lock();
        let reasons = state.vanished.entry(address).or_default();
        *reasons = if vanished { *reasons + 1 } else { reasons.saturating_sub(1) };
        self.changed(&mut state);
    }

    /// Something that a listener says of itself changed.
    pub fn touched(&self) {
        self.changed(&mut self.lock());
    }

    /// The network as a sender sees it.
    pub fn view(self: &Arc<Self>, source: Source) -> Arc<View> {
        Arc::new(View { network: Arc::clone(self), source: Arc::new(source) })
    }

    pub(in crate::sandbox) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Routes are worked out anew, and what they forbid is cut.
    pub(super) fn changed(&self, state: &mut State) {
        state.generation += 1;
        state.routes.clear();
        state.turns.clear();
        let mut open = std::mem::take(&mut state.open);
        open.retain(|open| {
            let stays = !open.cable.is_gone();
            if stays && !state.passes(&open.from, open.hop.to, open.hop.via) {
                open.cable.cut();
                return false;
            }
            stays
        });
        state.open = open;
        Recorder::record(state, &self.clock);
    }

    /// Sets out: without latency the connection is there at once, else this is its way, in that generation of routes.
    fn set_out(&self, from: &Arc<Source>, to: SocketAddrV4) -> Result<io::Result<End>, (Way, u64)> {
        let mut state = self.lock();
        match state.next_hop(from, to) {
            Way::To(hop) if hop.passes && hop.latency.is_zero() => Ok(state.open(from, hop)),
            way => Err((way, state.generation)),
        }
    }

    /// Opens a connection.
    pub(super) async fn reach(&self, from: &Arc<Source>, to: SocketAddrV4) -> io::Result<End> {
        match self.set_out(from, to) {
            Ok(end) => end,
            Err(way) => self.arrive(from, way).await,
        }
    }

    async fn arrive(&self, from: &Arc<Source>, (way, generation): (Way, u64)) -> io::Result<End> {
        match way {
            Way::To(hop) if hop.passes => {
                sleep(hop.latency * 2).await;
                let opened = self.open_if_it_passes(from, hop, generation);
                if let Some(opened) = opened { opened } else { pending().await }
            }
            Way::To(_) | Way::Dropped => pending().await,
            Way::Refused(latency) => {
                if !latency.is_zero() {
                    sleep(latency * 2).await;
                }
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Way::Nobody => {
                sleep(NOBODY_THERE).await;
                Err(io::ErrorKind::HostUnreachable.into())
            }
            Way::Unrouted => Err(io::ErrorKind::NetworkUnreachable.into()),
        }
    }

    /// `None` where packets no longer pass as they did in that generation of routes.
    fn open_if_it_passes(&self, from: &Arc<Source>, hop: Hop, generation: u64) -> Option<io::Result<End>> {
        let mut state = self.lock();
        let passes = state.generation == generation || state.passes(from, hop.to, hop.via);
        passes.then(|| state.open(from, hop))
    }
}

/// One connection's way.
enum Way {
    To(Hop),
    Dropped,
    Refused(Duration),
    Nobody,
    Unrouted,
}

impl State {
    /// Opens a connection to the process where it ends, if there is one.
    fn open(&mut self, from: &Arc<Source>, hop: Hop) -> io::Result<End> {
        let Some(listener) = self.listeners.get(&(*hop.to.ip(), hop.to.port())) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (near, far) = pipe(hop.latency);
        let (cable, server) = (near.cable(), listener.accept(far, from.address));
        self.opened(Open { from: Arc::clone(from), hop, cable, server });
        Ok(near)
    }

    /// How long a packet takes one way.
    pub(super) fn latency(&self, a: &Name, b: &Name) -> Duration {
        self.links.get(&(a.clone(), b.clone())).copied().unwrap_or_default()
    }

    /// Whether an address has lost its network.
    pub(super) fn is_cut_off(&self, source: &Source) -> bool {
        let dark = || {
            let pod = self.regions.get(&source.place)?.pod(source.pod.as_ref()?)?;
            Some(self.dark.contains(&(source.place.clone(), pod.node.clone())))
        };
        self.vanishes(source.address) || dark().unwrap_or(false)
    }

    fn vanishes(&self, address: Ipv4Addr) -> bool {
        self.vanished.get(&address).is_some_and(|reasons| *reasons > 0)
    }

    fn place_of(&self, address: Ipv4Addr) -> Option<&Name> {
        self.ranges.iter().find(|(_, range)| range.holds(address.into())).map(|(name, _)| name)
    }

    fn opened(&mut self, open: Open) {
        if self.open.len() >= self.kept * 2 {
            self.open.retain(|open| !open.cable.is_gone());
            self.kept = self.open.len().max(FEW);
        }
        self.open.push(open);
    }

    fn next_hop(&mut self, from: &Source, to: SocketAddrV4) -> Way {
        let key = (from.address, *to.ip(), to.port());
        if let Some(route) = self.routes.get_mut(&key) {
            return route.next();
        }
        let mut route = self.route(from, to);
        let way = route.next();
        self.routes.insert(key, route);
        way
    }

    fn route(&mut self, from: &Source, to: SocketAddrV4) -> Route {
        if self.is_cut_off(from) || self.vanishes(*to.ip()) {
            return Route::Dropped;
        }
        if self.hosts.contains_key(to.ip()) {
            let latency = self.latency(&from.place, &OUTSIDE.into());
            let passes = self.passes(from, to, *to.ip());
            return Route::Endpoints { hops: vec![Hop { to, via: *to.ip(), latency, passes }], next: 0 };
        }
        let Some(place) = self.place_of(*to.ip()).cloned() else { return Route::Unrouted };
        let inside = from.place == place;
        let latency = self.latency(&from.place, &place);
        let targets = match self.regions.get(&place).map(|index| index.stands(*to.ip(), to.port(), inside)) {
            Some(Stands::Service(endpoints)) if endpoints.is_empty() => return Route::Refused(latency),
            Some(Stands::Service(endpoints)) => endpoints,
            Some(Stands::Pod(pod)) => vec![(pod.address, to.port())],
            Some(Stands::Controller) if to.port() != HTTP => return Route::Refused(latency),
            Some(Stands::Controller) => vec![(*to.ip(), HTTP)],
            Some(Stands::Nothing) | None => return if inside { Route::Nobody } else { Route::Dropped },
        };
        let hops: Vec<Hop> = targets
            .into_iter()
            .map(|(address, port)| {
                let (target, via) =
                    (SocketAddrV4::new(address, port), if inside { address } else { *to.ip() });
                Hop { to: target, via, latency, passes: self.passes(from, target, via) }
            })
            .collect();
        let next = self.random.usize(..hops.len());
        Route::Endpoints { hops, next }
    }

    /// Whether packets pass from a sender to an endpoint: power, policies of both ends, and nothing cut off.
    fn passes(&self, from: &Source, to: SocketAddrV4, via: Ipv4Addr) -> bool {
        if self.is_cut_off(from) || self.vanishes(*to.ip()) || self.vanishes(via) {
            return false;
        }
        if from.address == *to.ip() {
            return true;
        }
        let place = self.place_of(*to.ip());
        let inside = place == Some(&from.place);
        let sender =
            from.pod.as_ref().map(|key| self.regions.get(&from.place).and_then(|index| index.pod(key)));
        let receiver = place.and_then(|place| Some((self.regions.get(place)?, place)));
        let target = receiver.and_then(|(index, _)| index.pod_at(*to.ip()));
        if let Some(sender) = sender {
            let (Some(sender), Some(index)) = (sender, self.regions.get(&from.place)) else { return false };
            if !index.admits(Direction::Egress, sender, via, target.filter(|_| inside), to.port()) {
                return false;
            }
        }
        let Some((index, place)) = receiver else { return self.hosts.contains_key(to.ip()) };
        let Some(target) = target else { return index.router(*to.ip()).is_some() };
        let known = sender.flatten().filter(|_| inside);
        !self.dark.contains(&(place.clone(), target.node.clone()))
            && index.admits(Direction::Ingress, target, from.address, known, to.port())
    }

    /// For the truth: whether a GET from here to there would be answered well, by every endpoint that may be asked.
    pub(in crate::sandbox) fn would_serve(
        &self,
        from: &Source,
        to: SocketAddrV4,
        asked: Asked,
        depth: u32,
        now: At,
    ) -> bool {
        if depth == 0 || self.is_cut_off(from) || self.vanishes(*to.ip()) {
            return false;
        }
        let place = self.place_of(*to.ip());
        let inside = place == Some(&from.place);
        let stands =
            place.and_then(|place| Some(self.regions.get(place)?.stands(*to.ip(), to.port(), inside)));
        let targets = match stands {
            Some(Stands::Service(endpoints)) => endpoints,
            Some(Stands::Pod(pod)) => vec![(pod.address, to.port())],
            Some(Stands::Controller) if to.port() == HTTP => {
                let place = place.unwrap_or(&from.place).clone();
                let controller = Source { place, address: *to.ip(), pod: None };
                return self.passes(from, to, *to.ip())
                    && self.would_route(&controller, asked, depth - 1, now);
            }
            Some(Stands::Controller | Stands::Nothing) => Vec::new(),
            None => vec![(*to.ip(), to.port())],
        };
        let served = |(address, port): &(Ipv4Addr, u16)| {
            let target = SocketAddrV4::new(*address, *port);
            let via = if inside { *address } else { *to.ip() };
            self.passes(from, target, via)
                && self.listeners.get(&(*address, *port)).is_some_and(|listener| {
                    let source = self.source_at(*address);
                    listener.serves(&|url| {
                        source
                            .as_ref()
                            .is_some_and(|source| self.would_serve_url(source, url, depth - 1, now))
                    })
                })
        };
        !targets.is_empty() && targets.iter().all(served)
    }

    /// For the truth: the same of a URL.
    fn would_serve_url(&self, from: &Source, url: &str, depth: u32, now: At) -> bool {
        let Ok(uri) = url.parse::<http::Uri>() else { return false };
        let host = uri.host().unwrap_or_default();
        let address = self.would_resolve(from, host, now);
        let asked = Asked { host, path: uri.path() };
        let port = uri.port_u16().unwrap_or(80);
        match address.as_ref().and_then(|addresses| addresses.first()) {
            Some(IpAddr::V4(address)) => {
                self.would_serve(from, SocketAddrV4::new(*address, port), asked, depth, now)
            }
            Some(IpAddr::V6(_)) | None => false,
        }
    }

    /// The pod at an address as a sender.
    fn source_at(&self, address: Ipv4Addr) -> Option<Source> {
        let place = self.place_of(address)?;
        let pod = self.regions.get(place)?.pod_at(address)?;
        Some(Source { place: place.clone(), address, pod: Some((pod.namespace.clone(), pod.name.clone())) })
    }

    /// Every address and port that is seen from everywhere, and whether a controller stands there, for which the host matters.
    pub(in crate::sandbox) fn public(&self) -> BTreeMap<SocketAddrV4, bool> {
        let services = self.regions.values().flat_map(Index::public);
        let others = services.chain(self.hosts.keys().map(|address| (*address, HTTP)));
        let controllers = self.regions.values().flat_map(Index::controllers).map(|address| (address, HTTP));
        let at = |(address, port)| SocketAddrV4::new(address, port);
        controllers.map(|to| (at(to), true)).chain(others.map(|to| (at(to), false))).collect()
    }
}

/// The network as one sender sees it.
pub struct View {
    pub(super) network: Arc<Network>,
    pub(super) source: Arc<Source>,
}

impl Net for View {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        match self.network.remembered(&self.source, host) {
            Some(addresses) => Box::pin(ready(Ok(addresses))),
            None => Box::pin(self.network.ask(&self.source, host)),
        }
    }

    fn resolve_authoritative<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.network.ask_authority(&self.source, host))
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, io::Result<Answers>> {
        Box::pin(self.network.look_up(&self.source, query))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        let boxed = |end: io::Result<End>| end.map(|end| Box::new(end) as Stream);
        let SocketAddr::V4(to) = to else {
            return Box::pin(ready(Err(io::ErrorKind::NetworkUnreachable.into())));
        };
        match self.network.set_out(&self.source, to) {
            Ok(end) => Box::pin(ready(boxed(end))),
            Err(way) => Box::pin(async move { boxed(self.network.arrive(&self.source, way).await) }),
        }
    }

    /// Nobody listens in on a simulated network, and its hosts are who they say: TLS takes no time, always succeeds, and its
    /// certificates never end.
    fn secure<'a>(&'a self, stream: Stream, _: &'a str, _: Speaks) -> BoxFuture<'a, io::Result<Secured>> {
        Box::pin(ready(Ok(Secured { stream, ends: NO_END })))
    }
}
