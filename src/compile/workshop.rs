//! What compiling needs beside documents: plugins, balancers, live upstreams, and where metrics go.

use super::{Fresh, State, upstream::Use};
use crate::{
    matcher::Mode,
    model::ResourceKey,
    secret::{Sealer, Secrets},
    tls,
    upstream::{Environment, Upstream},
};
use bytes::Bytes;
use crossway_sdk::{
    build::{BuildError, Enabled, Host},
    definition::Registry,
    endpoint::Endpoint,
    shared::SharedStates,
    upstream::UpstreamHandle,
};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// The parts that do not change while the gateway runs.
pub struct Workshop {
    /// All plugins.
    pub registry: Registry,
    /// Where upstreams live: balancers, runtime, names, TLS.
    pub environment: Arc<Environment>,
    /// What all names share that are served over TLS.
    pub tls: Arc<tls::Environment>,
    /// The port by which clients reach the gateway over TLS, if there is one.
    pub https_port: Option<u16>,
    /// How routes are matched.
    pub mode: Mode,
    /// The registry behind the metrics endpoint.
    pub metrics: prometheus::Registry,
    /// State of plugins that is shared by identity.
    pub shared: SharedStates,
    /// `plugin_attr` of the settings.
    pub attributes: Map<String, Value>,
    /// Upstreams that serve, by identity.
    pub live: Live,
    /// Which fields are secret, and how they are encrypted at rest.
    pub sealer: Arc<Sealer>,
    /// What secret managers said.
    pub secrets: Secrets,
}

/// Upstreams that serve, by identity, and the documents that they were built from. Only changes of the configuration and
/// the status API look in here.
#[derive(Default)]
pub struct Live(Mutex<HashMap<Arc<str>, Held>>);

struct Held {
    upstream: Weak<Upstream>,
    fingerprint: u64,
}

impl Live {
    /// The upstream of that identity, and the fingerprint of its document.
    pub(super) fn get(&self, key: &str) -> Option<(Arc<Upstream>, u64)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(key)
            .and_then(|h| Some((h.upstream.upgrade()?, h.fingerprint)))
    }

    /// Puts down an upstream that serves from now on.
    pub(crate) fn keep(&self, fresh: &Fresh) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == held.capacity() {
            held.retain(|_, h| h.upstream.strong_count() > 0);
        }
        let entry = Held {
            upstream: Arc::downgrade(&fresh.upstream),
            fingerprint: fresh.fingerprint,
        };
        held.insert(fresh.upstream.spec().key.clone(), entry);
    }

    /// All of them, by identity.
    pub fn all(&self) -> Vec<Arc<Upstream>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = held.values().filter_map(|h| h.upstream.upgrade()).collect();
        all.sort_by(|a, b| a.spec().key.cmp(&b.spec().key));
        all
    }
}

/// What a plugin sees of the state that is being compiled.
pub(super) struct Offer<'a> {
    pub(super) state: &'a State,
    /// The document whose plugins are built.
    pub(super) key: &'a ResourceKey,
    /// What upstreams are asked for.
    pub(super) using: Use,
    /// Upstreams that plugins had built.
    pub(super) fresh: std::cell::RefCell<Vec<Fresh>>,
    /// Whether a plugin was asked for whose metadata is not to be had.
    pub(super) lacking: std::cell::Cell<bool>,
}

impl Host for Offer<'_> {
    fn upstream(&self, id: &str) -> Option<UpstreamHandle> {
        self.state
            .upstreams
            .get(id)
            .filter(|u| self.using.refuses(u.spec().scheme).is_none())
            .map(|u| UpstreamHandle::new(u.clone()))
    }

    fn inline_upstream(
        &self,
        resource: &str,
        place: &str,
        document: &Value,
    ) -> Result<UpstreamHandle, BuildError> {
        let built = self
            .state
            .inline_upstream(
                self.key,
                &format!("{resource}#{place}"),
                document,
                self.using,
            )
            .map_err(|e| BuildError::new(e.path, e.message))?;
        Ok(UpstreamHandle::new(
            built.settle(&mut self.fresh.borrow_mut()),
        ))
    }

    fn document(&self, collection: &str, id: &str) -> Option<Bytes> {
        let key: ResourceKey = format!("{collection}/{id}").parse().ok()?;
        self.state.documents.get(&key).cloned()
    }

    fn metrics(&self) -> &prometheus::Registry {
        &self.state.workshop.metrics
    }

    fn shared(&self) -> &SharedStates {
        &self.state.workshop.shared
    }

    fn https_port(&self) -> Option<u16> {
        self.state.workshop.https_port
    }

    fn runtime(&self) -> tokio::runtime::Handle {
        self.state.workshop.environment.runtime.clone()
    }

    fn attribute(&self, plugin: &str) -> Option<&Value> {
        self.state.workshop.attributes.get(plugin)
    }

    fn plugin(&self, name: &str) -> Option<Enabled<'_>> {
        let registry = &self.state.workshop.registry;
        if self.state.lacking.contains(name) {
            self.lacking.set(true);
        }
        Some(Enabled {
            definition: registry.get(name)?,
            metadata: self.state.metadata.get(name).map(|m| &**m),
            auth: registry.auth_slot(name),
        })
    }

    fn endpoints(&self) -> &[Endpoint] {
        self.state.workshop.registry.endpoints()
    }

    fn change(&self) -> u64 {
        self.state.changing.number
    }

    fn is_changing(&self, resource: &str) -> bool {
        self.state.changing.places.contains(resource)
    }
}
