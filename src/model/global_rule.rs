//! Global rules: plugins that run for every request.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Plugins, number, schema};

/// A global rule. That no two of them have the same plugin is for the writer to judge.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalRule {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// Plugin configurations by plugin name.
    #[serde(default)]
    pub plugins: Plugins,
}

pub(super) fn schema() -> Value {
    schema::with(
        schema::object(
            [("plugins", schema::plugins())]
                .into_iter()
                .chain(schema::stored()),
        ),
        json!({"required": ["id", "plugins"]}),
    )
}
