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

/// Whether the step's policy stands, and means what it was made for: somebody may have opened it.
pub(super) fn stands(
    scene: &Scene,
    facts: &Facts,
    namespace: &Name,
    is_meant: impl Fn(&Value) -> bool,
) -> Result<Progress, Unread> {
    let at = at(scene, namespace);
    let policy = facts.object(scene.region, &at.resource, Some(namespace), &at.name)?;
    Ok(match policy {
        Some(policy) if !policy["metadata"]["deletionTimestamp"].is_null() => {
            Progress::Waiting(format!("{at} is being deleted"))
        }
        Some(policy) if !is_meant(&policy["spec"]) => Progress::Waiting(format!(
            "somebody changed {at}: it does not say any more what the fault made it say"
        )),
        Some(_) => Progress::Done,
        None => Progress::Waiting(format!("{at} does not exist")),
    })
}

/// The rules of a policy for one way, `ingress` or `egress`.
pub(super) fn rules<'a>(spec: &'a Value, way: &str) -> &'a [Value] {
    spec[way].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a policy is about one way, `Ingress` or `Egress`.
pub(super) fn is_about(spec: &Value, way: &str) -> bool {
    spec["policyTypes"].as_array().is_some_and(|ways| ways.iter().any(|of| of == way))
}

/// Another policy of the namespace that allows something, in one of these ways, to one of these pods, or to those that come where there are
/// none: policies add up, so it lets traffic through.
pub(super) fn other_that_allows<'a>(
    scene: &Scene,
    facts: &'a Facts,
    namespace: &Name,
    ways: &[&str],
    pods: &[&Value],
) -> Result<Option<&'a Name>, Unread> {
    let ours = at(scene, namespace).name;
    let allows = |policy: &Value| {
        let spec = &policy["spec"];
        ways.iter().any(|way| !rules(spec, way).is_empty())
            && (pods.is_empty()
                || pods.iter().any(|pod| selects(&spec["podSelector"], &pod["metadata"]["labels"])))
    };
    let policies = facts.objects(scene.region, &Resource::network_policies(), Some(namespace))?;
    Ok(policies.iter().find(|((_, name), policy)| *name != ours && allows(policy)).map(|((_, name), _)| name))
}

/// Whether a selector chooses everything.
pub(super) fn selects_all(selector: &Value) -> bool {
    selector["matchLabels"].as_object().is_none_or(|all| all.is_empty())
        && selector["matchExpressions"].as_array().is_none_or(Vec::is_empty)
}

/// Whether a selector chooses these labels. What we cannot read may choose them.
fn selects(selector: &Value, labels: &Value) -> bool {
    let all = selector["matchLabels"].as_object();
    let fits = |rule: &Value| {
        let label = rule["key"].as_str().and_then(|key| labels.get(key));
        let named =
            || label.is_some_and(|label| rule["values"].as_array().is_some_and(|all| all.contains(label)));
        match rule["operator"].as_str() {
            Some("In") => named(),
            Some("NotIn") => !named(),
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => true,
        }
    };
    all.is_none_or(|all| all.iter().all(|(key, value)| labels.get(key) == Some(value)))
        && selector["matchExpressions"].as_array().is_none_or(|rules| rules.iter().all(fits))
}
