//! What a plugin may ask for while it is built.

use crate::{
    consumer::{AuthSlot, Credentials},
    shared::SharedStates,
    upstream::UpstreamHandle,
};
use bytes::Bytes;
use serde_json::Value;
use std::{cell::RefCell, sync::Arc};

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
    /// `plugin_attr.<plugin>` of the settings.
    fn attribute(&self, plugin: &str) -> Option<&Value>;
}

/// The surroundings of a plugin under construction.
pub struct BuildCx<'a> {
    resource: &'a str,
    metadata: Option<&'a Value>,
    auth: Option<AuthSlot>,
    plugin: &'static str,
    host: &'a dyn Host,
    asked: RefCell<Vec<(Option<Arc<str>>, UpstreamHandle)>>,
    read: RefCell<Vec<(Box<str>, Bytes)>>,
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
            resource,
            metadata,
            auth,
            plugin,
            host,
            asked: RefCell::default(),
            read: RefCell::default(),
        }
    }

    /// The place of use, e.g. `routes/1` or `global_rules/g`.
    pub fn resource(&self) -> &str {
        self.resource
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
        let handle = self.host.inline_upstream(self.resource, &place, document)?;
        self.asked.borrow_mut().push((None, handle.clone()));
        Ok(handle)
    }

    /// A stored document, such as `protos` of an id. A change of it builds the instance anew; for that the resource must refer to
    /// it, as the `proto_id` of `grpc-transcode` does.
    pub fn document(&self, collection: &str, id: &str) -> Option<Value> {
        let content = self.host.document(collection, id)?;
        let document = serde_json::from_slice(&content).ok()?;
        let key = format!("{collection}/{id}").into();
        self.read.borrow_mut().push((key, content));
        Some(document)
    }

    /// The documents that the plugin read while it was built, by `collection/id`.
    pub fn documents_read(&self) -> Vec<(Box<str>, Bytes)> {
        self.read.borrow().clone()
    }

    /// The registry behind the metrics endpoint.
    pub fn metrics(&self) -> &prometheus::Registry {
        self.host.metrics()
    }

    /// State that is shared by identity: all holders of the same type and key see one value, which lives as long as any of them.
    pub fn shared<T: Send + Sync + 'static>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        self.host.shared().get(key, make)
    }

    /// The upstreams that the plugin asked for while it was built; the gateway builds the instance anew when one of them changes.
    pub fn into_asked(self) -> Vec<(Option<Arc<str>>, UpstreamHandle)> {
        self.asked.into_inner()
    }
}
