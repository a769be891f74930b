//! The NetworkPolicies that faults make, and whether they stand.

use serde_json::{Value, json};

use crate::model::effect::{Act, Ref, Resource};
use crate::model::facts::{Facts, Read, Unread};
use crate::model::name::Name;
use crate::model::scene::{Progress, Refusal, Scene};

/// What the functions here must see.
pub(super) fn reads(scene: &Scene, namespace: &Name) -> Read {
    Read::in_namespace(scene.region, Resource::network_policies(), namespace)
}

/// The step's policy in a namespace.
fn at(scene: &Scene, namespace: &Name) -> Ref {
    let name = format!("drillmaster-{}", scene.step);
    Ref::new(scene.region, Resource::network_policies(), Some(namespace.as_str()), &name)
}

/// Makes the step's policy.
pub(super) fn create(scene: &Scene, facts: &Facts, namespace: &Name, spec: Value) -> Result<Act, Refusal> {
    let at = at(scene, namespace);
    if facts.object(scene.region, &at.resource, Some(namespace), &at.name)?.is_some() {
        return Err(Refusal::NoTarget(format!(
            "{at} exists already: heal the run that left it, or delete it"
        )));
    }
    let object = json!({
        "apiVersion": at.resource.api_version(),
        "kind": at.resource.kind,
        "metadata": {"name": at.name, "namespace": namespace},
        "spec": spec,
    });
    Ok(Act::Create { at, object })
}

/// Whether the step's policy stands.
pub(super) fn stands(scene: &Scene, facts: &Facts, namespace: &Name) -> Result<Progress, Unread> {
    let at = at(scene, namespace);
    let policy = facts.object(scene.region, &at.resource, Some(namespace), &at.name)?;
    Ok(match policy {
        Some(policy) if policy["metadata"]["deletionTimestamp"].is_null() => Progress::Done,
        Some(_) => Progress::Waiting(format!("{at} is being deleted")),
        None => Progress::Waiting(format!("{at} does not exist")),
    })
}

/// Another policy of the namespace that allows something: policies add up, so it lets traffic through.
pub(super) fn other_that_allows<'a>(
    scene: &Scene,
    facts: &'a Facts,
    namespace: &Name,
) -> Result<Option<&'a Name>, Unread> {
    let ours = at(scene, namespace).name;
    let allows = |policy: &Value| {
        ["ingress", "egress"]
            .iter()
            .any(|way| policy["spec"][way].as_array().is_some_and(|rules| !rules.is_empty()))
    };
    let policies = facts.objects(scene.region, &Resource::network_policies(), Some(namespace))?;
    Ok(policies.iter().find(|((_, name), policy)| *name != ours && allows(policy)).map(|((_, name), _)| name))
}
