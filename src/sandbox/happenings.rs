//! What others do while a drill runs: each happening at its time, and its end after its time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::api;
use super::clock::Clock;
use super::net::Network;
use super::spec::{ApiAnswers, Happening, Happens, Target};
use super::stand_in::Pods;
use super::state::{Availability, RegionState};
use super::store::{Deletion, Key, Part};
use crate::model::name::{Name, Region, Vantage};
use crate::model::time::{At, Duration};

/// Whom happenings act on.
#[derive(Clone)]
pub struct Stage {
    pub clock: Clock,
    pub network: Arc<Network>,
    pub regions: BTreeMap<Region, (Arc<RegionState>, Arc<Pods>)>,
    /// The addresses that vantages send from.
    pub vantages: BTreeMap<Vantage, Ipv4Addr>,
    pub hosts: BTreeMap<Name, Ipv4Addr>,
}

impl Stage {
    /// Lets each happen at its time.
    pub fn play(&self, happenings: &[Happening], tasks: &mut JoinSet<()>) {
        for Happening { at, what } in happenings.iter().cloned() {
            let stage = self.clone();
            tasks.spawn(async move {
                stage.wait(At::default().plus(at)).await;
                stage.happen(&what, true);
                if let Some(lasts) = what.lasts() {
                    stage.wait(At::default().plus(at).plus(lasts)).await;
                    stage.happen(&what, false);
                }
            });
        }
    }

    async fn wait(&self, at: At) {
        tokio::time::sleep_until(self.clock.instant(at)).await;
    }

    /// Begins it, or ends it.
    fn happen(&self, what: &Happens, begins: bool) {
        match what {
            Happens::Delete(target) => self.delete(target),
            Happens::Patch { target, merge } => self.patch(target, merge),
            Happens::Crash(target) => {
                if let Some((_, pods)) = self.regions.get(&target.region) {
                    pods.crash(|pod| in_namespace(pod, target) && target.means(pod.name()));
                }
            }
            Happens::NodeDown { region, node, .. } => {
                if let Some((_, pods)) = self.regions.get(region) {
                    pods.power(node.as_str(), !begins);
                }
            }
            Happens::ApiDown { region, answers, .. } => {
                if let Some((state, _)) = self.regions.get(region) {
                    state.set_availability(match (begins, answers) {
                        (false, _) => Availability::Up,
                        (true, ApiAnswers::Nothing) => Availability::BlackHole,
                        (true, ApiAnswers::Unavailable) => Availability::Failing(503),
                    });
                }
            }
            Happens::CutOff { vantage, .. } => self.vanish(self.vantages.get(vantage), begins),
            Happens::HostDown { host, .. } => self.vanish(self.hosts.get(host), begins),
        }
    }

    fn vanish(&self, address: Option<&Ipv4Addr>, begins: bool) {
        if let Some(address) = address {
            self.network.vanish(*address, begins);
        }
    }

    /// The objects that a target means, as they are now.
    fn meant(&self, target: &Target) -> Vec<Key> {
        let Some((state, _)) = self.regions.get(&target.region) else { return Vec::new() };
        state.read(|store| {
            let Some(kind) = api::kind_of(store, &target.api_version, &target.kind) else {
                return Vec::new();
            };
            let all = store.list(&kind.resource.group, &kind.resource.plural, None);
            let meant = all.filter(|(key, _)| in_namespace(key, target) && target.means(key.name()));
            meant.map(|(key, _)| key.clone()).collect()
        })
    }

    fn delete(&self, target: &Target) {
        let Some((state, _)) = self.regions.get(&target.region) else { return };
        for key in self.meant(target) {
            if let Err(error) = state.write(|store| store.delete(&key, &Deletion::default())) {
                tracing::warn!("a happening did not delete: {error}");
            }
        }
    }

    fn patch(&self, target: &Target, merge: &Map<String, Value>) {
        let merge = Value::Object(merge.clone());
        let Some((state, _)) = self.regions.get(&target.region) else { return };
        for key in self.meant(target) {
            let done = state.write(|store| {
                let mut object = store.get(&key).map(|object| (**object).clone()).unwrap_or_default();
                json_patch::merge(&mut object, &merge);
                store.update(&key, object, Part::AllButStatus)
            });
            if let Err(error) = done {
                tracing::warn!("a happening did not patch: {error}");
            }
        }
    }
}

fn in_namespace(key: &Key, target: &Target) -> bool {
    target.namespace.as_ref().is_none_or(|namespace| key.namespace() == Some(namespace.as_str()))
}

impl Happens {
    /// For how long it lasts, where it has an end.
    fn lasts(&self) -> Option<Duration> {
        match self {
            Happens::Delete(_) | Happens::Patch { .. } | Happens::Crash(_) => None,
            Happens::NodeDown { r#for, .. }
            | Happens::ApiDown { r#for, .. }
            | Happens::CutOff { r#for, .. }
            | Happens::HostDown { r#for, .. } => *r#for,
        }
    }
}
