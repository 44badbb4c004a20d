//! The configuration of limit-req.

use crate::limit::{Common, PerKey, Redis};
use schemars::JsonSchema;
use serde::Deserialize;

/// Lets requests pass at a steady rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests per second that pass without a delay.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(crate) rate: f64,
    /// How many requests beyond the rate may wait for their turn; more are rejected.
    #[schemars(range(min = 0))]
    pub(crate) burst: f64,
    /// What requests are counted by; read as `key_type` says. The client's address stands in for a missing value.
    pub(crate) key: String,
    /// How `key` is read.
    #[serde(default)]
    pub(crate) key_type: PerKey,
    /// Whether requests within the burst pass at once.
    #[serde(default)]
    pub(crate) nodelay: bool,
    /// The answer for those over the limit, and where counters live.
    #[serde(flatten)]
    pub(crate) common: Common,
    /// How Redis is reached.
    #[serde(flatten)]
    pub(crate) redis: Redis,
}
