//! The ways to the agents of an environment: an address, or a pod of a region, through its API server; one that stands there, or one that the
//! run makes.
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
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::connect::chain;
use super::environment::{AGENTS_PORT, AgentPod, AgentSpec, AgentStart, EnvironmentSpec};
use crate::model::effect::{Ref, Resource};
use crate::model::name::{Region, Vantage};
use crate::model::time::Duration;
use crate::world::{Remote, Stream};

/// The agents of an environment's vantages; of those in regions that are in reach.
pub fn agents(
    spec: &EnvironmentSpec,
    clients: &BTreeMap<Region, kube::Client>,
) -> BTreeMap<Vantage, Arc<dyn Remote>> {
    let way = |vantage: &Vantage, agent: &AgentSpec| -> Option<Arc<dyn Remote>> {
        Some(match agent {
            AgentSpec::Address(address) => Arc::new(AtAddress(*address)),
            AgentSpec::Pod(pod) => {
                let client = clients.get(&pod.region)?;
                Arc::new(InPod {
                    pods: Api::namespaced(client.clone(), pod.namespace.as_str()),
                    pod: pod.clone(),
                })
            }
            AgentSpec::Start(start) => {
                let client = clients.get(&start.region)?;
                Arc::new(Made {
                    pods: Api::namespaced(client.clone(), start.namespace.as_str()),
                    vantage: vantage.clone(),
                    start: start.clone(),
                })
            }
        })
    };
    let found = spec.vantages.iter();
    let found = found.filter_map(|one| Some((one.name.clone(), way(&one.name, one.agent.as_ref()?)?)));
    found.collect()
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
            forwarded(&self.pods, region, &name, *port).await
        })
    }
}

/// A pod that the run makes.
struct Made {
    pods: Api<Pod>,
    vantage: Vantage,
    start: AgentStart,
}

impl Remote for Made {
    fn connect(&self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            let name = name_of(&self.vantage);
            let AgentStart { region, namespace, .. } = &self.start;
            let pod = self.pods.get(&name).await;
            let pod = pod.map_err(|why| {
                io::Error::other(format!("the pod {name} in {namespace} of {region} cannot be read: {why}"))
            })?;
            if !is_ready(&pod) {
                let why = unready(&pod);
                return Err(io::Error::other(format!(
                    "the pod {name} in {namespace} of {region} is not ready: {why}"
                )));
            }
            forwarded(&self.pods, region, &name, AGENTS_PORT).await
        })
    }

    fn makes(&self, so_long: Duration) -> Option<(Ref, Value)> {
        let AgentStart { region, namespace, .. } = &self.start;
        let at = Ref::new(region, Resource::pods(), Some(namespace.as_str()), &name_of(&self.vantage));
        Some((at, pod(&self.vantage, &self.start, so_long)))
    }
}

/// The name of the pod of a vantage: one for each, so that no two runs make one at the same time.
fn name_of(vantage: &Vantage) -> String {
    format!("drillmaster-vantage-{vantage}")
}

/// The pod of a vantage, with no more rights than it needs (Kubernetes' documentation, "Pod Security Standards", level "restricted"). It ends by
/// itself when an orchestrator that has died would have taken it away.
fn pod(vantage: &Vantage, start: &AgentStart, so_long: Duration) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(vantage),
            "namespace": start.namespace,
            "labels": {"app.kubernetes.io/name": "drillmaster", "app.kubernetes.io/component": "vantage"},
        },
        "spec": {
            "activeDeadlineSeconds": so_long.as_secs().max(1),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "vantage",
                "image": start.image,
                "args": ["vantage"],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "64Mi"},
                    "limits": {"memory": "512Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
            }],
            "terminationGracePeriodSeconds": 1,
        },
    })
}

/// A user that owns nothing.
const NOBODY: u32 = 65_532;

/// A connection to a port of a pod, through its API server.
async fn forwarded(pods: &Api<Pod>, region: &Region, name: &str, port: u16) -> io::Result<Stream> {
    let refused = |kind, why: String| {
        io::Error::new(kind, format!("port {port} of the pod {name} of {region} cannot be forwarded: {why}"))
    };
    let mut forwarded = pods.portforward(name, &[port]).await.map_err(|why| match &why {
        // Asked again, it would say the same.
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 405) => {
            refused(io::ErrorKind::PermissionDenied, status.message.clone())
        }
        kube::Error::Api(status) => refused(io::ErrorKind::Other, status.message.clone()),
        why => refused(io::ErrorKind::Other, chain(why)),
    })?;
    let stream = forwarded
        .take_stream(port)
        .ok_or_else(|| refused(io::ErrorKind::Other, "there is no stream for it".to_owned()))?;
    Ok(Box::new(stream) as Stream)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

/// Why a pod is not ready: what its container waits for, else what its conditions say.
fn unready(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "nobody looked at it yet".to_owned() };
    let said = |reason: Option<&String>, message: Option<&String>| {
        let said: Vec<&str> = [reason, message].into_iter().flatten().map(String::as_str).collect();
        (!said.is_empty()).then(|| said.join(": "))
    };
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        said(waiting.reason.as_ref(), waiting.message.as_ref())
    });
    let conditions = || {
        let unmet = status.conditions.iter().flatten().filter(|one| one.status != "True");
        unmet.filter_map(|one| said(one.reason.as_ref(), one.message.as_ref())).next()
    };
    waiting.or_else(conditions).unwrap_or_else(|| status.phase.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod_with(status: Value) -> Pod {
        serde_json::from_value(json!({"status": status})).unwrap()
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let unscheduled = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"});
        let waiting = json!({"name": "vantage", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}});
        for (status, why) in [
            (json!({"conditions": [unscheduled], "phase": "Pending"}), "Unschedulable: no room"),
            (
                json!({"containerStatuses": [waiting], "conditions": [unscheduled]}),
                "ImagePullBackOff: no such image",
            ),
            (json!({"phase": "Failed"}), "Failed"),
        ] {
            assert_eq!(unready(&pod_with(status)), why);
        }
    }

    #[test]
    fn the_pod_of_a_vantage_ends_by_itself() {
        let start = AgentStart { region: "west".into(), namespace: "probes".into(), image: "image".into() };
        let made = pod(&"office".into(), &start, Duration::from_secs(90));
        assert_eq!(made["spec"]["activeDeadlineSeconds"], 90);
        assert_eq!(made["metadata"]["name"], "drillmaster-vantage-office");
    }
}
