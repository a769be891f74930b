//! Resolvers: one for each place, with a cache that keeps an answer for its TTL; and ExternalDNS, which makes what changed
//! authoritative at its next event sync.
//!
//! A region's pods share the resolver of its cluster DNS, which also answers the cluster's own names, at once and uncached, and follows services of type
//! ExternalName to the names that they lead to. A
//! cached answer costs no time; a miss takes the way to `outside` and back. Left out: resolvers that break the TTL.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::pending;
use tokio::time::{sleep, sleep_until};

use super::names::{Data, LONGEST_CHAIN, Record, Records, Sources, clean, lookup};
use super::network::{Network, Source, State};
use crate::model::lookup::{Answers, NXDOMAIN, Query, RecordType};
use crate::model::name::Name;
use crate::model::time::{At, Duration};
use crate::sandbox::spec::{Host, OUTSIDE};
use crate::sandbox::truth::Recorder;

/// ExternalDNS' `--min-event-sync-interval`: from the first change to the sync that publishes it.
const EVENT_SYNC: Duration = Duration::from_secs(5);

/// The TTL of third parties' names.
const HOST_TTL: Duration = Duration::from_secs(60);

/// The TTL of a cluster's own names, as kubeadm's Corefile sets it.
const CLUSTER_TTL: Duration = Duration::from_secs(30);

/// The records of third parties.
pub(super) fn of_hosts(hosts: &[Host]) -> Records {
    let record = |host: &Host| Record { ttl: HOST_TTL, data: Data::Addresses(vec![host.address]) };
    hosts.iter().map(|host| (clean(host.host.as_str()).into_owned(), record(host))).collect()
}

impl Network {
    /// Lets a region's ExternalDNS see a change; what it publishes comes at its next sync.
    pub(super) fn sync_names(
        self: &Arc<Self>,
        state: &mut State,
        region: &Name,
        change: impl FnOnce(&mut Sources) -> bool,
    ) {
        let sources = state.sources.entry(region.clone()).or_default();
        if !change(sources) || state.syncs.contains_key(region) {
            return;
        }
        let due = self.clock.now().plus(EVENT_SYNC);
        state.syncs.insert(region.clone(), due);
        let (network, due) = (Arc::downgrade(self), self.clock.instant(due));
        tokio::spawn(async move {
            sleep_until(due).await;
            if let Some(network) = network.upgrade() {
                network.publish_due(&mut network.lock());
            }
        });
    }

    /// Does the syncs whose time has come; whoever comes first at that instant, the timer or a question.
    fn publish_due(&self, state: &mut State) {
        let now = self.clock.now();
        let due: Vec<Name> =
            state.syncs.iter().filter(|(_, due)| **due <= now).map(|(name, _)| name.clone()).collect();
        if due.is_empty() {
            return;
        }
        for region in due {
            state.syncs.remove(&region);
            let records = state.sources.get(&region).map(Sources::records).unwrap_or_default();
            state.published.insert(region, records);
        }
        let mut all = Records::new();
        for records in state.published.values() {
            for (name, record) in records {
                all.entry(name.clone()).or_insert_with(|| record.clone());
            }
        }
        state.records = all;
        Recorder::published(state, now);
        Recorder::record(state, &self.clock);
    }

