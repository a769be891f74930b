//! What readers of YAML 1.1 (PyYAML, Ruby's, Go's older one) see in a plain scalar, where those of YAML 1.2 see something else.
//!
//! The patterns are those of the types of YAML 1.1 (yaml.org/type: timestamp, int, float, value, merge), as PyYAML's resolver has them,
//! and of the core schema of YAML 1.2.2, section 10.3.2. Left out: what the two readers of `yaml` tell apart themselves.

use std::sync::LazyLock;

use regex::Regex;

type Pattern = LazyLock<Option<Regex>>;

static DATE: Pattern = LazyLock::new(|| {
    let time =
        r"\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?";
    Regex::new(&format!(r"^(?:\d{{4}}-\d\d-\d\d|{time})$")).ok()
});

/// With `_` between digits, in base 60 (`1:30` is 90), or in base 2.
static NUMBER: Pattern = LazyLock::new(|| {
    let whole = r"0b[01_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+";
    let broken = r"[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*";
    Regex::new(&format!(r"^[-+]?(?:{whole}|{broken})$")).ok()
});

/// What is the same number to all: not `0o24`, and no exponent without a point and a sign.
static SAME_NUMBER: Pattern = LazyLock::new(|| {
    let exponent = "(?:[eE][-+][0-9]+)?";
    let (whole, hexadecimal) = ("[-+]?(?:0|[1-9][0-9]*)", "0x[0-9a-fA-F]+");
    let broken = format!(r"[-+]?[0-9]+\.[0-9]*{exponent}|\.[0-9]+{exponent}");
    Regex::new(&format!("^(?:{whole}|{hexadecimal}|{broken})$")).ok()
});

fn is(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// What a text without quotes is to them, if not text.
pub fn sees(text: &str) -> Option<&'static str> {
    if is(&DATE, text) {
        Some("a date")
    } else if is(&NUMBER, text) {
        Some("a number")
    } else if matches!(text, "=" | "<<") {
        Some("a mark of its own")
    } else {
        None
    }
}

/// Whether a number is written so that all read the same.
pub fn agrees(number: &str) -> bool {
    is(&SAME_NUMBER, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_old_numbers_are_told_from_text() {
        for text in ["2027-01-12", "2026-01-01T00:00:00Z", "2026-1-1 10:00:00.5 +02:00"] {
            assert_eq!(sees(text), Some("a date"), "{text}");
        }
        for text in ["1_000", "1:30", "190:20:30", "0b11", "1:30.5", "1_0.5"] {
            assert_eq!(sees(text), Some("a number"), "{text}");
        }
        for text in ["24x7", "10.1.0.0/16", "2h30m", "99.9%", "2027-1-2", "1.2.3", "Sun 01:00", "1e3", "9:60"]
        {
            assert_eq!(sees(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_all_read_alike_is_told_from_one_that_some_do_not() {
        for number in ["0", "-5", "+1", "50", "0x10", "2.5", ".5", "1.", "1.5e+3"] {
            assert!(agrees(number), "{number}");
        }
        for number in ["0o24", "050", "00", "1e3", "1.5e3", "0b11", "1_000"] {
            assert!(!agrees(number), "{number}");
        }
    }
}
