//! Services: what their routes inherit.

use super::{Refusal, State};
use crate::{
    chain::{Chain, Entry, Level},
    model::{self, ResourceKey},
    snapshot::Target,
};
use crossway_sdk::request::ChainOf;
use std::{collections::BTreeMap, sync::Arc};

/// A compiled service.
pub(super) struct ServicePart {
    pub(super) id: Arc<str>,
    pub(super) name: Option<Arc<str>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) hosts: Vec<String>,
    pub(super) websocket: Option<bool>,
    pub(super) target: Target,
    pub(super) plugins: Vec<Entry>,
    /// The chain of routes that add nothing of their own; one for all of them.
    pub(super) chain: Arc<Chain>,
}

impl State {
    pub(super) fn compile_service(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        let Some((service, document)) = self.decode::<model::Service>(key)? else {
            if let Some(before) = self.services.remove(&id) {
                self.retire(&before.target, &Target::None);
            }
            self.instances.forget(key);
            return Ok(());
        };
        let target = self.target(key, service.upstream_id.as_ref(), document.get("upstream"))?;
        let plugins = self.entries(key, &service.plugins, Level::Service)?;
        let part = ServicePart {
            id: id.clone(),
            name: service.name.map(Into::into),
            labels: service.labels,
            hosts: service.hosts,
            websocket: service.enable_websocket,
            target,
            chain: Arc::new(Chain::compile(ChainOf::Route, plugins.clone())),
            plugins,
        };
        let now = part.target.clone();
        if let Some(before) = self.services.insert(id, Arc::new(part)) {
            self.retire(&before.target, &now);
        }
        Ok(())
    }
}
