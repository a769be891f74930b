//! Instants, durations and intervals.
//!
//! Why own types: every measured time is an interval (I8), so the arithmetic that keeps the truth inside stands here, once.
//! An instant is nanoseconds since the run's one anchor on a monotonic clock that counts suspend; wall-clock time is
//! the anchor's business. Durations are written as people write them (`1m30s`, `100ms`, `100d`) and always carry a unit.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: nanoseconds since the run's anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub i64);

impl At {
    /// This instant moved later by a duration.
    pub fn plus(self, by: Duration) -> At {
        At(self.0.saturating_add(by.nanos()))
    }

    /// This instant moved earlier by a duration.
    pub fn minus(self, by: Duration) -> At {
        At(self.0.saturating_sub(by.nanos()))
    }

    /// The time since an earlier instant; zero if that one is later.
    pub fn since(self, earlier: At) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for At {
    /// The time since the anchor, as a duration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        Duration::from_nanos(self.0.unsigned_abs()).fmt(f)
    }
}

/// A length of time, never negative; reads and writes `1d2h3m4s5ms6us7ns` with any of the parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

/// The longest duration that a document may state: a thousand years are a typing mistake.
pub const LONGEST: Duration = Duration(std::time::Duration::from_secs(366 * 24 * 3600 * 10));

const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(std::time::Duration::ZERO);

    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// From milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// From nanoseconds.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(std::time::Duration::from_nanos(nanoseconds))
    }

    /// As the standard library's type.
    pub const fn std(self) -> std::time::Duration {
        self.0
    }

    /// For people: rounded up to whole milliseconds.
    pub fn in_whole_millis(self) -> Duration {
        let over = self.0.subsec_nanos() % 1_000_000;
        let up_to = if over == 0 { 0 } else { 1_000_000 - over };
        Duration(self.0.saturating_add(std::time::Duration::from_nanos(u64::from(up_to))))
    }

    /// In nanoseconds, at most `i64::MAX` (292 years).
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }

    /// The sum, at most the largest duration there is.
    pub fn plus(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }

    /// The difference; zero if the other is longer.
    pub fn minus(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }

    /// The whole milliseconds in it.
    fn floor_to_ms(self) -> Duration {
        Duration(self.0 - self.beyond_ms())
    }

    /// The fewest whole milliseconds that hold it.
    fn ceil_to_ms(self) -> Duration {
        let floor = self.floor_to_ms();
        if floor == self { self } else { floor.plus(Duration::from_millis(1)) }
    }

    fn beyond_ms(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::from(self.0.subsec_nanos() % 1_000_000))
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        for (unit, size) in UNITS {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration needs a unit: write `{0}s`, `{0}m` or `{0}ms`")]
    NoUnit(String),
    #[error("`{0}` is not a unit of time: use d, h, m, s, ms, us or ns")]
    UnknownUnit(String),
    #[error("a duration cannot be negative")]
    Negative,
    #[error("a duration is longer than ten years")]
    TooLong,
    #[error("`{0}` is not a duration: write it like `90s`, `1m30s` or `100ms`")]
    NotADuration(String),
}

impl FromStr for Duration {
    type Err = DurationError;

    /// Reads `90s`, `1m30s`, `1.5h`, `100d`; `0` alone needs no unit.
    fn from_str(text: &str) -> Result<Self, DurationError> {
        let text = text.trim();
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        if text.starts_with('-') {
            return Err(DurationError::Negative);
        }
        let not = || DurationError::NotADuration(text.chars().take(40).collect());
        let mut rest = text;
        let mut nanos: u128 = 0;
        if rest.is_empty() {
            return Err(not());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            if number.is_empty() {
                return Err(not());
            }
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if unit.is_empty() {
                return Err(DurationError::NoUnit(number.chars().take(20).collect()));
            }
            let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(DurationError::UnknownUnit(unit.chars().take(20).collect()));
            };
            nanos =
                nanos.checked_add(scaled(number, *size).ok_or_else(not)?).ok_or(DurationError::TooLong)?;
            rest = tail;
        }
        if nanos > LONGEST.0.as_nanos() {
            return Err(DurationError::TooLong);
        }
        Ok(Duration::from_nanos(u64::try_from(nanos).map_err(|_| DurationError::TooLong)?))
    }
}

