//! Configuration of `attach-consumer-label`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Tells the upstream labels of the consumer in headers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For each header, `$` and the name of a label.
    #[schemars(extend("minProperties" = 1, "additionalProperties" = {"type": "string", "pattern": "^\\$.*"}))]
    pub headers: BTreeMap<String, String>,
}
