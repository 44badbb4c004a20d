//! The configuration of public-api.

use schemars::JsonSchema;
use serde::Deserialize;

/// Answers with what a plugin has at a path of its own, such as `/apisix/batch-requests`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// That path. Without it the path of the request counts.
    pub(crate) uri: Option<String>,
}
