//! The `Drill` document: what a team wants to happen, as it stands under `spec`.
//!
//! The types are plain: a check says where it looks by a path (`spec.probes[0].service`) and the document knows the path's place
//! in the text, so nothing here carries spans, and a custom resource is the same value. A step's action and a probe's kind are
//! keys of the step and of the probe; that exactly one stands there, the schema says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::fault::FaultKind;
use crate::model::name::{Name, ProbeId, Region, Role, StepId, Vantage};
use crate::model::plan::{AbortWhen, Check, DrillType, OnTimeout, ProofUntil, Stage, Wait};
use crate::model::time::Duration;
use crate::probe::ProbeKind;
use crate::recovery::RecoveryKind;

/// A disaster recovery drill: what is broken, how it is recovered, what is measured meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drill {
    /// What the drill is to show, in a sentence that stands on the report's first page.
    pub purpose: String,
    /// How real it is: tabletop, simulated, partial or full. A rehearsal counts as simulated at most.
    #[serde(rename = "type")]
    pub drill_type: DrillType,
    /// Whether people know that it comes; then detection and decision are marked as pre-warned.
    #[serde(default)]
    pub announced: bool,
    /// Key people who must not help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub absent: Vec<Role>,
    /// The catalogue's severity whose response times count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Name>,
    /// The ServiceCatalogue that targets, owners, dependencies and people come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<Name>,
    /// The SandboxSpec that `run` without `--env` simulates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Name>,
    /// The runbook in Markdown, as a path in the drill's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Which region is lost, and which takes over.
    #[serde(default)]
    pub regions: Regions,
    /// The services whose targets are measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub services: Vec<Name>,
    /// What the team expects; each is answered in the review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub expectations: Vec<String>,
    /// What is asked all the time, to see who is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
    /// What is written all the time, to see what is lost.
    #[serde(default)]
    pub workload: Workload,
    /// What must hold before the first fault.
    #[serde(default)]
    pub steady_state: SteadyState,
    /// What the drill may touch, and what ends it early.
    pub limits: Limits,
    /// Irreversible steps that the team accepts, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub allow_irreversible: Vec<StepId>,
    /// What happens, stage by stage.
    pub stages: Stages,
}

impl Kind for Drill {
    const KIND: &'static str = "Drill";
}

impl Drill {
    /// Every step with its stage, in order, with those inside `parallel`; not those of procedures.
    pub fn all_steps(&self) -> impl Iterator<Item = (Stage, &Step)> {
        Stage::ALL.into_iter().flat_map(|stage| {
            self.stages.of(stage).iter().flat_map(move |step| {
                std::iter::once(step).chain(step.action.inner()).map(move |step| (stage, step))
            })
        })
    }
}

/// The regions' parts in the drill.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Regions {
    /// The region that is lost: where faults act unless they name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Region>,
    /// The region that takes over: where recoveries act unless they name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_over: Option<Region>,
}

/// Something that is asked at a fixed rate, whatever the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Probe {
    /// An id has lower-case letters, digits and `-`; no other probe of the drill has it.
    #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub id: ProbeId,
    /// The service whose objectives it measures; several probes may measure one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// Whether it only shows that the vantage itself can see: what that saw around a failure counts for nothing, and where it fails more
    /// than once in a while, the vantage is excluded.
    #[serde(default)]
    pub control: bool,
    /// The time between two sends; at most a hundredth of the RTO, and a tenth of the time for which the service must answer to count as
    /// restored.
    pub every: Duration,
    /// After this without an answer, the probe has failed; with the period at most half of the RTO.
    pub timeout: Duration,
    /// Where it sends from: `outside`, or a region.
    #[serde(default = "outside")]
    #[schemars(extend("uniqueItems" = true))]
    pub from: Vec<Vantage>,
    /// Reuse the connection, and open a fresh one for each n-th; 1 opens one each time.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub fresh_every: u32,
    /// What is asked: one probe kind.
    #[serde(flatten)]
    pub ask: ProbeKind,
}

fn outside() -> Vec<Vantage> {
    vec![Vantage::from("outside")]
}

fn one() -> u32 {
    1
}

/// What is written all the time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Numbered records through the service's own write path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// Numbered records, written at a fixed rate, whose fate gives the RPA of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ledger {
    /// The service that takes the writes.
    pub service: Name,
    /// The store that they end in.
    pub store: Name,
    /// Where they are posted.
    pub url: String,
    /// How many a second.
    #[schemars(range(min = 1, max = 10_000))]
    pub writes_per_second: u32,
    /// After this without an answer, a write's fate is unknown.
    #[serde(default = "one_second")]
    pub timeout: Duration,
    /// Where they are sent from: `outside`, or a region.
    #[serde(default = "from_outside")]
    pub from: Vantage,
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn from_outside() -> Vantage {
    Vantage::from("outside")
}

