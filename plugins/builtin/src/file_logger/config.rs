//! Configuration of `file-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchMetadata;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Appends an entry for each request to a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file. Without it, that of the metadata.
    #[schemars(length(min = 1))]
    pub(super) path: Option<String>,
    /// Conditions of which one must hold, each a list as in `vars` of a route. Without it, every request is logged.
    #[serde(rename = "match")]
    #[schemars(length(max = 20))]
    pub(super) conditions: Option<Vec<Value>>,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) bodies: BodyConfig,
}

/// Metadata of `file-logger`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "a form for the schema; each part is read where it is used"
)]
pub(super) struct Metadata {
    /// The file of all places of use that have none of their own.
    #[schemars(length(min = 1))]
    path: Option<String>,
    /// `log_format` of all places of use that have none of their own.
    log_format: Option<Map<String, Value>>,
    /// `log_format_extra` of all places of use that have none of their own.
    log_format_extra: Option<Map<String, Value>>,
    #[serde(flatten)]
    batch: BatchMetadata,
}
