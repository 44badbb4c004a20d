//! Configuration of `tcp-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// Sends entries to a TCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name or address of the server.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Whether TLS is spoken. The server's certificate is not verified.
    #[serde(default)]
    pub(super) tls: bool,
    /// The name to ask for in TLS; by default `host`.
    pub(super) tls_options: Option<String>,
    /// Milliseconds in which a connection has to be there, and a batch to be written.
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
    1000
}
