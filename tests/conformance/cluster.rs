//! A cluster as a behaviour sees it: a client, a namespace of its own, and patience.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use drillmaster::cluster::connect;
use drillmaster::sandbox::{Sandbox, SandboxSpec};
use drillmaster::serve::{self, KUBECONFIG};
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, PostParams};
use kube::core::Resource;
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long something may take that must happen; longer than any default time of Kubernetes that a behaviour waits for.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often it is looked at meanwhile.
const LOOKS: Duration = Duration::from_millis(250);

/// One cluster, and a namespace in it that is the behaviour's own.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    /// An image of a service that answers every HTTP request on the port that its container declares.
    pub web: &'static str,
}

impl Cluster {
    /// A cluster with a new namespace in it.
    async fn of(client: Client, web: &'static str) -> Cluster {
        let spaces: Api<Namespace> = Api::all(client.clone());
        let space: Namespace = object(json!({"metadata": {"generateName": "behaviour-"}}));
        let space = spaces.create(&PostParams::default(), &space).await.unwrap();
        Cluster { client, namespace: space.name_any(), web }
    }

    /// The objects of a kind in the behaviour's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of a kind that has no namespace.
    pub fn wide<K>(&self) -> Api<K>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    /// Creates an object in the behaviour's namespace.
    pub async fn make<K>(&self, value: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        self.api().create(&PostParams::default(), &object(value)).await.unwrap()
    }

    /// Waits until a look finds something, and gives it.
    pub async fn eventually<R>(&self, what: &str, look: impl AsyncFn() -> Option<R>) -> R {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "after {PATIENCE:?} still not: {what}");
            sleep(LOOKS).await;
        }
    }

    /// Looks again and again for a time, and fails as soon as a look does not hold.
    pub async fn throughout(&self, time: Duration, what: &str, look: impl AsyncFn() -> bool) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            assert!(look().await, "no longer: {what}");
            sleep(LOOKS).await;
        }
    }
}

/// A typed object from its JSON.
pub fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// The code, reason and message of an error of the API.
pub fn refused<T: Debug>(result: kube::Result<T>) -> (u16, String, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not refused by the API: {other:?}"),
    }
}

/// Runs a behaviour on a region of a sandbox in virtual time.
pub fn in_sandbox(behaviour: impl for<'a> FnOnce(&'a Cluster) -> LocalBoxFuture<'a, ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let sandbox = region(1_767_225_600_000_000_000).await;
        let (_, client) = sandbox.world().regions.pop_first().unwrap();
        behaviour(&Cluster::of(client, "shop/web:1").await).await;
    });
}

/// Runs a behaviour on the same region served over TLS, in real time, with the kubeconfig that it writes.
pub fn served(behaviour: impl for<'a> FnOnce(&'a Cluster) -> LocalBoxFuture<'a, ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let sandbox = region(chrono::Utc::now().timestamp_nanos_opt().unwrap()).await;
        tokio::time::resume();
        let folder = tempfile::tempdir().unwrap();
        let _served = serve::serve(&sandbox, &spec(), &[], folder.path()).await.unwrap();
        let context = Some("east");
        let connected =
            connect::greet(&"east".into(), Some(KUBECONFIG), context, folder.path()).await.unwrap();
        behaviour(&Cluster::of(connected.client, "shop/web:1").await).await;
    });
}

async fn region(wall_unix_ns: i64) -> Sandbox {
    Sandbox::start(&spec(), &BTreeMap::new(), 7, wall_unix_ns, &[]).await.unwrap()
}

/// A region of six nodes in three zones.
fn spec() -> SandboxSpec {
    let nodes: Vec<Value> = ["a-1", "a-2", "b-1", "b-2", "c-1", "c-2"]
        .iter()
        .map(|name| json!({"name": name, "zone": &name[..1]}))
        .collect();
    object(
        json!({"regions": [{"name": "east", "addresses": "10.1.0.0/16", "nodes": nodes, "manifests": []}]}),
    )
}
