//! From documents to a snapshot. [`State`] holds every document and everything compiled from it; a change costs what
//! depends on it and no more. Nothing here waits, and nothing here is visible to requests: `sync` swaps the result in.

mod barred;
mod checks;
mod consumers;
mod dependents;
mod judge;
mod metadata;
mod plugin_sets;
mod plugins;
mod refusal;
mod route;
mod secrets;
mod service;
mod ssl;
mod stream_route;
mod trust;
mod upstream;
mod workshop;

#[cfg(test)]
mod tests;

pub use refusal::Refusal;
pub use secrets::Unresolved;
pub use workshop::Workshop;

use crate::{
    chain::{Chain, Entry},
    matcher::{Matcher, SessionMatcher, SessionSpec},
    model::{Kind, ResourceKey},
    snapshot::{Conduct, ConsumerEntry, Consumers, Route, Snapshot, StreamRoute},
    tls::Certificates,
    upstream::Upstream,
};
use bytes::Bytes;
use consumers::ConsumerPart;
use crossway_sdk::slots::ChainOf;
use dependents::Dependents;
use imbl::{OrdMap, OrdSet};
use plugins::Instances;
use serde_json::Value;
use service::ServicePart;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// All documents and what was compiled from them. A clone is cheap and independent: a change is tried on a clone, and a
/// clone that is thrown away leaves no trace.
#[derive(Clone)]
pub struct State {
    workshop: Arc<Workshop>,
    revision: u64,
    documents: OrdMap<ResourceKey, Bytes>,
    dependents: Dependents,
    instances: Instances,
    upstreams: OrdMap<Arc<str>, Arc<Upstream>>,
    services: OrdMap<Arc<str>, Arc<ServicePart>>,
    plugin_configs: OrdMap<Arc<str>, Arc<Vec<Entry>>>,
    consumer_groups: OrdMap<Arc<str>, Arc<Vec<Entry>>>,
    consumer_parts: OrdMap<Arc<str>, Arc<ConsumerPart>>,
    global_parts: OrdMap<Arc<str>, Arc<Vec<Entry>>>,
    metadata: OrdMap<Arc<str>, Arc<Value>>,
    /// Plugins whose metadata refers to a secret that is not to be had.
    lacking: OrdSet<Arc<str>>,
    routes: OrdMap<Arc<str>, Arc<Route>>,
    matcher: Arc<Matcher<Arc<Route>>>,
    stream_routes: OrdMap<Arc<str>, (SessionSpec, Arc<StreamRoute>)>,
    session_matcher: Arc<SessionMatcher<Arc<StreamRoute>>>,
    global: Arc<Chain>,
    consumers: Arc<Consumers>,
    certificates: Arc<Certificates>,
    no_plugins: Arc<Chain>,
    fresh: Vec<Fresh>,
    retired: Vec<Arc<Upstream>>,
    changing: Arc<Changing>,
    secret_uses: OrdMap<ResourceKey, Arc<[secrets::Use]>>,
    conduct: Arc<Conduct>,
}

/// The change that is being compiled, for plugins whose places of use must agree with each other.
#[derive(Default)]
struct Changing {
    /// Another one for each change in this process.
    number: u64,
    /// The documents that it replaces or removes.
    places: BTreeSet<String>,
}

/// An upstream that was built and does not serve yet.
#[derive(Clone)]
pub struct Fresh {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Of the document that it was built from.
    pub(crate) fingerprint: u64,
}

/// One change of one document: its new content, or `None` when it was deleted.
pub type Change = (ResourceKey, Option<Bytes>);

/// The order in which kinds are compiled: what is referred to comes before what refers to it.
const ORDER: [Kind; 13] = [
    Kind::Secret,
    Kind::Ssl,
    Kind::Proto,
    Kind::PluginMetadata,
    Kind::Upstream,
    Kind::Service,
    Kind::PluginConfig,
    Kind::ConsumerGroup,
    Kind::Consumer,
    Kind::Credential,
    Kind::GlobalRule,
    Kind::Route,
    Kind::StreamRoute,
];

