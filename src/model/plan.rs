//! A plan's values: what will be done, by whom, against which promises.
//!
//! Computed by the room `plan` from documents; it stands whole in the first event of a run, so that every result is a
//! function of the journal alone (I1). Faults, recoveries and probes stand as the text of their kind, `{"isolate": {…}}`:
//! their effects are resolved when their step starts, against the world as it is then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effect::{Exec, Ref, Status};
use super::name::{Name, ProbeId, Region, Role, StepId, Vantage};
use super::target::{Objective, ObjectiveKind, RestoredClause};
use super::time::Duration;

/// A whole drill, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub drill: Name,
    pub purpose: String,
    #[serde(rename = "type")]
    pub drill_type: DrillType,
    pub announced: bool,
    pub absent: Vec<Role>,
    pub lost: Option<Region>,
    pub takes_over: Option<Region>,
    pub regions: Vec<Region>,
    pub namespaces: Vec<Name>,
    pub services: Vec<Service>,
    pub objectives: Vec<Objective>,
    pub severity: Option<Severity>,
    pub expectations: Vec<String>,
    pub probes: Vec<Probe>,
    pub ledgers: Vec<Ledger>,
    /// How long every probe must succeed before the first fault.
    pub steady_state: Duration,
    pub limits: Limits,
    /// In order: stage by stage.
    pub steps: Vec<Step>,
    /// The step with the first effect that moves write authority.
    pub point_of_no_return: Option<StepId>,
    /// Who may write, and how its sides are fenced: one for each workload that a step promotes, demotes or fences.
    pub authorities: Vec<Authority>,
    /// The workloads of the lost side as they were before the run: so they are again before users are sent back to it.
    #[serde(default)]
    pub whole: Vec<Whole>,
    /// Whom to ask when, if somebody does not answer; by the catalogue.
    #[serde(default)]
    pub ladder: Vec<Rung>,
    pub longest: LongestPath,
    pub blast_radius: Vec<Touched>,
    /// The runbook's path, as the scenario names it.
    pub runbook: Option<String>,
}

impl Plan {
    /// A service of the drill, by its name.
    pub fn service(&self, name: &Name) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// The side that alone restores a service, where there is one: the side that takes over, of a service that is moved.
    pub fn restored_by(&self, service: &Service) -> Option<&Region> {
        self.takes_over.as_ref().filter(|_| service.moved)
    }

    /// What is promised of a service, of a kind that it has one promise of.
    pub fn target(&self, service: &Name, kind: ObjectiveKind) -> Option<Duration> {
        let of_it = |objective: &&Objective| objective.service == *service && objective.kind == kind;
        self.objectives.iter().find(of_it)?.target
    }

    /// Every step, with those inside `parallel` and `procedure`.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flat_map(|step| std::iter::once(step).chain(step.action.steps()))
    }

    /// A step by its id.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.all_steps().find(|step| step.id == *id)
    }

    /// The authority that a pod has or may get.
    pub fn authority_of(&self, pod: &Ref) -> Option<&Authority> {
        self.authorities.iter().find(|authority| authority.sides.iter().any(|side| side.pod() == pod))
    }
}

/// How real a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DrillType {
    /// People talk it through; no system is touched.
    Tabletop,
    /// On a copy.
    Simulated,
    /// Part of production.
    Partial,
    /// All of it.
    Full,
}

/// What the catalogue says about a service in this drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub name: Name,
    pub owner: Option<Role>,
    pub tier: Option<Name>,
    pub mtpd: Option<Duration>,
    pub restored: RestoredClause,
    pub stores: Vec<Name>,
    /// Whether the drill moves it to the side that takes over, so that only that side restores it; else it stays where it is.
    #[serde(default = "is_moved")]
    pub moved: bool,
}

/// Before it was told, each was.
fn is_moved() -> bool {
    true
}

/// The response times that a severity promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Severity {
    pub name: Name,
    pub acknowledge: Option<Duration>,
    pub engage: Option<Duration>,
    pub update: Option<Duration>,
    /// From the page until somebody has declared: when the escalation ladder goes on to the last role that may.
    pub declare: Option<Duration>,
}

