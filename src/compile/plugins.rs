//! Plugin instances: one for each place of use, kept as long as its configuration stays the same.

use super::{
    Fresh, Refusal, State,
    barred::Barred,
    secrets::{Resolved, Used},
    upstream::Use,
    workshop::Offer,
};
use crate::{
    chain::{Entry, Level, Meta},
    model::{Plugins, ResourceKey, SecretReference, unknown_plugin},
};
use bytes::Bytes;
use crossway_sdk::{
    build::{Asked, BuildCx},
    definition::{Definition, Instance},
    plugin::Scopes,
    upstream::UpstreamHandle,
};
use imbl::OrdMap;
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

/// Instances by the document that configures them, then by plugin.
#[derive(Clone, Default)]
pub(super) struct Instances(OrdMap<ResourceKey, Arc<BTreeMap<&'static str, Built>>>);

/// A plugin that runs inside of another, and its metadata.
type Inner = (&'static str, Option<Arc<Value>>);

/// An instance and everything that it was built from.
#[derive(Clone)]
struct Built {
    config: Arc<Value>,
    metadata: Option<Arc<Value>>,
    asked: Arc<[(Option<Arc<str>>, UpstreamHandle)]>,
    /// Plugins that run inside of it, with their metadata.
    nested: Arc<[Inner]>,
    read: Arc<[(Box<str>, Bytes)]>,
    /// References to secrets, and what stood behind them.
    secrets: Arc<[Used]>,
    /// Whether it stands for one that could not be built.
    barred: bool,
    entry: Entry,
}

impl Instances {
    pub(super) fn forget(&mut self, key: &ResourceKey) {
        self.0.remove(key);
    }

    /// The documents in which a plugin runs inside of another one.
    pub(super) fn nesting<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a ResourceKey> {
        let nests = move |b: &Built| b.nested.iter().any(|(name, _)| *name == plugin);
        let held = self.0.iter();
        held.filter(move |(_, built)| built.values().any(nests))
            .map(|(key, _)| key)
    }
}

impl Built {
    /// Whether building again would give the same.
    fn holds(&self, config: &Value, metadata: Option<&Arc<Value>>, state: &State) -> bool {
        let same_upstreams = || {
            self.asked.iter().all(|(id, handle)| match id {
                Some(id) => state
                    .upstreams
                    .get(id)
                    .is_some_and(|u| UpstreamHandle::new(u.clone()).same_as(handle)),
                None => true,
            })
        };
        let same_documents = || {
            self.read.iter().all(|(key, content)| {
                let key = key.parse::<ResourceKey>().ok();
                key.and_then(|key| state.documents.get(&key)) == Some(content)
            })
        };
        *self.config == *config
            && self.metadata.as_deref() == metadata.map(|m| &**m)
            && self
                .nested
                .iter()
                .all(|(name, of)| of.as_deref() == state.metadata.get(*name).map(|m| &**m))
            && same_upstreams()
            && same_documents()
            && state.gives_the_same(&self.secrets)
    }
}

impl State {
    /// The plugins that a document configures, switched off or not, by name. For `explain`.
    pub fn plugins_of(&self, key: &ResourceKey) -> impl Iterator<Item = &Entry> {
        let held = self.instances.0.get(key);
        held.into_iter()
            .flat_map(|built| built.values().map(|b| &b.entry))
    }

    /// The entries of a document's plugins, built anew where something changed.
    pub(super) fn entries(
        &mut self,
        key: &ResourceKey,
        plugins: &Plugins,
        level: Level,
    ) -> Result<Vec<Entry>, Refusal> {
        let held = self.instances.0.get(key).cloned().unwrap_or_default();
        let origin: Arc<str> = key.to_string().into();
        let mut built = BTreeMap::new();
        let mut fresh = Vec::new();
        for (name, config) in plugins {
            // To a stream route, a plugin without a stream half is one that does not exist.
            let definition = self.workshop.registry.get(name);
            let definition = definition.filter(|d| level != Level::Stream || d.has_stream());
            let Some(definition) = definition else {
                return Err(Refusal::new(
                    key,
                    &format!("/plugins/{name}"),
                    unknown_plugin(name),
                ));
            };
            let metadata = self.metadata.get(name.as_str());
            let same = held
                .get(definition.name)
                .filter(|b| b.holds(config, metadata, self));
            let one = match same {
                Some(same) => same.clone(),
                None => {
                    let before = held.get(definition.name);
                    self.build(key, &origin, definition, config, level, before, &mut fresh)?
                }
            };
            built.insert(definition.name, one);
        }
        self.fresh.extend(fresh);
        let entries = built.values().map(|b| b.entry.clone()).collect();
        if built.is_empty() {
            self.instances.0.remove(key);
        } else {
            self.instances.0.insert(key.clone(), Arc::new(built));
        }
        Ok(entries)
    }

    #[allow(clippy::too_many_arguments)] // one call, and each is another thing
    fn build(
        &self,
        key: &ResourceKey,
        origin: &Arc<str>,
        definition: &Definition,
        config: &Arc<Value>,
        level: Level,
        before: Option<&Built>,
        fresh: &mut Vec<Fresh>,
    ) -> Result<Built, Refusal> {
        let name = definition.name;
        let refuse = |path: &str, message: String| {
            let message = match level {
                Level::Stream => format!(
                    "failed to check the configuration of stream plugin [{name}]: {message}"
                ),
                _ => format!("failed to check the configuration of plugin {name} err: {message}"),
            };
            Refusal::new(key, &format!("/plugins/{name}{path}"), message)
        };
        let (mut bare, meta) = split_meta(config).map_err(|e| refuse(&e.path, e.to_string()))?;
        let Resolved {
            used,
            managed,
            missing,
        } = self.resolve(&mut bare);
        let metadata = self.metadata.get(name).cloned();
        let disabled = meta.as_ref().is_some_and(|m| m.disable);
        let offer = Offer {
            state: self,
            key,
            using: match level {
                Level::Stream => Use::Stream,
                Level::Service => Use::Either,
                _ => Use::Http,
            },
            fresh: RefCell::default(),
        };
        let slot = self.workshop.registry.auth_slot(name);
        let cx = BuildCx::new(origin, name, metadata.as_deref(), slot, &offer);
        let judged = match missing {
            Some(_) => judge(definition, level).map(|()| None),
            None => judge(definition, level)
                .and_then(|()| definition.build(&bare, &cx))
                .map(Some),
        };
        let mut barred = false;
        let instance = match judged {
            Ok(Some(instance)) => instance,
            // Which reference it is, the status and the log say.
            Ok(None) => {
                barred = true;
                Arc::new(Barred) as Arc<dyn Instance>
            }
            // A switched-off configuration may be unfinished.
            Err(error) if disabled => {
                tracing::warn!(plugin = name, origin = &**origin, %error, "a disabled plugin's configuration is not valid");
                Arc::new(Off)
            }
            Err(error) if used.is_empty() => return Err(refuse(&error.path, error.to_string())),
            // The message may say the value.
            Err(error) if !managed => return Err(refuse(&error.path, UNFIT.to_owned())),
            Err(error) => {
                let path = format!("/plugins/{name}{}", error.path);
                tracing::error!(%key, path, "a fetched secret is not taken: {UNFIT}");
                let same = |b: &&Built| !b.barred && *b.config == **config;
                if let Some(before) = before.filter(same) {
                    return Ok(Built {
                        secrets: used.into(),
                        ..before.clone()
                    });
                }
                barred = true;
                Arc::new(Barred)
            }
        };
        let Asked {
            upstreams,
            nested,
            documents,
        } = cx.into_asked();
        let is_auth = |name: &&str| {
            let registry = &self.workshop.registry;
            registry.get(name).is_some_and(Definition::is_auth)
        };
        let auth = definition.is_auth() || nested.iter().any(is_auth);
        let nested = nested
            .into_iter()
            .map(|name| (name, self.metadata.get(name).cloned()));
        fresh.extend(offer.fresh.into_inner());
        let entry = Entry {
            name,
            priority: meta
                .as_ref()
                .and_then(|m| m.priority)
                .unwrap_or(definition.priority),
            phases: match barred {
                true => Barred::phases(definition),
                false => definition.phases,
            },
            auth,
            prefer_route: definition.prefer_route,
            level,
            origin: origin.clone(),
            instance,
            meta: meta.map(Arc::new),
        };
        Ok(Built {
            config: config.clone(),
            metadata,
            asked: upstreams.into(),
            nested: nested.collect(),
            read: documents.into(),
            secrets: used.into(),
            barred,
            entry,
        })
    }
}

/// What is said of a configuration that a secret makes wrong, in place of a message that may hold the secret.
pub(super) const UNFIT: &str =
    "the configuration is not valid with what its references to secrets give";

/// Rules that hold for every plugin.
fn judge(definition: &Definition, level: Level) -> Result<(), crossway_sdk::build::BuildError> {
    let scope = match level {
        Level::Service => Scopes::SERVICE,
        Level::Stream => Scopes::STREAM,
        Level::Route | Level::PluginConfig => Scopes::ROUTE,
        Level::Consumer | Level::ConsumerGroup => Scopes::CONSUMER,
        Level::Global => Scopes::GLOBAL,
    };
    if !definition.scopes.contains(scope) {
        let message = format!("it cannot be used on a {}", level.name());
        return Err(crossway_sdk::build::BuildError::new("", message));
    }
    Ok(())
}

/// Where references to secrets are not resolved they would be taken literally, which must not happen to what should be secret.
pub(super) fn refuse_secrets(
    config: &Value,
    path: &mut String,
) -> Result<(), crossway_sdk::build::BuildError> {
    let mut within = |part: String, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&part);
        let judged = refuse_secrets(value, path);
        path.truncate(length);
        judged
    };
    match config {
        Value::String(text) => {
            if SecretReference::parse(text).is_some() {
                let message = "references to secrets ($env://, $secret://) are not resolved here";
                return Err(crossway_sdk::build::BuildError::new(path.clone(), message));
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(i, v)| within(i.to_string(), v)),
        Value::Object(members) => members.iter().try_for_each(|(k, v)| within(k.clone(), v)),
        _ => Ok(()),
    }
}

/// The configuration without `_meta`, and `_meta`.
fn split_meta(config: &Value) -> Result<(Value, Option<Meta>), crate::chain::MetaError> {
    let mut bare = config.clone();
    let written = bare
        .as_object_mut()
        .and_then(|object| object.remove("_meta"));
    let meta = written.as_ref().map(Meta::parse).transpose()?;
    Ok((bare, meta))
}

/// Stands in for a plugin that is switched off and not validly configured. Its entry never runs.
struct Off;

impl Instance for Off {}
