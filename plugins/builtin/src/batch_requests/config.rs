//! The configuration of batch-requests.

use schemars::JsonSchema;
use serde::Deserialize;

/// Runs several requests that stand in the body of one. It has no attributes, and works wherever `public-api` opens
/// `/apisix/batch-requests`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The metadata document.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metadata {
    /// The largest body of a batch, in bytes.
    #[schemars(range(min = 1))]
    pub(crate) max_body_size: usize,
    /// How many requests a batch may have.
    #[schemars(range(min = 1))]
    pub(crate) max_pipeline_items: usize,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            max_body_size: 1024 * 1024,
            max_pipeline_items: 1000,
        }
    }
}
