//! What a region serves: a line per built-in kind, and whatever a CustomResourceDefinition in its store declares.

use std::sync::Arc;

use serde_json::Value;

use super::shape::Shape;
use crate::model::effect::Resource;
use crate::sandbox::store::{Key, Store};

/// A kind that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub resource: Resource,
    pub namespaced: bool,
    /// Whether its status is a subresource, which users' writes leave alone.
    pub status: bool,
    pub scale: bool,
    /// Only asked, never stored.
    pub review: bool,
    /// Whether its lists have merge keys, which a custom resource's do not.
    pub built_in: bool,
    pub short: Vec<String>,
    /// Of a custom resource: its definition, and which of the definition's versions this is.
    pub definition: Option<(Arc<Value>, usize)>,
}

impl Served {
    /// What a definition says about this version.
    pub fn declared(&self, path: &str) -> Option<&Value> {
        let (definition, version) = self.definition.as_ref()?;
        definition["spec"]["versions"][*version].pointer(path)
    }

    /// The schema of a custom resource.
    pub fn schema(&self) -> Option<&Value> {
        self.declared("/schema/openAPIV3Schema")
    }

    /// The name of one object of the kind.
    pub fn singular(&self) -> String {
        let declared =
            self.definition.as_ref().and_then(|(one, _)| one["spec"]["names"]["singular"].as_str());
        declared.map_or_else(|| self.resource.kind.to_lowercase(), str::to_owned)
    }

    /// The groups of kinds that it is listed with: `kubectl get all`.
    pub fn categories(&self) -> Vec<String> {
        if let Some((definition, _)) = &self.definition {
            let named = definition["spec"]["names"]["categories"].as_array().into_iter().flatten();
            return named.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        }
        match (self.resource.group.as_str(), self.resource.plural.as_str()) {
            ("", "pods" | "services") | ("batch", "jobs") => vec!["all".into()],
            ("apps", plural) if plural != "controllerrevisions" => vec!["all".into()],
            ("apiextensions.k8s.io", _) => vec!["api-extensions".into()],
            _ => vec![],
        }
    }

    /// What the objects are made of.
    pub fn shape(&self) -> Shape<'_> {
        match self.built_in {
            true => Shape::BuiltIn { resource: &self.resource, field: "" },
            false => Shape::Declared { resource: &self.resource, schema: self.schema(), root: true },
        }
    }
}

/// Group, version, plural, kind, short names, and the letters of: `n`amespaced, `s`tatus, s`c`ale, `r`eview.
type Line = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const BUILT_IN: &[Line] = &[
    (
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        &[],
        "",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        &[],
        "",
    ),
    ("apiregistration.k8s.io", "v1", "apiservices", "APIService", &[], "s"),
    ("", "v1", "configmaps", "ConfigMap", &["cm"], "n"),
    ("", "v1", "endpoints", "Endpoints", &["ep"], "n"),
    ("", "v1", "events", "Event", &["ev"], "n"),
    ("", "v1", "limitranges", "LimitRange", &["limits"], "n"),
    ("", "v1", "namespaces", "Namespace", &["ns"], "s"),
    ("", "v1", "nodes", "Node", &["no"], "s"),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", &["pvc"], "ns"),
    ("", "v1", "persistentvolumes", "PersistentVolume", &["pv"], "s"),
    ("", "v1", "pods", "Pod", &["po"], "ns"),
    ("", "v1", "replicationcontrollers", "ReplicationController", &["rc"], "ns"),
    ("", "v1", "resourcequotas", "ResourceQuota", &["quota"], "ns"),
    ("", "v1", "secrets", "Secret", &[], "n"),
    ("", "v1", "serviceaccounts", "ServiceAccount", &["sa"], "n"),
    ("", "v1", "services", "Service", &["svc"], "ns"),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        &["crd", "crds"],
        "s",
    ),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", &[], "n"),
    ("apps", "v1", "daemonsets", "DaemonSet", &["ds"], "ns"),
    ("apps", "v1", "deployments", "Deployment", &["deploy"], "nsc"),
    ("apps", "v1", "replicasets", "ReplicaSet", &["rs"], "nsc"),
    ("apps", "v1", "statefulsets", "StatefulSet", &["sts"], "nsc"),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", &[], "r"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", &[], "r"),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", &[], "r"),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"], "ns"),
    ("batch", "v1", "cronjobs", "CronJob", &["cj"], "ns"),
    ("batch", "v1", "jobs", "Job", &[], "ns"),
    ("coordination.k8s.io", "v1", "leases", "Lease", &[], "n"),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", &[], "n"),
    ("events.k8s.io", "v1", "events", "Event", &["ev"], "n"),
    ("externaldns.k8s.io", "v1alpha1", "dnsendpoints", "DNSEndpoint", &[], "ns"),
    ("networking.k8s.io", "v1", "ingressclasses", "IngressClass", &[], ""),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", &["ing"], "ns"),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", &["netpol"], "n"),
    ("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", &[], ""),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", &["pdb"], "ns"),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", &[], ""),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", &[], ""),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", &[], "n"),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", &[], "n"),
    ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", &["pc"], ""),
    ("storage.k8s.io", "v1", "csidrivers", "CSIDriver", &[], ""),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", &["sc"], ""),
];

