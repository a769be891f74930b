//! The clock of a live run: monotonic, counts suspend (CLOCK_BOOTTIME), anchored at its start.
//!
//! The wall clock is read once at the anchor and again whenever somebody asks: it may step, the monotonic one never does. A healing by
//! another process goes on where the journal ended, by the wall clock, since that is all that two processes share.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::time::At;
use crate::world::Clock;

/// Nanoseconds of this machine's uptime, suspend included.
fn uptime() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// The wall clock now, in Unix nanoseconds.
pub(super) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The clock of one process of a run.
#[derive(Debug, Clone, Copy)]
pub struct LiveClock {
    /// The uptime at instant 0.
    zero: i64,
}

impl LiveClock {
    /// A clock that begins now.
    pub fn begin() -> Self {
        Self { zero: uptime() }
    }

    /// A clock that goes on with a run that began at a time of the wall clock, in Unix nanoseconds; never before an instant that it
    /// has seen already.
    pub fn resume(began_unix_ns: i64, seen: At) -> Self {
        let passed = wall().saturating_sub(began_unix_ns).max(seen.0);
        Self { zero: uptime().saturating_sub(passed) }
    }
}

impl Clock for LiveClock {
    fn now(&self) -> At {
        At(uptime().saturating_sub(self.zero))
    }

    fn wall_unix_ns(&self) -> i64 {
        wall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_clock_is_never_before_what_was_seen_and_follows_the_wall() {
        let hour = 3_600_000_000_000;
        let resumed = LiveClock::resume(wall() - hour, At(5));
        assert!(resumed.now() >= At(hour) && resumed.now() < At(2 * hour));
        let stepped_back = LiveClock::resume(wall() + hour, At(7 * hour));
        assert!(stepped_back.now() >= At(7 * hour));
        assert!(LiveClock::begin().now() < At(hour));
    }
}
