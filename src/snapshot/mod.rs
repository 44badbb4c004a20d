//! What serves: one immutable picture of the whole configuration, and the place where it is swapped.

mod conduct;
mod consumers;
mod route;
mod stream_route;

pub use conduct::{AnswerLimits, Conduct, RequestRules, SessionRules};
pub use consumers::{ConsumerEntry, Consumers};
pub use route::{Route, Standing, Target};
pub use stream_route::StreamRoute;

use crate::{
    chain::Chain,
    matcher::{Matcher, SessionMatcher},
    model::ResourceKey,
    tls::Certificates,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use crossway_sdk::{
    consumer::{AuthSlot, Consumer, CredentialTable},
    request::Configuration,
};
use imbl::OrdMap;
use serde_json::Value;
use std::sync::Arc;

/// The whole configuration, resolved. A request sees exactly one.
pub struct Snapshot {
    /// Revision of the store that this is the picture of.
    pub revision: u64,
    /// Finds the route of a request.
    pub routes: Arc<Matcher<Arc<Route>>>,
    /// Finds the stream route of a session.
    pub streams: Arc<SessionMatcher<Arc<StreamRoute>>>,
    /// Plugins of the global rules.
    pub global: Arc<Chain>,
    /// Consumers and their credentials.
    pub consumers: Arc<Consumers>,
    /// What TLS handshakes get, by server name.
    pub certificates: Arc<Certificates>,
    /// The documents that it was made from, shared with the state that they are compiled in.
    pub documents: OrdMap<ResourceKey, Bytes>,
    /// Metadata documents, by plugin.
    pub metadata: OrdMap<Arc<str>, Arc<Value>>,
    /// What the settings say of traffic.
    pub conduct: Arc<Conduct>,
}

impl Configuration for Snapshot {
    fn credentials(&self, slot: AuthSlot) -> Option<&CredentialTable> {
        self.consumers.table(slot)
    }

    fn consumer(&self, username: &str) -> Option<Arc<Consumer>> {
        self.consumers
            .get(username)
            .map(|entry| entry.consumer.clone())
    }

    fn document(&self, key: &str) -> Option<Bytes> {
        self.documents
            .get(&key.parse::<ResourceKey>().ok()?)
            .cloned()
    }

    fn metadata(&self, plugin: &str) -> Option<&Value> {
        self.metadata.get(plugin).map(|document| &**document)
    }
}

/// The snapshot that serves now. `proxy` reads it, `sync` replaces it; they share nothing else.
pub struct Current(ArcSwap<Snapshot>);

impl Current {
    /// Starts with this snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(ArcSwap::new(snapshot))
    }

    /// The snapshot that serves now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// From now on new requests see this one; those in flight end with theirs.
    pub fn store(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}
