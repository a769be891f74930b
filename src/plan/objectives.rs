//! What is promised, by the catalogue: only for the services that the drill names and the region that it loses.

use crate::catalogue::{Service as Promised, ServiceCatalogue, Targets};
use crate::model::name::Name;
use crate::model::plan::{Rung, Service, Severity};
use crate::model::target::{Objective, ObjectiveKind, Origin};
use crate::model::time::Duration;
use crate::scenario::{Action, Scenario};

fn catalogue(scenario: &Scenario) -> Option<&ServiceCatalogue> {
    scenario.catalogue.as_ref().map(|document| &document.spec)
}

/// The drill's services as the catalogue has them.
pub(super) fn promised(scenario: &Scenario) -> impl Iterator<Item = &Promised> {
    let catalogue = catalogue(scenario);
    scenario.drill.spec.services.iter().filter_map(move |name| catalogue?.service(name))
}

fn targets<'a>(scenario: &Scenario, service: &'a Promised) -> Option<&'a Targets> {
    service.targets.get(scenario.drill.spec.regions.lost.as_ref()?)
}

fn mtpd(scenario: &Scenario, service: &Promised) -> Option<Duration> {
    Some(catalogue(scenario)?.tiers.get(service.tier.as_ref()?)?.mtpd)
}

/// What the plan keeps of the services.
pub(super) fn services(scenario: &Scenario) -> Vec<Service> {
    let service = |service: &Promised| Service {
        name: service.name.clone(),
        owner: service.owner.as_ref().map(|owner| owner.role.clone()),
        tier: service.tier.clone(),
        mtpd: mtpd(scenario, service),
        restored: service.restored.clone().unwrap_or_default(),
        stores: service.stores.clone(),
        moved: true,
    };
    promised(scenario).map(service).collect()
}

/// What is promised of each service, by its place in the drill's list.
pub(super) fn recovery_times(scenario: &Scenario) -> Vec<(usize, &Name, &Targets)> {
    let of = |(index, name)| Some((index, name, targets(scenario, catalogue(scenario)?.service(name)?)?));
    scenario.drill.spec.services.iter().enumerate().filter_map(of).collect()
}

/// The response times of the drill's severity.
pub(super) fn severity(scenario: &Scenario) -> Option<Severity> {
    let name = scenario.drill.spec.severity.as_ref()?;
    let times = catalogue(scenario)?.severities.get(name)?;
    Some(Severity {
        name: name.clone(),
        acknowledge: Some(times.acknowledge),
        engage: Some(times.engage),
        update: Some(times.update),
        declare: declared_by(&ladder(scenario)),
    })
}

/// When the ladder goes on to the last role that may declare: one before it should have declared by then. A ladder with one such role
/// promises no time.
fn declared_by(ladder: &[Rung]) -> Option<Duration> {
    let may_declare = || ladder.iter().filter(|rung| rung.may_declare).map(|rung| rung.after);
    may_declare().max().filter(|_| may_declare().count() > 1)
}

/// Whom to ask when, if nobody declares; without the rungs that depend on what is known only later.
pub(super) fn ladder(scenario: &Scenario) -> Vec<Rung> {
    let owner = promised(scenario).find_map(|service| service.owner.as_ref());
    let escalation = catalogue(scenario).and_then(|catalogue| catalogue.escalation.as_ref());
    let steps = escalation.into_iter().flat_map(|escalation| &escalation.steps);
    let rung = |step: &crate::catalogue::EscalationStep| Rung {
        after: step.after,
        role: match owner {
            Some(owner) if step.role.as_str() == "owner" => owner.role.clone(),
            _ => step.role.clone(),
        },
        may_declare: step.may_declare,
    };
    steps.filter(|step| step.when.is_none()).map(rung).collect()
}

/// Every promise that the drill is judged by.
pub(super) fn objectives(scenario: &Scenario) -> Vec<Objective> {
    let mut found: Vec<Objective> = promised(scenario).flat_map(|service| of(scenario, service)).collect();
    let drill = &scenario.drill.spec;
    let people = |action: &Action| matches!(action, Action::Declare(_) | Action::Task(_) | Action::Notify(_));
    let inside = scenario.procedures.iter().flat_map(|procedure| &procedure.spec.steps);
    let asked = drill.all_steps().map(|(_, step)| step).chain(inside).any(|step| people(&step.action));
    if severity(scenario).is_some() && asked {
        // People answer for the whole drill: one objective, under the first service.
        let service = drill.services.first().unwrap_or(&scenario.drill.metadata.name);
        found.push(objective(service, ObjectiveKind::Response, None));
    }
    found
}

fn objective(service: &Name, kind: ObjectiveKind, target: Option<Duration>) -> Objective {
    Objective {
        service: service.clone(),
        kind,
        target,
        origin: Origin::default(),
        store: None,
        rpo: None,
        lost: None,
    }
}

fn of(scenario: &Scenario, service: &Promised) -> Vec<Objective> {
    let drill = &scenario.drill.spec;
    let store = drill.workload.ledger.as_ref().map(|ledger| &ledger.store);
    let store = store.filter(|store| service.stores.contains(store)).cloned();
    let lost = drill.regions.lost.clone();
    let promise = |kind, target| Objective { lost: lost.clone(), ..objective(&service.name, kind, target) };
    let mut found = Vec::new();
    if let Some(targets) = targets(scenario, service) {
        found.push(Objective { origin: targets.from, ..promise(ObjectiveKind::Rta, Some(targets.rto)) });
        if let Some(rpo) = targets.rpo {
            found.push(Objective { store: store.clone(), ..promise(ObjectiveKind::Rpa, Some(rpo)) });
        }
        if let Some(exposure) = targets.exposure {
            found.push(promise(ObjectiveKind::Exposure, Some(exposure)));
        }
    }
    if store.is_some() {
        found.push(Objective { store: store.clone(), ..promise(ObjectiveKind::Integrity, None) });
    }
    if let Some(back) = service.failback.as_ref().filter(|_| !drill.stages.failback.is_empty()) {
        found.push(Objective { store, rpo: back.rpo, ..promise(ObjectiveKind::Failback, Some(back.rto)) });
    }
    if let Some(mtpd) = mtpd(scenario, service).filter(|_| lost.is_some()) {
        found.push(promise(ObjectiveKind::Mtpd, Some(mtpd)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_due_when_the_ladder_goes_on_to_the_last_who_may_declare() {
        let rung = |minutes: u64, may_declare: bool| Rung {
            after: Duration::from_secs(minutes * 60),
            role: "somebody".into(),
            may_declare,
        };
        assert_eq!(declared_by(&[rung(0, false), rung(3, true)]), None, "nobody could have been sooner");
        let ladder = [rung(0, false), rung(3, true), rung(8, true), rung(60, false)];
        assert_eq!(declared_by(&ladder), Some(Duration::from_secs(480)));
    }
}
