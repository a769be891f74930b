//! How far a cluster's clock is from this machine's, as well as one of its answers tells.
//!
//! An answer's `Date` (RFC 9110, section 6.6.1) is the second in which it was made, cut off, and it was made after the request was sent
//! and before it had arrived. So the offset lies in [date - received, date + 1 s - sent], all by the wall clocks of the two.

use std::fmt;

use chrono::DateTime;
use serde::Serialize;

use crate::model::time::Duration;

/// More than this the clocks of a run's clusters must not be off: what they date (an alert's beginning, a certificate, a lease) would be read
/// wrongly by as much. The regions of `drillmaster sandbox` are late by the time that they took to come up.
pub const TOLERANCE: Duration = Duration::from_secs(30);

const SECOND: i64 = 1_000_000_000;

/// The offset of another clock from this machine's, in nanoseconds: positive where it is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offset {
    pub least_ns: i64,
    pub most_ns: i64,
}

impl Offset {
    /// What an answer tells, by its `Date` and by this machine's wall clock (Unix nanoseconds) when the request was sent and when the
    /// answer had arrived; `None` where the date is none.
    pub fn told(date: &str, sent_unix_ns: i64, received_unix_ns: i64) -> Option<Offset> {
        let date = DateTime::parse_from_rfc2822(date).ok()?.timestamp_nanos_opt()?;
        let least_ns = date.checked_sub(received_unix_ns)?;
        Some(Offset { least_ns, most_ns: date.checked_add(SECOND)?.checked_sub(sent_unix_ns)? })
    }

    /// Whether the clocks are further apart than that, whatever within the bounds is so.
    pub fn is_surely_over(&self, tolerance: Duration) -> bool {
        self.least_ns > tolerance.nanos() || self.most_ns < -tolerance.nanos()
    }
}

impl fmt::Display for Offset {
    /// `-0.2s to +0.9s`, rounded outward to a tenth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TENTH: i64 = SECOND / 10;
        let (least, most) = (self.least_ns.div_euclid(TENTH), -(-self.most_ns).div_euclid(TENTH));
        write!(f, "{:+.1}s to {:+.1}s", least as f64 / 10.0, most as f64 / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server writes it.
    fn date(unix_ns: i64) -> String {
        DateTime::from_timestamp_nanos(unix_ns).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    proptest! {
        #[test]
        fn the_true_offset_lies_within_the_bounds_which_are_a_second_and_the_exchange_wide(
            sent in 0..4_000_000_000 * SECOND, there in 0..20 * SECOND, back in 0..20 * SECOND,
            offset in -1_000_000 * SECOND..1_000_000 * SECOND,
        ) {
            let made = sent + there;
            prop_assume!(made + offset >= 0);
            let told = Offset::told(&date(made + offset), sent, made + back).unwrap();
            prop_assert!(told.least_ns <= offset && offset <= told.most_ns, "{told:?}");
            prop_assert_eq!(told.most_ns - told.least_ns, SECOND + there + back);
        }
    }

    #[test]
    fn only_what_is_off_in_any_case_is_over_the_tolerance() {
        let told = |offset: i64| {
            Offset::told(&date(1_000 * SECOND + offset), 1_000 * SECOND, 1_001 * SECOND).unwrap()
        };
        assert!(!told(0).is_surely_over(TOLERANCE));
        assert!(!told(31 * SECOND).is_surely_over(TOLERANCE), "it may be thirty seconds");
        assert!(told(32 * SECOND).is_surely_over(TOLERANCE));
        assert!(!told(-31 * SECOND).is_surely_over(TOLERANCE), "it may be thirty seconds");
        assert!(told(-32 * SECOND).is_surely_over(TOLERANCE));
        assert_eq!(told(600 * SECOND).to_string(), "+599.0s to +601.0s");
        assert_eq!(told(-600 * SECOND).to_string(), "-601.0s to -599.0s");
        assert_eq!(Offset::told("today", 0, 0), None);
    }
}