/// A probe from each of its vantages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    pub id: ProbeId,
    /// The service whose objectives it measures; several probes may measure one.
    pub service: Option<Name>,
    /// Whether it shows that the vantage itself can see: where it fails, the vantage is excluded.
    #[serde(default)]
    pub control: bool,
    pub every: Duration,
    pub timeout: Duration,
    pub from: Vec<Vantage>,
    /// Reuse the connection, and open a fresh one for each n-th; 1 is a fresh one each time.
    pub fresh_every: u32,
    /// A probe kind with its parameters: `{"http": {…}}`.
    pub ask: Value,
}

/// Writes of numbered records through the service's own write path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    pub service: Name,
    pub store: Name,
    pub url: String,
    pub writes_per_second: u32,
    pub timeout: Duration,
    pub from: Vantage,
}

impl Ledger {
    /// From one write to the next.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.writes_per_second.max(1)))
    }
}

/// What ends a run early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub max_duration: Duration,
    pub abort_when: Vec<AbortWhen>,
}

/// A probe that must not fail for longer than this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortWhen {
    pub probe: ProbeId,
    pub fails_for: Duration,
}

/// The stages of a drill; fixed names, this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    Inject,
    Detect,
    Declare,
    Failover,
    Verify,
    Operate,
    Failback,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 7] = [
        Stage::Inject,
        Stage::Detect,
        Stage::Declare,
        Stage::Failover,
        Stage::Verify,
        Stage::Operate,
        Stage::Failback,
    ];
}

/// One step of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub id: StepId,
    pub stage: Stage,
    pub title: Option<String>,
    pub role: Option<Role>,
    /// The runbook's section, `#promote-the-database`.
    pub runbook: Option<String>,
    /// How long it should take: counts against the RTO.
    pub budget: Option<Duration>,
    /// After this, `on_timeout`.
    pub timeout: Duration,
    pub on_timeout: OnTimeout,
    pub action: Action,
}

impl Step {
    /// The budget that it states, or that those inside it do: the longest of those at once, the sum of those in turn.
    pub fn stated_budget(&self) -> Option<Duration> {
        let inside = |steps: &[Step]| steps.iter().filter_map(Step::stated_budget).collect::<Vec<_>>();
        self.budget.or_else(|| match &self.action {
            Action::Parallel { steps } => inside(steps).into_iter().max(),
            Action::Procedure { steps, .. } => inside(steps).into_iter().reduce(Duration::plus),
            Action::Fault { .. }
            | Action::Recover { .. }
            | Action::RemoveFault { .. }
            | Action::Declare { .. }
            | Action::Wait(_)
            | Action::Task { .. }
            | Action::Notify { .. }
            | Action::Check(_) => None,
        })
    }
}

/// What follows a step that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnTimeout {
    /// Note it as a finding and go on.
    Finding,
    /// Abort the run and heal.
    Abort,
    /// Ask the next on the escalation ladder, and go on waiting as long again; then abort.
    Escalate,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Break something: a fault kind with its parameters, `{"isolate": {…}}`.
    #[serde(rename_all = "camelCase")]
    Fault { fault: Value, region: Region, proof: Proof },
    /// Recover something: a recovery kind with its parameters.
    #[serde(rename_all = "camelCase")]
    Recover { recover: Value, region: Region, moves_authority: bool },
    /// Take a fault back.
    RemoveFault { step: StepId },
    /// A person declares the disaster; `escalation` says whom to ask when, if nobody does.
    Declare { role: Role, escalation: Vec<Rung> },
    /// Wait for something.
    Wait(Wait),
    /// A person does something.
    Task { role: Role, text: String },
    /// Tell an audience, within a time.
    Notify { audience: Name, text: String, within: Option<Duration> },
    /// Check something.
    Check(Check),
    /// All of them at once.
    Parallel { steps: Vec<Step> },
    /// A service team's own steps, one after another.
    Procedure { name: Name, steps: Vec<Step> },
}

