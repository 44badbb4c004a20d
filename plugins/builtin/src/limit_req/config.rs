//! The configuration of limit-req.

use crate::limit::{PerKey, Policy, Redis, rejected_code};
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
    /// Status of a rejection.
    #[serde(default = "rejected_code")]
    #[schemars(range(min = 200, max = 599))]
    pub(crate) rejected_code: u16,
    /// Text of a rejection, sent as `{"error_msg": …}`. Without it the gateway's error page is sent.
    #[schemars(length(min = 1))]
    pub(crate) rejected_msg: Option<String>,
    /// Whether requests pass when shared counters cannot be reached; without effect on `local`.
    #[serde(default)]
    #[expect(dead_code, reason = "read when counters can live in Redis")]
    pub(crate) allow_degradation: bool,
    /// Where counters live. Only `local` is available.
    #[serde(default)]
    pub(crate) policy: Policy,
    /// How Redis is reached.
    #[serde(flatten)]
    #[expect(dead_code, reason = "read when counters can live in Redis")]
    pub(crate) redis: Redis,
}
