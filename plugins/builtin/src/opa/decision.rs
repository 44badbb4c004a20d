//! What a policy decided.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The answer of Open Policy Agent.
#[derive(Deserialize)]
struct Answer {
    result: Decision,
}

/// The decision. Only `allow` must be there.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    /// Whether the request may pass.
    pub(super) allow: bool,
    /// Body of the refusal: a text as it is, anything else as JSON.
    #[serde(default)]
    pub(super) reason: Option<Value>,
    /// Headers of the refusal, or those that the upstream may get.
    #[serde(default)]
    pub(super) headers: Option<Map<String, Value>>,
    /// Status of the refusal.
    #[serde(default)]
    pub(super) status_code: Option<u16>,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Decision, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match answer.result.status_code {
        Some(status) if !(200..=599).contains(&status) => Err(format!("status_code {status}")),
        _ => Ok(answer.result),
    }
}

/// The values of a header; `None` for what cannot be one.
pub(super) fn values(value: &Value) -> Option<Vec<http::HeaderValue>> {
    let one = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        http::HeaderValue::try_from(text).ok()
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Some(vec![one(value)?]),
    }
}
