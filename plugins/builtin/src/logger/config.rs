//! Attributes that loggers have in common.

use crossway_sdk::batch::BatchMetadata;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What an entry holds. Flattened into the configuration of a logger.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct FormatConfig {
    /// Fields of an entry in place of the default ones: texts with variables such as `$remote_addr`, constants, and
    /// objects of both, five levels deep at most. What a request has no value for is left out. `route_id` and
    /// `service_id` are added.
    pub(crate) log_format: Option<Map<String, Value>>,
    /// Fields beside the default ones, and in place of those of the same name. Heeded only without `log_format`.
    pub(crate) log_format_extra: Option<Map<String, Value>>,
}

/// Which bodies an entry holds. Flattened into the configuration of a logger.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct BodyConfig {
    /// Whether the default entry holds the request body.
    #[serde(default)]
    pub(crate) include_req_body: bool,
    /// The request body is in the entry only where this expression holds.
    #[schemars(length(min = 1))]
    pub(crate) include_req_body_expr: Option<Vec<Value>>,
    /// Whether the default entry holds the response body.
    #[serde(default)]
    pub(crate) include_resp_body: bool,
    /// The response body is in the entry only where this expression holds.
    #[schemars(length(min = 1))]
    pub(crate) include_resp_body_expr: Option<Vec<Value>>,
    /// Bytes of the request body at most; the rest is cut off.
    #[serde(default = "max_body_bytes")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_bytes: usize,
    /// Bytes of the response body at most; the rest is cut off.
    #[serde(default = "max_body_bytes")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_bytes: usize,
}

impl Default for BodyConfig {
    fn default() -> Self {
        Self {
            include_req_body: false,
            include_req_body_expr: None,
            include_resp_body: false,
            include_resp_body_expr: None,
            max_req_body_bytes: max_body_bytes(),
            max_resp_body_bytes: max_body_bytes(),
        }
    }
}

fn max_body_bytes() -> usize {
    524_288
}

/// Metadata of a logger.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// `log_format` of all places of use that have none of their own.
    pub(crate) log_format: Option<Map<String, Value>>,
    /// `log_format_extra` of all places of use that have none of their own.
    pub(crate) log_format_extra: Option<Map<String, Value>>,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the queue reads it")]
    pub(crate) batch: BatchMetadata,
}

/// The schema of a metadata document.
pub(crate) fn metadata_schema<T: JsonSchema>() -> Option<Value> {
    let settings = schemars::generate::SchemaSettings::draft07();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    Some(schema.to_value())
}
