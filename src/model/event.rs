//! The journal's lines: one linear stream of owned, versioned events. Every result is a function of it (I1).
//!
//! The event type *is* the journal's format, there is no mirror (I11): version 0 until evidence bundles are signed. Events of a
//! kind that this version does not know are kept as they are; only `heal` refuses them, since it cannot know what they owe.
//!
//! How to add one: a variant here; the compiler then names each fold that must say what it means.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::effect::{Effect, EffectId, Undo};
use super::name::{Name, Role, RunId, Sha256, StepId, Vantage};
use super::plan::Plan;
use super::sample::RowFile;
use super::time::{At, Duration, Interval, Span};

/// The version of the journal's format that this program writes.
pub const JOURNAL_VERSION: u32 = 0;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// From 0, without gaps.
    pub seq: u64,
    pub at: At,
    pub what: What,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Ok,
    Failed {
        why: String,
    },
    /// Nobody knows: found out by reading.
    Unknown {
        why: String,
    },
}

impl Outcome {
    /// Whether it surely worked.
    pub fn is_ok(&self) -> bool {
        *self == Outcome::Ok
    }

    /// A failure with its reason.
    pub fn failed(why: impl ToString) -> Outcome {
        Outcome::Failed { why: why.to_string() }
    }

    /// An unknown end with its reason.
    pub fn unknown(why: impl ToString) -> Outcome {
        Outcome::Unknown { why: why.to_string() }
    }

    /// The reason, where there is one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Outcome::Ok => None,
            Outcome::Failed { why } | Outcome::Unknown { why } => Some(why),
        }
    }
}

/// What happened.
#[expect(
    clippy::large_enum_variant,
    reason = "an event is written and read once; boxes would stand in every pattern"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    /// Always the first.
    RunStarted {
        journal: u32,
        version: String,
        run: RunId,
        /// In the sandbox; its wall clock is simulated.
        rehearsal: bool,
        /// The wall clock at the anchor, Unix nanoseconds.
        wall_unix_ns: i64,
        seed: Option<u64>,
        /// Input files by their path under `inputs/`, with their digests.
        inputs: BTreeMap<String, Sha256>,
        plan: Box<Plan>,
    },
    /// A guard was asked before the start (I14).
    Guarded {
        guard: Name,
        outcome: Outcome,
        overridden_by: Option<Name>,
    },
    /// An instrument measured a pause of known length (I13).
    Calibrated {
        /// Whose: an agent's at a vantage, or the run's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vantage: Option<Vantage>,
        truth: Span,
        measured: Span,
        outcome: Outcome,
    },
    /// Every service had kept its clause, and every other probe succeeded, for the plan's time, from here on.
    Steady {
        since: At,
        outcome: Outcome,
    },
    StepStarted {
        step: StepId,
    },
    StepEnded {
        step: StepId,
        outcome: Outcome,
    },
    /// A step went over its timeout; what follows is the step's `onTimeout`.
    TimedOut {
        step: StepId,
    },
    /// A recovery step failed and waits for a person, while its time counts.
    Held {
        step: StepId,
        why: String,
    },
    /// A person's answer to a held step.
    Decided {
        step: StepId,
        role: Role,
        who: Name,
        simulated: bool,
        decision: Decision,
    },
    /// On disk before the effect (I3, I6).
    EffectIntended {
        step: StepId,
        effect: Effect,
        undo: Undo,
    },
    /// `undo`: with what the server really stored, where that differs.
    EffectEnded {
        effect: EffectId,
        outcome: Outcome,
        undo: Option<Undo>,
    },
    UndoStarted {
        effect: EffectId,
        by: Name,
    },
    UndoEnded {
        effect: EffectId,
        by: Name,
        outcome: Outcome,
        conflicts: Vec<Conflict>,
    },
    /// A fault's effect shows, or shows no more; by its objects (a probe's own rows need no event).
    Proof {
        step: StepId,
        seen: Interval,
        shown: bool,
        detail: String,
    },
    /// An alert arrived.
    Alerted {
        step: StepId,
        alert: Name,
        arrived: Interval,
    },
    /// A person was asked.
    Asked {
        step: StepId,
        role: Role,
        #[serde(default)]
        about: Subject,
        text: String,
    },
    /// A person said something: declared, done, acknowledged, a note.
    Said {
        step: Option<StepId>,
        role: Role,
        who: Name,
        simulated: bool,
        said: Said,
        text: String,
    },
    /// An audience was told.
    Notified {
        step: StepId,
        audience: Name,
        outcome: Outcome,
    },
    /// Anything else that was looked at: success conditions, checks, rechecks.
    Observed {
        what: String,
        sent: At,
        done: At,
        outcome: Outcome,
    },
    /// An agent at a vantage came into reach, or went out of it; what it saw meanwhile comes once it is in reach again.
    Reached {
        vantage: Vantage,
        outcome: Outcome,
    },
    /// How exactly the clock of an agent was known at worst, at any instant that it told of; its samples are wider by that, and right.
    ClockKnown {
        vantage: Vantage,
        within: Duration,
    },
    /// Binds a block of rows into the chain: `count` rows, the first of them row number `from` of the file.
    Rows {
        file: RowFilePath,
        from: u64,
        count: u64,
        sha256: Sha256,
    },
    /// A ledger was read back to its rows; not stable means that it still changed when time was up.
    /// Writes that were not completed when it began are not judged by it.
    ReadBack {
        store: Name,
        pass: u32,
        began: At,
        answered_by: Name,
        /// The pod that answered, if it told: whose promotions concern this store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<Name>,
        /// That pod's namespace, if it told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<Name>,
        stable: bool,
        outcome: Outcome,
    },
    /// What the ledger's client wrote was removed again, and the removal looked at.
    WritesRemoved {
        store: Name,
        outcome: Outcome,
    },
    /// The wall clock jumped against the monotonic one.
    ClockStepped {
        by_ns: i64,
    },
    AbortRequested {
        why: String,
        by: Name,
    },
    /// A reverter begins: `engine`, `heal`, `watchdog`.
    HealStarted {
        by: Name,
    },
    /// A reverter is through; what is left needs a person.
    HealEnded {
        by: Name,
        outstanding: Vec<Outstanding>,
    },
    /// The run is over; nothing but healing and signing off follows.
    RunEnded {
        how: Ended,
    },
    /// An event of a kind that this version does not know, as it stood.
    #[serde(untagged)]
    Unknown(Value),
}

