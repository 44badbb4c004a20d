//! The configuration of limit-count.

use crate::limit::{AmountConfig, Common, KeyType, Redis};
use crossway_sdk::build::{BuildCx, BuildError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Lets a number of requests pass in each window of time.
///
/// Either `count` and `time_window`, or `rules`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests that pass in a window: an integer, or a text with a variable such as `$http_x_quota`.
    #[schemars(extend("minimum" = 1))]
    pub(crate) count: Option<AmountConfig>,
    /// Length of a window in seconds: an integer, or a text with a variable.
    #[schemars(extend("minimum" = 1))]
    pub(crate) time_window: Option<AmountConfig>,
    /// `fixed`: a window begins with the first request of a key. `sliding`: windows follow the clock, and the window
    /// before counts in proportion to its part of the last `time_window` seconds.
    #[serde(default)]
    pub(crate) window_type: WindowType,
    /// Several limits at once. The first one that is used up rejects the request; a rule whose key the request has no
    /// value for does not apply.
    #[schemars(length(min = 1))]
    pub(crate) rules: Option<Vec<RuleConfig>>,
    /// What requests are counted by; read as `key_type` says. The client's address stands in for a missing value.
    #[serde(default = "remote_addr")]
    pub(crate) key: String,
    /// How `key` is read.
    #[serde(default)]
    pub(crate) key_type: KeyType,
    /// Whether responses tell the quota in `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset`.
    #[serde(default = "yes")]
    pub(crate) show_limit_quota_header: bool,
    /// All places with the same group share their counters, and must have the same configuration. Not with `rules`.
    #[schemars(length(min = 1))]
    pub(crate) group: Option<String>,
    /// With Redis: seconds between synchronisations, at least 0.1 and less than `time_window`. Requests are then counted
    /// in this process and Redis is told afterwards, so that several gateways together may let more pass. -1: each
    /// request asks Redis.
    #[serde(default = "every_request")]
    pub(crate) sync_interval: f64,
    /// The answer for those over the limit, and where counters live.
    #[serde(flatten)]
    pub(crate) common: Common,
    /// How Redis is reached.
    #[serde(flatten)]
    pub(crate) redis: Redis,
}

impl Config {
    /// How often Redis is told; `None` when each request asks it.
    pub(crate) fn interval(&self, cx: &BuildCx<'_>) -> Result<Option<Duration>, BuildError> {
        let seconds = self.sync_interval;
        if seconds == -1.0 {
            return Ok(None);
        }
        if seconds.is_nan() || seconds < 0.1 {
            return Err(cx.error("/sync_interval", "expected -1, or at least 0.1"));
        }
        let rules = self.rules.iter().flatten();
        let windows = rules.map(|r| &r.time_window).chain(&self.time_window);
        let shortest = windows.filter_map(|window| match window {
            AmountConfig::Number(window) => Some(*window),
            AmountConfig::Text(_) => None,
        });
        if shortest
            .min()
            .is_some_and(|window| seconds >= window as f64)
        {
            return Err(cx.error(
                "/sync_interval",
                "sync_interval must be less than time_window",
            ));
        }
        Ok(Duration::try_from_secs_f64(seconds).ok())
    }
}

/// One of several limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleConfig {
    /// Requests that pass in a window: an integer, or a text with a variable.
    #[schemars(extend("minimum" = 1))]
    pub(crate) count: AmountConfig,
    /// Length of a window in seconds: an integer, or a text with a variable.
    #[schemars(extend("minimum" = 1))]
    pub(crate) time_window: AmountConfig,
    /// What requests are counted by: a text with `$variables`.
    pub(crate) key: String,
    /// Stands in the names of the headers: `X-<prefix>-RateLimit-Limit`. Default: the number of the rule, from 1.
    pub(crate) header_prefix: Option<String>,
}

/// How time is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum WindowType {
    /// A window begins with the first request of a key.
    #[default]
    Fixed,
    /// The last `time_window` seconds count.
    Sliding,
}

/// The metadata document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metadata {
    /// Name of the header that tells the quota.
    pub(crate) limit_header: String,
    /// Name of the header that tells what is left of it.
    pub(crate) remaining_header: String,
    /// Name of the header that tells the seconds until there is more.
    pub(crate) reset_header: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            limit_header: "X-RateLimit-Limit".into(),
            remaining_header: "X-RateLimit-Remaining".into(),
            reset_header: "X-RateLimit-Reset".into(),
        }
    }
}

fn remote_addr() -> String {
    "remote_addr".into()
}

fn yes() -> bool {
    true
}

fn every_request() -> f64 {
    -1.0
}