impl Action {
    /// The steps inside, at any depth.
    pub fn steps(&self) -> Vec<&Step> {
        match self {
            Action::Parallel { steps } | Action::Procedure { steps, .. } => {
                steps.iter().flat_map(|step| std::iter::once(step).chain(step.action.steps())).collect()
            }
            Action::Fault { .. }
            | Action::Recover { .. }
            | Action::RemoveFault { .. }
            | Action::Declare { .. }
            | Action::Wait(_)
            | Action::Task { .. }
            | Action::Notify { .. }
            | Action::Check(_) => Vec::new(),
        }
    }
}

/// A rung of the escalation ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rung {
    pub after: Duration,
    pub role: Role,
    pub may_declare: bool,
}

/// How a fault is shown to have taken effect, and for how long it must stay so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub by: ProofBy,
    /// The effect must show within this time.
    pub within: Duration,
    pub until: ProofUntil,
}

impl Proof {
    /// The name of the observation that a fault's objects cannot be read, or can be again.
    pub fn looked_at(step: &StepId) -> String {
        format!("proof:{step}")
    }
}

/// What shows a fault's effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProofBy {
    /// This probe fails.
    Probe(ProbeId),
    /// The objects say so, as the fault's kind knows to read them.
    Objects,
}

/// Until when a fault's effect is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProofUntil {
    /// Seen once is enough: it heals itself.
    Once,
    /// Until the first recovery's intent.
    #[default]
    Recovery,
    /// Until the service is restored elsewhere.
    Restored,
}

/// What a `wait` waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// An alert arrives.
    Alert(Name),
    /// Time passes.
    Duration(Duration),
    /// A probe succeeds at all its vantages, for a time.
    Succeeds(Succeeds),
}

/// A probe that succeeds for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Succeeds {
    pub probe: ProbeId,
    #[serde(rename = "for")]
    pub lasting: Duration,
}

/// What a `check` checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// Read every ledger back, until stable.
    Ledger(LedgerCheck),
    /// A probe succeeds now, at all its vantages.
    Probe(ProbeId),
}

/// Which ledger a check reads back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LedgerCheck {
    /// This store's; every store's where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Name>,
}

/// Who may write to one workload, and how to keep its other sides from it (I5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    /// The workload, for people: `statefulset/ledger in shop`.
    pub workload: String,
    /// The steps that move it, with where to, in the order of the drill.
    pub moves: Vec<Move>,
    /// What the record of a side shows that has it.
    pub promoted: Status,
    /// The field of a side's record that each promotion makes larger: a side that shows less has missed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Gives a side the writes back, run in its container, where nothing was promoted after all.
    pub unfence: Vec<String>,
    /// Has a fenced side follow again, run in its container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow: Vec<String>,
    /// Every side that may have it: only one at a time may write.
    pub sides: Vec<Side>,
}

impl Authority {
    /// Where the drill first gives it to.
    pub fn takeover(&self) -> Option<&Side> {
        self.moves.first().and_then(|first| self.side(&first.to))
    }

    /// The side of a region.
    pub fn side(&self, region: &Region) -> Option<&Side> {
        self.sides.iter().find(|side| side.region == *region)
    }

    /// The sides that must not write while this one does.
    pub fn others(&self, than: &Region) -> impl Iterator<Item = &Side> {
        self.sides.iter().filter(move |side| side.region != *than)
    }
}

/// A step that moves write authority, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub step: StepId,
    pub to: Region,
}

/// One side of a workload, and what keeps it from taking writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub region: Region,
    /// The workload there; where it does not exist, there is no side.
    pub workload: Ref,
    pub fence: Exec,
    /// A write that must be refused: proves the fence.
    pub refused: Status,
}

impl Side {
    /// The pod that commands are run in.
    pub fn pod(&self) -> &Ref {
        &self.fence.at
    }
}

/// The longest way through the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LongestPath {
    /// From the fault to the service restored, by budgets.
    pub budgets: Duration,
    /// From the start to the end, by timeouts.
    pub timeouts: Duration,
}

/// A workload with the replicas that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    pub at: Ref,
    pub replicas: u64,
}

/// Objects that a plan touches, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    pub step: StepId,
    pub region: Region,
    pub namespace: Option<Name>,
    pub plural: Name,
    pub names: Vec<Name>,
}
