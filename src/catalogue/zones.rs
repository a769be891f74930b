//! The names of time zones, of the IANA time zone database (release 2025b).
//!
//! A list, since the crate carries no rules of time zones: a window is compared with a clock only where one is met. A zone that is
//! younger than the list is refused until the list knows it.

/// Every zone and every link, in order.
pub const ZONES: &str = include_str!("zones.txt");

/// Whether there is such a time zone.
pub fn is_zone(name: &str) -> bool {
    ZONES.lines().any(|zone| zone == name)
}
