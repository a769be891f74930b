//! The fault `isolate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

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
            let progress = policy::stands(scene, facts, namespace)?;
            if progress != Progress::Done {
                return Ok(progress);
            }
            if let Some(other) = policy::other_that_allows(scene, facts, namespace)? {
                return Ok(Progress::Waiting(format!(
                    "the policy {other} in {namespace} allows traffic all the same"
                )));
            }
        }
        Ok(Progress::Done)
    }

    fn cuts_off(&self, pod: &Ref) -> bool {
        pod.namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace))
    }
}
