//! `report.md`: the same report for a pull request or a ticket.

use handlebars::Handlebars;
use serde_json::Value;

/// The view as Markdown.
pub fn render(value: &Value) -> Result<String, String> {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_escape_fn(escaped);
    templates
        .render_template(include_str!("../../reports/templates/report.md.hbs"), value)
        .map_err(|why| why.to_string())
}

/// A text that Markdown and the HTML within it take as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => safe.extend(['\\', letter]),
            letter => safe.push(letter),
        }
    }
    safe
}
