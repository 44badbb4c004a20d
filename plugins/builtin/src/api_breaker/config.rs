//! Configuration of `api-breaker`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers in place of an upstream that fails, for a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Status of the answer.
    #[schemars(range(min = 200, max = 599))]
    pub break_response_code: u16,
    /// Body of the answer. Without it, the page of the status.
    pub break_response_body: Option<String>,
    /// Headers of the answer; only with `break_response_body`.
    pub break_response_headers: Option<Vec<Header>>,
    /// The longest that the breaker stays open, in seconds; with `unhealthy-ratio`, how long it does.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 3))]
    pub max_breaker_sec: u64,
    /// When it opens.
    #[serde(default)]
    pub policy: Policy,
    /// What counts as a failure, and how many are too many.
    #[serde(default)]
    pub unhealthy: Unhealthy,
    /// What counts as a success, and how many are enough.
    #[serde(default)]
    pub healthy: Healthy,
}

/// When the breaker opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// After so many failures of one host and path, for 2, 4, 8, … seconds.
    #[default]
    UnhealthyCount,
    /// When too large a part of the route's requests fails. After `max_breaker_sec` a few requests are let through to see.
    UnhealthyRatio,
}

/// A header of the answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Its value, with `$variables`.
    #[schemars(length(min = 1))]
    pub value: String,
}

/// What counts as a failure, and how many are too many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unhealthy {
    /// Statuses of the upstream that are failures.
    #[schemars(length(min = 1), inner(range(min = 500, max = 599)), extend("uniqueItems" = true))]
    pub http_statuses: Vec<u16>,
    /// `unhealthy-count`: after this many, and each time after as many again, the breaker opens.
    #[schemars(range(min = 1))]
    pub failures: u64,
    /// `unhealthy-ratio`: the part of the requests whose failure opens the breaker.
    #[schemars(range(min = 0, max = 1))]
    pub error_ratio: f64,
    /// `unhealthy-ratio`: with fewer requests than this in the window, it stays closed.
    #[schemars(range(min = 1))]
    pub min_request_threshold: u64,
    /// `unhealthy-ratio`: the window in which requests count, in seconds.
    #[schemars(range(min = 10, max = 3600))]
    pub sliding_window_size: u64,
    /// `unhealthy-ratio`: how many requests are let through to see.
    #[schemars(range(min = 1, max = 20))]
    pub half_open_max_calls: u64,
}

impl Default for Unhealthy {
    fn default() -> Self {
        Self {
            http_statuses: vec![500],
            failures: 3,
            error_ratio: 0.5,
            min_request_threshold: 10,
            sliding_window_size: 300,
            half_open_max_calls: 3,
        }
    }
}

/// What counts as a success, and how many are enough.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Healthy {
    /// Statuses of the upstream that are successes.
    #[schemars(length(min = 1), inner(range(min = 200, max = 499)), extend("uniqueItems" = true))]
    pub http_statuses: Vec<u16>,
    /// `unhealthy-count`: after this many without a failure between them, all failures are forgotten.
    #[schemars(range(min = 1))]
    pub successes: u64,
    /// `unhealthy-ratio`: the part of the requests let through whose success closes the breaker.
    #[schemars(range(min = 0, max = 1))]
    pub success_ratio: f64,
}

impl Default for Healthy {
    fn default() -> Self {
        Self {
            http_statuses: vec![200],
            successes: 3,
            success_ratio: 0.6,
        }
    }
}

fn five_minutes() -> u64 {
    300
}
