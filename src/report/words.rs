//! How times and names read in a report.
//!
//! Times are rounded outwards: a lower bound down, an upper bound up, so that what is printed still holds (I8). Every text that
//! came from outside is cleaned once, for all formats, where the view becomes a value: no control or escape sequences, no
//! characters that turn the direction of reading, bounded length (I15).

use serde_json::Value;

use crate::model::time::{Duration, Span};

/// The longest text that a report shows of one name or message.
pub const LONGEST_TEXT: usize = 400;

/// A length in words, rounded down: `1m 12.3s`.
pub fn at_least(length: Duration) -> String {
    shown(length.as_nanos() / step(length) * step(length))
}

/// A length in words, rounded up.
pub fn at_most(length: Duration) -> String {
    shown(length.as_nanos().div_ceil(step(length)) * step(length))
}

/// A length that is known exactly, to the millisecond.
pub fn exact(length: Duration) -> String {
    shown(length.as_nanos().div_ceil(1_000_000) * 1_000_000)
}

/// A span in words: `1m 12.3s to 1m 13.4s`, `at least 5m`.
pub fn span(span: &Span) -> String {
    match span.most {
        None => format!("at least {}", at_least(span.least)),
        Some(most) if most == span.least => exact(most),
        Some(most) if at_least(span.least) == at_most(most) => at_most(most),
        Some(most) => format!("{} to {}", at_least(span.least), at_most(most)),
    }
}

/// What a length is rounded to, in nanoseconds: finer than anybody decides by, coarse enough to read.
fn step(length: Duration) -> u128 {
    match length.as_secs() {
        0..10 => 1_000_000,
        10..3600 => 100_000_000,
        _ => 1_000_000_000,
    }
}

fn shown(nanos: u128) -> String {
    let (seconds, millis) = (nanos / 1_000_000_000, nanos / 1_000_000 % 1000);
    if seconds == 0 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let mut parts = Vec::new();
    for (unit, size, whole) in [("d", 86_400, u128::MAX), ("h", 3600, 24), ("m", 60, 60)] {
        let count = seconds / size % whole;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    let rest = seconds % 60;
    if millis > 0 {
        parts.push(format!("{}s", format!("{rest}.{millis:03}").trim_end_matches('0')));
    } else if rest > 0 {
        parts.push(format!("{rest}s"));
    }
    parts.join(" ")
}

/// A wall-clock instant in UTC, to the second: `2026-01-01 00:00:12 UTC`.
pub fn wall(unix_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(unix_ns).format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A wall-clock date in UTC: `2026-01-01`.
pub fn date(unix_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(unix_ns).format("%Y-%m-%d").to_string()
}

/// `dataVerified` as people write it: `data verified`.
pub fn apart(camel: &str) -> String {
    let mut words = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The first letter large.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `1 write`, `2 writes`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A text that is safe to show on paper and on a terminal.
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(LONGEST_TEXT));
    let mut letters = text.chars().peekable();
    let mut shown = 0;
    while let Some(letter) = letters.next() {
        if shown == LONGEST_TEXT {
            safe.push('…');
            break;
        }
        match letter {
            '\u{1b}' | '\u{9b}' => {
                let control_sequence = letter == '\u{9b}' || letters.next_if_eq(&'[').is_some();
                while control_sequence
                    && letters.next_if(|next| ('\u{20}'..='\u{3f}').contains(next)).is_some()
                {
                }
                letters.next_if(|next| next.is_ascii_graphic());
                continue;
            }
            '\n' | '\r' | '\t' => safe.push(' '),
            letter if letter.is_control() || turns(letter) => continue,
            letter => safe.push(letter),
        }
        shown += 1;
    }
    safe
}

/// Whether a character changes the direction of what follows, or stands there unseen.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Every text of a value, cleaned.
pub fn clean_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(clean_all),
        Value::Object(fields) => fields.values_mut().for_each(clean_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_rounded_outwards_and_reads_as_people_say_it() {
        let length = Duration::from_nanos(72_345_600_000);
        assert_eq!((at_least(length).as_str(), at_most(length).as_str()), ("1m 12.3s", "1m 12.4s"));
        assert_eq!(at_most(Duration::from_nanos(1)), "1ms");
        assert_eq!(at_least(Duration::from_nanos(1)), "0s");
        assert_eq!(at_most(Duration::from_secs(93_784)), "1d 2h 3m 4s");
        assert_eq!(at_least(Duration::from_millis(1020)), "1.02s");
        assert_eq!(at_most(Duration::from_secs(900)), "15m");
    }

    #[test]
    fn a_hostile_text_loses_its_controls_its_direction_and_its_length() {
        assert_eq!(clean("a\u{1b}[31mred\u{1b}[0m b"), "ared b");
        assert_eq!(clean("\u{9b}2Jx\u{1b}]0;t\u{7}"), "x0;t");
        assert_eq!(clean("a\u{202e}b\u{200f}c\nd\u{0}"), "abc d");
        assert_eq!(clean(&"x".repeat(100_000)).chars().count(), LONGEST_TEXT + 1);
    }
}
