//! `report.html`: one file without outside assets or scripts, for people.

use handlebars::Handlebars;
use serde_json::Value;

/// The view as a page.
pub fn render(value: &Value) -> Result<String, String> {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates
        .register_partial("style", include_str!("../../reports/templates/style.css"))
        .map_err(|why| why.to_string())?;
    for (name, part) in PARTS {
        templates.register_partial(name, part).map_err(|why| why.to_string())?;
    }
    templates.render("page", value).map_err(|why| why.to_string())
}

/// The page and its parts.
const PARTS: [(&str, &str); 4] = [
    ("page", include_str!("../../reports/templates/report.html.hbs")),
    ("first", include_str!("../../reports/templates/first.html.hbs")),
    ("course", include_str!("../../reports/templates/course.html.hbs")),
    ("proof", include_str!("../../reports/templates/proof.html.hbs")),
];
