//! Which documents depend on which: what a change reaches, and what a delete would leave dangling.

use crate::model::{self, Kind, ResourceKey};
use imbl::{OrdMap, OrdSet};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// References between documents, both ways.
#[derive(Clone, Default)]
pub(super) struct Dependents {
    by: OrdMap<ResourceKey, OrdSet<ResourceKey>>,
    of: OrdMap<ResourceKey, Arc<[ResourceKey]>>,
}

impl Dependents {
    /// Puts down what a document refers to.
    pub(super) fn learn(&mut self, key: &ResourceKey, document: &Value) {
        let mut needs: Vec<ResourceKey> = model::references(key.kind, document)
            .into_iter()
            .map(|r| ResourceKey {
                kind: r.kind,
                id: r.id,
            })
            .collect();
        // A plugin's metadata belongs to every use of the plugin.
        if let Some(Value::Object(plugins)) = document.get("plugins") {
            needs.extend(
                plugins
                    .keys()
                    .filter_map(|name| ResourceKey::new(Kind::PluginMetadata, name).ok()),
            );
        }
        needs.extend(key.owner());
        if needs.is_empty() {
            return;
        }
        for needed in &needs {
            self.by
                .entry(needed.clone())
                .or_default()
                .insert(key.clone());
        }
        self.of.insert(key.clone(), needs.into());
    }

    /// Forgets what a document referred to.
    pub(super) fn forget(&mut self, key: &ResourceKey) {
        for needed in self.of.remove(key).iter().flat_map(|n| n.iter()) {
            if let Some(by) = self.by.get_mut(needed) {
                by.remove(key);
                if by.is_empty() {
                    self.by.remove(needed);
                }
            }
        }
    }

    /// Documents that refer to something which `exists` does not know. Metadata of a plugin may be missing.
    pub(super) fn dangling(&self, exists: impl Fn(&ResourceKey) -> bool) -> Vec<ResourceKey> {
        let gone = |needed: &ResourceKey| needed.kind != Kind::PluginMetadata && !exists(needed);
        let dangle = self.of.iter().filter(|(_, needs)| needs.iter().any(gone));
        dangle.map(|(key, _)| key.clone()).collect()
    }

    /// The documents that name this one.
    pub(super) fn direct(&self, key: &ResourceKey) -> Vec<ResourceKey> {
        self.by.get(key).into_iter().flatten().cloned().collect()
    }

    /// Everything that depends on `key`, over any number of steps.
    pub(super) fn closure(&self, key: &ResourceKey, into: &mut BTreeSet<ResourceKey>) {
        // A credential is compiled with its consumer, and a consumer with its credentials.
        let owner = key.owner();
        for by in self.direct(key).into_iter().chain(owner) {
            if into.insert(by.clone()) {
                self.closure(&by, into);
            }
        }
    }
}
