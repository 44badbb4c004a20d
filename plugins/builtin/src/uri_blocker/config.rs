//! Configuration of `uri-blocker`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Refuses requests by their path and query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Regular expressions. A request is refused when one of them is found in its normalised path with the query behind it,
    /// the query as it was sent or decoded.
    #[schemars(inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    pub block_rules: Vec<String>,
    /// Whether upper and lower case are the same.
    #[serde(default)]
    pub case_insensitive: bool,
    /// Status of a refusal.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 999))]
    pub rejected_code: u16,
    /// Message of a refusal: `{"error_msg":"…"}`. Without it, the page of the status.
    #[schemars(length(min = 1))]
    pub rejected_msg: Option<String>,
}

fn forbidden() -> u16 {
    403
}
