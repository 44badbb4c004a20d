//! What plugins there are, and what they can be told.

use axum::http::{Method, StatusCode};
use crossway_sdk::{
    definition::{Definition, Registry},
    plugin::Scopes,
};
use serde_json::{Map, Value, json};

use super::{Admin, answer::Answer, error::Failure, query::Query};

impl Admin {
    /// Asks the registry.
    pub(super) fn registry<T>(&self, ask: impl FnOnce(&Registry) -> T) -> T {
        ask(&self.authority.state().workshop().registry)
    }

    /// Names, those that run first first.
    pub(super) fn plugin_list(&self, query: &Query) -> Result<Answer, Failure> {
        let scopes = subsystem(query)?.1;
        let names = self.registry(|registry| {
            let mut found: Vec<_> = registry
                .iter()
                .filter(|plugin| plugin.scopes.intersects(scopes))
                .map(|plugin| (plugin.priority, plugin.name))
                .collect();
            found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
            found.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
        });
        Ok(Answer::json(StatusCode::OK, &json!(names)))
    }

    /// `/plugins?all=true`: everything about every plugin of a subsystem. `/plugins/{name}`: one schema.
    pub(super) fn plugin(&self, name: Option<&str>, query: &Query) -> Result<Answer, Failure> {
        let (subsystem, scopes) = subsystem(query)?;
        if query.get("all") == Some("true") {
            let all: Map<String, Value> = self.registry(|registry| {
                let of_it = registry
                    .iter()
                    .filter(|plugin| plugin.scopes.intersects(scopes));
                of_it
                    .map(|plugin| (plugin.name.to_owned(), described(plugin)))
                    .collect()
            });
            return Ok(Answer::json(StatusCode::OK, &Value::Object(all)));
        }
        let Some(name) = name else {
            return Err(Failure::bad("not found plugin name"));
        };
        self.registry(|registry| {
            let plugin = registry
                .get(name)
                .filter(|plugin| plugin.scopes.intersects(scopes))
                .ok_or_else(|| {
                    let message = format!("plugin not found in subsystem {subsystem}");
                    Failure::new(StatusCode::NOT_FOUND, message)
                })?;
            schema_answer(plugin, query)
        })
    }

    /// `/schema/plugins/{name}`.
    pub(super) fn plugin_schema(&self, name: &str, query: &Query) -> Result<Answer, Failure> {
        self.registry(|registry| {
            let plugin = registry.get(name);
            let plugin = plugin.ok_or_else(|| Failure::bad(format!("not found schema: {name}")))?;
            schema_answer(plugin, query)
        })
    }

    /// `/plugins/reload`: plugins are part of the program, so there is nothing to load, and that is done at once.
    pub(super) fn plugin_reload(&self, method: &Method) -> Result<Answer, Failure> {
        if *method == Method::PUT {
            return Ok(Answer::text(StatusCode::OK, "done"));
        }
        let message =
            format!("please use PUT method to reload the plugins, {method} method is not allowed.");
        Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message))
    }
}

fn subsystem(query: &Query) -> Result<(&str, Scopes), Failure> {
    match query.get("subsystem").unwrap_or("http") {
        "http" => Ok(("http", Scopes::HTTP)),
        "stream" => Ok(("stream", Scopes::STREAM)),
        other => Err(Failure::bad(format!("unsupported subsystem: {other}"))),
    }
}

fn schema_answer(plugin: &Definition, query: &Query) -> Result<Answer, Failure> {
    let schema = match query.get("schema_type") {
        Some("consumer") => plugin.credential_schema().cloned(),
        Some("metadata") => plugin.metadata_schema().cloned(),
        _ => Some(with_meta(plugin.schema().clone())),
    };
    let schema = schema.ok_or_else(|| Failure::bad("not found schema"))?;
    Ok(Answer::json(StatusCode::OK, &schema))
}

/// Everything about a plugin. Clients tell from which schemas are there where it can be used.
fn described(plugin: &Definition) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    put("priority", plugin.priority.into());
    put("version", json!(0.1));
    put("schema", with_meta(plugin.schema().clone()));
    if let Some(schema) = plugin.credential_schema() {
        put("consumer_schema", schema.clone());
    }
    if let Some(schema) = plugin.metadata_schema() {
        put("metadata_schema", schema.clone());
    }
    if plugin.is_auth() {
        put("type", "auth".into());
    }
    Value::Object(all)
}

/// A plugin's schema with `_meta`, which every plugin's configuration may have.
pub(super) fn with_meta(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        let properties = fields
            .entry("properties")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            properties.entry("_meta").or_insert_with(meta);
        }
    }
    schema
}

fn meta() -> Value {
    json!({
        "type": "object",
        "description": "What the gateway, not the plugin, makes of this use of it.",
        "properties": {
            "disable": {"type": "boolean", "description": "Whether it is switched off here."},
            "priority": {"type": "integer", "description": "Runs earlier than others with a lower one; instead of the plugin's own."},
            "filter": {"type": "array", "description": "Conditions on the request under which it runs, as in a route's vars."},
            "error_response": {
                "description": "Is sent instead of the plugin's own refusals.",
                "oneOf": [{"type": "string"}, {"type": "object"}]
            }
        }
    })
}
