//! Which services a drill moves to the side that takes over: only that side restores those. The others stay where they are.
//!
//! A service is moved where a step leads those who ask it, or its ledger, to another side, or moves the write authority of a store, and it
//! has one (nobody can say which workload keeps which store). Where no step moves any, something else does, as a load balancer that looks
//! for itself: then it is all of them.

use std::str::FromStr;

use super::{Acting, kind};
use crate::model::name::Name;
use crate::model::plan::{Plan, Probe, Service};
use crate::model::url::{Url, bare};
use crate::probe::ProbeKind;
use crate::recovery::Leads;

/// The services that the steps of a plan move.
pub(super) fn moved(plan: &Plan) -> Vec<Name> {
    let by_a_step = plan.services.iter().filter(|service| is_moved(plan, service));
    let by_a_step: Vec<Name> = by_a_step.map(|service| service.name.clone()).collect();
    match by_a_step.is_empty() {
        true => plan.services.iter().map(|service| service.name.clone()).collect(),
        false => by_a_step,
    }
}

fn is_moved(plan: &Plan, service: &Service) -> bool {
    let hosts: Vec<String> = hosts(plan, service);
    let has_a_store =
        !service.stores.is_empty() || plan.ledgers.iter().any(|ledger| ledger.service == service.name);
    let leads = |step| match kind(step) {
        Some(Acting::Recovery(recovery, _)) => match recovery.behaviour().leads() {
            Leads::Nobody => false,
            Leads::Anybody => true,
            Leads::Host(host) => hosts.contains(&bare(host)),
        },
        Some(Acting::Fault(..)) | None => false,
    };
    (has_a_store && plan.point_of_no_return.is_some()) || plan.all_steps().any(leads)
}

/// The hosts that a service is asked at.
fn hosts(plan: &Plan, service: &Service) -> Vec<String> {
    let probes = plan.probes.iter().filter(|probe| probe.service.as_ref() == Some(&service.name));
    let ledgers = plan.ledgers.iter().filter(|ledger| ledger.service == service.name);
    let ledgers = ledgers.filter_map(|ledger| Some(Url::from_str(&ledger.url).ok()?.host));
    probes.filter_map(host).chain(ledgers).map(|host| bare(&host)).collect()
}

fn host(probe: &Probe) -> Option<String> {
    let kind: ProbeKind = serde_json::from_value(probe.ask.clone()).ok()?;
    kind.behaviour().ask().host()
}
