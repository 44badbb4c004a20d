//! What a plugin may ask for while it is built.

use crate::{
    consumer::{AuthSlot, Credentials},
    definition::Definition,
    endpoint::Endpoint,
    finish::Finishers,
    nested::Nested,
    shared::SharedStates,
    upstream::UpstreamHandle,
};
use bytes::Bytes;
use serde_json::Value;
use std::{borrow::Cow, cell::RefCell, mem, rc::Rc, sync::Arc};

/// A configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if path.is_empty() { String::new() } else { format!(" (at {path})") })]
pub struct BuildError {
    /// JSON pointer inside the plugin's configuration, e.g. `/rules/0/count`; empty for the whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl BuildError {
    /// An error at a JSON pointer.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// What the gateway offers to plugins under construction.
pub trait Host {
    /// The upstream resource of that id, or `None` when there is none.
    fn upstream(&self, id: &str) -> Option<UpstreamHandle>;
    /// An upstream written inside a plugin's configuration; `place` tells apart several of one plugin.
    ///
    /// # Errors
    /// The document is not a valid upstream.
    fn inline_upstream(
        &self,
        resource: &str,
        place: &str,
        document: &Value,
    ) -> Result<UpstreamHandle, BuildError>;
    /// A stored document, as it is stored: `collection` is its place in the Admin API, such as `protos`. `None` when there is none.
    fn document(&self, _collection: &str, _id: &str) -> Option<Bytes> {
        None
    }
    /// The registry behind the metrics endpoint.
    fn metrics(&self) -> &prometheus::Registry;
    /// State that outlives a single instance.
    fn shared(&self) -> &SharedStates;
    /// The port by which clients reach the gateway over TLS, if there is one.
    fn https_port(&self) -> Option<u16> {
        None
    }
    /// Where work goes on that outlives a request: the gateway's own runtime, on which no request is served.
    fn runtime(&self) -> tokio::runtime::Handle;
    /// `plugin_attr.<plugin>` of the settings.
    fn attribute(&self, plugin: &str) -> Option<&Value>;
    /// A plugin that is enabled, for plugins that run other plugins; `None` when it is not.
    fn plugin(&self, name: &str) -> Option<Enabled<'_>>;
    /// What plugins answer themselves.
    fn endpoints(&self) -> &[Endpoint] {
        &[]
    }
    /// A number for the change of the configuration that is being compiled; another one for each.
    fn change(&self) -> u64 {
        0
    }
    /// Whether that change replaces or removes the document of this place of use.
    fn is_changing(&self, _resource: &str) -> bool {
        false
    }
}

/// A plugin that is enabled, and what instances of it are built from.
pub struct Enabled<'a> {
    /// Its definition.
    pub definition: &'a Definition,
    /// Its metadata document, when one is stored.
    pub metadata: Option<&'a Value>,
    /// The position of its credentials, when it is an authenticator.
    pub auth: Option<AuthSlot>,
}

/// What an instance was made from beside its own configuration; it is built anew when any of it changes.
#[derive(Default)]
pub struct Asked {
    /// Upstreams, with their ids unless they are written inside the configuration.
    pub upstreams: Vec<(Option<Arc<str>>, UpstreamHandle)>,
    /// Plugins that run inside of it, in the order in which they were built. Their metadata counts like its own.
    pub nested: Vec<&'static str>,
    /// Documents that were read, by `collection/id`.
    pub documents: Vec<(Box<str>, Bytes)>,
}

/// The surroundings of a plugin under construction.
pub struct BuildCx<'a> {
    resource: Cow<'a, str>,
    metadata: Option<&'a Value>,
    auth: Option<AuthSlot>,
    plugin: &'static str,
    host: &'a dyn Host,
    /// One for an instance and all that is nested in it.
    asked: Rc<RefCell<Asked>>,
}

impl<'a> BuildCx<'a> {
    /// For the gateway and for tests.
    pub fn new(
        resource: &'a str,
        plugin: &'static str,
        metadata: Option<&'a Value>,
        auth: Option<AuthSlot>,
        host: &'a dyn Host,
    ) -> Self {
        Self {
            resource: Cow::Borrowed(resource),
            metadata,
            auth,
            plugin,
            host,
            asked: Rc::default(),
        }
    }

