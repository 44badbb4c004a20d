//! Configuration of `real-ip`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Takes the client's address from what a proxy before the gateway says. Everything after goes by it: `$remote_addr`,
/// restrictions and limits, and what the upstream is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The variable that has the address, with or without a port, e.g. `http_x_real_ip`. Of `http_x_forwarded_for` the last
    /// address counts.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Addresses and networks of proxies that are believed. Without it, everybody is.
    #[schemars(length(min = 1))]
    pub trusted_addresses: Option<Vec<String>>,
    /// Whether the last address of `http_x_forwarded_for` counts that is not itself one of `trusted_addresses`.
    #[serde(default)]
    pub recursive: bool,
}
