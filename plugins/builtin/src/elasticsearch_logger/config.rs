//! Configuration of `elasticsearch-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Sends entries to Elasticsearch.
///
/// Either `endpoint_addrs` or `endpoint_addr`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses of the servers, of which any will do: `http://…` or `https://…`, without a `/` at the end.
    #[schemars(length(min = 1), inner(regex(pattern = r"[^/]$")))]
    pub(super) endpoint_addrs: Option<Vec<String>>,
    /// The one address; an older spelling.
    #[schemars(regex(pattern = r"[^/]$"))]
    pub(super) endpoint_addr: Option<String>,
    /// Where entries go.
    pub(super) field: Field,
    /// User and password.
    pub(super) auth: Option<Auth>,
    /// Further headers.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
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

/// Where entries go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    /// The index.
    pub(super) index: String,
    /// The type of documents; not known to Elasticsearch from version 9 on, and left out there.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// User and password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    /// The user.
    #[schemars(length(min = 1))]
    pub(super) username: String,
    /// The password.
    #[schemars(length(min = 1))]
    pub(super) password: String,
}

fn timeout() -> u64 {
    10
}

fn yes() -> bool {
    true
}