impl What {
    /// Whether it goes into space that an effect's intent has reserved (I6): what healing has to write on a disk that is full.
    pub fn has_reserved_space(&self) -> bool {
        matches!(
            self,
            What::EffectEnded { .. }
                | What::UndoStarted { .. }
                | What::UndoEnded { .. }
                | What::AbortRequested { .. }
                | What::HealStarted { .. }
                | What::HealEnded { .. }
                | What::RunEnded { .. }
        )
    }

    /// The effect that it tells of.
    pub fn effect(&self) -> Option<EffectId> {
        match self {
            What::EffectIntended { effect, .. } => Some(effect.id),
            What::EffectEnded { effect, .. }
            | What::UndoStarted { effect, .. }
            | What::UndoEnded { effect, .. } => Some(*effect),
            _ => None,
        }
    }

    /// Whether it tells that something was done to the world, by drillmaster or by a person: data may be lost by it.
    pub fn acts(&self) -> bool {
        match self {
            What::EffectIntended { .. }
            | What::EffectEnded { .. }
            | What::UndoStarted { .. }
            | What::UndoEnded { .. }
            | What::Said { said: Said::Done, .. }
            | What::Decided { decision: Decision::Done, .. } => true,
            What::RunStarted { .. }
            | What::Guarded { .. }
            | What::Calibrated { .. }
            | What::Steady { .. }
            | What::StepStarted { .. }
            | What::StepEnded { .. }
            | What::TimedOut { .. }
            | What::Held { .. }
            | What::Decided { .. }
            | What::Proof { .. }
            | What::Alerted { .. }
            | What::Asked { .. }
            | What::Said { .. }
            | What::Notified { .. }
            | What::Observed { .. }
            | What::Reached { .. }
            | What::ClockKnown { .. }
            | What::Rows { .. }
            | What::ReadBack { .. }
            | What::WritesRemoved { .. }
            | What::ClockStepped { .. }
            | What::AbortRequested { .. }
            | What::HealStarted { .. }
            | What::HealEnded { .. }
            | What::RunEnded { .. }
            | What::Unknown(_) => false,
        }
    }
}