impl State {
    /// No documents at all.
    pub fn new(workshop: Arc<Workshop>) -> Self {
        let matcher = Arc::new(Matcher::new(workshop.mode, Vec::new()));
        let tables = consumers::tables(&workshop);
        let certificates = Arc::new(Certificates::new(&workshop.tls));
        Self {
            workshop,
            revision: 0,
            documents: OrdMap::new(),
            dependents: Dependents::default(),
            instances: Instances::default(),
            upstreams: OrdMap::new(),
            services: OrdMap::new(),
            plugin_configs: OrdMap::new(),
            consumer_groups: OrdMap::new(),
            consumer_parts: OrdMap::new(),
            global_parts: OrdMap::new(),
            metadata: OrdMap::new(),
            lacking: OrdSet::new(),
            routes: OrdMap::new(),
            matcher,
            stream_routes: OrdMap::new(),
            session_matcher: Arc::default(),
            global: Arc::new(Chain::compile(ChainOf::Global, Vec::new())),
            consumers: Arc::new(Consumers::new([], tables)),
            certificates,
            no_plugins: Arc::new(Chain::compile(ChainOf::Route, Vec::new())),
            fresh: Vec::new(),
            retired: Vec::new(),
            changing: Arc::default(),
            secret_uses: OrdMap::new(),
            conduct: Arc::default(),
        }
    }

    /// Applies changes. A document that is refused keeps its last good compiled form, if it had one; the refusals are returned.
    pub fn apply(&mut self, revision: u64, changes: Vec<Change>) -> Vec<Refusal> {
        self.revision = revision;
        self.begin(changes.iter().map(|(key, _)| key));
        let mut refusals = Vec::new();
        let mut dirty = BTreeSet::new();
        for (key, content) in changes {
            if let Some(before) = self
                .documents
                .get(&key)
                .and_then(|d| serde_json::from_slice(d).ok())
            {
                self.dependents.forget(&key, &before);
            }
            match content {
                Some(content) => {
                    match serde_json::from_slice::<Value>(&content) {
                        Ok(document) => self.dependents.learn(&key, &document),
                        Err(e) => {
                            refusals.push(Refusal::new(&key, "", format!("it is not JSON: {e}")))
                        }
                    }
                    self.documents.insert(key.clone(), content);
                }
                None => drop(self.documents.remove(&key)),
            }
            self.reach(&key, &mut dirty);
            self.note_secrets(&key);
            dirty.insert(key);
        }
        self.compile(&dirty, &mut refusals);
        refusals
    }

    /// Everything that depends on a document, over any number of steps. To the metadata of a plugin that runs inside of another one
    /// no document refers.
    fn reach(&self, key: &ResourceKey, dirty: &mut BTreeSet<ResourceKey>) {
        self.dependents.closure(key, dirty);
        let mut metadata = match key.kind {
            Kind::Secret => self.dependents.direct(key),
            _ => vec![key.clone()],
        };
        metadata.retain(|key| key.kind == Kind::PluginMetadata);
        for document in metadata
            .iter()
            .flat_map(|key| self.instances.nesting(key.id.leaf()))
        {
            self.dependents.closure(document, dirty);
            dirty.insert(document.clone());
        }
    }

