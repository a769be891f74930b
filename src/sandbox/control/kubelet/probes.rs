//! Probes on Kubernetes' own periods, without asking while nothing changes.
//!
//! A probe's verdict flips after so many results in a row on its ticks (`start + initialDelay + k · period`). When a signal says that
//! the health changed, the tick that completes the row is computed, and only then it is looked at again. A readiness probe has one look
//! more: when the kubelet notices that the container runs, up to a second after its start, or that its startup probe succeeded, it asks at
//! once (`kubernetes/pkg/kubelet/prober`, `UpdatePodStatus`). What a kubelet keeps in its own
//! memory is kept in memory here too: no API object shows a half-finished row.

use serde_json::Value;

use super::super::read;
use crate::model::time::{At, Duration};

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    /// The probe of this kind in a container's spec.
    pub fn of(self, container: &Value) -> Option<&Value> {
        container.get(match self {
            Kind::Startup => "startupProbe",
            Kind::Readiness => "readinessProbe",
            Kind::Liveness => "livenessProbe",
        })
    }
}

/// What a kubelet remembers of one probe of one incarnation of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the probe says, by the rows that are complete.
    pub verdict: bool,
    /// The first tick of a row of other results.
    other_since: Option<At>,
}

impl Row {
    /// Before the first result: alive until shown dead, and neither started nor ready until shown so.
    pub fn new(kind: Kind) -> Self {
        let verdict = match kind {
            Kind::Liveness => true,
            Kind::Startup | Kind::Readiness => false,
        };
        Self { verdict, other_since: None }
    }

    /// Takes in what the container answers now; the tick at which to look again if it stays so. `noticed` is when one look more is made.
    pub fn look(
        &mut self,
        probe: &Value,
        (started, noticed): (At, Option<At>),
        answers: bool,
        now: At,
    ) -> Option<At> {
        if answers == self.verdict {
            self.other_since = None;
            return None;
        }
        let field = |name: &str, default: u64| {
            read::number(probe, name).and_then(|number| u64::try_from(number).ok()).unwrap_or(default)
        };
        let period = Duration::from_secs(field("/periodSeconds", 10).max(1));
        let in_a_row =
            if answers { field("/successThreshold", 1) } else { field("/failureThreshold", 3) }.max(1);
        let begin = started.plus(Duration::from_secs(field("/initialDelaySeconds", 0)));
        let tick = || {
            let tick = next_tick(begin, period, now);
            noticed.filter(|at| begin <= *at && now <= *at).map_or(tick, |at| at.min(tick))
        };
        let first = *self.other_since.get_or_insert_with(tick);
        let row = Duration::from_secs(period.as_secs().saturating_mul(in_a_row - 1));
        if now < first.plus(row) {
            return Some(first.plus(row));
        }
        *self = Self { verdict: answers, other_since: None };
        None
    }
}

/// The first tick that is not before now.
pub fn next_tick(begin: At, period: Duration, now: At) -> At {
    let past = now.0.saturating_sub(begin.0).max(0);
    let ticks = past.saturating_add(period.nanos() - 1) / period.nanos().max(1);
    At(begin.0.saturating_add(ticks.saturating_mul(period.nanos())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> At {
        At(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_pod_is_ready_at_the_first_tick_after_it_answers_and_unready_at_the_third_that_fails() {
        let probe = json!({"initialDelaySeconds": 5});
        let mut row = Row::new(Kind::Readiness);
        let start = (at(0), Some(at(1)));
        assert_eq!(row.look(&probe, start, true, at(1)), Some(at(5)), "not before its delay");
        assert_eq!((row.look(&probe, start, true, at(5)), row.verdict), (None, true));
        assert_eq!(row.look(&probe, start, false, at(16)), Some(at(45)));
        assert_eq!(row.look(&probe, start, false, at(30)), Some(at(45)), "another look changes nothing");
        assert_eq!((row.look(&probe, start, false, at(45)), row.verdict), (None, false));
    }

    #[test]
    fn a_container_that_answers_by_the_time_its_start_is_noticed_is_ready_then() {
        let (probe, start) = (json!({}), (at(0), Some(at(1))));
        let mut row = Row::new(Kind::Readiness);
        assert_eq!(row.look(&probe, start, true, At(1)), Some(at(1)));
        assert_eq!((row.look(&probe, start, true, at(1)), row.verdict), (None, true));
        let mut late = Row::new(Kind::Readiness);
        assert_eq!(late.look(&probe, start, true, at(2)), Some(at(10)), "it began to answer later");
    }

    #[test]
    fn an_answer_in_between_starts_the_row_again() {
        let probe = json!({});
        let mut row = Row { verdict: true, other_since: None };
        let start = (at(0), None);
        assert_eq!(row.look(&probe, start, false, at(1)), Some(at(30)));
        assert_eq!(row.look(&probe, start, true, at(12)), None);
        assert_eq!(row.look(&probe, start, false, at(13)), Some(at(40)));
    }
}
