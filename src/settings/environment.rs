//! Environment variables over settings: `CROSSWAY_` and the key's path in upper case, joined by `_`.

use super::{
    error::SettingsError,
    keys::{Key, leaves},
    yaml,
};
use serde_json::{Map, Value};
use std::ffi::OsString;

/// What the names of all variables begin with.
const PREFIX: &str = "CROSSWAY_";
/// The settings file; read by the command line.
const CONFIG: &str = "CROSSWAY_CONFIG";

/// The variables of this process that concern the settings. `std::env::vars` would panic at a value that is not UTF-8,
/// whoever it belongs to.
pub fn process() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        let name = name
            .into_string()
            .ok()
            .filter(|name| name.starts_with(PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text)
}

/// Lays variables over a document that fits the tree. Returns which key came from which variable.
pub(super) fn overlay(
    document: &mut Map<String, Value>,
    keys: &[Key],
    env: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, String)>, SettingsError> {
    let leaves = leaves(keys);
    let mut origins = Vec::new();
    for (name, text) in env {
        if !name.starts_with(PREFIX) || is_foreign(&name, &text) {
            continue;
        }
        let Some(key) = leaves.iter().find(|key| key.variable() == name) else {
            return Err(SettingsError::UnknownVariable {
                nearest: nearest(&leaves, &name),
                name,
            });
        };
        // Compose files and charts pass empty variables for what was left unset.
        if text.is_empty() {
            continue;
        }
        put(document, &key.path, value(&name, text, &key.types())?);
        origins.push((key.path.clone(), name));
    }
    Ok(origins)
}

/// A text where a text is taken, so that a key of digits stays a text; else YAML, flow style included.
fn value(name: &str, text: String, types: &[&str]) -> Result<Value, SettingsError> {
    let as_text = types.contains(&"string");
    if types == ["string"] {
        return Ok(Value::String(text));
    }
    match yaml::parse(&text) {
        Ok(value) if !as_text || types.contains(&type_name(&value)) => Ok(value),
        _ if as_text => Ok(Value::String(text)),
        Ok(value) => Ok(value),
        Err(message) => Err(SettingsError::Syntax {
            origin: name.to_owned(),
            message,
        }),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn put(document: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(document.insert(path.to_owned(), value)),
        Some((section, below)) => {
            let section = document
                .entry(section)
                .or_insert_with(|| Value::Object(Map::new()));
            // Always a mapping: the document fits the tree.
            if let Value::Object(section) = section {
                put(section, below, value);
            }
        }
    }
}

/// Whether a variable with our prefix is not a setting: the settings file's own, and those that Kubernetes sets in every pod
/// when a service's name begins with `crossway`.
fn is_foreign(name: &str, text: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    let of_port = ["_ADDR", "_PORT", "_PROTO"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    name == CONFIG
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && address)
        || names_a_port(name)
        || of_port.is_some_and(names_a_port)
}

/// Whether a name ends like `_PORT_9080_TCP`.
fn names_a_port(name: &str) -> bool {
    let mut parts = name.rsplit('_');
    matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
        && parts
            .next()
            .is_some_and(|number| number.parse::<u16>().is_ok())
        && parts.next() == Some("PORT")
}

fn nearest(leaves: &[&Key], name: &str) -> String {
    let variables = leaves.iter().map(|key| key.variable());
    variables
        .min_by_key(|variable| strsim::damerau_levenshtein(variable, name))
        .unwrap_or_default()
}
