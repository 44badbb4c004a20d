//! Which documents depend on which: what a change reaches, and what a delete would leave dangling.

use crate::model::{self, Kind, ResourceKey};
use imbl::{OrdMap, OrdSet};
use serde_json::Value;
use std::collections::BTreeSet;

/// Who refers to a document. What a document refers to, it says itself.
#[derive(Clone, Default)]
pub(super) struct Dependents {
    by: OrdMap<ResourceKey, OrdSet<ResourceKey>>,
}

impl Dependents {
    /// Puts down what a document refers to.
    pub(super) fn learn(&mut self, key: &ResourceKey, document: &Value) {
        for needed in needs(key, document) {
            self.by.entry(needed).or_default().insert(key.clone());
        }
    }

    /// Forgets what a document referred to.
    pub(super) fn forget(&mut self, key: &ResourceKey, document: &Value) {
        for needed in needs(key, document) {
            if let Some(by) = self.by.get_mut(&needed) {
                by.remove(key);
                if by.is_empty() {
                    self.by.remove(&needed);
                }
            }
        }
    }

    /// Documents that refer to something which `exists` does not know. Metadata of a plugin may be missing.
    pub(super) fn dangling(&self, exists: impl Fn(&ResourceKey) -> bool) -> BTreeSet<ResourceKey> {
        let gone = |needed: &ResourceKey| needed.kind != Kind::PluginMetadata && !exists(needed);
        let missing = self.by.iter().filter(|(needed, _)| gone(needed));
        missing.flat_map(|(_, by)| by.iter().cloned()).collect()
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

/// What a document refers to, its consumer if it is a credential, and the metadata of its plugins, which belongs to every use
/// of a plugin.
fn needs(key: &ResourceKey, document: &Value) -> Vec<ResourceKey> {
    let references = model::references(key.kind, document).into_iter();
    let mut needs: Vec<ResourceKey> = references
        .map(|r| ResourceKey {
            kind: r.kind,
            id: r.id,
        })
        .collect();
    if let Some(Value::Object(plugins)) = document.get("plugins") {
        needs.extend(
            plugins
                .keys()
                .filter_map(|name| ResourceKey::new(Kind::PluginMetadata, name).ok()),
        );
    }
    needs.extend(key.owner());
    needs
}
