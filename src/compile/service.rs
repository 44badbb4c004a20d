//! Services: what their routes inherit.

use super::{Refusal, State, upstream::Use};
use crate::{
    chain::{Chain, Entry, Level},
    model::{self, ResourceKey},
    snapshot::Target,
};
use crossway_sdk::slots::ChainOf;
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

impl ServicePart {
    /// Where requests of an HTTP route go that names no upstream of its own.
    pub(super) fn target_for_http(&self, route: &ResourceKey) -> Result<Target, Refusal> {
        let refused = match &self.target {
            Target::Upstream(upstream) => Use::Http.refuses(upstream.spec().scheme),
            Target::Missing | Target::None => None,
        };
        let Some(why) = refused else {
            return Ok(self.target.clone());
        };
        let message = format!(
            "invalid configuration: the upstream of service [{}] is not for HTTP: {why} (at /service_id)",
            self.id
        );
        Err(Refusal::new(route, "/service_id", message))
    }
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
        let target = self.target(
            key,
            service.upstream_id.as_ref(),
            document.get("upstream"),
            Use::Either,
        )?;
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
