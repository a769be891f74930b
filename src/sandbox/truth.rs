//! The truth about a simulated world, for tests only: when service really was there, and what the ledger's nodes really took.
//!
//! Made from the network's routes, the resolvers' caches and the nodes' storages; it imports nothing that measures, so that a test
//! can hold what was measured against it. Recorded at changes, and only where a test asked for it before them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;

use super::clock::Clock;
use super::net::names::{Answer, Records, lookup};
use super::net::network::{Asked, State};
use super::net::{Network, Source};
use super::stand_in::{Dated, Storages};
use crate::ledger::{Change, Entry, Logged, Node, Role};
use crate::model::name::{Name, Region, Vantage};
use crate::model::time::At;

/// The port that [`Truth::served`] speaks of.
const HTTP: u16 = 80;

/// How many services deep a request is followed.
const DEEPEST: u32 = 8;

/// What is written down while the world goes on.
pub struct Recorder {
    vantages: BTreeMap<Vantage, Source>,
    /// From when on who would have been served where, or not.
    ways: BTreeMap<Way, Vec<(At, bool)>>,
    /// Every name that the authority ever answered.
    names: BTreeSet<String>,
    /// By place and name: the answers that its resolver remembered.
    answers: BTreeMap<(Name, String), Vec<Remembered>>,
    /// What the authority answered, from when on.
    authority: Vec<(At, Records)>,
}

/// Who asks which address; for which host, where that decides who answers, else the empty one.
type Way = (Vantage, SocketAddrV4, String);

struct Remembered {
    at: At,
    expires: At,
    addresses: Vec<IpAddr>,
}

impl Recorder {
    /// Notes which addresses serve whom now.
    pub(super) fn record(state: &mut State, clock: &Clock) {
        let Some(mut recorder) = state.recorder.take() else { return };
        let (now, public) = (clock.now(), state.public());
        let any = BTreeSet::from([String::new()]);
        for (vantage, source) in &recorder.vantages {
            for (to, routed) in &public {
                for host in if *routed { &recorder.names } else { &any } {
                    let serves = state.would_serve(source, *to, Asked { host, path: "/" }, DEEPEST, now);
                    let way = recorder.ways.entry((vantage.clone(), *to, host.clone())).or_default();
                    note(way, now, serves);
                }
            }
        }
        for ((_, to, host), way) in &mut recorder.ways {
            let stands = public.get(to) == Some(&!host.is_empty());
            if way.last().is_some_and(|(_, serves)| *serves) && !stands {
                note(way, now, false);
            }
        }
        state.recorder = Some(recorder);
    }

    /// Notes what the authority answers from now on.
    pub(super) fn published(state: &mut State, now: At) {
        let records = state.records.clone();
        if let Some(recorder) = &mut state.recorder {
            recorder.names.extend(records.keys().cloned());
            recorder.authority.push((now, records));
        }
    }

    /// Notes what a resolver remembers from now on.
    pub(super) fn cached(state: &mut State, place: &Name, name: &str, answer: &Answer, now: At) {
        if let Some(recorder) = &mut state.recorder {
            let addresses = answer.addresses.clone();
            let key = (place.clone(), name.to_owned());
            let fill = Remembered { at: now, expires: now.plus(answer.ttl), addresses };
            recorder.answers.entry(key).or_default().push(fill);
        }
    }

    /// The address that a place would ask at an instant.
    fn address(&self, place: &Name, host: &str, at: At) -> Option<IpAddr> {
        let fills = self.answers.get(&(place.clone(), host.to_owned()));
        let remembered = fills.into_iter().flatten().rev().find(|fill| fill.at <= at && at < fill.expires);
        match remembered {
            Some(fill) => fill.addresses.first().copied(),
            None => {
                let records =
                    self.authority.iter().rev().find(|(from, _)| *from <= at).map(|(_, records)| records);
                lookup(records?, host)?.addresses.first().copied()
            }
        }
    }
}

/// Adds a change to what is piecewise constant; the last word of an instant counts.
fn note(way: &mut Vec<(At, bool)>, at: At, value: bool) {
    if way.last().is_some_and(|(last, _)| *last == at) {
        way.pop();
    }
    if way.last().is_none_or(|(_, last)| *last != value) {
        way.push((at, value));
    }
}

fn value(way: &[(At, bool)], at: At) -> bool {
    way.iter().rev().find(|(from, _)| *from <= at).is_some_and(|(_, value)| *value)
}

/// The truth from the instant on at which a test asked for it.
pub struct Truth {
    network: Arc<Network>,
    storages: Storages,
}

/// A record that a ledger node took or holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    pub at: At,
    pub run: String,
    pub number: u64,
    /// As the node that took it wrote it down.
    pub epoch: u64,
}

/// What one ledger node really did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerTruth {
    pub region: Region,
    pub namespace: String,
    /// Its claim, or its pod.
    pub name: String,
    /// Every record that it took from a client, ever, in order, whatever role it had.
    pub accepted: Vec<Taken>,
    /// The records that it holds now, in the order of its store, each with the instant at which this node got it.
    pub present: Vec<Taken>,
}

