//! Configuration of `mocking`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Answers in place of the upstream. At least one of `response_example` and `response_schema` must be there; the example
/// wins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seconds before the answer.
    #[serde(default)]
    pub delay: u32,
    /// Status of the answer.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub response_status: u16,
    /// `application/json`, `application/xml`, `text/xml`, `text/html` or `text/plain`, with or without parameters.
    #[serde(default = "json")]
    pub content_type: String,
    /// The body. `$variable` stands for what the request has, escaped as the content type asks for.
    pub response_example: Option<String>,
    /// JSON Schema of the body, which is filled with its `example`s and with random values.
    pub response_schema: Option<Map<String, Value>>,
    /// Whether the answer says in `x-mock-by` that it is made up.
    #[serde(default = "yes")]
    pub with_mock_header: bool,
    /// Further headers of the answer. `$variable` stands for what the request has.
    #[schemars(extend("minProperties" = 1))]
    pub response_headers: Option<BTreeMap<String, Scalar>>,
}

/// A text or a number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(serde_json::Number),
}

impl Scalar {
    /// As it stands in a header.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json;charset=utf8".to_owned()
}

fn yes() -> bool {
    true
}
