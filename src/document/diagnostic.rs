//! What is wrong with a document, where, and what to do about it.
//!
//! A check names a path (`spec.probes[0].service`); the document turns it into a place in the text. Rejected: spans inside the
//! typed values, which every constructor and every custom resource would have to carry.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken; somebody should look.
    Warning,
}

/// A place in a text: bytes, and the line and column of the first, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The path of the text.
    pub file: String,
    pub bytes: Range<usize>,
    pub line: usize,
    /// In characters.
    pub column: usize,
}

impl Place {
    /// Whether another place lies in this one.
    pub fn holds(&self, other: &Place) -> bool {
        self.file == other.file && self.bytes.start <= other.bytes.start && other.bytes.end <= self.bytes.end
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What is wrong, lower-case, without the place.
    pub message: String,
    /// Where; `None` where there is no text (a file that cannot be read).
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error; control characters of the user's text are stripped, since messages quote it.
    pub fn error(message: impl AsRef<str>, place: Option<Place>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, message: plain(message.as_ref()), place, help: None }
    }

    /// A warning.
    pub fn warning(message: impl AsRef<str>, place: Option<Place>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message, place) }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl AsRef<str>) -> Diagnostic {
        self.help = Some(plain(help.as_ref()));
        self
    }
}

/// Whether a list has an error in it, and not only warnings.
pub fn refused(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Whether a character could steer a terminal: control characters, and marks that change the direction of writing.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without what could steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// A step on the way into a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Key(String),
    Index(usize),
}

impl From<&str> for Part {
    fn from(key: &str) -> Self {
        Part::Key(key.to_owned())
    }
}

impl From<usize> for Part {
    fn from(index: usize) -> Self {
        Part::Index(index)
    }
}

/// The way to a value of a document: `spec.probes[0].service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Part>);

impl Path {
    /// The top of `spec`.
    pub fn spec() -> Path {
        Path(vec![Part::from("spec")])
    }

    /// One step further.
    #[must_use]
    pub fn then(&self, part: impl Into<Part>) -> Path {
        let mut parts = self.0.clone();
        parts.push(part.into());
        Path(parts)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            match part {
                Part::Key(key) if i == 0 => f.write_str(key)?,
                Part::Key(key) => write!(f, ".{key}")?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