    /// A change of these documents begins.
    fn begin<'k>(&mut self, keys: impl IntoIterator<Item = &'k ResourceKey>) {
        static CHANGES: AtomicU64 = AtomicU64::new(1);
        self.changing = Arc::new(Changing {
            number: CHANGES.fetch_add(1, Ordering::Relaxed),
            places: keys.into_iter().map(ToString::to_string).collect(),
        });
    }

    fn compile(&mut self, dirty: &BTreeSet<ResourceKey>, refusals: &mut Vec<Refusal>) {
        let mut routes = route::Batch::default();
        let (mut consumers, mut globals, mut streams) = (false, false, false);
        for kind in ORDER {
            for key in dirty.iter().filter(|k| k.kind == kind) {
                let done = match kind {
                    Kind::Ssl => self.compile_ssl(key),
                    Kind::PluginMetadata => self.compile_metadata(key),
                    Kind::Upstream => self.compile_upstream(key),
                    Kind::Service => self.compile_service(key),
                    Kind::PluginConfig => self.compile_plugin_config(key),
                    Kind::ConsumerGroup => self.compile_consumer_group(key),
                    Kind::Consumer | Kind::Credential => {
                        consumers = true;
                        self.compile_consumer(key)
                    }
                    Kind::GlobalRule => {
                        globals = true;
                        self.compile_global_rule(key)
                    }
                    Kind::Route => {
                        if routes.is_large() {
                            let batch = std::mem::take(&mut routes);
                            self.matcher = Arc::new(batch.apply(&self.matcher));
                        }
                        self.compile_route(key, &mut routes)
                    }
                    Kind::StreamRoute => {
                        streams = true;
                        self.compile_stream_route(key)
                    }
                    // Nothing is made of these by themselves, which is no reason to take them unread.
                    Kind::Secret | Kind::Proto => self.judge(key),
                };
                if let Err(refusal) = done {
                    refusals.push(refusal);
                }
            }
        }
        if consumers {
            refusals.extend(self.gather_consumers());
        }
        if globals {
            self.gather_globals();
        }
        if streams {
            self.gather_stream_routes();
        }
        if !routes.is_empty() {
            self.matcher = Arc::new(routes.apply(&self.matcher));
        }
        for refusal in refusals {
            self.hush(refusal);
        }
    }

    /// Takes a message away that says a secret of the document.
    fn hush(&self, refusal: &mut Refusal) {
        let content = self.documents.get(&refusal.key);
        let document: Option<Value> = content.and_then(|c| serde_json::from_slice(c).ok());
        if let Some(document) = document {
            let place = (refusal.key.kind, refusal.key.id.as_str());
            let message = std::mem::take(&mut refusal.message);
            let sealer = &self.workshop.sealer;
            refusal.message = sealer.hushed(place, &document, &refusal.path, message);
        }
    }

    /// The snapshot of the state as it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            revision: self.revision,
            routes: self.matcher.clone(),
            streams: self.session_matcher.clone(),
            global: self.global.clone(),
            consumers: self.consumers.clone(),
            certificates: self.certificates.clone(),
            documents: self.documents.clone(),
            metadata: self.metadata.clone(),
            conduct: self.conduct.clone(),
        }
    }

    /// What the settings say of traffic.
    pub fn conduct(&self) -> &Arc<Conduct> {
        &self.conduct
    }

    /// Takes what the settings say of traffic now. Documents are not compiled anew for it.
    pub fn set_conduct(&mut self, conduct: Arc<Conduct>) {
        let certificates = Arc::make_mut(&mut self.certificates);
        certificates.fall_back_to(conduct.fallback_sni.clone());
        self.conduct = conduct;
    }

    /// Upstreams that were built since this was last asked; they want to be started once the snapshot serves.
    pub fn take_fresh(&mut self) -> Vec<Fresh> {
        std::mem::take(&mut self.fresh)
    }

    /// Upstreams that the configuration no longer has, or has in another form; they want to be stopped once it serves.
    pub fn take_retired(&mut self) -> Vec<Arc<Upstream>> {
        std::mem::take(&mut self.retired)
    }

    /// The revision that was applied last.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A stored document.
    pub fn document(&self, key: &ResourceKey) -> Option<&Bytes> {
        self.documents.get(key)
    }

    /// Every document, by kind and id.
    pub fn documents(&self) -> impl Iterator<Item = (&ResourceKey, &Bytes)> {
        self.documents.iter()
    }

    /// Documents that refer to this one, by kind and id.
    pub fn referrers(&self, key: &ResourceKey) -> Vec<ResourceKey> {
        self.dependents.direct(key)
    }

    /// A compiled route, whether or not it is enabled.
    pub fn route(&self, id: &str) -> Option<&Arc<Route>> {
        self.routes.get(id)
    }

    /// A compiled consumer, with the plugins that it brings along.
    pub fn consumer(&self, username: &str) -> Option<&ConsumerEntry> {
        self.consumers.get(username)
    }

    /// All live upstreams: resources and those written inside of other documents.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.workshop.live.all()
    }

    /// Where plugins and upstreams come from.
    pub fn workshop(&self) -> &Arc<Workshop> {
        &self.workshop
    }
}
