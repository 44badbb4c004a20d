//! Consumers: who calls.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Plugins, id, number, schema};

/// A consumer. Its username is its id.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Its id, as the document says it.
    pub username: Id,
    /// The same once more, in declarative files.
    pub id: Option<Id>,
    /// What it is for.
    pub desc: Option<String>,
    /// Labels; `custom_id` is passed to the upstream.
    #[serde(default)]
    pub labels: Labels,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// The group to inherit plugins from.
    pub group_id: Option<Id>,
    /// Plugin configurations by plugin name. Those of authentication plugins say how it is recognised.
    #[serde(default)]
    pub plugins: Plugins,
}

pub(super) fn username() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": id::MAX_USERNAME,
        "pattern": r"^[a-zA-Z0-9_\-]+$",
        "description": "Name, which is the id."
    })
}

pub(super) fn schema() -> Value {
    let own = [
        ("username", username()),
        ("group_id", schema::id_of("consumer group")),
        ("plugins", schema::plugins()),
    ];
    let stored = schema::stored()
        .into_iter()
        .map(|(name, schema)| match name {
            "id" => (name, username()),
            _ => (name, schema),
        });
    schema::with(
        schema::object(own.into_iter().chain(stored).chain(schema::annotations())),
        json!({"required": ["username"]}),
    )
}
