//! From documents to a snapshot. [`State`] holds every document and everything compiled from it; a change costs what
//! depends on it and no more. Nothing here waits, and nothing here is visible to requests: `sync` swaps the result in.

mod barred;
mod checks;
mod consumers;
mod dependents;
mod plugins;
mod refusal;
mod route;
mod secrets;
mod service;
mod ssl;
mod stream_route;
mod upstream;
mod workshop;

#[cfg(test)]
mod tests;

pub use refusal::Refusal;
pub use secrets::Unresolved;
pub use workshop::Workshop;

use crate::{
    chain::{Chain, Entry, Level},
    matcher::{Matcher, SessionMatcher, SessionSpec},
    model::{self, Kind, ResourceKey},
    snapshot::{ConsumerEntry, Consumers, Route, Snapshot, StreamRoute},
    tls::Certificates,
    upstream::Upstream,
};
use bytes::Bytes;
use consumers::ConsumerPart;
use crossway_sdk::slots::ChainOf;
use dependents::Dependents;
use imbl::OrdMap;
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
            self.dependents.closure(&key, &mut dirty);
            if key.kind == Kind::PluginMetadata {
                let nesting: Vec<_> = self.instances.nesting(key.id.leaf()).cloned().collect();
                for document in nesting {
                    self.dependents.closure(&document, &mut dirty);
                    dirty.insert(document);
                }
            }
            self.note_secrets(&key);
            dirty.insert(key);
        }
        self.compile(&dirty, &mut refusals);
        refusals
    }

    /// A change of these documents begins.
    fn begin<'k>(&mut self, keys: impl IntoIterator<Item = &'k ResourceKey>) {
        static CHANGES: AtomicU64 = AtomicU64::new(1);
        self.changing = Arc::new(Changing {
            number: CHANGES.fetch_add(1, Ordering::Relaxed),
            places: keys.into_iter().map(ToString::to_string).collect(),
        });
    }

    /// Whether this document would be taken, given all others: what the Admin API asks before it stores one.
    ///
    /// # Errors
    /// The first refusal, of this document or of one that depends on it. What is refused already, whatever becomes of this
    /// document, does not count.
    pub fn trial(&self, key: &ResourceKey, content: Bytes) -> Result<(), Refusal> {
        let mut tried = self.clone();
        let mut refusals = tried.apply(self.revision, vec![(key.clone(), Some(content))]);
        refusals.extend(tried.hopeless_secrets(key));
        if refusals.is_empty() {
            return Ok(());
        }
        let as_it_is = vec![(key.clone(), self.documents.get(key).cloned())];
        let before = self.clone().apply(self.revision, as_it_is);
        let mut new = refusals
            .into_iter()
            .filter(|r| r.key == *key || !before.contains(r));
        new.next().map_or(Ok(()), Err)
    }

    /// References to documents that do not exist. A store that takes single writes keeps them from arising, and a forced
    /// delete may leave them on purpose; in a file they are mistakes. So are references to secrets that nothing can resolve.
    pub fn dangling(&self) -> Vec<Refusal> {
        let exists = |key: &ResourceKey| self.documents.contains_key(key);
        let mut refusals = self.all_hopeless_secrets();
        for key in self.dependents.dangling(exists) {
            let document = self
                .documents
                .get(&key)
                .and_then(|d| serde_json::from_slice::<Value>(d).ok());
            let references = model::references(key.kind, &document.unwrap_or_default());
            let gone = |r: &model::Reference| {
                !exists(&ResourceKey {
                    kind: r.kind,
                    id: r.id.clone(),
                })
            };
            let missing = references.iter().filter(|r| gone(r));
            refusals.extend(missing.map(|r| Refusal::new(&key, &r.path, r.missing())));
            if key.owner().is_some_and(|owner| !exists(&owner)) {
                refusals.push(Refusal::new(&key, "", "consumer not found".to_owned()));
            }
        }
        refusals
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
    }

    /// The typed model of a stored document; `None` when it was deleted.
    fn decode<T: serde::de::DeserializeOwned>(
        &self,
        key: &ResourceKey,
    ) -> Result<Option<(T, Value)>, Refusal> {
        let Some(content) = self.documents.get(key) else {
            return Ok(None);
        };
        let document: Value = serde_json::from_slice(content)
            .map_err(|e| Refusal::new(key, "", format!("it is not JSON: {e}")))?;
        unsealed(key, content, &document)?;
        let decoded =
            model::checked(key.kind, &document).map_err(|p| Refusal::of_problem(key, p))?;
        Ok(Some((decoded, document)))
    }

    fn judge(&self, key: &ResourceKey) -> Result<(), Refusal> {
        let Some(content) = self.documents.get(key) else {
            return Ok(());
        };
        let document: Value = serde_json::from_slice(content)
            .map_err(|e| Refusal::new(key, "", format!("it is not JSON: {e}")))?;
        unsealed(key, content, &document)?;
        model::check(key.kind, &document).map_err(|p| Refusal::of_problem(key, p))?;
        if key.kind == Kind::Secret {
            secrets::judge_manager(&document).map_err(|(path, why)| {
                let message = format!("invalid configuration: {why} (at {path})");
                Refusal::new(key, &path, message)
            })?;
        }
        Ok(())
    }

    /// The metadata of a plugin. It is the same allocation for as long as the document stays as it is.
    pub fn plugin_metadata(&self, name: &str) -> Option<&Arc<Value>> {
        self.metadata.get(name)
    }

    fn compile_metadata(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let name: Arc<str> = key.id.to_shared();
        let Some((_, mut document)) = self.decode::<model::PluginMetadata>(key)? else {
            self.metadata.remove(&name);
            return Ok(());
        };
        let Some(definition) = self.workshop.registry.get(&name) else {
            return Err(Refusal::new(key, "", "invalid plugin name".to_owned()));
        };
        if let Some(object) = document.as_object_mut() {
            for own in ["id", "create_time", "update_time"] {
                object.remove(own);
            }
        }
        plugins::refuse_secrets(&document, &mut String::new())
            .map_err(|e| Refusal::new(key, &e.path, format!("invalid configuration: {e}")))?;
        definition.check_metadata(&document).map_err(|e| {
            Refusal::new(
                key,
                &e.path,
                format!("invalid configuration: {}", e.message),
            )
        })?;
        self.metadata.insert(name, Arc::new(document));
        Ok(())
    }

    fn compile_plugin_config(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
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

    fn compile_global_rule(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
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
    fn gather_globals(&mut self) {
        let all: Vec<&Entry> = self
            .global_parts
            .values()
            .flat_map(|part| part.iter())
            .collect();
        let once = |e: &&&Entry| all.iter().filter(|other| other.name == e.name).count() == 1;
        let entries = all.iter().filter(once).map(|e| (*e).clone()).collect();
        self.global = Arc::new(Chain::compile(ChainOf::Global, entries));
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
        }
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

/// What is encrypted and was not opened must not serve as if it were the secret.
fn unsealed(key: &ResourceKey, content: &Bytes, document: &Value) -> Result<(), Refusal> {
    match crate::secret::sealed_place(content, document) {
        None => Ok(()),
        Some(path) => Err(Refusal::new(
            key,
            &path,
            format!("it is encrypted, and no key of data_encryption.keyring opens it (at {path})"),
        )),
    }
}