fn of_line((group, version, plural, kind, short, letters): &Line) -> Served {
    Served {
        resource: Resource::new(group, version, plural, kind),
        namespaced: letters.contains('n'),
        status: letters.contains('s'),
        scale: letters.contains('c'),
        review: letters.contains('r'),
        built_in: *group != "externaldns.k8s.io",
        short: short.iter().map(|&text| text.to_owned()).collect(),
        definition: None,
    }
}

/// The kind of a path; none where it is not served.
pub(super) fn served(store: &Store, group: &str, version: &str, plural: &str) -> Option<Served> {
    let line = BUILT_IN.iter().find(|line| (line.0, line.1, line.2) == (group, version, plural));
    if let Some(line) = line {
        return Some(of_line(line));
    }
    let definition = store.get(&Key::new(&definitions(), None, &format!("{plural}.{group}")))?;
    declared(definition).find(|served| served.resource.version == version)
}

/// Everything that is served, by group, version and plural.
pub(super) fn all(store: &Store) -> Vec<Served> {
    let definitions = definitions();
    let declared =
        store.list(&definitions.group, &definitions.plural, None).flat_map(|(_, each)| declared(each));
    let mut all: Vec<Served> = BUILT_IN.iter().map(of_line).chain(declared).collect();
    all.sort_by(|a, b| a.resource.cmp(&b.resource));
    all.dedup_by(|a, b| a.resource == b.resource);
    all
}

/// A kind by the words of an object, and whether its objects stand in namespaces.
#[derive(Debug, Clone)]
pub struct Kind {
    pub resource: Resource,
    pub namespaced: bool,
    pub(super) served: Served,
}

impl Kind {
    /// Whether it is one of Kubernetes' own, and not a custom resource.
    pub fn is_built_in(&self) -> bool {
        self.served.definition.is_none()
    }

    /// Whether its status is a subresource, which a create does not take.
    pub fn has_status(&self) -> bool {
        self.served.status
    }
}

/// The kind that an object says it is; none where it is not served.
pub fn kind_of(store: &Store, api_version: &str, kind: &str) -> Option<Kind> {
    let meant =
        |served: &Served| served.resource.api_version() == api_version && served.resource.kind == kind;
    let served = all(store).into_iter().filter(|served| !served.review).find(meant)?;
    Some(Kind { resource: served.resource.clone(), namespaced: served.namespaced, served })
}

/// What is served under nearly these words: the versions of a group's kind, and every kind of a group.
pub fn near(store: &Store, api_version: &str, kind: &str) -> (Vec<String>, Vec<String>) {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let all: Vec<Resource> =
        all(store).into_iter().filter(|served| !served.review).map(|served| served.resource).collect();
    let versions = all.iter().filter(|known| known.kind == kind).map(Resource::api_version).collect();
    let kinds = all.into_iter().filter(|known| known.group == group).map(|known| known.kind).collect();
    (versions, kinds)
}

fn definitions() -> Resource {
    Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
}

/// The versions that a definition serves.
fn declared(definition: &Arc<Value>) -> impl Iterator<Item = Served> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    let kind = text(&spec["names"]["kind"]);
    let short: Vec<String> = spec["names"]["shortNames"].as_array().into_iter().flatten().map(text).collect();
    let namespaced = spec["scope"] != "Cluster";
    let versions = spec["versions"].as_array().into_iter().flatten().enumerate();
    versions.filter(|(_, version)| version["served"] == true).map(move |(index, version)| Served {
        resource: Resource::new(&group, version["name"].as_str().unwrap_or_default(), &plural, &kind),
        namespaced,
        status: version["subresources"].get("status").is_some(),
        scale: version["subresources"].get("scale").is_some(),
        review: false,
        built_in: false,
        short: short.clone(),
        definition: Some((definition.clone(), index)),
    })
}