/// A decimal number of units in nanoseconds, exact; `None` where the text is no such number or far too large.
fn scaled(number: &str, size: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 15 || fraction.contains('.') {
        return None;
    }
    if number.contains('.') && fraction.is_empty() {
        return None;
    }
    let mut nanos = whole.parse::<u128>().ok()? * size;
    if !fraction.is_empty() {
        nanos += fraction.parse::<u128>().ok()? * size / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    }
    Some(nanos)
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `90s`, `1m30s` or `100ms`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Duration, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Duration, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Duration, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            // A bare 0 needs no unit.
            "type": ["string", "integer"],
            "minimum": 0,
            "maximum": 0,
            "description": "A length of time with its unit: `100ms`, `90s`, `1m30s`, `2h`, `100d`.",
            "pattern": "^(0|([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|ns))+)$",
        })
    }
}

/// When something happened, as well as anybody can know: an instant in `[earliest, latest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    pub earliest: At,
    pub latest: At,
}

impl Interval {
    /// An interval from two instants, in either order.
    pub fn between(a: At, b: At) -> Interval {
        Interval { earliest: a.min(b), latest: a.max(b) }
    }

    /// The interval of an instant that is known exactly.
    pub fn exactly(at: At) -> Interval {
        Interval { earliest: at, latest: at }
    }

    /// How long from this to a later instant: the widest span that both allow. A negative part is cut off at zero, since
    /// what comes after cannot come before.
    pub fn until(&self, to: &Interval) -> Span {
        Span { least: to.earliest.since(self.latest), most: Some(to.latest.since(self.earliest)) }
    }

    /// Half the width on each side of the middle.
    pub fn width(&self) -> Duration {
        self.latest.since(self.earliest)
    }

    /// Later of both ends: the running maximum that makes a sequence of boundaries monotone.
    pub fn max(&self, other: &Interval) -> Interval {
        Interval { earliest: self.earliest.max(other.earliest), latest: self.latest.max(other.latest) }
    }

    /// Whether an instant is possible.
    pub fn contains(&self, at: At) -> bool {
        self.earliest <= at && at <= self.latest
    }
}

/// How long something lasted, as well as anybody can know; no upper end where it never ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub least: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Duration>,
}

impl Span {
    /// Exactly zero.
    pub const ZERO: Span = Span { least: Duration::ZERO, most: Some(Duration::ZERO) };

    /// A span with no end: at least this long.
    pub fn at_least(least: Duration) -> Span {
        Span { least, most: None }
    }

    /// Whether a length is possible.
    pub fn contains(&self, length: Duration) -> bool {
        self.least <= length && self.most.is_none_or(|most| length <= most)
    }

    /// The width; `None` where there is no upper end.
    pub fn width(&self) -> Option<Duration> {
        self.most.map(|most| most.minus(self.least))
    }
}

impl fmt::Display for Span {
    /// `[1m2s, 1m3s]`, or `at least 5m`; rounded outward to milliseconds, so that what is read holds what was measured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.least.floor_to_ms();
        match self.most {
            Some(most) if most == self.least && most == least => write!(f, "{most}"),
            Some(most) => write!(f, "[{least}, {}]", most.ceil_to_ms()),
            None => write!(f, "at least {least}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them_and_write_back_shortest() {
        for (text, back) in [
            ("90s", "1m30s"),
            ("1.5h", "1h30m"),
            ("100d", "100d"),
            ("0", "0s"),
            ("100ms", "100ms"),
            ("1m0s", "1m"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), back);
        }
    }

    #[test]
    fn people_read_whole_milliseconds_and_never_less_than_there_is() {
        for (text, read) in [("29s999ms999us359ns", "30s"), ("1ns", "1ms"), ("250ms", "250ms"), ("0", "0s")] {
            assert_eq!(text.parse::<Duration>().unwrap().in_whole_millis().to_string(), read);
        }
    }

    #[test]
    fn a_duration_without_unit_or_sense_is_refused_with_a_way_out() {
        assert_eq!("15".parse::<Duration>(), Err(DurationError::NoUnit("15".into())));
        assert_eq!("-1s".parse::<Duration>(), Err(DurationError::Negative));
        assert_eq!("5 min".parse::<Duration>(), Err(DurationError::UnknownUnit(" min".into())));
        assert_eq!("9999999d".parse::<Duration>(), Err(DurationError::TooLong));
        for text in ["", "s", "1.s", "..1s", "1s-2s", "99999999999999999999s"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_span_between_two_intervals_contains_every_difference() {
        let (a, b) = (Interval::between(At(10), At(20)), Interval::between(At(15), At(40)));
        let span = a.until(&b);
        for from in 10..=20 {
            for to in 15.max(from)..=40 {
                assert!(span.contains(Duration::from_nanos(u64::try_from(to - from).unwrap())));
            }
        }
    }
}
