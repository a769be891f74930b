//! The recovery `patch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Leads, Recovery};
use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::{Name, Region};
use crate::model::scene::{Progress, Refusal, Scene};
use crate::model::workload::is_observed;

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
    /// The object's name.
    pub name: Name,
    /// The fields to change; null removes one.
    #[schemars(extend("properties" = {"metadata": {"type": "object"}}))]
    pub merge: Map<String, Value>,
    /// Where; the step's region where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

impl Patch {
    fn at(&self, scene: &Scene) -> Ref {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", &self.api_version));
        let plural = self.plural.clone().unwrap_or_else(|| format!("{}s", self.kind.to_ascii_lowercase()));
        let resource = Resource::new(group, version, &plural, &self.kind);
        let region = self.region.as_ref().unwrap_or(scene.region);
        Ref::new(region, resource, self.namespace.as_ref().map(Name::as_str), self.name.as_str())
    }

    /// Whether an object holds the fields already.
    fn is_held(&self, object: &Value) -> bool {
        self.merge.iter().all(|(field, change)| holds(object.get(field), change))
    }
}

/// Whether an object holds the fields of a merge patch already.
fn holds(object: Option<&Value>, merge: &Value) -> bool {
    match (object, merge) {
        (None, Value::Null) => true,
        (Some(Value::Object(fields)), Value::Object(changes)) => {
            changes.iter().all(|(field, change)| holds(fields.get(field), change))
        }
        (object, merge) => object == Some(merge) && !merge.is_null(),
    }
}

impl Recovery for Patch {
    fn reads(&self, scene: &Scene) -> Vec<Read> {
        let Ref { region, resource, namespace, .. } = self.at(scene);
        vec![Read::Objects { region, resource, namespace }]
    }

    fn acts(&self, scene: &Scene, facts: &Facts) -> Result<Vec<Act>, Refusal> {
        if let Some(namespace) = &self.namespace {
            scene.may_touch(namespace)?;
        }
        let at = self.at(scene);
        let found = facts.object(&at.region, &at.resource, at.namespace.as_ref(), &at.name)?;
        let object = found.ok_or_else(|| Refusal::NoTarget(format!("{at} does not exist")))?;
        if self.is_held(object) {
            return Ok(Vec::new());
        }
        Ok(vec![Act::Patch { at, merge: Value::Object(self.merge.clone()) }])
    }

    fn watches(&self, scene: &Scene) -> Vec<Read> {
        self.reads(scene)
    }

    fn settled(&self, scene: &Scene, facts: &Facts) -> Result<Progress, Unread> {
        let at = self.at(scene);
        let object = facts.object(&at.region, &at.resource, at.namespace.as_ref(), &at.name)?;
        Ok(match object {
            Some(object) if !self.is_held(object) => {
                Progress::Waiting(format!("{at} does not hold the fields"))
            }
            Some(object) if !object["status"]["observedGeneration"].is_null() && !is_observed(object) => {
                Progress::Waiting(format!("{at} has not been looked at by its controller"))
            }
            Some(_) => Progress::Done,
            None => Progress::Waiting(format!("{at} does not exist")),
        })
    }

    fn leads(&self) -> Leads<'_> {
        Leads::Anybody
    }
}
