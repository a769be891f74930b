//! `ServiceCatalogue`: what is promised about each service, who owns it, what it needs, and who decides.
//!
//! The types stand here; what they must not say stands in `checks`. Percentages and times are types of the model, dates are
//! days without a time. Left out: prices, since a service credit is a share of a fee that is nobody's business here.

pub mod calendar;
pub mod checks;
mod zones;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use calendar::{Date, WeekTime};

use crate::document::Kind;
use crate::model::name::{Name, Region, Role};
use crate::model::target::{Origin, RestoredClause, Share};
use crate::model::time::Duration;

/// What is promised about services, and to whom they matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceCatalogue {
    /// When somebody last agreed to all of it, and when again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Reviewed>,
    /// Classes of services, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<Name, Tier>,
    /// The services.
    pub services: Vec<Service>,
    /// Who supplies what from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub third_parties: Vec<ThirdParty>,
    /// How fast people answer, by severity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<Name, Severity>,
    /// Who is asked when, until somebody declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// What customers were promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// When drills on live clusters may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub change_windows: Vec<ChangeWindow>,
    /// When none may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
}

impl Kind for ServiceCatalogue {
    const KIND: &'static str = "ServiceCatalogue";
}

impl ServiceCatalogue {
    /// A service by its name.
    pub fn service(&self, name: &Name) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }
}

/// A review of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reviewed {
    /// The day of the last review.
    pub date: Date,
    /// Who reviewed it.
    pub by: Name,
    /// The day by which it is due again.
    pub next: Date,
}

/// A class of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tier {
    /// The longest tolerable outage.
    pub mtpd: Duration,
    /// How often its services must be drilled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_every: Option<Duration>,
    /// When people answer: `24x7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Name>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Services and third parties without which it is down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub needs: Vec<Name>,
    /// Services and third parties without which it is worse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub degrades_without: Vec<Name>,
    /// Where its data lives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub stores: Vec<Name>,
    /// What is promised, by the region that is lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<Region, Targets>,
    /// How the RTO is shared out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What is promised for the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback: Option<FailbackTargets>,
    /// When it counts as restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredClause>,
}

/// Whose a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The team.
    pub team: Name,
    /// Who of it answers.
    pub role: Role,
}

/// What is promised when a region is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Targets {
    /// The longest recovery time.
    pub rto: Duration,
    /// The most data that may be lost, as a time; left out for a service without stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    /// From where the recovery time counts.
    #[serde(default)]
    pub from: Origin,
    /// The longest time that the service may run without redundancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Duration>,
}

/// How the RTO is shared out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// Until somebody knows.
    pub detection: Duration,
    /// Until somebody has decided.
    pub decision: Duration,
    /// Until the service is back.
    pub failover: Duration,
}

/// What is promised for the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailbackTargets {
    /// The longest outage on the way back.
    pub rto: Duration,
    /// The most data that may be lost on the way back; left out for a service without stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
}

/// Who supplies something from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ThirdParty {
    /// Its name.
    pub name: Name,
    /// What it supplies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplies: Option<String>,
    /// Who talks to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liaison: Option<Role>,
    /// How fast it answers, by severity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub responds_within: BTreeMap<Name, Duration>,
    /// What it has shown to auditors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Attestation>,
}

/// What a third party has shown to auditors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attestation {
    /// `SOC 2 Type 2`.
    pub name: String,
    /// The last day on which it holds.
    pub expires: Date,
}

/// How fast people answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Severity {
    /// From the page to the acknowledgement.
    pub acknowledge: Duration,
    /// From the page until people work on it.
    pub engage: Duration,
    /// Between two updates.
    pub update: Duration,
    /// Until the cause is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<Duration>,
}

/// Who is asked when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Escalation {
    /// Whose word is the last.
    pub final_authority: FinalAuthority,
    /// From the page, until somebody declares.
    pub steps: Vec<EscalationStep>,
}

/// Whose word is the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FinalAuthority {
    pub role: Role,
    /// Who stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deputy: Option<Role>,
}

/// A rung of the escalation ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EscalationStep {
    /// Since the page.
    pub after: Duration,
    /// Who is asked; `owner` is the role that owns the service.
    pub role: Role,
    /// Whether this role may declare the disaster.
    #[serde(default)]
    pub may_declare: bool,
    /// Only under this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<EscalationCondition>,
}

/// When a rung of the ladder is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EscalationCondition {
    /// Data was lost, or was not.
    DataLost(bool),
}

/// What customers were promised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agreement {
    pub availability: Availability,
    /// What customers get back; the highest that applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credits: Vec<Credit>,
}

/// How much of the time the service must be up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Availability {
    /// The share of the time.
    pub target: Share,
    /// Over which time.
    pub per: Period,
    /// Whether an outage in a drill counts against it.
    #[serde(default)]
    pub drills_count: bool,
}

/// Over which time availability counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Period {
    /// A calendar month.
    Month,
    /// Three calendar months.
    Quarter,
    /// A calendar year.
    Year,
}

/// What customers get back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credit {
    /// When it applies.
    pub when: CreditCondition,
    /// The share of the period's fee.
    pub credit: Share,
}

/// When a credit applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CreditCondition {
    /// The availability lies below this share.
    AvailabilityBelow(Share),
    /// An incident missed this promise.
    ObjectiveMissed(Promise),
}

/// A promise of [`Targets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Promise {
    /// The recovery time.
    Rto,
    /// The data loss.
    Rpo,
}

/// When drills on live clusters may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeWindow {
    /// The IANA time zone that `start` is in: `Europe/Berlin`.
    pub zone: String,
    /// Day of the week and time: `Sun 01:00`.
    pub start: WeekTime,
    /// How long it stays open.
    pub lasts: Duration,
    /// The share of earlier rehearsals that must have met their objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_success: Option<Share>,
    /// Who says yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<Role>,
}

/// When no drill may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub until: Date,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
