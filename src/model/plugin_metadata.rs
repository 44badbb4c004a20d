//! Plugin metadata: the settings of a plugin that hold wherever it is used.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::schema;

/// The metadata of one plugin. What it may say, the plugin judges.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PluginMetadata {
    /// The name of the plugin, as the document says it.
    pub id: Option<super::Id>,
    /// Everything else.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"id": schema::described(schema::id(), "Name of the plugin.")},
        "description": "Settings of a plugin that hold wherever it is used."
    })
}
