//! Configuration of `request-validation`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Lets requests pass whose headers and body are valid by a JSON Schema. At least one of `header_schema` and `body_schema` must
/// be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// JSON Schema of the headers: an object with a text for each, or a list of texts when a header stands there several
    /// times.
    pub header_schema: Option<Map<String, Value>>,
    /// JSON Schema of the body, which is JSON, or a form (`application/x-www-form-urlencoded`): an object with a text for
    /// each field, a list for one that stands there several times, `true` for one without `=`.
    pub body_schema: Option<Map<String, Value>>,
    /// Status of a refusal.
    #[serde(default = "bad_request")]
    #[schemars(range(min = 200, max = 599))]
    pub rejected_code: u16,
    /// Body of a refusal, in place of what is wrong.
    #[schemars(length(min = 1, max = 256))]
    pub rejected_msg: Option<String>,
    /// The most bytes that the body may have (413).
    #[serde(default = "most")]
    #[schemars(range(min = 1))]
    pub max_req_body_size: u64,
}

fn bad_request() -> u16 {
    400
}

fn most() -> u64 {
    64 * 1024 * 1024
}
