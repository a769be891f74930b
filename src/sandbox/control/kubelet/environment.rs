//! A container's environment, as a kubelet resolves it when the container starts.
//!
//! What a ConfigMap says later reaches a running container never, and a restarted one at once; so whoever runs the process asks
//! here at each start. `$(NAME)` is expanded from what was defined before it. Left out: resource fields and the variables of
//! Services.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::read;

/// Why a container's environment cannot be made; in the words that its status shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{kind} \"{name}\" not found")]
    Missing { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {name}")]
    MissingKey { kind: &'static str, name: String, key: String },
}

/// Where ConfigMaps and Secrets of the pod's namespace are found, by kind (`ConfigMap`, `Secret`) and name.
pub type Find<'a> = dyn Fn(&'static str, &str) -> Option<&'a Value> + 'a;

/// The environment of a container of a pod.
///
/// # Errors
/// Where a ConfigMap, a Secret or a key that is not optional is missing.
pub fn environment(
    pod: &Value,
    container: &Value,
    find: &Find<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut made = BTreeMap::new();
    for source in read::list(container, "/envFrom") {
        let prefix = read::text(source, "/prefix");
        for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
            let Some(reference) = source.get(field) else { continue };
            let Some(object) = sought(reference, kind, find)? else { continue };
            for (key, value) in data(object, kind) {
                made.insert(format!("{prefix}{key}"), value);
            }
        }
    }
    for variable in read::list(container, "/env") {
        let value = match variable.get("valueFrom") {
            Some(source) => from_source(pod, source, find)?,
            None => Some(expand(read::text(variable, "/value"), &made)),
        };
        if let Some(value) = value {
            made.insert(read::name_field(variable).to_owned(), value);
        }
    }
    Ok(made)
}

/// The object that a reference names; `None` where it is missing and may be.
fn sought<'a>(
    reference: &Value,
    kind: &'static str,
    find: &Find<'a>,
) -> Result<Option<&'a Value>, ConfigError> {
    let name = read::name_field(reference);
    match find(kind, name) {
        Some(object) => Ok(Some(object)),
        None if read::flag(reference, "/optional") => Ok(None),
        None => Err(ConfigError::Missing { kind: lower(kind), name: name.to_owned() }),
    }
}

fn lower(kind: &'static str) -> &'static str {
    if kind == "Secret" { "secret" } else { "configmap" }
}

/// One value from a key of an object, or from a field of the pod.
fn from_source(pod: &Value, source: &Value, find: &Find<'_>) -> Result<Option<String>, ConfigError> {
    for (field, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
        let Some(reference) = source.get(field) else { continue };
        let Some(object) = sought(reference, kind, find)? else { return Ok(None) };
        let key = read::text(reference, "/key");
        return match data(object, kind).remove(key) {
            Some(value) => Ok(Some(value)),
            None if read::flag(reference, "/optional") => Ok(None),
            None => Err(ConfigError::MissingKey {
                kind,
                name: format!("{}/{}", read::namespace(pod), read::name(object)),
                key: key.to_owned(),
            }),
        };
    }
    Ok(source.get("fieldRef").map(|reference| field(pod, read::text(reference, "/fieldPath")).to_owned()))
}

/// A field of the pod by its path: `status.podIP`, `metadata.labels['app']`.
fn field<'a>(pod: &'a Value, path: &str) -> &'a str {
    let quoted = |head: &str| path.strip_prefix(head)?.strip_suffix("']");
    if let Some(key) = quoted("metadata.labels['") {
        return read::label(pod, key);
    }
    if let Some(key) = quoted("metadata.annotations['") {
        return read::annotation(pod, key);
    }
    read::text(pod, &format!("/{}", path.replace('.', "/")))
}

/// The keys and values of a ConfigMap or a Secret; values of Secrets are decoded.
fn data(object: &Value, kind: &str) -> BTreeMap<String, String> {
    let texts = |field: &str| {
        let map = object.get(field).and_then(Value::as_object).into_iter().flatten();
        map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
    };
    if kind == "Secret" {
        texts("data").map(|(key, value)| (key, decoded(&value))).collect()
    } else {
        texts("data").collect()
    }
}

/// Base64 text as text; what is no UTF-8 shows replacement characters.
fn decoded(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = vec![];
    let (mut bits, mut held) = (0_u32, 0_u32);
    for value in text.bytes().filter_map(|byte| ALPHABET.iter().position(|&letter| letter == byte)) {
        bits = (bits << 6) | u32::try_from(value).unwrap_or_default();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
            bits &= (1 << held) - 1;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text with `$(NAME)` replaced where NAME is known; `$$` is a dollar.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|tail| tail.split_once(')'));
        match name.and_then(|(name, tail)| Some((known.get(name)?, tail))) {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(container: Value) -> Result<BTreeMap<String, String>, ConfigError> {
        let map =
            json!({"metadata": {"name": "settings"}, "data": {"UPSTREAM": "http://pay/", "LEVEL": "info"}});
        let secret = json!({"metadata": {"name": "keys"}, "data": {"TOKEN": "aHVzaA=="}});
        let pod = json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"app.kubernetes.io/name": "web"}},
            "status": {"podIP": "10.1.1.2"}});
        let find = |kind: &str, name: &str| match (kind, name) {
            ("ConfigMap", "settings") => Some(&map),
            ("Secret", "keys") => Some(&secret),
            _ => None,
        };
        environment(&pod, &container, &find)
    }

    #[test]
    fn variables_come_from_maps_secrets_fields_and_each_other() {
        let made = resolve(json!({
            "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}, {"configMapRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app.kubernetes.io/name']"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no", "optional": true}}},
                {"name": "URL", "value": "$(S_UPSTREAM)$(IP) $(NOBODY) $$(IP)"},
            ],
        }))
        .unwrap();
        let expected = [
            ("APP", "web"),
            ("IP", "10.1.1.2"),
            ("S_LEVEL", "info"),
            ("S_UPSTREAM", "http://pay/"),
            ("TOKEN", "hush"),
            ("URL", "http://pay/10.1.1.2 $(NOBODY) $(IP)"),
        ];
        assert_eq!(made, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_missing_map_or_key_is_named_as_a_kubelet_names_it() {
        let missing = resolve(json!({"envFrom": [{"configMapRef": {"name": "none"}}]})).unwrap_err();
        assert_eq!(missing.to_string(), "configmap \"none\" not found");
        let key = json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no"}}}]});
        assert_eq!(resolve(key).unwrap_err().to_string(), "couldn't find key no in ConfigMap shop/settings");
    }
}
