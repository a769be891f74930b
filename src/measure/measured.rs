//! What was measured: plain values, ready to be judged and rendered.
//!
//! Every time is an interval (I8), and what could not be measured says why instead of being a number (I7). Rejected: optional
//! durations, since "not part of this drill", "never happened" and "nobody could see it" are three different things.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::event::{Ended, Outcome};
use crate::model::name::{Name, ProbeId, Region, Role, StepId, Vantage};
use crate::model::outage::Outage;
use crate::model::plan::Stage;
use crate::model::sample::Failure;
use crate::model::target::Origin;
use crate::model::time::{At, Duration, Interval, Span};

/// Everything that a run's evidence says in numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    pub services: BTreeMap<Name, ServiceMeasured>,
    /// By store and pass, in the order in which they were read.
    pub losses: Vec<Loss>,
    pub faults: Vec<FaultShown>,
    /// Each vantage of each probe, by probe and vantage; of control probes and fault proofs too.
    pub series: Vec<Series>,
    pub steady: Steady,
    /// All seven stages, in order; a missing one has no `took`.
    pub stages: Vec<StageMeasured>,
    /// Every step of the plan, in order, those inside others after them.
    pub steps: Vec<StepMeasured>,
    pub responses: Vec<Response>,
    /// Vantages that could not see: their control probe failed.
    pub excluded: Vec<Excluded>,
    pub findings: Vec<Finding>,
    /// Whether drill people had to act while they knew that it was a drill.
    pub announced: bool,
    /// How the run ended; `None` where the journal ends before the run does.
    pub ended: Option<Ended>,
    /// From the anchor to the last event.
    pub elapsed: At,
}

/// How long something took, or why nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actual {
    /// This long; with no upper end where it never ended.
    Took(Span),
    /// Its origin did not happen: automatic failover before any declaration.
    NotApplicable { why: String },
    /// The drill has no such part.
    NotExercised { why: String },
    /// It was not seen well enough: judged inconclusive, unless what is known of it is over the target already.
    #[serde(rename_all = "camelCase")]
    Unseen {
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<Duration>,
    },
}

impl Actual {
    /// The span, where there is one.
    pub fn span(&self) -> Option<Span> {
        match self {
            Actual::Took(span) => Some(*span),
            Actual::NotApplicable { .. } | Actual::NotExercised { .. } | Actual::Unseen { .. } => None,
        }
    }

    /// Not seen well enough, and why.
    pub fn unseen(why: impl ToString) -> Actual {
        Actual::Unseen { why: why.to_string(), at_least: None }
    }

    /// Not seen to its end, and why; what is known is that it took so long.
    pub fn unseen_after(why: impl ToString, at_least: Option<Duration>) -> Actual {
        Actual::Unseen { why: why.to_string(), at_least }
    }

    /// Not part of this drill, and why.
    pub fn not_exercised(why: impl ToString) -> Actual {
        Actual::NotExercised { why: why.to_string() }
    }
}

/// The instants of a drill, in the order in which they usually happen (DESIGN section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    FaultRequested,
    FaultEffective,
    Impacted,
    Detected,
    Acknowledged,
    Declared,
    FailoverStarted,
    FirstSuccess,
    Restored,
    DataVerified,
    FaultRemoved,
    FailbackStarted,
    FailbackDone,
    RedundancyRestored,
    Closed,
}

impl Moment {
    /// All of them, in order.
    pub const ALL: [Moment; 15] = [
        Moment::FaultRequested,
        Moment::FaultEffective,
        Moment::Impacted,
        Moment::Detected,
        Moment::Acknowledged,
        Moment::Declared,
        Moment::FailoverStarted,
        Moment::FirstSuccess,
        Moment::Restored,
        Moment::DataVerified,
        Moment::FaultRemoved,
        Moment::FailbackStarted,
        Moment::FailbackDone,
        Moment::RedundancyRestored,
        Moment::Closed,
    ];

