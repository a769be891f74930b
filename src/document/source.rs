//! A text and where it came from, and the way from a byte to a line and a column.
//!
//! Bounded: a document is at most a mebibyte. A byte order mark is cut off here, so that no reader has to know of it.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Place};

/// The longest document in bytes.
pub const LONGEST: usize = 1 << 20;

/// A text and where it came from; nobody opens the path here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub path: String,
    /// Without a byte order mark.
    pub text: String,
}

impl Source {
    /// A text of a file. A file of the working folder is called by its name, however the way to it was written.
    pub fn new(path: &str, text: &str) -> Source {
        let path = path.trim_start_matches("./");
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Where they are too many, or no UTF-8 text.
    pub fn from_bytes(path: &str, bytes: &[u8]) -> Result<Source, Diagnostic> {
        if bytes.len() > LONGEST {
            let message = format!("`{path}` has {} bytes; a document has at most {LONGEST}", bytes.len());
            return Err(Diagnostic::error(message, None).help(
                "is this the right file? objects of a cluster belong into manifests, which a sandbox names",
            ));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Source::new(path, text)),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
                let message = format!(
                    "`{path}` is not a text: byte {} on line {line} is not UTF-8",
                    error.valid_up_to()
                );
                Err(Diagnostic::error(message, None).help("save the file as UTF-8"))
            }
        }
    }

    /// The place of some bytes, cut to their first line and to the text.
    pub fn place(&self, bytes: Range<usize>) -> Place {
        let start = floor(&self.text, bytes.start);
        let line_end = self.text[start..].find(['\n', '\r']).map_or(self.text.len(), |at| start + at);
        let end = floor(&self.text, bytes.end).clamp(start, line_end);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: self.path.clone(),
            bytes: start..end,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The byte at a line and a column in characters, both counted from 1; the nearest there is.
    pub fn byte_at(&self, line: usize, column: usize) -> usize {
        let start = match line {
            0 | 1 => 0,
            _ => self.text.match_indices('\n').nth(line - 2).map_or(self.text.len(), |(at, _)| at + 1),
        };
        let rest = self.text[start..].split('\n').next().unwrap_or("");
        start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    }
}

/// The start of the character that a byte belongs to.
fn floor(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_not_bytes_and_stays_on_its_line() {
        let source = Source::new("a.yaml", "\u{feff}é: x\r\nüb: yes\r\n");
        let at = source.text.find("yes").unwrap();
        let place = source.place(at..at + 30);
        assert_eq!((place.line, place.column, &source.text[place.bytes]), (2, 5, "yes"));
        assert_eq!(source.byte_at(2, 5), at);
    }

    #[test]
    fn a_place_outside_the_text_is_its_end() {
        let source = Source::new("a.yaml", "é");
        assert_eq!(source.place(1..900).bytes, 0..2);
        assert_eq!(source.place(900..901).bytes, 2..2);
        assert_eq!(source.byte_at(900, 900), 2);
    }
}
