//! Consumer groups: plugins that several consumers share.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Plugins, number, schema};

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerGroup {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Name for people.
    pub name: Option<String>,
    /// What it is for.
    pub desc: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
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
    let own = [("name", schema::name()), ("plugins", schema::plugins())];
    schema::with(
        schema::object(
            own.into_iter()
                .chain(schema::stored())
                .chain(schema::annotations()),
        ),
        json!({"required": ["id", "plugins"]}),
    )
}
