//! The fault `podKill`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fault;
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::target::Share;
use crate::model::time::Duration;
use crate::model::workload::{Labels, controller, is_ready, uid};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: kill-half
fault: {podKill: {namespace: shop, selector: {app: checkout}, pods: {share: 50%}}}
proof: {objectsWithin: 10s}
"#;

/// Kills pods at once, without a grace period; their controller makes them again.
///
/// Cannot: keep them away; `scale` or `zoneLoss` do. A pod without a controller would not come back and is refused.
///
/// Effects: deletes the first pods of the selection, in the order of their names, with grace period 0.
///
/// Undo: none needed, their controllers make them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodKill {
    /// Where the pods are.
    pub namespace: Name,
    /// The pods' labels.
    pub selector: Labels,
    /// How many of them.
    #[serde(default)]
    pub pods: HowMany,
}

/// How many of a selection, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HowMany {
    /// Every one.
    #[default]
    All,
    /// This many; it is an error where there are fewer.
    Count(NonZeroU32),
    /// This share, rounded up.
    Share(Share),
}

impl HowMany {
    /// How many of `all`; `None` where there are too few.
    fn of(self, all: usize) -> Option<usize> {
        match self {
            HowMany::All => Some(all),
            HowMany::Count(count) => usize::try_from(count.get()).ok().filter(|count| *count <= all),
            HowMany::Share(share) => {
                let parts = u128::from(share.0) * all as u128;
                usize::try_from(parts.div_ceil(u128::from(Share::ALL.0))).ok()
            }
        }
    }
}

/// The workloads whose pods come back by themselves, and say how many there should be.
fn controllers() -> [Resource; 2] {
    [Resource::replica_sets(), Resource::stateful_sets()]
}

impl Fault for PodKill {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let read = |resource| Read::in_namespace(scene.region, resource, &self.namespace);
        [Resource::pods()].into_iter().chain(controllers()).map(read).collect()
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        scene.may_touch(&self.namespace)?;
        let lives = |pod: &Value| {
            let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            !ended && pod["metadata"]["deletionTimestamp"].is_null() && self.selector.match_object(pod)
        };
        let pods = facts.objects(scene.region, &Resource::pods(), Some(&self.namespace))?;
        let found: Vec<_> = pods.iter().filter(|(_, pod)| lives(pod)).collect();
        let many = self.pods.of(found.len()).filter(|many| *many > 0).ok_or_else(|| {
            Refusal::NoTarget(format!(
                "{} has {} pods with the labels {} in {}: too few{}",
                scene.region,
                found.len(),
                self.selector,
                self.namespace,
                self.selector.instead(pods.values())
            ))
        })?;
        let kill = |((_, name), pod): &(&(Option<Name>, Name), &Value)| {
            let at = Ref::new(scene.region, Resource::pods(), Some(self.namespace.as_str()), name.as_str());
            if controller(pod).is_none() {
                return Err(Refusal::OutOfScope(format!("{at} has no controller that would make it again")));
            }
            Ok(Act::Delete { at, uid: uid(pod), grace: Some(Duration::ZERO) })
        };
        found.iter().take(many).map(kill).collect()
    }

    /// Fewer pods are ready than their controllers want: those that come back have other names or uids, so that nothing
    /// else tells later which were killed.
    fn in_effect(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let mut wanted = 0;
        for resource in controllers() {
            let all = facts.objects(scene.region, &resource, Some(&self.namespace))?.values();
            let ours = all.filter(|object| self.selector.match_object(&object["spec"]["template"]));
            wanted += ours.filter_map(|object| object["spec"]["replicas"].as_u64()).sum::<u64>();
        }
        let pods = facts.objects(scene.region, &Resource::pods(), Some(&self.namespace))?.values();
        let ready = pods.filter(|pod| self.selector.match_object(pod) && is_ready(pod)).count() as u64;
        if ready < wanted {
            return Ok(Progress::Done);
        }
        Ok(Progress::Waiting(format!("all {wanted} pods with the labels {} are ready", self.selector)))
    }

    fn heals_itself(&self) -> bool {
        true
    }

    /// It comes back.
    fn cuts_off(&self, _pod: &Ref) -> bool {
        false
    }
}