    /// An answer that needs no packet: an address as it is, a name of the cluster, a cached one.
    pub(super) fn remembered(&self, source: &Source, host: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Some(vec![address]);
        }
        self.lock().remembered(source, host, self.clock.now())
    }

    /// The answer of the place's resolver, which asks the authority and remembers.
    pub(super) async fn ask(&self, source: &Source, host: &str) -> io::Result<Vec<IpAddr>> {
        self.wait_for_authority(source).await;
        let now = self.clock.now();
        let mut state = self.lock();
        self.publish_due(&mut state);
        let name = state.led(source, host);
        let Some(answer) = lookup(&state.records, &name) else { return Err(io::ErrorKind::NotFound.into()) };
        state.caches.entry(source.place.clone()).or_default().put(&name, &answer, now);
        Recorder::cached(&mut state, &source.place, &name, &answer, now);
        Ok(answer.addresses)
    }

    /// The authority's own answer.
    pub(super) async fn ask_authority(&self, source: &Source, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        self.wait_for_authority(source).await;
        let mut state = self.lock();
        self.publish_due(&mut state);
        let answer = lookup(&state.records, &clean(host));
        answer.map(|answer| answer.addresses).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The answer of the place's resolver to one question: the addresses that [`Net::resolve`](crate::world::Net::resolve) gives, with the
    /// rest of their time in its cache. What else is asked is asked of the authority each time; nobody answers elsewhere.
    pub(super) async fn look_up(&self, source: &Source, question: &Query) -> io::Result<Answers> {
        if question.resolver.is_some() {
            return pending().await;
        }
        let name = clean(&question.name);
        if question.of == RecordType::A {
            let found = match self.remembered(source, &name) {
                Some(addresses) => Ok(addresses),
                None => self.ask(source, &name).await,
            };
            return match found {
                Ok(addresses) => Ok(Answers {
                    code: 0,
                    records: addresses.iter().map(IpAddr::to_string).collect(),
                    ttl: self.rest_of_cache(source, &name),
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Answers::code(NXDOMAIN)),
                Err(error) => Err(error),
            };
        }
        if self.remembered(source, &name).is_some_and(|_| question.of != RecordType::Cname) {
            return Ok(Answers::default());
        }
        self.wait_for_authority(source).await;
        let mut state = self.lock();
        self.publish_due(&mut state);
        Ok(match state.records.get(&*name) {
            None => Answers::code(NXDOMAIN),
            Some(Record { ttl, data: Data::Alias(target) }) if question.of == RecordType::Cname => {
                Answers { code: 0, records: vec![target.clone()], ttl: *ttl }
            }
            Some(_) => Answers::default(),
        })
    }

    /// How long the place's resolver keeps yet what it has just answered, in whole seconds.
    fn rest_of_cache(&self, source: &Source, name: &str) -> Duration {
        let expires = self.lock().caches.get(&source.place).and_then(|cache| cache.expires(name));
        let rest = expires.map_or(CLUSTER_TTL, |expires| expires.since(self.clock.now()));
        Duration::from_secs(rest.as_secs())
    }

    async fn wait_for_authority(&self, source: &Source) {
        let latency = {
            let state = self.lock();
            (!state.is_cut_off(source)).then(|| state.latency(&source.place, &OUTSIDE.into()))
        };
        match latency {
            None => pending().await,
            Some(latency) if latency.is_zero() => {}
            Some(latency) => sleep(latency * 2).await,
        }
    }
}

impl State {
    /// The name that a sender's cluster leads a name to, by its services of type ExternalName; most lead nowhere else.
    fn led(&self, source: &Source, host: &str) -> String {
        let mut host = clean(host).into_owned();
        let Some(region) = self.regions.get(&source.place) else { return host };
        let namespace = source.pod.as_ref().map(|(namespace, _)| namespace.as_str());
        for _ in 0..LONGEST_CHAIN {
            let Some(alias) = region.alias(&host, namespace) else { break };
            host = clean(alias).into_owned();
        }
        host
    }

    fn remembered(&self, source: &Source, host: &str, now: At) -> Option<Vec<IpAddr>> {
        let host = self.led(source, host);
        let namespace = source.pod.as_ref().map(|(namespace, _)| namespace.as_str());
        let cache = || self.caches.get(&source.place)?.get(&host, now).cloned();
        cache().or_else(|| self.regions.get(&source.place)?.cluster_name(&host, namespace))
    }

    /// For the truth: the addresses that a sender would get now.
    pub(super) fn would_resolve(&self, source: &Source, host: &str, now: At) -> Option<Vec<IpAddr>> {
        match host.parse() {
            Ok(address) => Some(vec![address]),
            Err(_) => self
                .remembered(source, host, now)
                .or_else(|| lookup(&self.records, &self.led(source, host)).map(|answer| answer.addresses)),
        }
    }
}
