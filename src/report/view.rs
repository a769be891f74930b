//! One view of a finished run: what every format shows, as plain values. It is the schema of `result.json`.
//!
//! Why one: the report's numbers equal the result's, since there are no others. Times stand in nanoseconds for programs and in
//! words for people, side by side. Pictures are part of it as geometry, but not of the result.

use serde::Serialize;

use super::chart::{Bar, Gauge, Strip, Tick};
use crate::measure::{Actual, Records};
use crate::model::target::{ObjectiveKind, Origin, Overall, Verdict};
use crate::model::time::{Duration, Interval, Span};

/// The name and version of the result's schema; version 0 until evidence bundles are signed (I11).
pub const SCHEMA: &str = "drillmaster.dev/result/v0";

/// A finished run, or what is known of one that has no end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    pub schema: &'static str,
    pub run: Run,
    pub verdict: Headline,
    pub objectives: Vec<Objective>,
    pub actions: Vec<String>,
    pub services: Vec<Service>,
    pub stages: Vec<Stage>,
    pub steps: Vec<Step>,
    pub responses: Vec<Response>,
    pub people: Vec<Person>,
    pub proofs: Vec<Proof>,
    pub ledgers: Vec<Ledger>,
    pub probes: Vec<Probe>,
    pub guards: Vec<Guard>,
    pub calibration: Option<Calibration>,
    pub findings: Vec<String>,
    pub deviations: Vec<Deviation>,
    pub outstanding: Vec<Outstanding>,
    pub expectations: Vec<String>,
    pub method: Vec<String>,
    pub inputs: Vec<Input>,
    /// The axis that all pictures share.
    pub ticks: Vec<Tick>,
}

/// A length of time, for programs and for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Length {
    pub ns: i64,
    pub text: String,
}

impl From<Duration> for Length {
    fn from(length: Duration) -> Self {
        Length { ns: length.nanos(), text: super::words::exact(length) }
    }
}

/// A measured length of time: no upper end where it never ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lasted {
    pub least_ns: i64,
    pub most_ns: Option<i64>,
    pub text: String,
}

impl From<&Span> for Lasted {
    fn from(span: &Span) -> Self {
        Lasted {
            least_ns: span.least.nanos(),
            most_ns: span.most.map(Duration::nanos),
            text: super::words::span(span),
        }
    }
}

/// A measured instant, since the run's anchor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct When {
    pub earliest_ns: i64,
    pub latest_ns: i64,
    pub text: String,
}

impl From<&Interval> for When {
    fn from(interval: &Interval) -> Self {
        let since = |at: crate::model::time::At| at.since(crate::model::time::At(0));
        let span = Span { least: since(interval.earliest), most: Some(since(interval.latest)) };
        When {
            earliest_ns: interval.earliest.0,
            latest_ns: interval.latest.0,
            text: super::words::span(&span),
        }
    }
}

/// Which run it is, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: String,
    pub drill: String,
    pub purpose: String,
    #[serde(rename = "type")]
    pub drill_type: String,
    pub announced: bool,
    pub rehearsal: bool,
    /// As text: programs that read numbers as doubles would lose digits.
    pub seed: Option<String>,
    pub version: String,
    pub started: String,
    pub ended: String,
    pub lasted: Length,
    /// The journal has an end.
    pub complete: bool,
    /// `completed`, `refused`, `aborted`, `interrupted`, `incomplete`.
    pub how: String,
    pub why: Option<String>,
    pub lost: Option<String>,
    pub takes_over: Option<String>,
    pub absent: Vec<String>,
    /// What is known to be missing from the evidence.
    pub gaps: Vec<String>,
}

/// The verdict over all, in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Headline {
    pub overall: Overall,
    /// The word that stands large: `Met`, `Missed`, `Incomplete`.
    pub word: String,
    /// One sentence for people who read no more.
    pub sentence: String,
    pub why: Vec<String>,
    /// How sure we are.
    pub confidence: String,
}

/// A promise, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    pub service: String,
    pub kind: ObjectiveKind,
    pub title: String,
    pub origin: Option<Origin>,
    pub store: Option<String>,
    /// In words, with where it counts from.
    pub promise: String,
    pub target: Option<Length>,
    pub actual: Option<Lasted>,
    /// What was counted: lost or damaged writes.
    pub records: Option<Records>,
    /// What was measured, in words: a time, a count, or why there is neither.
    pub shown: String,
    pub verdict: Verdict,
    pub prewarned: bool,
    pub word: String,
    /// Tells the verdict without colour.
    pub sign: &'static str,
    pub why: String,
    pub gauge: Option<Gauge>,
}

