//! A route with everything that it refers to, resolved.

use super::{Consumers, Snapshot};
use crate::{
    chain::Chain,
    upstream::{Timeouts, Upstream},
};
use arc_swap::ArcSwapOption;
use crossway_sdk::{consumer::Consumer, route::RouteInfo};
use std::{collections::HashMap, sync::Arc};

/// A route.
pub struct Route {
    /// What plugins see of it.
    pub info: Arc<RouteInfo>,
    /// Plugins of the route, its plugin config and its service.
    pub chain: Arc<Chain>,
    /// Where requests go.
    pub target: Target,
    /// In place of the upstream's. Few routes have any.
    pub timeouts: Option<Box<Timeouts>>,
    /// Whether a client may upgrade to WebSocket.
    pub websocket: bool,
    /// Whether what it refers to was there.
    pub standing: Standing,
    overlays: Overlays,
}

/// Where a route's requests go.
#[derive(Clone)]
pub enum Target {
    /// To this upstream.
    Upstream(Arc<Upstream>),
    /// The upstream that is referred to does not exist: 502.
    Missing,
    /// None is configured: 503, unless a plugin answers or names one.
    None,
}

/// Whether what a route refers to was there when it was compiled. It was when the reference was written;
/// a forced delete can take it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was.
    Complete,
    /// The service is gone: 404.
    ServiceMissing,
    /// The plugin config is gone: 503.
    PluginConfigMissing,
}

impl Route {
    /// A route of these parts.
    pub fn new(
        info: Arc<RouteInfo>,
        chain: Arc<Chain>,
        target: Target,
        timeouts: Option<Box<Timeouts>>,
        websocket: bool,
        standing: Standing,
    ) -> Self {
        Self {
            info,
            chain,
            target,
            timeouts,
            websocket,
            standing,
            overlays: Overlays::default(),
        }
    }

    /// The chain from the moment when `consumer` was named: this route's own when the consumer brings no plugins.
    pub fn chain_for(&self, consumer: &Consumer, snapshot: &Snapshot) -> Arc<Chain> {
        self.overlays
            .get(&self.chain, consumer, &snapshot.consumers)
    }
}

/// Chains of this route with a consumer's plugins, made when a consumer first comes by.
#[derive(Default)]
struct Overlays(ArcSwapOption<HashMap<u64, Arc<Chain>>>);

/// More consumers than this on one route, and the table starts anew: it also holds chains of consumers that have changed since.
const MAX_OVERLAYS: usize = 4096;

impl Overlays {
    fn get(&self, own: &Arc<Chain>, consumer: &Consumer, consumers: &Consumers) -> Arc<Chain> {
        let joining = match consumers.get(&consumer.username) {
            Some(entry) if !entry.plugins.is_empty() => &entry.plugins,
            _ => return own.clone(),
        };
        let held = self.0.load();
        if let Some(chain) = held.as_ref().and_then(|table| table.get(&consumer.serial)) {
            return chain.clone();
        }
        let chain = Arc::new(own.with(joining.clone()));
        // Two requests that come at once may both compile; the chains are equal and one insert may be lost, which costs
        // a compilation later and nothing else.
        let mut table = held.as_ref().map(|t| HashMap::clone(t)).unwrap_or_default();
        if table.len() >= MAX_OVERLAYS {
            table.clear();
        }
        table.insert(consumer.serial, chain.clone());
        self.0.store(Some(Arc::new(table)));
        chain
    }
}
