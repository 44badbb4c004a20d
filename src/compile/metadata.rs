//! Metadata of plugins: what it tells all places of use of a plugin, with the values of its references to secrets.

use super::{Refusal, State, plugins::UNFIT};
use crate::model::{self, Kind, ResourceKey};
use serde_json::Value;
use std::sync::Arc;

/// What a plugin is told by its metadata.
#[derive(Clone, PartialEq)]
pub(super) enum Told {
    Nothing,
    This(Arc<Value>),
    /// That depends on a secret that is not to be had.
    Lacking,
}

impl State {
    /// The metadata of a plugin. It is the same allocation for as long as the document stays as it is.
    pub fn plugin_metadata(&self, name: &str) -> Option<&Arc<Value>> {
        self.metadata.get(name)
    }

    pub(super) fn told(&self, plugin: &str) -> Told {
        match self.metadata.get(plugin) {
            Some(document) => Told::This(document.clone()),
            None if self.lacking.contains(plugin) => Told::Lacking,
            None => Told::Nothing,
        }
    }

    /// Whether the metadata of a plugin holds values of references to secrets.
    pub(super) fn metadata_refers(&self, plugin: &str) -> bool {
        let key = ResourceKey::new(Kind::PluginMetadata, plugin);
        key.is_ok_and(|key| self.secret_uses.contains_key(&key))
    }

    pub(super) fn compile_metadata(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let name: Arc<str> = key.id.to_shared();
        let Some((_, mut document)) = self.decode::<model::PluginMetadata>(key)? else {
            self.metadata.remove(&name);
            self.lacking.remove(&name);
            return Ok(());
        };
        let Some(definition) = self.workshop.registry.get(&name) else {
            return Err(Refusal::new(key, "", "invalid plugin name".to_owned()));
        };
        if let Some(object) = document.as_object_mut() {
            for own in ["id", "create_time", "update_time"] {
                object.remove(own);
            }
        }
        let resolved = self.resolve(&mut document);
        let judged = match resolved.missing {
            Some(_) => Ok(false),
            None => definition.check_metadata(&document).map(|()| true),
        };
        let is_whole = match judged {
            Ok(is_whole) => is_whole,
            Err(error) if resolved.managed => {
                tracing::error!(%key, path = error.path, "a fetched secret is not taken: {}", UNFIT);
                false
            }
            Err(error) => {
                let message = match resolved.used.is_empty() {
                    true => error.message,
                    // The message may say the value.
                    false => UNFIT.to_owned(),
                };
                let message = format!("invalid configuration: {message}");
                return Err(Refusal::new(key, &error.path, message));
            }
        };
        if !is_whole {
            // What the plugin should be told is not known: nothing gets past it.
            self.metadata.remove(&name);
            self.lacking.insert(name);
            return Ok(());
        }
        self.lacking.remove(&name);
        if self
            .metadata
            .get(&name)
            .is_none_or(|held| **held != document)
        {
            self.metadata.insert(name, Arc::new(document));
        }
        Ok(())
    }
}
