//! Services: what several routes share.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Plugins, Problem, Upstream, number, schema, upstream};

/// A service. Nothing in it is required.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
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
    /// The inline upstream; `upstream_id` wins over it.
    pub upstream: Option<Upstream>,
    /// The upstream to use.
    pub upstream_id: Option<Id>,
    /// Hosts of its routes, for those that have none of their own.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether upgrades to WebSocket pass, unless the route says otherwise.
    pub enable_websocket: Option<bool>,
}

pub(super) fn schema() -> Value {
    let own = [
        ("name", schema::name()),
        ("plugins", schema::plugins()),
        ("upstream", upstream::schema()),
        ("upstream_id", schema::id_of("upstream")),
        (
            "hosts",
            schema::described(
                schema::set(schema::host(), 1),
                "Hosts of routes that have none.",
            ),
        ),
        (
            "enable_websocket",
            json!({"type": "boolean", "description": "Whether upgrades to WebSocket pass."}),
        ),
        ("script", schema::refused("A handler in Lua.")),
    ];
    schema::object(
        own.into_iter()
            .chain(schema::stored())
            .chain(schema::annotations()),
    )
}

pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    upstream::inline_rules(document, problems);
}
