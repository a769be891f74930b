//! The recovery `patch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Recovery;
use crate::model::effect::Act;
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};

/// A step that uses it.
pub const EXAMPLE: &str = r#"id: put-the-upstream-right
recover:
  patch:
    apiVersion: v1
    kind: ConfigMap
    namespace: shop
    name: checkout
    merge: {data: {UPSTREAM: "http://ledger.shop.svc/"}}
"#;

/// Changes fields of any object by a JSON merge patch (RFC 7386).
///
/// Cannot: know what the change is for: it counts as done once the object holds the fields and its controller has seen them.
///
/// Effects: patches the object, unless it holds the fields already.
///
/// Undo: puts the touched fields back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `ConfigMap`.
    pub kind: String,
    /// The kind in a path: `configmaps`; the kind in lower case with an `s` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plural: Option<String>,
    /// Left out for an object of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    pub name: Name,
    /// The fields to change; null removes one.
    pub merge: Value,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Recovery for Patch {
    fn reads(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn acts(&self, _scene: &Scene, _facts: &Facts) -> Result<Vec<Act>, Refusal> {
        Err(Refusal::NoTarget("not planned yet".to_owned()))
    }

    fn watches(&self, _scene: &Scene) -> Vec<Read> {
        Vec::new()
    }

    fn settled(&self, _scene: &Scene, _facts: &Facts) -> Result<Progress, Unread> {
        Ok(Progress::Waiting("not planned yet".to_owned()))
    }
}
