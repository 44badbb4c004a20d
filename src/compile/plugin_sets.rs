//! Sets of plugins that have a document of their own: plugin configs, and global rules.

use super::{Refusal, State};
use crate::{
    chain::{Chain, Entry, Level},
    model::{self, ResourceKey},
};
use crossway_sdk::slots::ChainOf;
use std::sync::Arc;

impl State {
    pub(super) fn compile_plugin_config(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        match self.decode::<model::PluginConfig>(key)? {
            Some((decoded, _)) => {
                let entries = self.entries(key, &decoded.plugins, Level::PluginConfig)?;
                self.plugin_configs.insert(id, Arc::new(entries));
            }
            None => {
                self.plugin_configs.remove(&id);
                self.instances.forget(key);
            }
        }
        Ok(())
    }

    pub(super) fn compile_global_rule(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        match self.decode::<model::GlobalRule>(key)? {
            Some((decoded, _)) => {
                let entries = self.entries(key, &decoded.plugins, Level::Global)?;
                self.global_parts.insert(id, Arc::new(entries));
            }
            None => {
                self.global_parts.remove(&id);
                self.instances.forget(key);
            }
        }
        Ok(())
    }

    /// One chain of all global rules. A plugin that stands in several of them does not run at all, as in APISIX: which
    /// configuration should count cannot be told.
    pub(super) fn gather_globals(&mut self) {
        let all: Vec<&Entry> = self
            .global_parts
            .values()
            .flat_map(|part| part.iter())
            .collect();
        let once = |e: &&&Entry| all.iter().filter(|other| other.name == e.name).count() == 1;
        let entries = all.iter().filter(once).map(|e| (*e).clone()).collect();
        self.global = Arc::new(Chain::compile(ChainOf::Global, entries));
    }
}
