//! Configuration of `ua-restriction`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Admits or refuses by the client's User-Agent. Exactly one of `allowlist` and `denylist` must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether a request without a User-Agent passes.
    #[serde(default)]
    pub bypass_missing: bool,
    /// Regular expressions; a User-Agent that none of them is found in is refused.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub allowlist: Option<Vec<String>>,
    /// Regular expressions; a User-Agent that one of them is found in is refused.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub denylist: Option<Vec<String>>,
    /// Message of a refusal.
    #[serde(default = "message")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
}

fn message() -> String {
    "Not allowed".to_owned()
}
