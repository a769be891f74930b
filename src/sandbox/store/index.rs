//! By what else than its key an object is found: its uid, its owners, its node, its claims, its labels, the labels that it asks for.
//!
//! So that a controller does not look through all pods for those of one owner. A mark is what objects have in common; the keys under it are
//! ordered, so that those of a kind, and of a namespace of it, are a range, in the order in which a list has them. What selects by
//! labels stands under one of the pairs that it asks for, the rarest: a label that everything bears would find everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::{Key, Store};
use crate::model::effect::Resource;
use crate::sandbox::control::{read, volumes};

/// What objects have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The object with this uid.
    Uid(String),
    /// Those that name the object with this uid as an owner.
    Owner(String),
    /// Pods and replica sets that no controller owns.
    Free,
    /// Pods on this node; with an empty name, those on none.
    Node(String),
    /// Pods that use, and volumes that are for, the claim of a namespace and a name.
    Claim(String, String),
    /// Pods of a namespace with this label and its value.
    Label(String, String, String),
    /// What selects pods or replica sets of a namespace that have this label and its value; with empty ones, what asks for no label by its value.
    Asks(String, String, String),
}

/// The keys of all objects by their marks.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<Mark, BTreeSet<Key>>);

impl Index {
    /// Takes in a change of an object.
    pub(super) fn change(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        let all = |object: Option<&Value>| object.map(|object| marks(key, object)).unwrap_or_default();
        let (old, new) = (all(before), all(after));
        let asked = |object: Option<&Value>| object.map(|object| asks(key, object)).unwrap_or_default();
        let (asked_before, asks) = (asked(before), asked(after));
        if old == new && asked_before == asks {
            return;
        }
        for mark in old.iter().filter(|mark| !new.contains(mark)).chain(&asked_before) {
            self.remove(mark, key);
        }
        let rarest = asks.into_iter().min_by_key(|mark| self.count(mark));
        for mark in new.into_iter().chain(rarest) {
            self.0.entry(mark).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, mark: &Mark, key: &Key) {
        if let Some(keys) = self.0.get_mut(mark) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(mark);
            }
        }
    }

    fn count(&self, mark: &Mark) -> usize {
        self.0.get(mark).map_or(0, BTreeSet::len)
    }
}

impl Store {
    /// The objects with a mark, by kind, namespace and name.
    pub fn marked(&self, mark: &Mark) -> impl Iterator<Item = (&Key, &Arc<Value>)> + use<'_> {
        let keys = self.index.0.get(mark);
        keys.into_iter().flatten().filter_map(|key| self.objects.get_key_value(key)).inspect(|_| self.visit())
    }

    /// Those of them that are of a kind, in a namespace or everywhere.
    pub fn marked_of(
        &self,
        mark: &Mark,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> + use<'_> {
        let start = Key::new(resource, namespace, "");
        let one_namespace = namespace.is_some();
        let keys = self
            .index
            .0
            .get(mark)
            .map(|keys| keys.range::<Key, _>((Bound::Included(&start), Bound::Unbounded)));
        keys.into_iter()
            .flatten()
            .take_while(move |key| start.is_beside(key, one_namespace))
            .filter_map(|key| self.objects.get_key_value(key))
            .inspect(|_| self.visit())
    }

    /// The pods of a namespace that can have all the wanted labels: those with the rarest of them. Whether they have the others too is the caller's
    /// to look at.
    pub fn labelled(
        &self,
        namespace: &str,
        wanted: &Value,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> + use<'_> {
        let mark =
            |key: &str, value: &str| Mark::Label(namespace.to_owned(), key.to_owned(), value.to_owned());
        let rarest =
            pairs(wanted).map(|(key, value)| mark(key, value)).min_by_key(|mark| self.index.count(mark));
        let every =
            rarest.is_none().then(|| self.list_after(Key::new(&Resource::pods(), Some(namespace), ""), true));
        let some = rarest.map(|mark| self.marked_of(&mark, &Resource::pods(), None));
        every.into_iter().flatten().chain(some.into_iter().flatten())
    }

    /// The objects of a kind that can select an object of their namespace with these labels, by name.
    pub fn asking(&self, resource: &Resource, namespace: &str, labels: &Value) -> Vec<(&Key, &Arc<Value>)> {
        let any = [("", "")].into_iter();
        let mark =
            |(key, value): (&str, &str)| Mark::Asks(namespace.to_owned(), key.to_owned(), value.to_owned());
        let mut all: Vec<_> = pairs(labels)
            .chain(any)
            .flat_map(|pair| self.marked_of(&mark(pair), resource, Some(namespace)))
            .collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }
}

/// The labels of a map whose values are texts.
fn pairs(labels: &Value) -> impl Iterator<Item = (&str, &str)> {
    labels.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// What an object is found by.
fn marks(key: &Key, object: &Value) -> Vec<Mark> {
    let owners = read::list(object, "/metadata/ownerReferences").iter();
    let mut marks: Vec<Mark> =
        owners.map(|owner| Mark::Owner(read::text(owner, "/uid").to_owned())).collect();
    marks.push(Mark::Uid(read::uid(object).to_owned()));
    let (pod, set) = (key.is(&Resource::pods()), key.is(&Resource::replica_sets()));
    if (pod || set) && read::controller(object).is_none() {
        marks.push(Mark::Free);
    }
    let namespace = read::namespace(object);
    if pod {
        marks.push(Mark::Node(read::text(object, "/spec/nodeName").to_owned()));
        marks.extend(volumes::claims(object).map(|name| Mark::Claim(namespace.to_owned(), name.to_owned())));
        let labels = pairs(read::labels(object));
        marks.extend(
            labels.map(|(key, value)| Mark::Label(namespace.to_owned(), key.to_owned(), value.to_owned())),
        );
    } else if key.group().is_empty() && key.plural() == "persistentvolumes" {
        let claim = |field: &str| read::text(object, &format!("/spec/claimRef/{field}")).to_owned();
        marks.push(Mark::Claim(claim("namespace"), claim("name")));
    }
    marks
}

/// The pairs that an object which selects others asks for; it can be found under any one of them.
fn asks(key: &Key, object: &Value) -> Vec<Mark> {
    let wanted = match (key.group(), key.plural()) {
        ("", "services") => "/spec/selector",
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("policy", "poddisruptionbudgets") => "/spec/selector/matchLabels",
        _ => return vec![],
    };
    let namespace = read::namespace(object);
    let mark =
        |(key, value): (&str, &str)| Mark::Asks(namespace.to_owned(), key.to_owned(), value.to_owned());
    let all: Vec<Mark> = read::at(object, wanted).into_iter().flat_map(pairs).map(mark).collect();
    if all.is_empty() { vec![mark(("", ""))] } else { all }
}
