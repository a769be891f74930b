//! The fault `podKill`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::target::Share;
use crate::model::workload::Labels;

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: kill-half
fault: {podKill: {namespace: shop, selector: {app: checkout}, pods: {share: 50%}}}
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
    Count(u32),
    /// This share, rounded up.
    Share(Share),
}

impl Fault for PodKill {
    fn reads(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn acts(&self, _scene: &Scene, _facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Err(Refusal::NoTarget("not planned yet".to_owned()))
    }

    fn in_effect(&self, _scene: &Scene, _facts: &Facts) -> Result<Progress, Unread> {
        Ok(Progress::Waiting("not planned yet".to_owned()))
    }
}
