//! Days and times of the week as a catalogue writes them: `"2026-10-12"`, `"Sun 01:00"`.
//!
//! Days are quoted in YAML, since readers of its older version take a plain one for a timestamp.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime, Weekday};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub NaiveDate);

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shaped = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
        shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten().map(Date).ok_or_else(
            || format!("`{}` is not a day of the calendar: write it like \"2026-10-12\"", short(text)),
        )
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

/// A day of the week and a time of that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekTime {
    pub day: Weekday,
    pub time: NaiveTime,
}

impl FromStr for WeekTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once(' ')
            .filter(|(day, time)| day.len() == 3 && time.len() == 5)
            .and_then(|(day, time)| {
                Some(WeekTime {
                    day: day.parse().ok()?,
                    time: NaiveTime::parse_from_str(time, "%H:%M").ok()?,
                })
            })
            .ok_or_else(|| {
                format!("`{}` is not a time of the week: write it like \"Sun 01:00\"", short(text))
            })
    }
}

impl fmt::Display for WeekTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.day, self.time.format("%H:%M"))
    }
}

fn short(text: &str) -> String {
    text.chars().take(20).collect()
}

macro_rules! written_as_text {
    ($type:ident, $description:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $description, "pattern": $pattern})
            }
        }
    };
}

written_as_text!(Date, "A day: `\"2026-10-12\"`.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$");
written_as_text!(
    WeekTime,
    "A day of the week and a time: `\"Sun 01:00\"`.",
    "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [0-2][0-9]:[0-5][0-9]$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_the_calendar_lacks_is_refused() {
        assert_eq!("2026-10-12".parse::<Date>().unwrap().to_string(), "2026-10-12");
        for text in ["2026-02-30", "12.10.2026", "2026-1-2", "", "2026-10-12T00:00"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_of_the_week_reads_and_writes_the_same() {
        assert_eq!("Sun 01:00".parse::<WeekTime>().unwrap().to_string(), "Sun 01:00");
        for text in ["Sunday 01:00", "Sun 25:00", "Sun", "Sun 1:00"] {
            assert!(text.parse::<WeekTime>().is_err(), "{text}");
        }
    }
}