/// What must hold before the first fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SteadyState {
    /// For how long every service must keep what its `restored` asks for, and every other probe succeed.
    #[serde(rename = "for")]
    pub lasting: Duration,
}

impl Default for SteadyState {
    fn default() -> Self {
        Self { lasting: Duration::from_secs(30) }
    }
}

/// What the drill may touch, and what ends it early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// A run that takes longer is aborted and healed.
    pub max_duration: Duration,
    /// The namespaces that steps may touch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub namespaces: Vec<Name>,
    /// Probes that must not fail for longer than a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort_when: Vec<AbortWhen>,
}

/// The stages of a drill, in this order; a missing one is reported as not exercised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("propertyOrder" = Stage::ALL))]
pub struct Stages {
    /// Break it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inject: Vec<Step>,
    /// Notice it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detect: Vec<Step>,
    /// Decide to fail over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declare: Vec<Step>,
    /// Recover on the other side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<Step>,
    /// Check what was recovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Step>,
    /// Live on the recovery side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operate: Vec<Step>,
    /// Go back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failback: Vec<Step>,
}

impl Stages {
    /// The steps of a stage; none where the drill lacks it.
    pub fn of(&self, stage: Stage) -> &[Step] {
        match stage {
            Stage::Inject => &self.inject,
            Stage::Detect => &self.detect,
            Stage::Declare => &self.declare,
            Stage::Failover => &self.failover,
            Stage::Verify => &self.verify,
            Stage::Operate => &self.operate,
            Stage::Failback => &self.failback,
        }
    }
}

/// A team's own steps, which a drill's `procedure` step runs one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Procedure {
    /// One after another; none of them a `procedure`.
    pub steps: Vec<Step>,
}

impl Kind for Procedure {
    const KIND: &'static str = "Procedure";
}

/// One thing that happens: an id, and exactly one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Step {
    /// An id has lower-case letters, digits and `-`; no other step of the drill has it.
    #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub id: StepId,
    /// What people read in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The runbook's section that it follows: `#promote-the-database`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// How long it should take: counts against the RTO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Duration>,
    /// After this, `onTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What follows a timeout; each stage has its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
    /// How a fault is shown to have taken effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
}

/// What a step does: exactly one of these stands in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Break something; needs a `proof`.
    Fault(FaultKind),
    /// Recover something.
    Recover(RecoveryKind),
    /// Take back the fault of the step with this id.
    RemoveFault(StepId),
    /// A person declares the disaster.
    Declare(Declare),
    /// Wait for an alert, a time or a probe.
    Wait(Wait),
    /// A person does something.
    Task(Task),
    /// Tell an audience, within a time.
    Notify(Notify),
    /// Check the ledger, or a probe.
    Check(Check),
    /// A service team's own steps: the name of a Procedure.
    Procedure(Name),
    /// All of these steps at once; none of them `parallel`.
    Parallel(Vec<Step>),
}

impl Action {
    /// The steps inside, at any depth.
    pub fn inner(&self) -> Vec<&Step> {
        match self {
            Action::Parallel(steps) => {
                steps.iter().flat_map(|step| std::iter::once(step).chain(step.action.inner())).collect()
            }
            Action::Fault(_)
            | Action::Recover(_)
            | Action::RemoveFault(_)
            | Action::Declare(_)
            | Action::Wait(_)
            | Action::Task(_)
            | Action::Notify(_)
            | Action::Check(_)
            | Action::Procedure(_) => Vec::new(),
        }
    }
}

/// Who declares the disaster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Declare {
    /// Who is asked first; the catalogue's escalation ladder says who is next.
    pub role: Role,
}

/// What a person does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// Who does it.
    pub role: Role,
    /// What is to be done.
    pub text: String,
}

/// Who is told what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notify {
    /// Who is told: `customers`, `regulator`, a role.
    pub audience: Name,
    /// What they are told.
    pub text: String,
    /// How long after the impact it may take; where nothing failed, after the first alert or page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// How a fault is shown to have taken effect: by a probe that fails, or by the objects themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// The probe that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeId>,
    /// With `probe`: how soon it must fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails_within: Option<Duration>,
    /// Instead of a probe: how soon the objects must show the effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_within: Option<Duration>,
    /// Until when the effect must show.
    #[serde(default)]
    pub until: ProofUntil,
}
