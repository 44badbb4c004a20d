//! Configuration of `udp-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// Sends entries to a UDP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name or address of the server.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Seconds in which the server's name has to be resolved, and a datagram to be sent.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) bodies: BodyConfig,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

fn timeout() -> u64 {
    3
}
