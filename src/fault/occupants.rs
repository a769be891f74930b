//! The pods on a node, as a drain and the loss of a zone see them.

use serde_json::Value;

use crate::model::effect::{Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::Scene;
use crate::model::workload;

/// What `on_node` must see.
pub(super) fn reads(scene: &Scene) -> Vec<Read> {
    scene.in_limits(scene.region, &Resource::pods())
}

/// The pods on a node in the drill's namespaces that have not ended, in the order of their names.
pub(super) fn on_node<'a>(
    scene: &Scene,
    facts: &'a Facts,
    node: &Name,
) -> Result<Vec<(Ref, &'a Value)>, Unread> {
    let mut found = Vec::new();
    for namespace in scene.namespaces {
        for ((_, name), pod) in facts.objects(scene.region, &Resource::pods(), Some(namespace))? {
            let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            if pod["spec"]["nodeName"] == node.as_str() && !ended {
                let at = Ref::new(scene.region, Resource::pods(), Some(namespace.as_str()), name.as_str());
                found.push((at, pod));
            }
        }
    }
    Ok(found)
}

/// Whether a pod belongs to its node: a DaemonSet's, or a mirror of a static one.
pub(super) fn belongs_to_node(pod: &Value) -> bool {
    let mirror = &pod["metadata"]["annotations"]["kubernetes.io/config.mirror"];
    mirror.is_string() || workload::controller(pod).is_some_and(|owner| owner["kind"] == "DaemonSet")
}
