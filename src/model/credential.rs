//! Credentials: further ways in which one consumer is recognised.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Plugins, number, schema};

/// A credential of a consumer; which consumer, its key says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its id, as the document says it: `a`, or `jack/credentials/a` in declarative files.
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
    /// At most one authentication plugin's configuration. That it authenticates, the plugin registry
    /// must judge.
    #[serde(default)]
    pub plugins: Plugins,
}

pub(super) fn schema() -> Value {
    let own = [
        ("name", schema::name()),
        (
            "plugins",
            schema::with(
                schema::plugins(),
                json!({
                    "maxProperties": 1,
                    "description": "Configuration of one authentication plugin."
                }),
            ),
        ),
    ];
    let stored = schema::stored()
        .into_iter()
        .map(|(name, schema)| match name {
            "id" => (name, id()),
            _ => (name, schema),
        });
    schema::object(own.into_iter().chain(stored).chain(schema::annotations()))
}

/// Plain, or with its consumer as in declarative files.
fn id() -> Value {
    let mut id = schema::id();
    if let Some(forms) = id.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(json!({
            "type": "string",
            "pattern": "^[a-zA-Z0-9_-]{1,256}/credentials/[a-zA-Z0-9_.-]{1,64}$"
        }));
    }
    schema::described(id, "Identifier; the one in the path must agree with it.")
}
