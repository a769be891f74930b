//! Quantities (`500m`, `1Gi`), wherever a built-in kind has them, as apimachinery's `resource.Quantity` decodes them.
//!
//! Where they stand, `messages.txt` says. A number is legal in a document and is kept as the text that a cluster makes of it (`2` as `"2"`, `0.5` as
//! `"500m"`). Left out: texts in their canonical form (`"0.5"` stays), and quantities with more digits than an answer has use for.

use serde_json::Value;

use super::{Field, KNOWN, Many, Type, full};
use crate::model::effect::Resource;
use crate::sandbox::control::room::quantity;

/// apimachinery's `ErrFormatWrong`.
const MALFORMED: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// apimachinery's `ErrSuffix`.
const NO_SUFFIX: &str = "unable to parse quantity's suffix";

/// The suffixes that mean something (apimachinery's `newSuffixer`), besides exponents of ten.
const SUFFIXES: [&str; 16] =
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Makes texts of the quantities of an object that are numbers.
///
/// # Errors
/// Where one is no quantity, in the words of apimachinery.
pub fn settle(resource: &Resource, object: &mut Value) -> Result<(), String> {
    within(&full(&resource.api_version(), &resource.kind), object)
}

/// What does not look like the message is left to whoever decodes it.
fn within(message: &str, object: &mut Value) -> Result<(), String> {
    let Some(fields) = KNOWN.get(message).filter(|_| object.is_object()) else { return Ok(()) };
    let package = message.rsplit_once('.').map_or("", |(package, _)| package);
    for field in fields.values() {
        if field.many == Many::Inline {
            one(field, package, object)?;
            continue;
        }
        match (object.get_mut(field.name), field.many) {
            (Some(Value::Array(elements)), Many::List) => {
                elements.iter_mut().try_for_each(|element| one(field, package, element))?;
            }
            (Some(Value::Object(values)), Many::Map) => {
                values.values_mut().try_for_each(|value| one(field, package, value))?;
            }
            (Some(value), Many::One | Many::Some) => one(field, package, value)?,
            _ => {}
        }
    }
    Ok(())
}

fn one(field: &Field, package: &str, value: &mut Value) -> Result<(), String> {
    match field.of {
        Type::Quantity => {
            match value {
                Value::Number(_) => *value = written(value).into(),
                Value::String(text) => checked(text.trim())?,
                // Nobody's quantity, or not of its type: told by whoever decodes it.
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
            }
            Ok(())
        }
        Type::Message(name) if name.contains('.') => within(name, value),
        Type::Message(name) => within(&format!("{package}.{name}"), value),
        _ => Ok(()),
    }
}

/// The canonical text of a number: the largest suffix that leaves it whole.
fn written(number: &Value) -> String {
    let Some(mut amount) = quantity(number) else { return number.to_string() };
    if amount == 0 {
        return "0".to_owned();
    }
    let mut suffixes = ["m", "", "k", "M", "G", "T", "P", "E"].into_iter();
    let mut suffix = suffixes.next().unwrap_or_default();
    while amount % 1_000 == 0 {
        let Some(larger) = suffixes.next() else { break };
        (amount, suffix) = (amount / 1_000, larger);
    }
    format!("{amount}{suffix}")
}

/// Whether a text is a quantity, as apimachinery's `ParseQuantity` reads it.
fn checked(text: &str) -> Result<(), String> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = unsigned.trim_start_matches(|c: char| c.is_ascii_digit());
    let suffix = whole
        .strip_prefix('.')
        .map_or(whole, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let power = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    if text.is_empty() || !digits(power.strip_prefix(['+', '-']).unwrap_or(power)) {
        return Err(MALFORMED.to_owned());
    }
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    if exponent || SUFFIXES.contains(&suffix) { Ok(()) } else { Err(NO_SUFFIX.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_a_quantity_as_apimachinery_has_it() {
        for good in ["2", "500m", "1.5Gi", ".5", "1.", "-1", "+1", "1e3", "1E-3", "1E", "12345n", "007"] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for bad in ["", "2 cores", "1 Gi", "1gb", "much", "1GB", "1,5"] {
            assert_eq!(checked(bad), Err(MALFORMED.to_owned()), "{bad}");
        }
        for bad in ["1K", "1e", "1kk", "1Mi3"] {
            assert_eq!(checked(bad), Err(NO_SUFFIX.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_number_becomes_the_text_that_a_cluster_makes_of_it() {
        for (number, text) in [
            (json!(2), "2"),
            (json!(0), "0"),
            (json!(0.5), "500m"),
            (json!(1_000), "1k"),
            (json!(1_500_000), "1500k"),
            (json!(128), "128"),
            (json!(-1), "-1"),
        ] {
            assert_eq!(written(&number), text, "{number}");
        }
    }

    #[test]
    fn quantities_are_found_wherever_a_kind_has_them() {
        let container = json!({"name": "a", "resources": {"limits": {"cpu": 2}}, "env": [{"name": "A",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}}]});
        let volume = json!({"name": "v", "emptyDir": {"sizeLimit": 1024}});
        let mut deployment = json!({"metadata": {"labels": {"limits": "no quantity"}},
            "spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}});
        settle(&Resource::deployments(), &mut deployment).unwrap();
        let spec = &deployment["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["resources"]["limits"]["cpu"], "2");
        assert_eq!(spec["containers"][0]["env"][0]["valueFrom"]["resourceFieldRef"]["divisor"], "1");
        assert_eq!(spec["volumes"][0]["emptyDir"]["sizeLimit"], "1024");
        let mut claim = json!({"spec": {"resources": {"requests": {"storage": "1 Gi"}}}});
        assert_eq!(settle(&Resource::claims(), &mut claim), Err(MALFORMED.to_owned()));
    }
}
