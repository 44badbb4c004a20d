//! The configuration of limit-conn.

use crate::limit::{AmountConfig, Common, PerKey, Redis};
use schemars::JsonSchema;
use serde::Deserialize;

/// Limits how many requests are in progress at once; on a stream route, how many sessions.
///
/// A session that is rejected is closed: `rejected_code` and `rejected_msg` have no effect there.
///
/// Either `conn`, `burst` and `key`, or `rules`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests at once that pass without a delay: an integer, or a text with a variable.
    #[schemars(extend("minimum" = 1))]
    pub(crate) conn: Option<AmountConfig>,
    /// How many more pass after a delay; beyond them requests are rejected. An integer, or a text with a variable.
    #[schemars(extend("minimum" = 0))]
    pub(crate) burst: Option<AmountConfig>,
    /// Seconds that a request takes, as long as nothing better is known; a delay is a multiple of it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(crate) default_conn_delay: f64,
    /// Whether `default_conn_delay` stays what it is; else it follows the time that requests take.
    #[serde(default)]
    pub(crate) only_use_default_delay: bool,
    /// What requests are counted by; read as `key_type` says. The client's address stands in for a missing value.
    pub(crate) key: Option<String>,
    /// How `key` is read.
    #[serde(default)]
    pub(crate) key_type: PerKey,
    /// Several limits at once; a rule whose key the request has no value for does not apply.
    #[schemars(length(min = 1))]
    pub(crate) rules: Option<Vec<RuleConfig>>,
    /// With Redis: seconds after which a request is taken to be over when nobody said so, because a gateway died.
    #[serde(default = "key_ttl")]
    #[schemars(range(min = 1))]
    pub(crate) key_ttl: u64,
    /// With Redis: what the keys begin with.
    #[serde(default = "redis_prefix")]
    #[schemars(regex(pattern = "^[0-9a-zA-Z|_]+$"))]
    pub(crate) redis_prefix: String,
    /// The answer for those over the limit, and where counters live.
    #[serde(flatten)]
    pub(crate) common: Common,
    /// How Redis is reached.
    #[serde(flatten)]
    pub(crate) redis: Redis,
}

/// One of several limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleConfig {
    /// Requests at once that pass without a delay.
    #[schemars(extend("minimum" = 1))]
    pub(crate) conn: AmountConfig,
    /// How many more pass after a delay.
    #[schemars(extend("minimum" = 0))]
    pub(crate) burst: AmountConfig,
    /// What requests are counted by: a text with `$variables`.
    pub(crate) key: String,
}

fn key_ttl() -> u64 {
    3600
}

fn redis_prefix() -> String {
    "limit_conn".into()
}