/// One service's times.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub name: String,
    pub timeline: Vec<Instant>,
    /// The recovery time from each of the three origins.
    pub rta: Vec<FromOrigin>,
    pub phases: Vec<Phase>,
    pub failback: Shown,
    pub mtpd: Shown,
    pub exposure: Shown,
    pub latency: Vec<Latency>,
    pub notes: Vec<String>,
}

/// A time that was measured, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub actual: Option<Lasted>,
    pub text: String,
}

impl From<&Actual> for Shown {
    fn from(actual: &Actual) -> Self {
        let text = match actual {
            Actual::Took(span) => super::words::span(span),
            Actual::NotApplicable { why } => format!("not applicable: {why}"),
            Actual::NotExercised { why } => format!("not exercised: {why}"),
            Actual::Unseen { why, at_least: None } => format!("not seen: {why}"),
            Actual::Unseen { why, at_least: Some(least) } => format!("at least {least}; not seen: {why}"),
        };
        Shown { actual: actual.span().as_ref().map(Lasted::from), text }
    }
}

/// An instant of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Instant {
    pub name: String,
    pub title: String,
    pub at: When,
    pub source: String,
    pub prewarned: bool,
    pub bar: Bar,
}

/// The recovery time from one origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FromOrigin {
    pub origin: Origin,
    pub actual: Shown,
}

/// A phase between two instants.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    pub name: String,
    pub from: String,
    pub to: String,
    pub actual: Option<Lasted>,
    /// The time, `not exercised`, and whether people were pre-warned.
    pub text: String,
    pub bar: Option<Bar>,
}

/// A stage of the drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    pub stage: String,
    pub actual: Option<Lasted>,
    pub budget: Option<Length>,
    pub text: String,
    pub bar: Option<Bar>,
}

/// A person's or an audience's response against what was promised.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub step: String,
    pub kind: String,
    pub who: String,
    pub simulated: bool,
    pub took: Shown,
    /// From what it counts.
    pub since: String,
    pub target: Option<Length>,
}

/// A step, planned and done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub id: String,
    pub title: String,
    pub stage: String,
    pub does: String,
    pub role: Option<String>,
    pub runbook: Option<String>,
    /// `done`, `failed`, `unknown`, `unfinished`, `not executed`.
    pub status: String,
    pub sign: &'static str,
    pub why: Option<String>,
    pub started: Option<Length>,
    pub took: Option<Length>,
    pub budget: Option<Length>,
    /// `within`, `over`, or nothing to compare.
    pub against: Option<&'static str>,
    /// Timed out, held, done by hand.
    pub notes: Vec<&'static str>,
    pub bar: Option<Bar>,
}

/// What a person did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub at: Length,
    pub who: String,
    pub role: String,
    pub simulated: bool,
    pub said: String,
    pub text: String,
}

/// Whether a fault showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub step: String,
    pub shown: bool,
    pub text: String,
}

/// What became of a store's writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    pub store: String,
    pub service: String,
    pub pass: u32,
    /// After the recovery, after the failback.
    pub when: &'static str,
    /// Everything that the store holds was read, and did not change meanwhile.
    pub is_read_whole: bool,
    /// More may have been lost after it, and nothing was read whole since.
    pub is_outdated: bool,
    pub answered_by: String,
    /// Of the writes that had ended before it began.
    pub counts: Vec<Count>,
    pub records: Records,
    pub rpa: Shown,
    pub removed: String,
    /// Stored low, refused or unknown in the middle, lost full.
    pub strip: Strip,
}

/// A number with its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    pub name: String,
    pub count: u64,
}

/// One probe from one vantage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    pub id: String,
    pub vantage: String,
    pub service: Option<String>,
    pub every: Length,
    pub timeout: Length,
    pub sent: u64,
    pub ok: u64,
    pub failed: u64,
    pub gaps: u64,
    pub strays: u64,
    pub failures: Vec<Count>,
    pub excluded: Option<String>,
    pub strip: Strip,
}

/// The answer times of one phase of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    pub phase: String,
    pub answers: u64,
    pub p50: Option<Length>,
    pub p99: Option<Length>,
}

/// A guard's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    pub guard: String,
    pub outcome: String,
    pub sign: &'static str,
    pub why: Option<String>,
    pub overridden_by: Option<String>,
}

/// The instrument against a known pause.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calibration {
    pub truth: Lasted,
    pub measured: Lasted,
    pub outcome: String,
}

/// What did not go by plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deviation {
    pub at: Length,
    pub text: String,
}

/// What a reverter left for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outstanding {
    pub what: String,
    pub advice: String,
}

/// An input's digest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pub path: String,
    pub sha256: String,
}
