//! The recovery `uncordon`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Recovery;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Region;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::{Nodes, is_cordoned};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: nodes-back
recover: {uncordon: {nodes: {labelled: {topology.kubernetes.io/zone: east-a}}}}
"#;

/// Lets pods be scheduled on nodes again.
///
/// Cannot: move pods back; what runs elsewhere stays there. A taint other than the cordon's stays.
///
/// Effects: sets `spec.unschedulable` to false on each of the nodes that is cordoned.
///
/// Undo: cordons them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uncordon {
    pub nodes: Nodes,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Uncordon {
    fn region<'a>(&'a self, scene: &Scene<'a>) -> &'a Region {
        self.region.as_ref().unwrap_or(scene.region)
    }
}

impl Recovery for Uncordon {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        vec![Nodes::reads(self.region(scene))]
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        let region = self.region(scene);
        let nodes = self.nodes.select(region, facts)?;
        let cordoned = nodes.into_iter().filter(|(_, node)| is_cordoned(node));
        let at = |name: &str| Ref::new(region, Resource::nodes(), None, name);
        let merge = json!({"spec": {"unschedulable": null}});
        Ok(cordoned.map(|(name, _)| Act::Patch { at: at(name.as_str()), merge: merge.clone() }).collect())
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let nodes = match self.nodes.select(self.region(scene), facts) {
            Ok(nodes) => nodes,
            Err(refusal) => return refusal.or_waiting(),
        };
        Ok(match nodes.into_iter().find(|(_, node)| is_cordoned(node)) {
            None => Progress::Done,
            Some((name, _)) => Progress::Waiting(format!("the node {name} is still cordoned")),
        })
    }
}
