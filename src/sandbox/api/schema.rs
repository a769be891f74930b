//! The structural schema of a custom resource: what it does not know is pruned, what it defaults is filled in, what is against it
//! is refused.
//!
//! Pruned and defaulted as `x-kubernetes-preserve-unknown-fields`, `additionalProperties` and `default` say; checked are types, required
//! fields, enums, bounds, patterns and the keys of lists. Left out: CEL rules, formats, and the logical operators (`oneOf`, `not`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::named;
use super::shape::{List, Shape};

/// What is the server's own in every object, whatever the schema says.
const OWN: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops the fields of an object that its schema does not know, and names them.
pub(super) fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_below(schema, object, "", &mut unknown);
    unknown
}

fn prune_below(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true;
    match value {
        Value::Object(fields) => fields.retain(|field, value| {
            if path.is_empty() && OWN.contains(&field.as_str()) {
                return true;
            }
            let here = join(path, field);
            let known = schema["properties"].get(field).or_else(|| schema.get("additionalProperties"));
            match known {
                Some(known) => prune_below(known, value, &here, unknown),
                None if !keeps => unknown.push(here),
                None => {}
            }
            known.is_some() || keeps
        }),
        Value::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                prune_below(&schema["items"], element, &format!("{path}[{index}]"), unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Fills in what the schema has a default for; a `null` that may not be one is as good as missing.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (field, known) in schema["properties"].as_object().into_iter().flatten() {
                if fields.get(field).is_some_and(Value::is_null) && known["nullable"] != true {
                    fields.remove(field);
                }
                if let Some(default) = known.get("default") {
                    fields.entry(field).or_insert_with(|| default.clone());
                }
                if let Some(value) = fields.get_mut(field) {
                    fill(known, value);
                }
            }
            if let Some(known) = schema.get("additionalProperties").filter(|known| known.is_object()) {
                fields.values_mut().for_each(|value| fill(known, value));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| fill(&schema["items"], element)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is wrong with a value, a line each: `spec.size: Invalid value: ...`.
pub(super) fn wrong(shape: Shape, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(shape, value, "", &mut found);
    found
}

fn check(shape: Shape, value: &Value, path: &str, found: &mut Vec<String>) {
    let Shape::Declared { schema: Some(schema), .. } = shape else { return };
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(wanted) = schema["type"].as_str().filter(|wanted| !is_of(value, wanted, schema)) {
        let is = type_of(value);
        found
            .push(format!("{path}: Wrong type: \"{is}\": {path} in body must be of type {wanted}: \"{is}\""));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        found.push(format!("{path}: Unsupported value: {value}: supported values: {}", allowed.join(", ")));
    }
    match value {
        Value::Object(fields) => {
            for missing in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(missing) {
                    found.push(format!("{}: Required value", join(path, missing)));
                }
            }
            for (field, value) in fields {
                check(shape.field(field), value, &join(path, field), found);
            }
        }
        Value::Array(elements) => check_list(shape, schema, elements, path, found),
        Value::String(text) => check_text(schema, text, path, found),
        Value::Number(number) => {
            let is = number.as_f64().unwrap_or_default();
            let bound = |name: &str| schema[name].as_f64();
            let invalid = |what: &str, limit: f64| {
                format!(
                    "{path}: Invalid value: {number}: {path} in body should be {what} than or equal to {limit}"
                )
            };
            found.extend(bound("minimum").filter(|least| is < *least).map(|least| invalid("greater", least)));
            found.extend(bound("maximum").filter(|most| is > *most).map(|most| invalid("less", most)));
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_list(shape: Shape, schema: &Value, elements: &[Value], path: &str, found: &mut Vec<String>) {
    let count = elements.len() as u64;
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| count > *most) {
        found.push(format!("{path}: Too many: {count}: must have at most {most} items"));
    }
    if let Some(least) = schema["minItems"].as_u64().filter(|least| count < *least) {
        found.push(format!(
            "{path}: Invalid value: {count}: {path} in body should have at least {least} items"
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, element) in elements.iter().enumerate() {
        let here = format!("{path}[{index}]");
        let name = named(shape.list(), element);
        if shape.list() != List::Atomic && !seen.insert(name.clone()) {
            found.push(format!("{here}: Duplicate value: {}", &name[2..]));
        }
        check(shape.element(), element, &here, found);
    }
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let count = text.chars().count() as u64;
    let mut invalid =
        |why: String| found.push(format!("{path}: Invalid value: {text:?}: {path} in body should {why}"));
    if let Some(least) = schema["minLength"].as_u64().filter(|least| count < *least) {
        invalid(format!("be at least {least} chars long"));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| count > *most) {
        invalid(format!("be at most {most} chars long"));
    }
    // A pattern that this engine does not read is nobody's fault here.
    if let Some(pattern) = schema["pattern"].as_str()
        && regex::Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        invalid(format!("match '{pattern}'"));
    }
}

fn is_of(value: &Value, wanted: &str, schema: &Value) -> bool {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string() || (int_or_string && value.is_i64()),
        "integer" => value.is_i64() || value.is_u64() || (int_or_string && value.is_string()),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
