//! `result.json`: the view without its pictures, for programs.

use serde_json::Value;

/// Fields that are only drawn.
const PICTURES: [&str; 4] = ["bar", "gauge", "strip", "ticks"];

/// The view as JSON, ending in a line end.
pub fn render(value: &Value) -> Result<String, String> {
    let mut result = value.clone();
    strip(&mut result);
    serde_json::to_string_pretty(&result).map(|text| text + "\n").map_err(|why| why.to_string())
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PICTURES.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
