//! What a catalogue must not say: names that nothing has, cycles, and promises that cannot hold together.

use std::collections::{BTreeMap, BTreeSet};

use super::zones::{ZONES, is_zone};
use super::{Service, ServiceCatalogue};
use crate::document::{Diagnostic, Document, Path, ordered};
use crate::model::name::{Name, Role};
use crate::model::target::Share;
use crate::model::time::Duration;

/// Everything that is wrong with a catalogue of the right shape.
pub fn all(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let checks =
        [duplicates, unknown_names, cycles, looser_dependency, beyond_mtpd, budgets, restored, days, zones];
    ordered(checks.iter().flat_map(|check| check(catalogue)).collect())
}

impl ServiceCatalogue {
    /// Every role that somebody has.
    pub fn roles(&self) -> BTreeSet<&Role> {
        let owners =
            self.services.iter().filter_map(|service| service.owner.as_ref().map(|owner| &owner.role));
        let liaisons = self.third_parties.iter().filter_map(|party| party.liaison.as_ref());
        let approvers = self.change_windows.iter().filter_map(|window| window.approver.as_ref());
        let ladder = self.escalation.iter().flat_map(|escalation| {
            let last = &escalation.final_authority;
            let steps = escalation.steps.iter().map(|step| &step.role);
            steps.chain([&last.role]).chain(last.deputy.as_ref())
        });
        owners.chain(liaisons).chain(approvers).chain(ladder).collect()
    }
}

fn service_path(index: usize) -> Path {
    Path::spec().then("services").then(index)
}

fn duplicates(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let services =
        catalogue.spec.services.iter().enumerate().map(|(i, service)| (service_path(i), &service.name));
    let parties = Path::spec().then("thirdParties");
    let parties =
        catalogue.spec.third_parties.iter().enumerate().map(|(i, party)| (parties.then(i), &party.name));
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (path, name) in services.chain(parties) {
        let path = path.then("name");
        let line = catalogue.text.place(&path).line;
        if let Some(first) = seen.insert(name, line) {
            let message = format!("`{name}` is described twice; first on line {first}");
            found.push(catalogue.text.error(&path, message).help("make one of them"));
        }
    }
    found
}

fn unknown_names(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let spec = &catalogue.spec;
    let text = &catalogue.text;
    let suppliers = || {
        let services = spec.services.iter().map(|service| service.name.as_str());
        services.chain(spec.third_parties.iter().map(|party| party.name.as_str()))
    };
    let mut found = Vec::new();
    for (index, service) in spec.services.iter().enumerate() {
        let path = service_path(index);
        if let Some(tier) = service.tier.as_ref().filter(|tier| !spec.tiers.contains_key(*tier)) {
            let tiers = spec.tiers.keys().map(Name::as_str);
            found.push(text.unknown(&path.then("tier"), "tier", tier.as_str(), tiers));
        }
        for (key, names) in [("needs", &service.needs), ("degradesWithout", &service.degrades_without)] {
            let unknown =
                names.iter().enumerate().filter(|(_, name)| suppliers().all(|known| known != name.as_str()));
            for (index, name) in unknown {
                let path = path.then(key).then(index);
                found.push(text.unknown(&path, "service or third party", name.as_str(), suppliers()));
            }
        }
    }
    for (index, party) in spec.third_parties.iter().enumerate() {
        for severity in party.responds_within.keys().filter(|name| !spec.severities.contains_key(*name)) {
            let path =
                Path::spec().then("thirdParties").then(index).then("respondsWithin").then(severity.as_str());
            let (message, help) = crate::document::unknown(
                "severity",
                severity.as_str(),
                spec.severities.keys().map(Name::as_str),
                spec.severities.keys().map(Name::as_str),
            );
            let error = Diagnostic::error(message, Some(text.place_of_key(&path)));
            found.push(match help {
                Some(help) => error.help(help),
                None => error,
            });
        }
    }
    found
}

/// Services that need each other can never be brought back one after the other.
fn cycles(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let spec = &catalogue.spec;
    let mut found = Vec::new();
    let mut told: BTreeSet<&Name> = BTreeSet::new();
    for (index, service) in spec.services.iter().enumerate() {
        if told.contains(&service.name) {
            continue;
        }
        if let Some(cycle) = way_back(spec, service) {
            let way: Vec<String> = cycle.iter().map(|name| format!("`{name}`")).collect();
            let message =
                format!("`{}` needs itself: {} → `{}`", service.name, way.join(" → "), service.name);
            found.push(
                catalogue
                    .text
                    .error(&service_path(index).then("needs"), message)
                    .help("one of them must start alone: make its need a `degradesWithout`"),
            );
            told.extend(cycle);
        }
    }
    found
}

