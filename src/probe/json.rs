//! What must stand in a JSON answer: a place in it (RFC 6901), and what its value must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Wrong;
use crate::document::Path;

/// What must stand at one place of a JSON answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stands {
    /// The place, as a JSON pointer: `/components/database/lag`.
    pub pointer: String,
    /// The value that must stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// A number greater than this must stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// A number less than this must stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

impl Stands {
    /// Whether it stands there.
    pub fn holds(&self, answer: &Value) -> bool {
        let Some(value) = answer.pointer(&self.pointer) else { return false };
        let bounded = self.above.is_some() || self.below.is_some();
        self.equals.as_ref().is_none_or(|wanted| same(wanted, value))
            && (!bounded || value.as_f64().is_some_and(|value| between(value, self.above, self.below)))
    }

    /// What is wrong with it.
    pub fn wrong(&self, at: &Path) -> Option<Wrong> {
        if !self.pointer.is_empty() && !self.pointer.starts_with('/') {
            let why = format!("`{}` is not a JSON pointer", self.pointer);
            return Some(
                Wrong::new(at.then("pointer"), why).help("write it like `/components/database/lag`"),
            );
        }
        if self.equals.is_none() && self.above.is_none() && self.below.is_none() {
            return Some(Wrong::new(at.clone(), "nothing is asked of what stands there").help(SAY));
        }
        empty_range(at, self.above, self.below)
    }
}

/// What can be asked of a value.
pub(super) const SAY: &str = "say what it must be: `equals`, `above` or `below`";

/// Whether a number lies between two others.
pub(super) fn between(value: f64, above: Option<f64>, below: Option<f64>) -> bool {
    above.is_none_or(|above| value > above) && below.is_none_or(|below| value < below)
}

/// A range that no number lies in.
pub(super) fn empty_range(at: &Path, above: Option<f64>, below: Option<f64>) -> Option<Wrong> {
    match (above, below) {
        (Some(above), Some(below)) if above >= below => {
            let why = format!("no number is above {above} and below {below}");
            Some(Wrong::new(at.then("above"), why).help("`above` is the lower one"))
        }
        _ => None,
    }
}

/// Numbers are the same whichever way they are written: 1 is 1.0.
fn same(wanted: &Value, value: &Value) -> bool {
    match (wanted.as_f64(), value.as_f64()) {
        (Some(wanted), Some(value)) => wanted.total_cmp(&value).is_eq(),
        _ => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_stands_where_the_pointer_leads_and_is_what_is_asked() {
        let answer = json!({"status": "ok", "lag": 3.0, "up": [true, null], "a/b": 1});
        for (asks, holds) in [
            (json!({"pointer": "/status", "equals": "ok"}), true),
            (json!({"pointer": "/status", "equals": "o"}), false),
            (json!({"pointer": "/lag", "equals": 3}), true),
            (json!({"pointer": "/lag", "equals": "3"}), false),
            (json!({"pointer": "/up/0", "equals": true}), true),
            (json!({"pointer": "/a~1b", "equals": 1}), true),
            (json!({"pointer": "/lag", "above": 2.9, "below": 3.1}), true),
            (json!({"pointer": "/lag", "above": 3}), false),
            (json!({"pointer": "/lag", "below": 3}), false),
            (json!({"pointer": "/status", "below": 3}), false),
            (json!({"pointer": "/nowhere", "below": 3}), false),
        ] {
            let stands: Stands = serde_json::from_value(asks.clone()).unwrap();
            assert_eq!(stands.holds(&answer), holds, "{asks}");
        }
    }
}
