//! The ways to the agents of an environment: an address, or a pod of a region, through its API server.
//!
//! Through the API server, since what is allowed there is decided by the cluster (a Role on `pods/portforward`), the way is secured, and the
//! agent listens to its own pod alone. Each connection looks for the pod anew: the one before may have died with its node.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use tokio::net::TcpStream;

use super::environment::{AgentPod, AgentSpec, EnvironmentSpec};
use crate::model::name::{Region, Vantage};
use crate::world::{Remote, Stream};

/// The agents of an environment's vantages; of those in regions that are in reach.
pub fn agents(
    spec: &EnvironmentSpec,
    clients: &BTreeMap<Region, kube::Client>,
) -> BTreeMap<Vantage, Arc<dyn Remote>> {
    let way = |agent: &AgentSpec| -> Option<Arc<dyn Remote>> {
        Some(match agent {
            AgentSpec::Address(address) => Arc::new(AtAddress(*address)),
            AgentSpec::Pod(pod) => {
                let client = clients.get(&pod.region)?;
                Arc::new(InPod {
                    pods: Api::namespaced(client.clone(), pod.namespace.as_str()),
                    pod: pod.clone(),
                })
            }
        })
    };
    let found = spec.vantages.iter();
    found.filter_map(|vantage| Some((vantage.name.clone(), way(vantage.agent.as_ref()?)?))).collect()
}

struct AtAddress(SocketAddr);

impl Remote for AtAddress {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let stream = TcpStream::connect(self.0).await;
            let stream =
                stream.map_err(|why| io::Error::new(why.kind(), format!("nobody at {}: {why}", self.0)))?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

struct InPod {
    pods: Api<Pod>,
    pod: AgentPod,
}

impl Remote for InPod {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let AgentPod { region, namespace, labels, port } = &self.pod;
            let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let selector = selector.join(",");
            let listed = self.pods.list(&ListParams::default().labels(&selector)).await;
            let listed = listed
                .map_err(|why| io::Error::other(format!("the pods of {region} cannot be listed: {why}")))?;
            // The same one each time, as long as it is ready.
            let ready = listed.items.into_iter().filter(is_ready).filter_map(|pod| pod.metadata.name).min();
            let name = ready.ok_or_else(|| {
                let why = format!("no pod with {selector} is ready in {namespace} of {region}");
                io::Error::new(io::ErrorKind::NotFound, why)
            })?;
            let refused = |why: &dyn std::fmt::Display| {
                io::Error::other(format!("port {port} of the pod {name} of {region}: {why}"))
            };
            let mut forwarded = self.pods.portforward(&name, &[*port]).await.map_err(|why| refused(&why))?;
            let stream = forwarded.take_stream(*port).ok_or_else(|| refused(&"it is not forwarded"))?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}
