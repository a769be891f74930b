//! The simulated clock: tokio's, with the run's anchor on the wall.
//!
//! Everything in a sandbox that bears a time reads it here, so that one seed gives the same bytes. The anchor may lie in the
//! future while a sandbox still settles; instants before it are negative.

use chrono::{DateTime, SecondsFormat};
use tokio::time::Instant;

use crate::model::time::At;
use crate::world;

/// A clock that starts at an instant of tokio's clock, with the wall-clock time of that instant.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    wall_unix_ns: i64,
}

impl Clock {
    /// A clock whose `At(0)` is `start`, when the wall clock shows `wall_unix_ns`.
    pub fn new(start: Instant, wall_unix_ns: i64) -> Self {
        Self { start, wall_unix_ns }
    }

    /// Now, since the anchor; negative before it.
    pub fn now(&self) -> At {
        let now = Instant::now();
        // Not `as_nanos`: each probe asks ten times, and 128 bits cost more than they are needed.
        let nanos = |duration: std::time::Duration| {
            let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(duration.subsec_nanos()))
        };
        match now.checked_duration_since(self.start) {
            Some(since) => At(nanos(since)),
            None => At(-nanos(self.start.duration_since(now))),
        }
    }

    /// The instant of tokio's clock at which this one shows `at`, for timers.
    pub fn instant(&self, at: At) -> Instant {
        let by = std::time::Duration::from_nanos(at.0.unsigned_abs());
        if at.0 < 0 { self.start.checked_sub(by).unwrap_or(self.start) } else { self.start + by }
    }

    /// The wall clock at an instant, in Unix nanoseconds.
    pub fn wall_unix_ns_at(&self, at: At) -> i64 {
        self.wall_unix_ns.saturating_add(at.0)
    }

    /// An instant as Kubernetes writes a `Time`: `2026-01-01T00:00:00Z`.
    pub fn time(&self, at: At) -> String {
        self.written(at, SecondsFormat::Secs)
    }

    /// An instant as Kubernetes writes a `MicroTime`: `2026-01-01T00:00:00.000000Z`.
    pub fn micro_time(&self, at: At) -> String {
        self.written(at, SecondsFormat::Micros)
    }

    /// An instant as HTTP writes it (RFC 9110, section 5.6.7): `Thu, 01 Jan 2026 00:00:00 GMT`.
    pub fn http_date(&self, at: At) -> String {
        let date = DateTime::from_timestamp_nanos(self.wall_unix_ns_at(at));
        date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    fn written(&self, at: At, to: SecondsFormat) -> String {
        DateTime::from_timestamp_nanos(self.wall_unix_ns_at(at)).to_rfc3339_opts(to, true)
    }

    /// The instant of a `Time` or `MicroTime`; `None` where the text is none.
    pub fn read(&self, text: &str) -> Option<At> {
        let wall = DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()?;
        Some(At(wall.saturating_sub(self.wall_unix_ns)))
    }
}

impl world::Clock for Clock {
    fn now(&self) -> At {
        Clock::now(self)
    }

    fn wall_unix_ns(&self) -> i64 {
        self.wall_unix_ns_at(Clock::now(self))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn instants_read_back_as_they_were_written_on_both_sides_of_the_anchor() {
        let clock = Clock::new(Instant::now() + Duration::from_secs(5), 1_767_225_600_000_000_000);
        assert_eq!(clock.now(), At(-5_000_000_000));
        assert_eq!(clock.time(clock.now()), "2025-12-31T23:59:55Z");
        tokio::time::sleep(Duration::from_millis(5_250)).await;
        assert_eq!(clock.micro_time(clock.now()), "2026-01-01T00:00:00.250000Z");
        assert_eq!(clock.read("2026-01-01T00:00:00.250000Z"), Some(clock.now()));
        assert_eq!(clock.instant(clock.now()), Instant::now());
    }
}
