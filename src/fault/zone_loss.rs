//! The fault `zoneLoss`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fault, occupants};
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::{Labels, Nodes, is_cordoned};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: lose-zone-a
fault: {zoneLoss: {zone: east-a}}
proof: {objectsWithin: 3m}
"#;

/// Takes a zone's nodes away: everything that runs there is evicted at once and nothing is scheduled there.
///
/// Cannot: stop the nodes. Their kubelets live and keep reporting Ready, so nothing waits for the five minutes of a lost
/// heartbeat, and pods end with their grace period; pods that tolerate every taint (DaemonSets) stay. A pod on the host network stays reachable until it ends.
///
/// Effects: adds the taint `drillmaster.dev/zone-loss` with effect NoExecute to every node labelled
/// `topology.kubernetes.io/zone: ZONE`, and cordons it.
///
/// Undo: removes the taint and uncordons the nodes; pods do not move back by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZoneLoss {
    /// The zone, as the nodes' label `topology.kubernetes.io/zone` says.
    pub zone: Name,
}

/// The taint's key: our own, so that no controller of the cluster takes it for its own and lifts it.
const TAINT: &str = "drillmaster.dev/zone-loss";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

impl ZoneLoss {
    fn nodes(&self) -> Nodes {
        Nodes::Labelled(Labels([(ZONE_LABEL.to_owned(), self.zone.to_string())].into()))
    }
}

fn taints(node: &Value) -> &[Value] {
    node["spec"]["taints"].as_array().map_or(&[], Vec::as_slice)
}

fn is_tainted(node: &Value) -> bool {
    taints(node).iter().any(|taint| taint["key"] == TAINT && taint["effect"] == "NoExecute")
}

/// Whether a pod stays on a node with the taint: a toleration of every key, or of this one, without an end.
fn tolerates(pod: &Value) -> bool {
    let fits = |toleration: &Value| {
        let key = toleration["key"].as_str().unwrap_or_default();
        let exists = toleration["operator"] == "Exists";
        let effect = toleration["effect"].as_str().unwrap_or_default();
        (key == TAINT || key.is_empty() && exists)
            && matches!(effect, "" | "NoExecute")
            && toleration["tolerationSeconds"].is_null()
    };
    pod["spec"]["tolerations"].as_array().is_some_and(|all| all.iter().any(fits))
}

impl Fault for ZoneLoss {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        [vec![Nodes::reads(scene.region)], occupants::reads(scene)].concat()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let lose = |(name, node): (&Name, &Value)| {
            let at = Ref::new(scene.region, Resource::nodes(), None, name.as_str());
            let ours = json!({"key": TAINT, "effect": "NoExecute"});
            let all: Vec<&Value> = taints(node).iter().chain([&ours]).collect();
            Act::Patch { at, merge: json!({"spec": {"unschedulable": true, "taints": all}}) }
        };
        let nodes = self.nodes().select(scene.region, facts)?;
        if let Some((name, _)) = nodes.iter().find(|(_, node)| is_tainted(node)) {
            return Err(Refusal::NoTarget(format!(
                "the node {name} has the taint {TAINT} already: heal the run that left it, or remove it"
            )));
        }
        Ok(nodes.into_iter().map(lose).collect())
    }

    /// The nodes, and the pods that they lose.
    fn hits(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Ref>, Refusal> {
        let mut hits = Vec::new();
        for (name, _) in self.nodes().select(scene.region, facts)? {
            hits.push(Ref::new(scene.region, Resource::nodes(), None, name.as_str()));
            let pods = occupants::on_node(scene, facts, name)?;
            hits.extend(pods.into_iter().filter(|(_, pod)| !tolerates(pod)).map(|(at, _)| at));
        }
        Ok(hits)
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let nodes = match self.nodes().select(scene.region, facts) {
            Ok(nodes) => nodes,
            Err(refusal) => return refusal.or_waiting(),
        };
        for (name, node) in nodes {
            if !is_tainted(node) || !is_cordoned(node) {
                return Ok(Progress::Waiting(format!("the node {name} is not lost")));
            }
            let pods = occupants::on_node(scene, facts, name)?;
            if let Some((at, _)) = pods.iter().find(|(_, pod)| !tolerates(pod)) {
                return Ok(Progress::Waiting(format!("{at} still runs on {name}")));
            }
        }
        Ok(Progress::Done)
    }

    /// Its pods come up in another zone.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