impl Truth {
    pub(super) fn begin(
        network: &Arc<Network>,
        storages: &Storages,
        vantages: BTreeMap<Vantage, Source>,
    ) -> Truth {
        let mut state = network.lock();
        let authority = vec![(At(i64::MIN), state.records.clone())];
        let names = state.records.keys().cloned().collect();
        let (ways, answers) = (BTreeMap::new(), BTreeMap::new());
        let recorder = Recorder { vantages, ways, names, answers, authority };
        state.recorder = Some(recorder);
        Recorder::record(&mut state, &network.clock);
        drop(state);
        Truth { network: Arc::clone(network), storages: storages.clone() }
    }

    /// What each ledger node took and holds, from the storages alone: a record came from a client where no store held the same entry
    /// at the same place of its log before. So no node is asked whether it might take a write, which is what a test wants to know.
    pub fn ledgers(&self) -> Vec<LedgerTruth> {
        let (mut ledgers, mut arrivals) = (Vec::new(), Vec::new());
        for (index, ((region, namespace, name), kept)) in self.storages.all().into_iter().enumerate() {
            let (arrived, present) = replayed(kept.side(), kept.changes());
            arrivals.extend(arrived.into_iter().map(|arrival| (arrival, index)));
            ledgers.push(LedgerTruth { region, namespace, name, accepted: Vec::new(), present });
        }
        arrivals.sort_by_key(|(arrival, _)| arrival.order);
        let mut held = BTreeSet::new();
        for (Arrival { position, taken, .. }, index) in arrivals {
            if held.insert((position, taken.epoch, taken.run.clone(), taken.number)) {
                ledgers[index].accepted.push(taken);
            }
        }
        ledgers
    }

    /// From when on a GET of `http://host/` sent by a vantage would have been answered well or not: by the address that its
    /// resolver would have given, with every step of the way, and the processes behind, as they were at that instant. Where several
    /// endpoints may be asked, all of them.
    pub fn served(&self, vantage: &Vantage, host: &str) -> Vec<(At, bool)> {
        let state = self.network.lock();
        let Some(recorder) = &state.recorder else { return Vec::new() };
        let Some(source) = recorder.vantages.get(vantage) else { return Vec::new() };
        let mine = |(of, _, asked): &Way| of == vantage && (asked.is_empty() || asked == host);
        let ways: Vec<_> = recorder.ways.iter().filter(|(way, _)| mine(way)).collect();
        let mut instants: Vec<At> = ways.iter().flat_map(|(_, way)| way.iter().map(|(at, _)| *at)).collect();
        let start = instants.iter().min().copied().unwrap_or_default();
        instants.extend(recorder.authority.iter().map(|(at, _)| *at));
        let fills = recorder.answers.get(&(source.place.clone(), host.to_owned()));
        instants.extend(fills.into_iter().flatten().flat_map(|fill| [fill.at, fill.expires]));
        instants.retain(|at| (start..=self.network.clock.now()).contains(at));
        instants.sort_unstable();
        let mut served = Vec::new();
        for at in instants {
            let serves = match recorder.address(&source.place, host, at) {
                Some(IpAddr::V4(address)) => {
                    let to = SocketAddrV4::new(address, HTTP);
                    ways.iter().any(|((_, of, _), way)| *of == to && value(way, at))
                }
                Some(IpAddr::V6(_)) | None => false,
            };
            note(&mut served, at, serves);
        }
        served
    }
}

/// A record that came into a store, from a client or from its primary.
struct Arrival {
    /// Among the changes of all stores.
    order: u64,
    /// In the store's log.
    position: u64,
    taken: Taken,
}

/// What came in, and what is there in the end.
fn replayed(side: Role, changes: Vec<Dated>) -> (Vec<Arrival>, Vec<Taken>) {
    let mut node = Node::new(side);
    let (mut arrivals, mut arrived) = (Vec::new(), BTreeMap::new());
    for Dated { at, order, change } in changes {
        if let Change::Append(Logged { epoch, entry: Entry::Record(record) }) = &change {
            arrived.insert((*epoch, record.run.clone(), record.number), at);
            let taken = Taken { at, run: record.run.clone(), number: record.number, epoch: *epoch };
            arrivals.push(Arrival { order, position: node.last() + 1, taken });
        }
        node.apply(change);
    }
    let mut present = Vec::new();
    let mut after = 0;
    while after < node.last() {
        let entries: Vec<&Logged> = node.entries(after).collect();
        after += entries.len() as u64;
        for Logged { epoch, entry } in entries {
            if let Entry::Record(record) = entry {
                let (run, number, epoch) = (record.run.clone(), record.number, *epoch);
                let at = arrived.get(&(epoch, run.clone(), number)).copied().unwrap_or_default();
                present.push(Taken { at, run, number, epoch });
            }
        }
    }
    (arrivals, present)
}
