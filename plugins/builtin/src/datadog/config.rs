//! Configuration of `datadog` and its metadata.

use crossway_sdk::batch::{BatchConfig, BatchMetadata};
use schemars::JsonSchema;
use serde::Deserialize;

/// Reports requests to DogStatsD.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether the tags of route and service carry names where there are any, in place of ids.
    #[serde(default = "yes")]
    pub(super) prefer_name: bool,
    /// Whether there is a tag `path` with the pattern that the request's path matched.
    #[serde(default)]
    pub(super) include_path: bool,
    /// Whether there is a tag `method`.
    #[serde(default)]
    pub(super) include_method: bool,
    /// Tags of every metric, beside those of the metadata.
    #[serde(default)]
    pub(super) constant_tags: Vec<String>,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

/// Metadata of `datadog`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    /// Name or address of the server.
    #[serde(default = "host")]
    pub(super) host: String,
    /// Its port.
    #[serde(default = "port")]
    pub(super) port: u16,
    /// What names of metrics begin with.
    #[serde(default = "namespace")]
    pub(super) namespace: String,
    /// Tags of every metric.
    #[serde(default = "constant_tags")]
    pub(super) constant_tags: Vec<String>,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the queue reads it")]
    pub(super) batch: BatchMetadata,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            host: host(),
            port: port(),
            namespace: namespace(),
            constant_tags: constant_tags(),
            batch: BatchMetadata::default(),
        }
    }
}

fn yes() -> bool {
    true
}

fn host() -> String {
    "127.0.0.1".to_owned()
}

fn port() -> u16 {
    8125
}

fn namespace() -> String {
    "apisix".to_owned()
}

fn constant_tags() -> Vec<String> {
    vec!["source:apisix".to_owned()]
}
