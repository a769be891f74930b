//! What becomes of each object: loaded, or left to whoever makes it again.
//!
//! Pure: a function of all objects together, since a pod is left to its ReplicaSet only where that is among them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Given;

/// What a cluster has without anybody's asking.
pub const OF_A_CLUSTER: &str = "a cluster makes them itself";
const OF_CLAIMS: &str = "each claim gets a volume of its own here";
const OF_THEIR_OWNERS: &str = "their owners make them again";
const ENDING: &str = "they were being deleted";
const HOOKS: &str = "an install runs no such Helm hooks";
const TWICE: &str = "the same dump has them twice";

/// The workloads whose pods are made here.
const MAKE_PODS: [&str; 4] = ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"];

/// Kinds of Kubernetes' own, by group, whose objects its control plane keeps for itself.
const KEPT_BY_CLUSTERS: [(&str, &str); 13] = [
    ("", "ComponentStatus"),
    ("", "Event"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("coordination.k8s.io", "Lease"),
    ("coordination.k8s.io", "LeaseCandidate"),
    ("events.k8s.io", "Event"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "VolumeAttachment"),
];

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Loaded,
    /// Not loaded, and why.
    LeftOut(&'static str),
}

/// The fate of each object, in their order.
pub fn of(all: &[Given]) -> Vec<Fate> {
    let mut by_uid: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_name: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for (index, given) in all.iter().enumerate() {
        by_name.entry((given.kind(), given.namespace(), given.name())).or_insert(index);
        if given.is_dumped() {
            by_uid.entry(given.text("/metadata/uid")).or_insert(index);
        }
    }
    let owner = |given: &Given| {
        let owner = controller(&given.object)?;
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let named = || {
            let of_namespace = by_name.get(&(text("kind"), given.namespace(), text("name")));
            of_namespace.or_else(|| by_name.get(&(text("kind"), "", text("name"))))
        };
        by_uid.get(text("uid")).or_else(named).map(|index| &all[*index])
    };
    let fate = |(index, given): (usize, &Given)| {
        if given.is_dumped() && by_uid.get(given.text("/metadata/uid")) != Some(&index) {
            return Fate::LeftOut(TWICE);
        }
        let selecting = by_name.get(&("Service", given.namespace(), given.name())).map(|index| &all[*index]);
        why_not(given, owner(given), selecting).map_or(Fate::Loaded, Fate::LeftOut)
    };
    all.iter().enumerate().map(fate).collect()
}

/// Why an object with this owner, and beside a Service of its name, is not loaded.
fn why_not(given: &Given, owner: Option<&Given>, service: Option<&Given>) -> Option<&'static str> {
    let group = given.api_version().rsplit_once('/').map_or("", |(group, _)| group);
    let metadata = &given.object["metadata"];
    if metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Some(ENDING);
    }
    if is_idle_hook(metadata) {
        return Some(HOOKS);
    }
    let static_pod = metadata["annotations"].get("kubernetes.io/config.mirror").is_some();
    match (group, given.kind()) {
        known if KEPT_BY_CLUSTERS.contains(&known) => Some(OF_A_CLUSTER),
        ("apiregistration.k8s.io", "APIService") if given.object["spec"]["service"].is_null() => {
            Some(OF_A_CLUSTER)
        }
        ("", "Pod") if static_pod => Some(OF_A_CLUSTER),
        ("", "Pod") if !is_over(&given.object) => {
            owner.filter(|owner| MAKE_PODS.contains(&owner.kind())).map(|_| OF_THEIR_OWNERS)
        }
        ("", "Endpoints") if service.is_some_and(selects) => Some(OF_THEIR_OWNERS),
        ("discovery.k8s.io", "EndpointSlice") if is_managed(given) => Some(OF_THEIR_OWNERS),
        ("", "PersistentVolume") => Some(OF_CLAIMS),
        ("apps", "ControllerRevision") => Some(OF_THEIR_OWNERS),
        _ => None,
    }
}

/// Whether a pod or a Job has run to its end.
pub fn is_over(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    match object["kind"].as_str() {
        Some("Pod") => matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
        Some("Job") => conditions
            .filter(|one| one["status"] == "True")
            .any(|one| matches!(one["type"].as_str(), Some("Complete" | "Failed"))),
        _ => false,
    }
}

fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

fn selects(service: &Given) -> bool {
    service.object["spec"]["selector"].as_object().is_some_and(|selector| !selector.is_empty())
}

/// Whether Kubernetes' own controllers keep a slice.
fn is_managed(slice: &Given) -> bool {
    let by = slice.object["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].as_str();
    by.is_some_and(|by| by.ends_with(".k8s.io"))
}

/// Whether Helm keeps an object for another moment than an install: a test, an upgrade, the end.
fn is_idle_hook(metadata: &Value) -> bool {
    let Some(moments) = metadata["annotations"]["helm.sh/hook"].as_str() else { return false };
    !moments.split(',').any(|moment| matches!(moment.trim(), "pre-install" | "post-install" | "crd-install"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::read::read;
    use super::*;
    use crate::document::Source;

    fn fates(items: &str) -> Vec<Fate> {
        of(&read(&Arc::new(Source::new("a.yaml", items))).unwrap())
    }

    #[test]
    fn a_pod_is_left_to_its_owner_only_where_that_is_there() {
        let owner = "{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u-1, controller: true}";
        let pod = |phase: &str| {
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: web-1-a, namespace: shop, uid: u-2, ownerReferences: [{owner}]}}, \
                 status: {{phase: {phase}}}}}\n"
            )
        };
        let set = "---\n{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, namespace: shop, uid: u-1}}\n";
        assert_eq!(fates(&pod("Running")), [Fate::Loaded]);
        assert_eq!(fates(&(pod("Running") + set)), [Fate::LeftOut(OF_THEIR_OWNERS), Fate::Loaded]);
        assert_eq!(fates(&(pod("Failed") + set)), [Fate::Loaded, Fate::Loaded], "what is over stays so");
        assert_eq!(fates(&(set.to_owned() + set)), [Fate::Loaded, Fate::LeftOut(TWICE)]);
    }

    #[test]
    fn hooks_of_an_install_are_loaded_and_no_others() {
        for (moments, loaded) in [("pre-install,pre-upgrade", true), ("test", false), ("pre-delete", false)] {
            let job = format!(
                "{{apiVersion: batch/v1, kind: Job, metadata: {{name: a, annotations: {{helm.sh/hook: \"{moments}\"}}}}}}"
            );
            assert_eq!(fates(&job)[0] == Fate::Loaded, loaded, "{moments}");
        }
    }
}
