//! One view of a finished run → bytes, one file per format.
//!
//! ```text
//! evidence, measured, judged ─► build (story, rows, actions, chart) ─► View ─► value (cleaned) ─► json │ md │ html
//! ```
//! All formats render the same value, and no text reaches one uncleaned. Templates stand in `reports/templates` and write every tag
//! themselves, so that each value is escaped where it is put in (I15). Rejected: PDF (the page prints well), charts by a
//! library, scripts.
//!
//! How to add a format: a file here with `pub fn render(&Value) -> Result<String, RenderError>`, and its line below.

mod actions;
mod build;
pub mod chart;
mod rows;
mod story;
pub mod view;
pub mod words;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

pub use build::view;
pub use view::View;

/// Why a report could not be rendered: a mistake in a template.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be rendered as {format}: {why}")]
pub struct RenderError {
    pub format: Format,
    pub why: String,
}

/// Declares the formats: the module, the variant, its name and the name of its file.
macro_rules! formats {
    ($($module:ident :: $variant:ident as $name:literal in $file:literal,)+) => {
        $(mod $module;)+

        /// A format of the report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Format {
            $($variant,)+
        }

        impl Format {
            /// All of them, in the order of their lines.
            pub const ALL: &'static [Format] = &[$(Format::$variant,)+];

            /// As it stands on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Format::$variant => $name,)+
                }
            }

            /// Its file in the evidence folder.
            pub fn file(self) -> &'static str {
                match self {
                    $(Format::$variant => $file,)+
                }
            }

            fn rendered(self, value: &Value) -> Result<String, String> {
                match self {
                    $(Format::$variant => $module::render(value),)+
                }
            }
        }
    };
}

formats! {
    json::Json as "json" in "result.json",
    md::Md as "md" in "report.md",
    html::Html as "html" in "report.html",
}

impl Format {
    /// The report's bytes.
    ///
    /// # Errors
    /// Where a template is wrong.
    pub fn render(self, view: &View) -> Result<String, RenderError> {
        let because = |why: String| RenderError { format: self, why };
        let mut value = serde_json::to_value(view).map_err(|why| because(why.to_string()))?;
        words::clean_all(&mut value);
        self.rendered(&value).map_err(because)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
        let found = Format::ALL.iter().copied().find(|format| format.name() == text);
        found.ok_or_else(|| format!("`{text}` is no format: use one of {}", known()))
    }
}

#[cfg(test)]
pub mod example;
#[cfg(test)]
mod tests;