    /// As it stands in evidence: `faultRequested`.
    pub fn name(self) -> &'static str {
        match self {
            Moment::FaultRequested => "faultRequested",
            Moment::FaultEffective => "faultEffective",
            Moment::Impacted => "impacted",
            Moment::Detected => "detected",
            Moment::Acknowledged => "acknowledged",
            Moment::Declared => "declared",
            Moment::FailoverStarted => "failoverStarted",
            Moment::FirstSuccess => "firstSuccess",
            Moment::Restored => "restored",
            Moment::DataVerified => "dataVerified",
            Moment::FaultRemoved => "faultRemoved",
            Moment::FailbackStarted => "failbackStarted",
            Moment::FailbackDone => "failbackDone",
            Moment::RedundancyRestored => "redundancyRestored",
            Moment::Closed => "closed",
        }
    }
}

/// When a moment was, and what says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub at: Interval,
    /// `probe checkout from west`, `event 17`, …
    pub source: String,
    /// Measured in an announced drill, where people had to act.
    pub prewarned: bool,
}

/// What happened to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMeasured {
    /// The moments that happened; a missing one did not, or was not seen.
    pub timeline: BTreeMap<Moment, Mark>,
    /// The recovery time from each of the three origins.
    pub rta: Rta,
    /// In order; with shared boundaries, so that the middles sum to the whole.
    pub phases: Vec<Phase>,
    pub failback: Failback,
    /// What else kept it from its users, beside the outage that its recovery time counts: judged by the same promises.
    pub interruptions: Vec<Interruption>,
    /// From impact to data verified; where that is longer, from what lost or damaged data; without an end where damage was never mended.
    pub mtpd: Actual,
    /// From the failover's start until redundancy was restored.
    pub exposure: Actual,
    /// Answer times before, during and after the outage.
    pub latency: Vec<Latency>,
    /// Why the service's own probes could not say enough; empty where they could.
    pub blind: Vec<String>,
    /// How often the service came and went within one outage.
    pub flaps: u32,
}

/// The recovery time from three named origins, always all three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rta {
    pub fault: Actual,
    pub impact: Actual,
    pub declaration: Actual,
}

impl Rta {
    /// The one that counts from this origin.
    pub fn from(&self, origin: Origin) -> &Actual {
        match origin {
            Origin::Fault => &self.fault,
            Origin::Impact => &self.impact,
            Origin::Declaration => &self.declaration,
        }
    }
}

/// A part of the outage, from one boundary to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// `onset`, `detection`, `decision`, `mobilisation`, `recovery`, `verification`.
    pub name: Name,
    pub from: Moment,
    pub to: Moment,
    /// `None`: the drill lacks the stage; not 0.
    pub took: Option<PhaseTook>,
    /// It began, and its end never came while the service was down: it took at least so long.
    pub open: Option<Span>,
    pub prewarned: bool,
}

/// How long a phase took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTook {
    /// The boundaries, made monotone.
    pub begin: Interval,
    pub end: Interval,
    pub span: Span,
    /// From middle to middle: these sum exactly to the whole's.
    pub middle: Duration,
}

/// The way back, measured as an outage of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failback {
    /// How long it was down during the failback: zero to one period and timeout where no probe failed.
    pub outage: Actual,
    /// Of its own outages.
    pub begin: Option<Interval>,
    pub end: Option<Interval>,
    /// Acknowledged writes that were there after the recovery and missing after the failback.
    pub lost: Option<Records>,
}

/// A time in which a service was not what it promises, though its probes' first outage does not show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interruption {
    pub what: Interrupted,
    /// During the way back; judged by its promise.
    pub way_back: bool,
    pub begin: Interval,
    /// From its own beginning.
    pub took: Actual,
    /// Until its end from each of the three origins, where it belongs to what the fault did; `None` where it counts from its own beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rta: Option<Rta>,
    /// `probe checkout from west`, `writes to orders-postgres from outside`.
    pub source: String,
}

/// What was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interrupted {
    /// It had been restored, and failed again.
    Recovered,
    /// No write was acknowledged.
    Writes,
    /// Nothing was sent that would have shown whether it was.
    Silent,
}

/// The answer times of one phase, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// `before`, `during`, `after`.
    pub phase: Name,
    pub answers: u64,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

/// A count that is exact from below, and what it may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    pub exactly: u64,
    /// With those of which nobody knows whether they were ever stored.
    pub at_most: u64,
}

