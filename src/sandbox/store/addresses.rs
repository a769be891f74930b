//! What a Service gets out of ranges: its address in the cluster, and its ports on every node.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Key, Store, StoreError};
use crate::sandbox::control::read;

/// The ports of nodes that Services may get: `--service-node-port-range` of an API server.
const NODE_PORTS: std::ops::Range<u64> = 30_000..32_768;

impl Store {
    /// Gives a Service a cluster address, unless it has or wants none.
    pub(super) fn give_address(&mut self, key: &Key, object: &mut Value) -> Result<(), StoreError> {
        if !is_service(key) || object["spec"]["type"] == "ExternalName" {
            return Ok(());
        }
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
        match spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default() {
            "" => {}
            asked if asked != "None" && self.service_addresses.contains(asked) => {
                let why =
                    format!("spec.clusterIP: Invalid value: \"{asked}\": provided IP is already allocated");
                return Err(StoreError::Invalid(key.clone(), why));
            }
            asked => {
                let asked = json!([asked]);
                spec.insert("clusterIPs".into(), asked);
                return Ok(());
            }
        }
        let count = 1_u64 << (32 - self.services.prefix.min(31));
        let start = self.rng.u64(..count);
        let network = u64::from(u32::from(self.services.network)) & !(count - 1);
        // The range's own address and its last one are no hosts'.
        let free = (0..count)
            .map(|step| (start + step) % count)
            .filter(|number| *number != 0 && *number != count - 1)
            .filter_map(|number| u32::try_from(network + number).ok())
            .map(|address| Ipv4Addr::from(address).to_string())
            .find(|address| !self.service_addresses.contains(address));
        let Some(address) = free else {
            return Err(StoreError::Invalid(key.clone(), "spec.clusterIP: the range is full".into()));
        };
        spec.insert("clusterIPs".into(), json!([address]));
        spec.insert("clusterIP".into(), address.into());
        Ok(())
    }

    /// Gives the ports of a Service that is reached by nodes a port of the nodes each; those that it has stay.
    pub(super) fn give_node_ports(
        &self,
        key: &Key,
        object: &mut Value,
        before: &Value,
    ) -> Result<(), StoreError> {
        if !is_service(key) {
            return Ok(());
        }
        let spec = &object["spec"];
        let wanted = match spec["type"].as_str() {
            Some("NodePort") => true,
            Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"] != false,
            _ => false,
        };
        let had = before["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut new = Vec::new();
        let ports = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        for (index, port) in ports.into_iter().flatten().enumerate() {
            let same =
                |other: &&Value| ["port", "protocol"].iter().all(|field| other[*field] == port[*field]);
            let own = had.iter().find(same).and_then(|port| port["nodePort"].as_u64());
            let Some(fields) = port.as_object_mut() else { continue };
            if !wanted {
                fields.remove("nodePort");
                continue;
            }
            let asked = fields.get("nodePort").and_then(Value::as_u64).filter(|port| *port > 0);
            let free = |port: &u64| !self.node_ports.contains(port) && !new.contains(port);
            let given = match asked.or(own) {
                Some(asked) if Some(asked) != own && !free(&asked) => {
                    let why = "provided port is already allocated";
                    let why = format!("spec.ports[{index}].nodePort: Invalid value: {asked}: {why}");
                    return Err(StoreError::Invalid(key.clone(), why));
                }
                Some(known) => Some(known),
                None => {
                    let count = NODE_PORTS.end - NODE_PORTS.start;
                    let start = read::hash(&format!("{key} {index}")) % count;
                    (0..count).map(|step| NODE_PORTS.start + (start + step) % count).find(free)
                }
            };
            let Some(given) = given else {
                let why = format!("spec.ports[{index}].nodePort: the range is full");
                return Err(StoreError::Invalid(key.clone(), why));
            };
            new.push(given);
            fields.insert("nodePort".into(), given.into());
        }
        Ok(())
    }

    /// Counts what a Service has of the ranges, before a change and after it.
    pub(super) fn count_addresses(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        if !is_service(key) {
            return;
        }
        let address = |service: &Value| service["spec"]["clusterIP"].as_str().map(str::to_owned);
        let ports = |service: &Value| {
            let ports = read::list(service, "/spec/ports").iter();
            ports.filter_map(|port| port["nodePort"].as_u64()).collect::<Vec<_>>()
        };
        if let Some(before) = before {
            address(before).map(|address| self.service_addresses.remove(&address));
            ports(before).iter().for_each(|port| {
                self.node_ports.remove(port);
            });
        }
        if let Some(after) = after {
            self.service_addresses.extend(address(after));
            self.node_ports.extend(ports(after));
        }
    }
}

fn is_service(key: &Key) -> bool {
    key.group().is_empty() && key.plural() == "services"
}
