//! The types of the built-in kinds: what does not decode is refused, and fields that a type does not have are dropped, as an API
//! server does that decodes into its Go types.
//!
//! `k8s_openapi`'s types are those of the API's own specification. An object is decoded and encoded again only to see which fields
//! are lost on the way; what is kept is the object as it was written, but for quantities that are numbers (`protobuf::settle`). A custom resource has a schema instead (`schema`).

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events, networking::v1 as networking,
    policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protobuf;
use crate::model::effect::Resource;

/// Decodes an object and encodes it again.
type Decoder = fn(&Value) -> Result<Value, serde_json::Error>;

fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(object)?)
}

fn decoder(resource: &Resource) -> Option<Decoder> {
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps") => again::<core::ConfigMap>,
        ("", "endpoints") => again::<core::Endpoints>,
        ("", "events") => again::<core::Event>,
        ("", "limitranges") => again::<core::LimitRange>,
        ("", "namespaces") => again::<core::Namespace>,
        ("", "nodes") => again::<core::Node>,
        ("", "persistentvolumeclaims") => again::<core::PersistentVolumeClaim>,
        ("", "persistentvolumes") => again::<core::PersistentVolume>,
        ("", "pods") => again::<core::Pod>,
        ("", "replicationcontrollers") => again::<core::ReplicationController>,
        ("", "resourcequotas") => again::<core::ResourceQuota>,
        ("", "secrets") => again::<core::Secret>,
        ("", "serviceaccounts") => again::<core::ServiceAccount>,
        ("", "services") => again::<core::Service>,
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            again::<extensions::CustomResourceDefinition>
        }
        ("apps", "controllerrevisions") => again::<apps::ControllerRevision>,
        ("apps", "daemonsets") => again::<apps::DaemonSet>,
        ("apps", "deployments") => again::<apps::Deployment>,
        ("apps", "replicasets") => again::<apps::ReplicaSet>,
        ("apps", "statefulsets") => again::<apps::StatefulSet>,
        ("autoscaling", "horizontalpodautoscalers") => again::<autoscaling::HorizontalPodAutoscaler>,
        ("batch", "cronjobs") => again::<batch::CronJob>,
        ("batch", "jobs") => again::<batch::Job>,
        ("coordination.k8s.io", "leases") => again::<coordination::Lease>,
        ("discovery.k8s.io", "endpointslices") => again::<discovery::EndpointSlice>,
        ("events.k8s.io", "events") => again::<events::Event>,
        ("networking.k8s.io", "ingressclasses") => again::<networking::IngressClass>,
        ("networking.k8s.io", "ingresses") => again::<networking::Ingress>,
        ("networking.k8s.io", "networkpolicies") => again::<networking::NetworkPolicy>,
        ("policy", "poddisruptionbudgets") => again::<policy::PodDisruptionBudget>,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => again::<rbac::ClusterRoleBinding>,
        ("rbac.authorization.k8s.io", "clusterroles") => again::<rbac::ClusterRole>,
        ("rbac.authorization.k8s.io", "rolebindings") => again::<rbac::RoleBinding>,
        ("rbac.authorization.k8s.io", "roles") => again::<rbac::Role>,
        ("scheduling.k8s.io", "priorityclasses") => again::<scheduling::PriorityClass>,
        ("storage.k8s.io", "storageclasses") => again::<storage::StorageClass>,
        _ => return None,
    })
}

/// Drops the fields that an object's type does not have, and names them: `spec.containers[0].imagee`.
///
/// # Errors
/// Where a field is not of its type or a quantity is none; says what was expected.
pub(super) fn prune(resource: &Resource, object: &mut Value) -> Result<Vec<String>, String> {
    let Some(decode) = decoder(resource) else { return Ok(vec![]) };
    protobuf::settle(resource, object)?;
    let known = decode(object).map_err(|error| error.to_string())?;
    let mut unknown = Vec::new();
    drop_unknown(object, &known, "", &mut unknown);
    Ok(unknown)
}

/// Drops what another value lacks. `null` is as good as missing; identity is in every object, whatever its type encodes.
fn drop_unknown(given: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.retain(|field, value| {
            let here = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            match known.get(field) {
                Some(known) => drop_unknown(value, known, &here, unknown),
                None if !value.is_null() => unknown.push(here),
                None => {}
            }
            known.contains_key(field)
        }),
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter_mut().zip(known).enumerate() {
                drop_unknown(given, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}
