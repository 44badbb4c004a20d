//! Configuration of `loki-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Sends entries to Grafana Loki.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses of the servers, of which any will do: `http://…` or `https://…`, without a path.
    #[schemars(length(min = 1))]
    pub(super) endpoint_addrs: Vec<String>,
    /// Path of the push API.
    #[serde(default = "endpoint_uri")]
    #[schemars(length(min = 1))]
    pub(super) endpoint_uri: String,
    /// Tenant, sent as `X-Scope-OrgID`.
    #[serde(default = "tenant_id")]
    pub(super) tenant_id: String,
    /// Further headers.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Labels of the stream; values may have variables in them.
    #[serde(default = "log_labels")]
    pub(super) log_labels: BTreeMap<String, String>,
    /// Whether the server's certificate is verified.
    #[serde(default)]
    pub(super) ssl_verify: bool,
    /// Milliseconds within which the server has to answer.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1, max = 60000))]
    pub(super) timeout: u64,
    /// Whether connections are kept for later.
    #[serde(default = "yes")]
    pub(super) keepalive: bool,
    /// Milliseconds after which an idle connection is closed.
    #[serde(default = "keepalive_timeout")]
    #[schemars(range(min = 1000))]
    pub(super) keepalive_timeout: u64,
    /// Idle connections that are kept for each server.
    #[serde(default = "keepalive_pool")]
    #[schemars(range(min = 1))]
    pub(super) keepalive_pool: usize,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) bodies: BodyConfig,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

fn endpoint_uri() -> String {
    "/loki/api/v1/push".to_owned()
}

fn tenant_id() -> String {
    "fake".to_owned()
}

fn log_labels() -> BTreeMap<String, String> {
    [("job".to_owned(), "apisix".to_owned())].into()
}

fn yes() -> bool {
    true
}

fn timeout() -> u64 {
    3000
}

fn keepalive_timeout() -> u64 {
    60_000
}

fn keepalive_pool() -> usize {
    5
}