/// A path that names a file of rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowFilePath(pub RowFile);

impl Serialize for RowFilePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.path())
    }
}

impl<'de> Deserialize<'de> for RowFilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        RowFile::from_path(&path)
            .map(RowFilePath)
            .ok_or_else(|| serde::de::Error::custom("not a file of rows"))
    }
}

/// What a person decides about a held step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// Try it again.
    Retry,
    /// Go on without it.
    Skip { reason: String },
    /// It was done by hand.
    Done,
    /// Fail back now.
    Return,
}

/// What a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// To acknowledge a page.
    #[default]
    Page,
    /// To declare a disaster.
    Declaration,
    /// To do something.
    Task,
    /// To decide about a held step.
    Decision,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    Acknowledged,
    Declared,
    Done,
    Note,
    SignedOff,
}

/// A touched field that somebody else changed since: kept as it is, and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The object and the field.
    pub field: String,
    /// What a person can do about it.
    pub advice: String,
}

/// Something that a reverter left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outstanding {
    /// `None` where it is no effect of the run.
    pub effect: Option<EffectId>,
    /// What is left, and where.
    pub what: String,
    /// How to go on.
    pub advice: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    Completed,
    /// A guard refused; nothing was touched.
    Refused {
        guard: Name,
        why: String,
    },
    Aborted {
        why: String,
    },
    /// A bug in drillmaster stopped it; it was healed like an aborted one.
    Crashed {
        why: String,
    },
    Interrupted,
}

/// Reads an event; a kind that this version does not know becomes `What::Unknown`, a known kind with wrong fields is an error.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Line {
            seq: u64,
            at: At,
            what: Value,
        }
        let Line { seq, at, what } = Line::deserialize(deserializer)?;
        let kind = match &what {
            Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(String::as_str),
            _ => None,
        };
        let Some(kind) = kind else {
            return Err(serde::de::Error::custom("an event is an object with one key: its kind"));
        };
        if !KINDS.contains(&kind) {
            return Ok(Event { seq, at, what: What::Unknown(what) });
        }
        match serde_json::from_value(what).map_err(serde::de::Error::custom)? {
            What::Unknown(_) => Err(serde::de::Error::custom("an event with wrong fields")),
            what => Ok(Event { seq, at, what }),
        }
    }
}

/// The kinds that this version knows, as they stand in the journal.
pub const KINDS: [&str; 29] = [
    "runStarted",
    "guarded",
    "calibrated",
    "steady",
    "stepStarted",
    "stepEnded",
    "timedOut",
    "held",
    "decided",
    "effectIntended",
    "effectEnded",
    "undoStarted",
    "undoEnded",
    "proof",
    "alerted",
    "asked",
    "said",
    "notified",
    "observed",
    "reached",
    "clockKnown",
    "rows",
    "readBack",
    "writesRemoved",
    "clockStepped",
    "abortRequested",
    "healStarted",
    "healEnded",
    "runEnded",
];

/// Why the evidence could not be written: the run stops and heals (I6).
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be written: {why}")]
pub struct SinkError {
    pub why: String,
}

/// Where a run's evidence goes: the journal's writer, or memory in a test.
pub trait Sink {
    /// Puts an event on disk, after the rows so far, and returns it once it is there.
    ///
    /// # Errors
    /// Where it could not be written; nothing may be done to the world after that but healing.
    fn append(&mut self, at: At, what: What) -> Result<Event, SinkError>;

    /// Adds a row, given without its end of line, to a file of rows. Within a second of the run's clock it outlives this process. Blocks of
    /// rows are bound by [`What::Rows`] from time to time, and at the latest by [`Sink::bind`].
    ///
    /// # Errors
    /// As `append`.
    fn row(&mut self, at: At, file: &RowFile, row: &str) -> Result<(), SinkError>;

    /// Puts the rows so far on disk, as `append` does.
    ///
    /// # Errors
    /// As `append`.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Binds all rows that are not bound yet.
    ///
    /// # Errors
    /// As `append`.
    fn bind(&mut self, at: At) -> Result<(), SinkError>;
}
