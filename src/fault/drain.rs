//! The fault `drain`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Fault, occupants};
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::{Nodes, controller, is_cordoned, uid};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: drain-a-node
fault: {drain: {nodes: {named: [east-a-1]}}}
proof: {objectsWithin: 5m}
"#;

/// Drains nodes as maintenance does: cordons them and evicts their pods.
///
/// Cannot: move pods of DaemonSets, mirror pods and pods that have ended; they stay. Where a disruption budget forbids an
/// eviction, the drain has not taken effect until it goes through. A pod without a
/// controller would not come back; it is refused.
///
/// Effects: sets `spec.unschedulable` on each node, then evicts each of its pods in the drill's namespaces.
///
/// Undo: uncordons the nodes; the evicted pods were made again by their controllers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// The nodes to drain.
    pub nodes: Nodes,
}

impl Fault for Drain {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        [vec![Nodes::reads(scene.region)], occupants::reads(scene)].concat()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let nodes = self.nodes.select(scene.region, facts)?;
        let mut acts = Vec::new();
        for (name, _) in nodes.iter().filter(|(_, node)| !is_cordoned(node)) {
            let at = Ref::new(scene.region, Resource::nodes(), None, name.as_str());
            acts.push(Act::Patch { at, merge: json!({"spec": {"unschedulable": true}}) });
        }
        for (name, _) in &nodes {
            for (at, pod) in occupants::on_node(scene, facts, name)? {
                if occupants::belongs_to_node(pod) || !pod["metadata"]["deletionTimestamp"].is_null() {
                    continue;
                }
                if controller(pod).is_none() {
                    return Err(Refusal::OutOfScope(format!(
                        "{at} has no controller that would make it again: move it before the drill"
                    )));
                }
                acts.push(Act::Evict { at, uid: uid(pod), grace: None });
            }
        }
        Ok(acts)
    }

    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let nodes = match self.nodes.select(scene.region, facts) {
            Ok(nodes) => nodes,
            Err(refusal) => return refusal.or_waiting(),
        };
        for (name, node) in nodes {
            if !is_cordoned(node) {
                return Ok(Progress::Waiting(format!("the node {name} is not cordoned")));
            }
            let pods = occupants::on_node(scene, facts, name)?;
            if let Some((at, _)) = pods.iter().find(|(_, pod)| !occupants::belongs_to_node(pod)) {
                return Ok(Progress::Waiting(format!("{at} still runs on {name}")));
            }
        }
        Ok(Progress::Done)
    }

    /// Its pods come up on another node.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