/// The shortest way along `needs` from a service to itself, without its end.
fn way_back<'a>(spec: &'a ServiceCatalogue, from: &'a Service) -> Option<Vec<&'a Name>> {
    let mut ways = std::collections::VecDeque::from([vec![&from.name]]);
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let needs = way.last().and_then(|last| spec.service(last)).map_or(&[][..], |service| &service.needs);
        for next in needs {
            if *next == from.name {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// A service is not back before what it needs.
fn looser_dependency(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let spec = &catalogue.spec;
    let mut found = Vec::new();
    for (index, service) in spec.services.iter().enumerate() {
        for (at, need) in service.needs.iter().enumerate() {
            let Some(needed) = spec.service(need) else { continue };
            for (region, targets) in &service.targets {
                let looser = needed.targets.get(region).filter(|theirs| theirs.rto > targets.rto);
                if let Some(theirs) = looser {
                    let message = format!(
                        "when {region} is lost, `{need}` may take {}, but `{}` promises {} and needs it",
                        theirs.rto, service.name, targets.rto
                    );
                    found.push(
                        catalogue.text.error(&service_path(index).then("needs").then(at), message).help(
                            format!(
                                "promise {} for `{need}`, or more time for `{}`",
                                targets.rto, service.name
                            ),
                        ),
                    );
                }
            }
        }
    }
    found
}

/// What is promised to be back only after the longest tolerable outage.
fn beyond_mtpd(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, service) in catalogue.spec.services.iter().enumerate() {
        let Some(tier) = service.tier.as_ref().and_then(|name| catalogue.spec.tiers.get(name)) else {
            continue;
        };
        for (region, targets) in service.targets.iter().filter(|(_, targets)| targets.rto > tier.mtpd) {
            let path = service_path(index).then("targets").then(region.as_str()).then("rto");
            let message = format!(
                "an RTO of {} lies beyond the longest tolerable outage (MTPD), {}",
                targets.rto, tier.mtpd
            );
            let error = catalogue.text.error(&path, message);
            found.push(
                error.help(format!("promise at most `{}`, or give the tier a longer `mtpd`", tier.mtpd)),
            );
        }
    }
    found
}

fn budgets(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, service) in catalogue.spec.services.iter().enumerate() {
        let Some(budget) = &service.budget else { continue };
        let sum: Duration = budget.detection.plus(budget.decision).plus(budget.failover);
        let tightest = service.targets.iter().min_by_key(|(_, targets)| targets.rto);
        if let Some((region, targets)) = tightest.filter(|(_, targets)| sum > targets.rto) {
            let message =
                format!("the budget adds up to {sum}, over the RTO of {} when {region} is lost", targets.rto);
            found.push(
                catalogue
                    .text
                    .error(&service_path(index).then("budget"), message)
                    .help("shorten a part of it, or promise less"),
            );
        }
    }
    found
}

/// A clause that every outage meets would call a service restored while it is down.
fn restored(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, service) in catalogue.spec.services.iter().enumerate() {
        if service.restored.as_ref().is_some_and(|clause| clause.success == Share(0)) {
            let path = service_path(index).then("restored").then("success");
            let message = format!("`{}` would count as restored while nothing answers", service.name);
            found.push(catalogue.text.error(&path, message).help("name the share that must succeed: `99%`"));
        }
        if service.restored.as_ref().is_some_and(|clause| clause.p99 == Some(Duration::ZERO)) {
            let path = service_path(index).then("restored").then("p99");
            let message =
                format!("`{}` would never count as restored: every answer takes some time", service.name);
            found.push(catalogue.text.error(&path, message).help("write it like `800ms`"));
        }
    }
    found
}

fn zones(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let windows = catalogue.spec.change_windows.iter().enumerate();
    let unknown = windows.filter(|(_, window)| !is_zone(&window.zone));
    let said = unknown.map(|(index, window)| {
        let path = Path::spec().then("changeWindows").then(index).then("zone");
        let (message, help) =
            crate::document::unknown("time zone", &window.zone, std::iter::empty(), ZONES.lines());
        let help = help.unwrap_or_else(|| "name one of the IANA database: `Europe/Berlin`".to_owned());
        catalogue.text.error(&path, message).help(help)
    });
    said.collect()
}

fn days(catalogue: &Document<ServiceCatalogue>) -> Vec<Diagnostic> {
    let text = &catalogue.text;
    let mut found = Vec::new();
    if let Some(reviewed) = catalogue.spec.reviewed.as_ref().filter(|reviewed| reviewed.next < reviewed.date)
    {
        let path = Path::spec().then("reviewed").then("next");
        let message = format!("the next review, {}, lies before the last, {}", reviewed.next, reviewed.date);
        found.push(text.error(&path, message).help("exchange them"));
    }
    for (index, freeze) in catalogue.spec.freezes.iter().enumerate() {
        if freeze.until < freeze.from {
            let path = Path::spec().then("freezes").then(index).then("until");
            let message = format!("the freeze ends, {}, before it begins, {}", freeze.until, freeze.from);
            found.push(text.error(&path, message).help("exchange them"));
        }
    }
    found
}
