//! Behaviours on a real region: `tests/regions/regions.py with DIR cargo test --test conformance -- --ignored ::real_region::` starts one.

use std::path::PathBuf;

use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::json;

use crate::cluster::{Cluster, object};

/// The folder of the regions.
const FOLDER: &str = "DRILLMASTER_REGIONS";

/// Runs a behaviour in a namespace of its own, which is removed when it holds.
pub fn on(behaviour: impl for<'a> FnOnce(&'a Cluster) -> LocalBoxFuture<'a, ()>) {
    let folder = std::env::var_os(FOLDER).expect("DRILLMASTER_REGIONS names no folder of real regions");
    let kubeconfig = Kubeconfig::read_from(PathBuf::from(folder).join("kubeconfig.yaml")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let east = KubeConfigOptions { context: Some("east".to_owned()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &east).await.unwrap();
        // A refusal is what a behaviour is about: nobody asks again behind its back.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let spaces: Api<Namespace> = Api::all(client.clone());
        let space = object(json!({"metadata": {"generateName": "behaviour-"}}));
        let namespace = spaces.create(&PostParams::default(), &space).await.unwrap().name_any();
        let cluster = Cluster { client, namespace, web: "shop/web:1" };
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = cluster.api();
        cluster
            .eventually("the account that pods have", async || accounts.get_opt("default").await.unwrap())
            .await;
        behaviour(&cluster).await;
        match spaces.delete(&cluster.namespace, &DeleteParams::background()).await {
            // A behaviour of namespaces has deleted its own.
            Ok(_) | Err(kube::Error::Api(_)) => {}
            Err(error) => panic!("{error}"),
        }
    });
}