    /// The place of use, e.g. `routes/1` or `global_rules/g`; inside of another plugin e.g. `routes/1#workflow/rules/0`.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The name of this plugin.
    pub fn plugin(&self) -> &'static str {
        self.plugin
    }

    /// An error at a JSON pointer of the configuration.
    pub fn error(&self, path: impl Into<String>, message: impl Into<String>) -> BuildError {
        BuildError::new(path, message)
    }

    /// The plugin's metadata document, when one is stored. A change of it builds the instance anew.
    pub fn metadata(&self) -> Option<&Value> {
        self.metadata
    }

    /// `plugin_attr.<name of this plugin>` of the settings.
    pub fn attribute(&self) -> Option<&Value> {
        self.host.attribute(self.plugin)
    }

    /// The port by which clients reach the gateway over TLS, if there is one.
    pub fn https_port(&self) -> Option<u16> {
        self.host.https_port()
    }

    /// The credentials of this authenticator, to be looked into at request time.
    pub fn credentials<C: Send + Sync + 'static>(&self) -> Credentials<C> {
        Credentials::new(self.auth)
    }

    /// The upstream resource of that id.
    ///
    /// # Errors
    /// There is none; the message is the one that APISIX uses for dangling references.
    pub fn upstream(&self, path: &str, id: &str) -> Result<UpstreamHandle, BuildError> {
        let handle = self.host.upstream(id).ok_or_else(|| {
            self.error(
                path,
                format!("failed to fetch upstream info by upstream id [{id}], response code: 404"),
            )
        })?;
        self.asked
            .borrow_mut()
            .upstreams
            .push((Some(Arc::from(id)), handle.clone()));
        Ok(handle)
    }

    /// An upstream written inside the configuration at `path`.
    ///
    /// # Errors
    /// The document is not a valid upstream.
    pub fn inline_upstream(
        &self,
        path: &str,
        document: &Value,
    ) -> Result<UpstreamHandle, BuildError> {
        let place = format!("{}{path}", self.plugin);
        let handle = self
            .host
            .inline_upstream(&self.resource, &place, document)?;
        self.asked
            .borrow_mut()
            .upstreams
            .push((None, handle.clone()));
        Ok(handle)
    }

    /// A stored document, such as `protos` of an id. A change of it builds the instance anew; for that the resource must refer to
    /// it, as the `proto_id` of `grpc-transcode` does.
    pub fn document(&self, collection: &str, id: &str) -> Option<Value> {
        let content = self.host.document(collection, id)?;
        let document = serde_json::from_slice(&content).ok()?;
        let key = format!("{collection}/{id}").into();
        self.asked.borrow_mut().documents.push((key, content));
        Some(document)
    }

    /// The registry behind the metrics endpoint.
    pub fn metrics(&self) -> &prometheus::Registry {
        self.host.metrics()
    }

    /// Where work goes on that outlives a request. `build` itself starts nothing on it: the first request that needs the
    /// work does.
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.host.runtime()
    }

    /// What is brought to an end before the process ends.
    pub fn finishers(&self) -> Finishers {
        self.host.shared().finishers().clone()
    }

    /// `plugin_attr.<plugin>` of the settings, of another plugin than this one.
    pub fn attribute_of(&self, plugin: &str) -> Option<&Value> {
        self.host.attribute(plugin)
    }

    /// State that is shared by identity: all holders of the same type and key see one value, which lives as long as any of them.
    pub fn shared<T: Send + Sync + 'static>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        self.host.shared().get(key, make)
    }

    /// What plugins answer themselves, those that are not configured here included.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.host.endpoints()
    }

    /// A number for the change of the configuration that is being compiled; another one for each.
    pub fn change(&self) -> u64 {
        self.host.change()
    }

    /// Whether that change replaces or removes the document of this place of use, e.g. `routes/2`: what was built from
    /// it before is about to go.
    pub fn is_changing(&self, resource: &str) -> bool {
        self.host.is_changing(resource)
    }

    /// The definition of a plugin that is enabled.
    pub fn definition(&self, name: &str) -> Option<&'a Definition> {
        self.host.plugin(name).map(|enabled| enabled.definition)
    }

    /// Builds an instance of another plugin that runs inside of this one. Its configuration stands at `path` of this
    /// plugin's and is checked as if it stood by itself, without `_meta`. Which plugins may be nested is for the caller to say:
    /// [`BuildCx::definition`] tells what a plugin is.
    ///
    /// # Errors
    /// There is no such plugin, or it refuses the configuration; the JSON pointer is one of this plugin's configuration.
    pub fn nested(&self, path: &str, name: &str, config: &Value) -> Result<Nested, BuildError> {
        let unknown = || self.error(path, format!("unknown plugin [{name}]"));
        let Enabled {
            definition,
            metadata,
            auth,
        } = self.host.plugin(name).ok_or_else(unknown)?;
        let part = {
            let mut asked = self.asked.borrow_mut();
            asked.nested.push(definition.name);
            u16::try_from(asked.nested.len())
                .map_err(|_| self.error(path, "too many plugins inside of one"))?
        };
        let cx = BuildCx {
            resource: format!("{}#{}{path}", self.resource, self.plugin).into(),
            metadata,
            auth,
            plugin: definition.name,
            host: self.host,
            asked: self.asked.clone(),
        };
        let within = |e: BuildError| BuildError {
            path: format!("{path}{}", e.path),
            message: format!(
                "failed to check the configuration of plugin {} err: {}",
                definition.name, e.message
            ),
        };
        let instance = definition.build(config, &cx).map_err(within)?;
        Ok(Nested::new(definition, instance, part))
    }

    /// What the plugin, and those inside of it, asked for while it was built. The gateway builds the instance anew when one of
    /// these changes.
    pub fn into_asked(self) -> Asked {
        mem::take(&mut *self.asked.borrow_mut())
    }
}
