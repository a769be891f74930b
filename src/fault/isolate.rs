//! The fault `isolate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fault, policy};
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-east
fault: {isolate: {namespaces: [shop]}}
proof: {probe: east-direct, failsWithin: 20s, until: restored}
"#;

/// Cuts the pods of whole namespaces off the network, as the loss of a region looks to everybody outside it.
///
/// Cannot: reach pods on the host network, nor the nodes themselves; needs a network plugin that enforces policies. Connections
/// that are open already may live on, as the plugin decides. The API server stays reachable.
///
/// Effects: creates one NetworkPolicy in each namespace that selects every pod and allows nothing in or out.
///
/// Undo: removes the policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Isolate {
    /// The namespaces to cut off; all within the drill's limits.
    #[schemars(extend("uniqueItems" = true))]
    pub namespaces: Vec<Name>,
}

impl Fault for Isolate {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let both = |namespace| {
            [Read::in_namespace(scene.region, Resource::pods(), namespace), policy::reads(scene, namespace)]
        };
        self.namespaces.iter().flat_map(both).collect()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        if self.namespaces.is_empty() {
            return Err(Refusal::NoTarget("no namespace is named".to_owned()));
        }
        let cut = |namespace: &Name| {
            scene.may_touch(namespace)?;
            if facts.objects(scene.region, &Resource::pods(), Some(namespace))?.is_empty() {
                return Err(Refusal::NoTarget(format!("{} has no pods in {namespace}", scene.region)));
            }
            policy::create(
                scene,
                facts,
                namespace,
                json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
            )
        };
        self.namespaces.iter().map(cut).collect()
    }

    /// Every pod of the namespaces.
    fn hits(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Ref>, Refusal> {
        let mut pods = Vec::new();
        for namespace in &self.namespaces {
            let found = facts.objects(scene.region, &Resource::pods(), Some(namespace))?.keys();
            pods.extend(found.map(|(_, name)| {
                Ref::new(scene.region, Resource::pods(), Some(namespace.as_str()), name.as_str())
            }));
        }
        Ok(pods)
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        for namespace in &self.namespaces {
            let pods = facts.objects(scene.region, &Resource::pods(), Some(namespace))?;
            let pods: Vec<&Value> = pods.values().collect();
            let progress = closed(scene, facts, namespace, &["ingress", "egress"], &pods)?;
            if progress != Progress::Done {
                return Ok(progress);
            }
        }
        Ok(Progress::Done)
    }

    fn cuts_off(&self, pod: &Ref) -> bool {
        pod.namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace))
    }

    /// Only what reaches this pod counts.
    fn keeps_off(&self, scene: &Scene, facts: &Facts, pod: &Ref) -> Result<Progress, Unread> {
        let Some(namespace) = &pod.namespace else {
            return Ok(Progress::Waiting(format!("{pod} is in no namespace")));
        };
        let found = facts.object(scene.region, &pod.resource, Some(namespace), &pod.name)?;
        if found.is_some_and(|found| found["spec"]["hostNetwork"] == true) {
            return Ok(Progress::Waiting(format!(
                "{pod} is on the host network, where no policy reaches it"
            )));
        }
        closed(scene, facts, namespace, &["ingress"], &found.into_iter().collect::<Vec<_>>())
    }
}

/// Whether the step's policy closes a namespace, and no other opens one of these pods in one of these ways.
fn closed(
    scene: &Scene,
    facts: &Facts,
    namespace: &Name,
    ways: &[&str],
    pods: &[&Value],
) -> Result<Progress, Unread> {
    let is_closed = |spec: &Value| {
        let both = ["Ingress", "Egress"].iter().all(|way| policy::is_about(spec, way));
        let nothing = ["ingress", "egress"].iter().all(|way| policy::rules(spec, way).is_empty());
        both && nothing && policy::selects_all(&spec["podSelector"])
    };
    let progress = policy::stands(scene, facts, namespace, is_closed)?;
    if progress != Progress::Done {
        return Ok(progress);
    }
    Ok(match policy::other_that_allows(scene, facts, namespace, ways, pods)? {
        Some(other) => {
            Progress::Waiting(format!("the policy {other} in {namespace} allows traffic all the same"))
        }
        None => Progress::Done,
    })
}
