//! What was promised, and the words for how it went.
//!
//! Verdicts are never two-valued: only `met` passes, and missing data is no pass (I7).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::{Name, Region};
use super::time::Duration;

/// A share of a whole in parts per million, written as a percentage: `99.9%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// The whole.
    pub const ALL: Share = Share(1_000_000);

    /// Whether `part` of `whole` is at least this share; nothing of nothing is not.
    pub fn reached(self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * 1_000_000 >= u128::from(whole) * u128::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{}` is not a share: write it like `99.9%`", text.chars().take(20).collect::<String>())
        };
        let number: f64 =
            text.trim().strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=100.0).contains(&number) {
            return Err("a share lies between 0% and 100%".to_owned());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000, just checked"
        )]
        Ok(Share((number * 10_000.0).round() as u32))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A share of a whole: `99.9%`.", "pattern": "^[0-9]+(\\.[0-9]+)?%$"})
    }
}

/// What an objective is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ObjectiveKind {
    /// Recovery time against the RTO.
    Rta,
    /// Data loss against the RPO.
    Rpa,
    /// Nothing corrupt, dual-accepted or resurrected.
    Integrity,
    /// People and notices against the severity's times.
    Response,
    /// The way back: its own outage and loss against the failback targets.
    Failback,
    /// Impact to data verified, against the longest tolerable outage.
    Mtpd,
    /// How long the service ran without redundancy.
    Exposure,
}

/// From where a recovery time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// From the fault's effect.
    Fault,
    /// From the first failure that a vantage saw.
    #[default]
    Impact,
    /// From the declaration of the disaster.
    Declaration,
}

/// A promise about one service, as the run will be judged by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    pub service: Name,
    pub kind: ObjectiveKind,
    /// `None` where there is nothing to compare with a duration (integrity).
    pub target: Option<Duration>,
    /// For `rta`: which of the three origins counts.
    #[serde(default)]
    pub origin: Origin,
    /// For `rpa`: the store whose loss counts; `None` where no ledger shares the service's stores.
    pub store: Option<Name>,
    /// For `failback`: the most data that may be lost on the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    /// The lost region that the promise speaks of.
    pub lost: Option<Region>,
}

/// When a service counts as restored: the first success of a run of probes that meets this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoredClause {
    /// The share of probes that must succeed.
    pub success: Share,
    /// For how long, and for ten probes at least; not added to the recovery time.
    #[serde(rename = "for")]
    pub lasting: Duration,
    /// The load, as a share of the peak, under which it must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Share>,
    /// 99 of 100 answers come within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Duration>,
}

impl RestoredClause {
    /// What it asks of writes: an answer's time is a promise to readers.
    pub fn of_writes(&self) -> RestoredClause {
        RestoredClause { load: None, p99: None, ..self.clone() }
    }
}

impl Default for RestoredClause {
    /// Every probe, for ten seconds.
    fn default() -> Self {
        Self { success: Share::ALL, lasting: Duration::from_secs(10), load: None, p99: None }
    }
}

/// How an objective went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The upper bound lies within the target.
    Met,
    /// Not part of this drill.
    NotExercised,
    /// The target lies inside the interval.
    Indeterminate,
    /// Too little was seen to say.
    Inconclusive,
    /// The run is invalid, so its numbers say nothing.
    Void,
    /// The lower bound lies over the target.
    Missed,
}

/// How a run went, over all; the worst of what happened wins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Overall {
    Met,
    Indeterminate,
    Inconclusive,
    Invalid,
    Missed,
}

macro_rules! said_as_serialised {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            /// The word as it stands in evidence.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match serde_json::to_value(self) {
                    Ok(serde_json::Value::String(word)) => f.pad(&word),
                    _ => Err(fmt::Error),
                }
            }
        }
    )+};
}
said_as_serialised!(ObjectiveKind, Origin, Verdict, Overall, super::plan::Stage);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_never_reached() {
        assert!(!Share::ALL.reached(0, 0));
        let share: Share = "99.9%".parse().unwrap();
        assert!(share.reached(999, 1000) && !share.reached(998, 1000));
        assert_eq!(share.to_string(), "99.9%");
    }
}
