//! Configuration of `clickhouse-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// Inserts entries into a table of ClickHouse.
///
/// Either `endpoint_addrs` or `endpoint_addr`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses of the servers, of which any will do: `http://…` or `https://…`.
    #[schemars(length(min = 1))]
    pub(super) endpoint_addrs: Option<Vec<String>>,
    /// The one address; an older spelling.
    pub(super) endpoint_addr: Option<String>,
    /// The user.
    pub(super) user: String,
    /// The password.
    pub(super) password: String,
    /// The database.
    pub(super) database: String,
    /// The table; it stands in the statement as it is written here.
    pub(super) logtable: String,
    /// Seconds within which the server has to answer.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Whether the server's certificate is verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
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

fn yes() -> bool {
    true
}
