//! Whether a document would be taken: its model, what it builds on, its plugins, and all that the compiler asks.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Admin, CAUGHT_UP, error::Failure, references::Grounds};
use crate::model::{IdShape, Kind, Problem, ResourceKey, check, unknown_plugin};

/// A document that may be stored.
pub(super) struct Judged {
    /// Its bytes.
    pub(super) content: Bytes,
    /// What must be there still.
    pub(super) grounds: Grounds,
}

impl Admin {
    /// Judges a document as it would be stored, with the code that will serve it.
    ///
    /// # Errors
    /// 400 with the first problem; 404 for a credential without its consumer.
    pub(super) async fn judge(
        self: &Arc<Self>,
        key: &ResourceKey,
        document: &Value,
    ) -> Result<Judged, Failure> {
        self.check_model(key, document)?;
        let mut grounds = self.grounds(key, document).await?;
        match key.kind {
            Kind::Credential => self.only_authenticates(document)?,
            Kind::GlobalRule => self.plugins_are_nowhere_else(key, document).await?,
            _ => {}
        }
        let content = Bytes::from(document.to_string());
        self.authority.wait_for(grounds.newest, CAUGHT_UP).await;
        self.trial(key, content.clone()).await?;
        self.plugin_grounds(key.kind, document, &mut grounds)
            .await?;
        Ok(Judged { content, grounds })
    }

    pub(super) fn check_model(&self, key: &ResourceKey, document: &Value) -> Result<(), Failure> {
        if key.kind == Kind::PluginMetadata
            && self.registry(|registry| registry.get(key.id.as_str()).is_none())
        {
            return Err(Failure::bad("invalid plugin name"));
        }
        // Which manager a secret is for, its full id says.
        if key.kind.id_shape() == IdShape::Secret
            && let Value::Object(fields) = document
        {
            let mut whole = fields.clone();
            whole.insert("id".to_owned(), key.id.as_str().into());
            return self.checked(key, &Value::Object(whole));
        }
        self.checked(key, document)
    }

    fn checked(&self, key: &ResourceKey, document: &Value) -> Result<(), Failure> {
        Ok(check(key.kind, document)
            .map_err(|problem| self.hushed(key.kind, key.id.as_str(), document, problem))?)
    }

    /// A problem that repeats no secret.
    pub(super) fn hushed(
        &self,
        kind: Kind,
        id: &str,
        document: &Value,
        problem: Problem,
    ) -> Problem {
        let sealer = self.sealer();
        let Problem { path, message } = problem;
        let message = sealer.hushed((kind, id), document, &path, message);
        Problem { path, message }
    }

    /// A credential says how a consumer is recognised and nothing else.
    pub(super) fn only_authenticates(&self, document: &Value) -> Result<(), Failure> {
        for name in plugins_of(document) {
            let is_auth =
                self.registry(|registry| registry.get(name).map(|plugin| plugin.is_auth()));
            match is_auth {
                Some(true) => {}
                Some(false) => {
                    return Err(Failure::bad(
                        "only supports auth type plugins in consumer credential",
                    ));
                }
                None => return Err(Failure::bad(unknown_plugin(name))),
            }
        }
        Ok(())
    }

    /// A plugin that stands in two global rules would run in none.
    async fn plugins_are_nowhere_else(
        &self,
        key: &ResourceKey,
        document: &Value,
    ) -> Result<(), Failure> {
        let own: BTreeSet<&str> = plugins_of(document).collect();
        let prefix = format!("{}/", key.kind.collection());
        for entry in self.authority.store().list(&prefix).await?.entries {
            let id = entry.key.as_str().strip_prefix(&prefix).unwrap_or_default();
            if id == key.id.as_str() {
                continue;
            }
            let rule: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
            if let Some(name) = plugins_of(&rule).find(|name| own.contains(name)) {
                return Err(Failure::bad(format!(
                    "plugin '{name}' already exists in global rule with id '{id}'"
                )));
            }
        }
        Ok(())
    }

    /// Compiles the document against the configuration that serves. That is work for a thread that may be kept busy.
    async fn trial(self: &Arc<Self>, key: &ResourceKey, content: Bytes) -> Result<(), Failure> {
        let (authority, key) = (Arc::clone(&self.authority), key.clone());
        let tried = tokio::task::spawn_blocking(move || authority.trial(&key, content)).await;
        Ok(tried.map_err(|_| Failure::broken())??)
    }
}

pub(super) fn plugins_of(document: &Value) -> impl Iterator<Item = &str> {
    let plugins = document.get("plugins").and_then(Value::as_object);
    plugins.into_iter().flat_map(Map::keys).map(String::as_str)
}

/// A document has to be an object.
///
/// # Errors
/// 400 that names the type that came.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, Failure> {
    let came = match value {
        Value::Object(fields) => return Ok(fields),
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    Err(Failure::new(
        StatusCode::BAD_REQUEST,
        format!("invalid configuration: wrong type: expected object, got {came}"),
    ))
}
