//! What is asked can be asked: a probe of no URL would only say that everything is down.

use super::asked;
use crate::document::Diagnostic;
use crate::model::url::Url;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let wrong = asked(scenario).filter_map(|(path, url)| {
        let bad = url.parse::<Url>().err()?;
        Some(scenario.drill.text.error(&path, bad.to_string()))
    });
    wrong.collect()
}
