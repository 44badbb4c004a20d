//! Configuration of `splunk-hec-logging`.

use crate::logger::FormatConfig;
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// Sends events to the HTTP Event Collector of Splunk.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The collector.
    pub(super) endpoint: Endpoint,
    /// Whether the collector's certificate is verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

/// The collector.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// Its address: `http://…` or `https://…`.
    pub(super) uri: String,
    /// The token of the input.
    pub(super) token: String,
    /// Channel, sent as `X-Splunk-Request-Channel`.
    pub(super) channel: Option<String>,
    /// Seconds within which the collector has to answer.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Milliseconds after which an idle connection is closed.
    #[serde(default = "keepalive_timeout")]
    #[schemars(range(min = 1000))]
    pub(super) keepalive_timeout: u64,
}

fn yes() -> bool {
    true
}

fn timeout() -> u64 {
    10
}

fn keepalive_timeout() -> u64 {
    60_000
}
