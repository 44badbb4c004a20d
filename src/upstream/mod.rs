//! Upstreams at work: nodes, balancing, health, names. Takes specs of its own and knows no dialect; opens no
//! connection for a request, that is Pingora's.

pub mod balance;
mod build;
mod environment;
pub mod hash;
pub mod health;
pub mod names;
mod node;
mod peer;
mod pick;
mod place;
mod proxy_protocol;
mod report;
mod spec;
#[cfg(test)]
mod tests;
mod tls;

pub use build::BuildError;
pub use environment::Environment;
pub use hash::HashKey;
pub use node::{BadNode, Node};
pub use pick::{PickError, Picked, Tried};
pub use place::{BadSocket, Place, is_unix};
pub use proxy_protocol::ProxyProtocol;
pub use report::{CounterReport, NodeReport, Report};
pub use tls::{BadTls, server_name};

pub use spec::{Keepalive, NodeSpec, OnAllUnhealthy, PassHost, Scheme, Sni, Spec, Timeouts, Tls};

use crossway_sdk::{
    balance::{Balance, Pick},
    expr::Lookup,
};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::AbortHandle, time};

/// A live upstream. Made by [`Upstream::build`], which does nothing that is felt outside; at work from
/// [`Upstream::start`] until it is dropped, stopped, or followed by another that was built from it.
pub struct Upstream {
    spec: Arc<Spec>,
    /// Highest priority first; those of a group side by side.
    nodes: Box<[Arc<Node>]>,
    groups: Box<[Group]>,
    environment: Arc<Environment>,
    /// For the scheme `tls`; TLS of HTTP is Pingora's.
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether requests were let through although no node is healthy.
    overruled: AtomicBool,
    /// Stopped when this one starts.
    predecessor: Mutex<Weak<Upstream>>,
    probes: Mutex<Option<AbortHandle>>,
}

/// Nodes of one priority.
struct Group {
    /// Index of the first one.
    start: usize,
    length: usize,
    /// None for a lone node.
    balance: Option<Arc<dyn Balance>>,
}

