//! Services of type LoadBalancer: an address of the region's own range, as a cloud's controller gives it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::state::Pool;
use super::super::store::{Change, Key, Store};
use super::{Controller, Processes, Reconciled, at, every, itself, read};
use crate::model::effect::Resource;
use crate::model::time::At;

const INGRESS: &str = "/status/loadBalancer/ingress/0/ip";

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
        let has = !read::text(service, INGRESS).is_empty();
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
        let taken: BTreeSet<&str> = every(store, &Resource::services(), None)
            .map(|service: &Value| read::text(service, INGRESS))
            .collect();
        let start = u32::from(self.load_balancers.network);
        let size = 1_u32 << 32_u8.saturating_sub(self.load_balancers.prefix).min(16);
        let all = (1..size.saturating_sub(1)).map(|host| Ipv4Addr::from(start.wrapping_add(host)));
        let wished = asked.parse::<Ipv4Addr>().ok();
        wished.into_iter().chain(all).find(|address| !taken.contains(address.to_string().as_str()))
    }
}
