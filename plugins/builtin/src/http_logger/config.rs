//! Configuration of `http-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sends an entry for each request to an HTTP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the server: `http://…` or `https://…`.
    pub(super) uri: String,
    /// Value of the header `Authorization`.
    pub(super) auth_header: Option<String>,
    /// Seconds within which the server has to answer.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// How entries of a batch are put together: `json` for an array, `new_line` for one on each line.
    #[serde(default)]
    pub(super) concat_method: ConcatMethod,
    /// Whether the server's certificate is verified.
    #[serde(default)]
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

/// How entries of a batch are put together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConcatMethod {
    /// One JSON array.
    #[default]
    Json,
    /// One document on each line.
    NewLine,
}