impl Upstream {
    /// As configured.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// The nodes, highest priority first; [`Tried`] knows them by their index here.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// How to speak TLS with nodes, when the scheme is `tls`.
    pub fn tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.tls.as_ref()
    }

    /// How often a request may be tried in all, at least once: `retries` and one, or as often as there are nodes.
    pub fn attempts(&self) -> u32 {
        let nodes = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.spec
            .retries
            .map_or(nodes, |retries| retries.saturating_add(1))
            .max(1)
    }

    /// What a request is picked a node by; 0 when the balancer does not ask. A request that lacks the key is known by
    /// its client's address.
    pub fn hash_key(&self, from: &dyn Lookup) -> u64 {
        match &self.spec.hash_key {
            Some(key) => key.hash(from),
            None if &*self.spec.balance == "chash" => hash::hash_client(from),
            None => 0,
        }
    }

    /// A node for the next attempt of a request. Nodes of a lower priority serve when those above are unhealthy or
    /// tried. When no node is healthy, health is ignored, unless the upstream is to fail then. The only node of an
    /// upstream is tried again, as often as [`attempts`](Self::attempts) allows.
    pub fn pick(&self, key: u64, tried: &Tried) -> Result<Picked, PickError> {
        if self.nodes.is_empty() {
            return Err(PickError::NoNodes(self.spec.key.clone()));
        }
        let healthy = |node: &Node| node.has_address() && node.health().is_usable();
        let addressed = |node: &Node| node.has_address();
        if self.spec.checks.is_none() {
            return match self.search(key, tried, &addressed)? {
                Some(picked) => Ok(picked),
                None => Err(self.no_node()),
            };
        }
        if let Some(picked) = self.search(key, tried, &healthy)? {
            if self.overruled.load(Ordering::Relaxed) {
                self.overruled.store(false, Ordering::Relaxed);
            }
            return Ok(picked);
        }
        if self.nodes.iter().any(|node| healthy(node)) || !self.nodes.iter().any(|n| addressed(n)) {
            return Err(self.no_node());
        }
        if self.spec.on_all_unhealthy == OnAllUnhealthy::Fail {
            return Err(PickError::AllUnhealthy(self.spec.key.clone()));
        }
        if !self.overruled.swap(true, Ordering::Relaxed) {
            let upstream = &self.spec.key;
            tracing::warn!(%upstream, "all nodes are unhealthy: all are used");
        }
        self.search(key, tried, &addressed)?
            .ok_or_else(|| self.no_node())
    }

    fn no_node(&self) -> PickError {
        let key = self.spec.key.clone();
        match self.nodes.iter().any(|node| node.has_address()) {
            true => PickError::AllTried(key),
            false => PickError::Unresolved(key),
        }
    }

    /// The first group that has a node to give.
    fn search(
        &self,
        key: u64,
        tried: &Tried,
        healthy: &dyn Fn(&Node) -> bool,
    ) -> Result<Option<Picked>, PickError> {
        for group in &self.groups {
            let healthy = |node: usize| {
                node < group.length
                    && self
                        .nodes
                        .get(group.start + node)
                        .is_some_and(|n| healthy(n))
            };
            let tried = |node: usize| self.nodes.len() > 1 && tried.contains(group.start + node);
            let pick = Pick::new(key, &healthy, &tried);
            let chosen = match &group.balance {
                None => pick.is_usable(0).then_some(0),
                Some(balance) => balance.pick(&pick),
            };
            let Some(chosen) = chosen else { continue };
            // Health may have changed since the balancer looked; an index out of range or tried is its own fault.
            if chosen >= group.length || tried(chosen) {
                return Err(self.misled());
            }
            return self.take(group, chosen).map(Some);
        }
        Ok(None)
    }

    fn take(&self, group: &Group, chosen: usize) -> Result<Picked, PickError> {
        let index = group.start + chosen;
        let node = self.nodes.get(index).ok_or_else(|| self.misled())?;
        // Names keep their last addresses, so one that the search saw is still there; another the balancer made up.
        let address = node.address().ok_or_else(|| self.misled())?;
        let balance = group.balance.clone().map(|balance| (balance, chosen));
        Ok(Picked::new(node.clone(), index, address, balance))
    }

    fn misled(&self) -> PickError {
        let Spec { key, balance, .. } = &*self.spec;
        PickError::Misled {
            balancer: balance.clone(),
            upstream: key.clone(),
        }
    }

    /// Begins to resolve names and waits for their first answers, `limit` at most. Names that have no answer by then
    /// go on being resolved.
    pub async fn resolve_first(&self, limit: Duration) {
        self.start_names();
        let answers = self
            .nodes
            .iter()
            .filter_map(|node| node.name())
            .map(|name| name.first_answer());
        // Being late is no failure: requests are refused until the answer is there.
        drop(time::timeout(limit, futures::future::join_all(answers)).await);
    }

    /// Resolves names and probes nodes from now on, in place of the upstream that this one was built from. Call it
    /// when this one has begun to serve; a second call does nothing.
    pub fn start(&self) {
        self.start_names();
        let mut probes = self.probes.lock();
        if probes.is_some() {
            return;
        }
        if let Some(predecessor) = std::mem::take(&mut *self.predecessor.lock()).upgrade() {
            predecessor.stop();
        }
        let Some(active) = self
            .spec
            .checks
            .as_ref()
            .and_then(|checks| checks.active.clone())
        else {
            return;
        };
        let nodes = self.distinct_nodes();
        let connector = self.environment.connector.clone();
        let rounds = health::run(self.spec.clone(), active, nodes, connector);
        *probes = Some(self.environment.runtime.spawn(rounds).abort_handle());
    }

    /// Probes no longer; requests that are under way may end, and [`start`](Self::start) may follow. Call it when this
    /// one serves no longer: requests that last keep it from being dropped.
    pub fn stop(&self) {
        if let Some(probes) = self.probes.lock().take() {
            probes.abort();
        }
    }

    fn start_names(&self) {
        for name in self.nodes.iter().filter_map(|node| node.name()) {
            name.start(&self.environment.runtime);
        }
    }

    /// Nodes to probe: one that stands in two priorities has one health.
    fn distinct_nodes(&self) -> Vec<Arc<Node>> {
        let mut seen = std::collections::HashSet::new();
        let nodes = self.nodes.iter();
        nodes
            .filter(|node| seen.insert((node.host(), node.port())))
            .cloned()
            .collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("key", &self.spec.key)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}