/// What one reading of a store showed against what was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    pub service: Name,
    pub store: Name,
    /// Counted for each store.
    pub pass: u32,
    /// Read after the failback began.
    pub way_back: bool,
    /// Who answered.
    pub answered_by: Name,
    /// It was read to its last record, and changed no more.
    pub is_read_whole: bool,
    /// It was not, and nothing can have been lost since a reading before it was: that one stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_moot: bool,
    /// More may have been lost after it: something was done, or a write failed, and nothing was read whole since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outdated: bool,
    /// Of the writes that had ended before it began, as are those refused and those of unknown end.
    pub acknowledged: u64,
    pub refused: u64,
    pub unknown: u64,
    /// What the checkers found; each list by number.
    pub found: Checked,
    pub records: Records,
    /// The data loss in time.
    pub rpa: Actual,
    /// What was written was removed again, and the removal looked at; `None` where it was not tried.
    pub removed: Option<Outcome>,
}

/// What the ledger's checkers found: numbers of writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Acknowledged and missing.
    pub lost: Vec<u64>,
    /// Never acknowledged, nor refused, and missing.
    pub unknown_missing: Vec<u64>,
    /// Never acknowledged, nor refused, and there.
    pub recovered: Vec<u64>,
    /// There, and never written or surely refused.
    pub unexpected: Vec<u64>,
    /// There more than once.
    pub duplicate: Vec<u64>,
    /// There with another epoch than the one that acknowledged it.
    pub stale: Vec<u64>,
    /// The fewest records that must be moved to stand in the order in which they were written.
    pub reordered: u64,
    /// There, and not as it was written.
    pub corrupt: Vec<u64>,
    /// Acknowledged by an old primary after a newer one had acknowledged: a split brain.
    pub dual_accepted: Vec<u64>,
    /// Missing after the recovery and back after the failback.
    pub resurrected: Vec<u64>,
}

/// Whether a fault was shown to take effect, and for as long as it should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultShown {
    pub step: StepId,
    /// The first intent.
    pub requested: Option<Interval>,
    /// From when it showed.
    pub effective: Option<Interval>,
    /// When it showed no more; `None` while it lasted.
    pub gone: Option<Interval>,
    /// Until when it was owed.
    pub owed_until: Option<At>,
    /// `Some`: it makes the run invalid, and why.
    pub invalid: Option<String>,
    pub source: String,
}

/// Whether the services were healthy before the first fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Steady {
    pub since: Option<At>,
    /// Lost again before the first fault, and how that was seen.
    pub lost: Option<String>,
}

/// One probe from one vantage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    pub probe: ProbeId,
    pub vantage: Vantage,
    pub service: Option<Name>,
    pub outages: Vec<Outage>,
    /// Those that say anything: the gaps are not among them.
    pub samples: u64,
    pub failures: u64,
    /// The same by their class.
    pub by_class: BTreeMap<Failure, u64>,
    pub gaps: u64,
    /// Single failures between successes, outside of every outage.
    pub strays: u64,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageMeasured {
    pub stage: Stage,
    /// `None`: not exercised.
    pub took: Option<Span>,
    /// The sum of its steps' budgets; `None` where none has one.
    pub budget: Option<Duration>,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepMeasured {
    pub step: StepId,
    pub stage: Stage,
    pub started: Option<At>,
    pub ended: Option<At>,
    /// `None`: not executed, or not ended.
    pub outcome: Option<Outcome>,
    pub took: Option<Duration>,
    pub budget: Option<Duration>,
    pub timed_out: bool,
    /// How often it was held for a person.
    pub held: u32,
    /// A person did or skipped it by hand.
    pub by_hand: bool,
}

/// A person's or an audience's response against its promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub step: StepId,
    /// `acknowledge`, `declare`, `engage`, `notify`, `update`.
    pub kind: Name,
    pub role: Option<Role>,
    pub who: Option<Name>,
    pub simulated: bool,
    pub took: Actual,
    /// From what it counts: `the page`, `the impact`, `the first alert`.
    pub since: String,
    /// What was promised; `None` where nothing was.
    pub target: Option<Duration>,
}

/// A vantage whose own control probe failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    pub vantage: Vantage,
    pub control: ProbeId,
    pub why: String,
}

/// Something that a reader of the report should know or do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Where it belongs: a step, a service, a store, a region; empty for the run.
    pub about: Name,
    pub what: String,
    /// The region, where it speaks of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}
