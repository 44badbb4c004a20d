//! Variables of the gateway's own environment.

use serde_json::Value;

/// The value of a variable, or of a field inside of it when it is JSON.
///
/// # Errors
/// There is none, or it is no text. The message names the variable and never its content.
pub fn variable(name: &str, within: &[String]) -> Result<String, String> {
    let content = std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => format!("the environment has no variable {name}"),
        std::env::VarError::NotUnicode(_) => format!("the variable {name} is not UTF-8"),
    })?;
    if within.is_empty() {
        return Ok(content);
    }
    let document: Value = serde_json::from_str(&content)
        .map_err(|_| format!("the variable {name} is not JSON, which its field asks for"))?;
    let inner = within
        .iter()
        .try_fold(&document, |value, part| value.get(part));
    let place = within.join("/");
    let inner = inner.ok_or_else(|| format!("the variable {name} has no field {place}"))?;
    text(inner).ok_or_else(|| format!("field {place} of the variable {name} is no text"))
}

/// A secret is a text; numbers and booleans are taken as they are written.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
