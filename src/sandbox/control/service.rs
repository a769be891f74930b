//! Services of type LoadBalancer: an address of the region's own range, as a cloud's controller gives it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::state::Pool;
use super::super::store::{Change, Key, Store};
use super::{Controller, Processes, Reconciled, at, every, ingresses, itself, read};
use crate::model::effect::Resource;
use crate::model::time::At;

/// Where the address from outside stands, of a Service as of an Ingress.
pub(super) const ADDRESS: &str = "/status/loadBalancer/ingress/0/ip";

/// The service controller.
pub struct Services {
    pub load_balancers: Pool,
}

impl Controller for Services {
    fn name(&self) -> &'static str {
        "service"
    }

    fn concerns(&self, _: &Store, change: &Change) -> Vec<Key> {
        itself(change, &Resource::services())
    }

    fn reconcile(&self, store: &Store, key: &Key, _: At, _: &dyn Processes) -> Reconciled {
        let Some(service) = at(store, key) else { return Reconciled::nothing() };
        let wanted = read::text(service, "/spec/type") == "LoadBalancer";
        let has = !read::text(service, ADDRESS).is_empty();
        let ingress = match (wanted, has) {
            (true, false) => match self.free(store, read::text(service, "/spec/loadBalancerIP")) {
                Some(address) => json!([{"ip": address.to_string(), "ipMode": "VIP"}]),
                None => return Reconciled::nothing(),
            },
            (false, true) => json!([]),
            (true, true) | (false, false) => return Reconciled::nothing(),
        };
        let mut status =
            service.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
        status["loadBalancer"] = if wanted { json!({"ingress": ingress}) } else { json!({}) };
        super::status(key, service, status).into_iter().collect::<Vec<_>>().into()
    }
}

impl Services {
    /// The address that was asked for, or the lowest one that nobody has.
    fn free(&self, store: &Store, asked: &str) -> Option<Ipv4Addr> {
        let mut others = taken(store, &Resource::services());
        others.append(&mut taken(store, &ingresses()));
        let wished = asked.parse::<Ipv4Addr>().ok();
        let mut all = wished.into_iter().chain(hosts(self.load_balancers));
        all.find(|address| !others.contains(address.to_string().as_str()))
    }
}

/// The addresses of a range, but its first and its last one.
pub(super) fn hosts(pool: Pool) -> impl DoubleEndedIterator<Item = Ipv4Addr> {
    let start = u32::from(pool.network);
    let size = 1_u32 << 32_u8.saturating_sub(pool.prefix).min(16);
    (1..size.saturating_sub(1)).map(move |host| Ipv4Addr::from(start.wrapping_add(host)))
}

/// The addresses from outside that the objects of a kind have.
pub(super) fn taken<'a>(store: &'a Store, resource: &Resource) -> BTreeSet<&'a str> {
    every(store, resource, None).map(|object: &Value| read::text(object, ADDRESS)).collect()
}
