//! What the API server does with an object that is created.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;

use crate::cluster::{Cluster, object, refused};

behaviours!(creating_gives_a_uid_a_version_and_a_time, creating_what_exists_is_a_conflict,);

async fn creating_gives_a_uid_a_version_and_a_time(cluster: &Cluster) {
    let made: ConfigMap = cluster.make(json!({"metadata": {"name": "settings"}})).await;
    assert!(made.uid().is_some_and(|uid| !uid.is_empty()));
    assert!(made.resource_version().is_some_and(|version| !version.is_empty()));
    assert!(made.creation_timestamp().is_some());
}

async fn creating_what_exists_is_a_conflict(cluster: &Cluster) {
    let _: ConfigMap = cluster.make(json!({"metadata": {"name": "settings"}})).await;
    let again: ConfigMap = object(json!({"metadata": {"name": "settings"}}));
    let (code, reason, message) =
        refused(cluster.api::<ConfigMap>().create(&PostParams::default(), &again).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, r#"configmaps "settings" already exists"#);
}
