//! Facts read from a world: what planners of faults and recoveries look at, so that they can be pure.
//!
//! A kind says first what it must see ([`Read`]); the room `inventory` reads it; the kind then decides over [`Facts`]. What could
//! not be read is an error of its own and never an empty list (I7).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::effect::{Ref, Resource};
use super::name::{Name, Region};

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// All objects of a kind in a region: in one namespace, or across all of them (nodes).
    Objects { region: Region, resource: Resource, namespace: Option<Name> },
    /// What the authoritative name server answers for a host, past every cache.
    Addresses { host: String },
    /// What a command in a container prints as JSON; only during a run, never to plan.
    Output { at: Ref, container: Option<Name>, argv: Vec<String> },
}

impl Read {
    /// All objects of a kind in a namespace.
    pub fn in_namespace(region: &Region, resource: Resource, namespace: &Name) -> Read {
        Read::Objects { region: region.clone(), resource, namespace: Some(namespace.clone()) }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Objects by namespace and name.
    Objects(BTreeMap<(Option<Name>, Name), Value>),
    Addresses(Vec<IpAddr>),
    Output(Value),
}

/// Facts by what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// `Err`: why it could not be read.
    pub answers: BTreeMap<Read, Result<Answer, String>>,
}

/// A fact that a decision needs and nobody could read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} could not be read: {why}")]
pub struct Unread {
    pub what: String,
    pub why: String,
}

impl Facts {
    /// The objects of a kind, in the order of their names.
    ///
    /// # Errors
    /// Where they could not be read, or nobody asked for them.
    pub fn objects(
        &self,
        region: &Region,
        resource: &Resource,
        namespace: Option<&Name>,
    ) -> Result<&BTreeMap<(Option<Name>, Name), Value>, Unread> {
        let read = Read::Objects {
            region: region.clone(),
            resource: resource.clone(),
            namespace: namespace.cloned(),
        };
        match self.answer(&read, || format!("{} in {region}", resource.plural))? {
            Answer::Objects(objects) => Ok(objects),
            Answer::Addresses(_) | Answer::Output(_) => {
                Err(unasked(&format!("{} in {region}", resource.plural)))
            }
        }
    }

    /// One object; `None` where it does not exist.
    ///
    /// # Errors
    /// As [`Facts::objects`].
    pub fn object(
        &self,
        region: &Region,
        resource: &Resource,
        namespace: Option<&Name>,
        name: &Name,
    ) -> Result<Option<&Value>, Unread> {
        Ok(self.objects(region, resource, namespace)?.get(&(namespace.cloned(), name.clone())))
    }

    /// What the authoritative name server answers for a host.
    ///
    /// # Errors
    /// As [`Facts::objects`].
    pub fn addresses(&self, host: &str) -> Result<&[IpAddr], Unread> {
        match self
            .answer(&Read::Addresses { host: host.to_owned() }, || format!("the addresses of {host}"))?
        {
            Answer::Addresses(addresses) => Ok(addresses),
            Answer::Objects(_) | Answer::Output(_) => Err(unasked(host)),
        }
    }

    /// What a command in a container printed.
    ///
    /// # Errors
    /// As [`Facts::objects`].
    pub fn output(&self, at: &Ref, container: Option<&Name>, argv: &[String]) -> Result<&Value, Unread> {
        let read = Read::Output { at: at.clone(), container: container.cloned(), argv: argv.to_vec() };
        match self.answer(&read, || format!("`{}` in {at}", argv.join(" ")))? {
            Answer::Output(value) => Ok(value),
            Answer::Objects(_) | Answer::Addresses(_) => Err(unasked(&at.to_string())),
        }
    }

    fn answer(&self, read: &Read, what: impl Fn() -> String) -> Result<&Answer, Unread> {
        match self.answers.get(read) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => Err(Unread { what: what(), why: why.clone() }),
            None => Err(unasked(&what())),
        }
    }
}

fn unasked(what: &str) -> Unread {
    Unread { what: what.to_owned(), why: "nobody asked for it".to_owned() }
}

/// Facts for tests: what these reads would find among objects by region, and addresses by host.
#[cfg(test)]
pub(crate) fn told(reads: &[Read], objects: &[(&str, Value)], addresses: &[(&str, &[&str])]) -> Facts {
    let answer = |read: &Read| match read {
        Read::Objects { region, resource, namespace } => {
            let fits = |(place, object): &&(&str, Value)| {
                *place == region.as_str()
                    && object["kind"] == *resource.kind
                    && object["metadata"]["namespace"].as_str() == namespace.as_ref().map(Name::as_str)
            };
            let name = |object: &Value| Name::from(object["metadata"]["name"].as_str().unwrap());
            let found = objects.iter().filter(fits);
            Ok(Answer::Objects(found.map(|(_, o)| ((namespace.clone(), name(o)), o.clone())).collect()))
        }
        Read::Addresses { host } => {
            let found = addresses.iter().find(|(known, _)| known == host);
            let parsed = |(_, all): &(&str, &[&str])| all.iter().map(|a| a.parse().unwrap()).collect();
            found.map(|found| Answer::Addresses(parsed(found))).ok_or("no such host".to_owned())
        }
        Read::Output { argv, .. } => Err(format!("`{}` is not to be run here", argv.join(" "))),
    };
    Facts { answers: reads.iter().map(|read| (read.clone(), answer(read))).collect() }
}
