//! Ingresses: the address of the controller that serves them, as it writes it into their status.
//!
//! Each IngressClass has one controller, whatever its `spec.controller` says, and all Ingresses of the class share its address, as those of ingress-nginx and of
//! Traefik share the one of the controller's Service; their rules are merged ([`super::super::net::ingress`]). An address comes from the end of the load
//! balancers' range, so that those of Services, which come from its start, do not depend on it; a controller keeps it while no Service has it.
//!
//! Who serves an Ingress, `class` says. It names an IngressClass, which must exist: a real controller leaves an Ingress of a class that there is not to
//! others. It names none: then the default one, else nobody. A region without any IngressClass, as manifests of a team are that bring none since
//! others install it, has a controller of each name that an Ingress gives, and one for those that give none; the listing of what is simulated says
//! so. Left out: controllers that run in pods (a sandbox's stands in its region, apart from all
//! nodes and namespaces, and is never down), classes for one namespace (`spec.parameters`), addresses that are names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::state::Pool;
use super::super::store::{Change, Key, Store};
use super::service::{ADDRESS, hosts, taken};
use super::{Controller, Processes, Reconciled, at, every, ingress_classes, ingresses, itself, read};
use crate::model::effect::Resource;
use crate::model::time::At;

/// How an Ingress named its class before `spec.ingressClassName`; the IngressClass need not exist.
const LEGACY: &str = "kubernetes.io/ingress.class";

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// The controllers of all classes.
pub struct Ingresses {
    load_balancers: Pool,
    /// The address of each class's controller, once it had an Ingress.
    given: Mutex<BTreeMap<String, Ipv4Addr>>,
}

impl Ingresses {
    /// Controllers that take their addresses from a range.
    pub fn new(load_balancers: Pool) -> Self {
        Self { load_balancers, given: Mutex::default() }
    }

    /// The address of a class's controller; `None` where the range has none left.
    fn address(&self, store: &Store, class: &str) -> Option<Ipv4Addr> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let others = taken(store, &Resource::services());
        let free = |address: &Ipv4Addr| !others.contains(address.to_string().as_str());
        if let Some(mine) = given.get(class).copied().filter(free) {
            return Some(mine);
        }
        let found = hosts(self.load_balancers)
            .rev()
            .find(|address| free(address) && !given.values().any(|given| given == address))?;
        given.insert(class.to_owned(), found);
        Some(found)
    }
}

impl Controller for Ingresses {
    fn name(&self) -> &'static str {
        "ingress"
    }

    fn concerns(&self, store: &Store, change: &Change) -> Vec<Key> {
        if change.key.is(&ingress_classes()) {
            let all = every(store, &ingresses(), None);
            return all.map(|ingress| Key::of(&ingresses(), ingress)).collect();
        }
        itself(change, &ingresses())
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(ingress) = at(store, key) else { return Reconciled::nothing() };
        let address = class(store, ingress).ok().and_then(|class| self.address(store, class));
        let balancer = address.map_or_else(|| json!({}), |address| json!({"ingress": [{"ip": address}]}));
        super::status(key, ingress, json!({"loadBalancer": balancer})).into_iter().collect::<Vec<_>>().into()
    }
}

/// The class whose controller serves an Ingress; empty for the only controller of a region without classes.
///
/// # Errors
/// Why nobody serves it.
pub(crate) fn class<'a>(store: &'a Store, ingress: &'a Value) -> Result<&'a str, String> {
    let (named, annotated) =
        (read::text(ingress, "/spec/ingressClassName"), read::annotation(ingress, LEGACY));
    let named = if named.is_empty() { annotated } else { named };
    let classes: Vec<&Value> = every(store, &ingress_classes(), None).collect();
    if classes.is_empty() {
        return Ok(named);
    }
    let found = match named {
        "" => default_class(&classes),
        named => classes.into_iter().find(|class| read::name(class) == named),
    };
    found.map(read::name).ok_or_else(|| match named {
        "" => "it names no IngressClass, and none is the default".to_owned(),
        named => format!("IngressClass {named} does not exist"),
    })
}

/// A line for each Ingress that names a class of a region which has no IngressClass at all.
pub(crate) fn assumed(store: &Store) -> Vec<String> {
    if every(store, &ingress_classes(), None).next().is_some() {
        return Vec::new();
    }
    let named = every(store, &ingresses(), None).filter_map(|ingress| {
        let class = class(store, ingress).ok().filter(|class| !class.is_empty())?;
        let name = Key::of(&ingresses(), ingress);
        Some(format!("a controller of the class {class} for {name}: no IngressClass is in the manifests"))
    });
    named.collect()
}

/// Of several default classes the newest counts, then the first by name, as the API server's `DefaultIngressClass` has it.
fn default_class<'a>(classes: &[&'a Value]) -> Option<&'a Value> {
    let is_default = |class: &&&Value| read::annotation(class, IS_DEFAULT) == "true";
    let created = |class: &Value| read::text(class, "/metadata/creationTimestamp").to_owned();
    // They come by name, and the first of equals stays.
    classes
        .iter()
        .copied()
        .filter(|class| is_default(&class))
        .reduce(|best, class| if created(class) > created(best) { class } else { best })
}

/// Why an Ingress has no address, where it has none.
pub(crate) fn without_address(store: &Store, ingress: &Value) -> Option<String> {
    let has = !read::text(ingress, ADDRESS).is_empty();
    (!has).then(|| class(store, ingress).err().unwrap_or_else(|| "the range of addresses is full".to_owned()))
}
