//! Configuration of `client-control`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Sets how large a request body may be, in place of `limits.body_bytes` of the settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The most bytes that a body may have (413); 0 for any number. Without it, that of the settings holds.
    pub max_body_size: Option<u64>,
}
