//! Reasons not to start: pure functions from facts to refusals, one for each guard, all asked at once.
//!
//! A guard changes nothing, and each refusal says how to pass it. Steady state is the engine's own guard, since it takes time. Identity is
//! checked where a cluster is connected to, before anything is read of it; `rights` says what its API server must allow. Left out for now:
//! change windows, approvals, locks.

pub mod rights;

use std::collections::BTreeSet;

use crate::model::effect::Ref;
use crate::model::event::Outcome;
use crate::model::name::{Name, Region, Vantage};
use crate::model::plan::Plan;

/// What the world has.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub vantages: BTreeSet<Vantage>,
    /// Vantages that are agents: they probe, and write nothing.
    pub agents: BTreeSet<Vantage>,
    pub regions: BTreeSet<Region>,
}

/// Asks every guard.
pub fn check(plan: &Plan, facts: &Facts) -> Vec<(Name, Outcome)> {
    [("regions", regions(plan, facts)), ("vantages", vantages(plan, facts)), ("scope", scope(plan))]
        .map(|(guard, why)| (Name::from(guard), why.map_or(Outcome::Ok, Outcome::failed)))
        .to_vec()
}

/// Every region of the plan exists.
fn regions(plan: &Plan, facts: &Facts) -> Option<String> {
    let missing: BTreeSet<&Region> =
        plan.regions.iter().filter(|name| !facts.regions.contains(*name)).collect();
    refusal("region", &missing, &facts.regions)
}

/// Every place that probes and ledgers send from exists.
fn vantages(plan: &Plan, facts: &Facts) -> Option<String> {
    let all: BTreeSet<Vantage> = facts.vantages.union(&facts.agents).cloned().collect();
    let probes = plan.probes.iter().flat_map(|probe| &probe.from);
    let writes = plan.ledgers.iter().map(|ledger| &ledger.from);
    let named = probes.chain(writes.clone());
    let missing: BTreeSet<&Vantage> = named.filter(|name| !all.contains(*name)).collect();
    refusal("vantage", &missing, &all).or_else(|| {
        let agent = writes.clone().find(|name| facts.agents.contains(*name))?;
        Some(format!("the vantage {agent} is an agent, and a ledger's writes are sent from where drillmaster runs: name another one under `workload.ledger.from`"))
    })
}

fn refusal<T: AsRef<str>>(what: &str, missing: &BTreeSet<&T>, all: &BTreeSet<T>) -> Option<String> {
    let listed = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    (!missing.is_empty()).then(|| {
        format!(
            "the environment has no {what} {}: it has {}",
            listed(missing.iter().map(|name| (*name).as_ref()).collect()),
            listed(all.iter().map(AsRef::as_ref).collect())
        )
    })
}

/// What the plan touches lies within its limits; of the cluster's own objects only nodes, which faults name.
fn scope(plan: &Plan) -> Option<String> {
    let touched =
        plan.blast_radius.iter().map(|touched| (touched.namespace.as_ref(), touched.plural.as_str()));
    let sides = plan.authorities.iter().flat_map(|authority| &authority.sides);
    let fenced = sides.map(|side| {
        let at: &Ref = side.pod();
        (at.namespace.as_ref(), at.resource.plural.as_str())
    });
    let outside = |(namespace, plural): &(Option<&Name>, &str)| match namespace {
        Some(namespace) => !plan.namespaces.contains(namespace),
        None => *plural != "nodes",
    };
    let outside: BTreeSet<String> = touched
        .chain(fenced)
        .filter(outside)
        .map(|(namespace, plural)| match namespace {
            Some(namespace) => format!("{plural} in {namespace}"),
            None => plural.to_owned(),
        })
        .collect();
    (!outside.is_empty()).then(|| {
        let outside: Vec<String> = outside.into_iter().collect();
        format!(
            "the plan touches {}: add the namespace to `limits.namespaces`, or narrow the step",
            outside.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_name_is_told_with_what_there_is() {
        let (east, west) = (Region::from("east"), Region::from("west"));
        let missing = [&west].into();
        let said = refusal("region", &missing, &[east].into()).unwrap();
        assert_eq!(said, "the environment has no region west: it has east");
        assert_eq!(refusal::<Region>("region", &BTreeSet::new(), &BTreeSet::new()), None);
    }
}
