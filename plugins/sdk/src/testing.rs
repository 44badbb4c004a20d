//! A scripted exchange for unit tests of plugins.

use crate::{
    build::{BuildCx, BuildError, Enabled, Host},
    consumer::{AuthSlot, Consumer, Credential, CredentialTable, Identity},
    definition::{Definition, Instance, Registry},
    exchange::Exchange,
    flow::{Error, Flow, Step},
    request::{Configuration, Request},
    shared::SharedStates,
    stream::{StreamExchange, StreamSession, Transport},
    upstream::UpstreamHandle,
};
use bytes::Bytes;
use http::HeaderValue;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use serde_json::Value;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::AsyncWriteExt,
    runtime::{Handle, Runtime},
};

/// Stands in for the gateway while a plugin is built.
#[derive(Default)]
pub struct Bench {
    /// Registry that plugins register their metrics in.
    pub metrics: prometheus::Registry,
    /// State by identity.
    pub shared: SharedStates,
    /// Upstreams that exist, by id.
    pub upstreams: HashMap<String, UpstreamHandle>,
    /// Documents that exist, by `collection/id`.
    pub documents: HashMap<String, Value>,
    /// `plugin_attr` by plugin.
    pub attributes: HashMap<String, Value>,
    /// The port of the TLS listener.
    pub https_port: Option<u16>,
    /// The plugin's metadata.
    pub metadata: Option<Value>,
    /// Plugins that may run inside of the one under test. Their credentials have the slots that this registry gives them.
    pub plugins: Registry,
}

impl Host for Bench {
    fn upstream(&self, id: &str) -> Option<UpstreamHandle> {
        self.upstreams.get(id).cloned()
    }
    fn inline_upstream(
        &self,
        _: &str,
        _: &str,
        document: &Value,
    ) -> Result<UpstreamHandle, BuildError> {
        Ok(UpstreamHandle::new(Arc::new(document.clone())))
    }
    fn document(&self, collection: &str, id: &str) -> Option<Bytes> {
        let document = self.documents.get(&format!("{collection}/{id}"))?;
        Some(document.to_string().into())
    }
    fn metrics(&self) -> &prometheus::Registry {
        &self.metrics
    }
    fn shared(&self) -> &SharedStates {
        &self.shared
    }
    fn https_port(&self) -> Option<u16> {
        self.https_port
    }
    fn runtime(&self) -> Handle {
        // A test that starts work in the background runs on a runtime of its own; others never use this one.
        static ELSE: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
        Handle::try_current().unwrap_or_else(|none| match ELSE.get_or_init(Runtime::new) {
            Ok(runtime) => runtime.handle().clone(),
            Err(error) => panic!("{none}, and none can be made: {error}"),
        })
    }
    fn attribute(&self, plugin: &str) -> Option<&Value> {
        self.attributes.get(plugin)
    }
    fn plugin(&self, name: &str) -> Option<Enabled<'_>> {
        Some(Enabled {
            definition: self.plugins.get(name)?,
            metadata: None,
            auth: self.plugins.auth_slot(name),
        })
    }
}

impl Bench {
    /// Builds an instance as the gateway would: schema first, then the plugin's own `build`.
    ///
    /// # Errors
    /// The refusal.
    pub fn build(
        &self,
        definition: &Definition,
        config: Value,
    ) -> Result<Arc<dyn Instance>, BuildError> {
        let slot = definition.is_auth().then_some(AuthSlot(0));
        let cx = BuildCx::new(
            "routes/1",
            definition.name,
            self.metadata.as_ref(),
            slot,
            self,
        );
        definition.build(&config, &cx)
    }
}

/// Builds an instance on a fresh [`Bench`].
///
/// # Errors
/// The refusal.
pub fn build(definition: &Definition, config: Value) -> Result<Arc<dyn Instance>, BuildError> {
    Bench::default().build(definition, config)
}

/// A configuration with consumers, for authenticators.
#[derive(Default)]
pub struct Consumers {
    tables: HashMap<usize, CredentialTable>,
    by_name: HashMap<String, Arc<Consumer>>,
}

impl Consumers {
    /// Adds a consumer, with a credential of `definition` unless `credential` is null.
    ///
    /// # Errors
    /// The credential is refused.
    pub fn with(
        self,
        username: &str,
        definition: &Definition,
        credential: Value,
    ) -> Result<Self, BuildError> {
        self.with_in(AuthSlot(0), username, definition, credential)
    }

    /// As [`Consumers::with`], in the table of that slot.
    ///
    /// # Errors
    /// The credential is refused.
    pub fn with_in(
        mut self,
        slot: AuthSlot,
        username: &str,
        definition: &Definition,
        credential: Value,
    ) -> Result<Self, BuildError> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let header =
            HeaderValue::from_str(username).map_err(|e| BuildError::new("", e.to_string()))?;
        let consumer = Arc::new(Consumer {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            username: username.into(),
            group_id: None,
            labels: Default::default(),
            username_header: header,
            custom_id: None,
        });
        self.by_name.insert(username.to_owned(), consumer.clone());
        if !credential.is_null() {
            let (key, value) = definition.credential(&credential)?;
            let identity = Identity {
                consumer,
                credential: None,
            };
            self.tables.entry(slot.0).or_default().insert(
                definition.name,
                key,
                Credential { identity, value },
            )?;
        }
        Ok(self)
    }
}

impl Configuration for Consumers {
    fn credentials(&self, slot: AuthSlot) -> Option<&CredentialTable> {
        self.tables.get(&slot.0)
    }
    fn consumer(&self, username: &str) -> Option<Arc<Consumer>> {
        self.by_name.get(username).cloned()
    }
}

/// A session that has read one request, and the request's state.
pub struct Scene {
    /// The session; what it writes goes nowhere.
    pub session: Session,
    /// The request.
    pub request: Request,
}

impl Scene {
    /// Reads `raw`, the bytes of one HTTP/1.1 request, body included. The client is 192.0.2.1:40000.
    ///
    /// # Errors
    /// Pingora does not take the request.
    pub async fn new(raw: &[u8]) -> Result<Self, Error> {
        Self::with(raw, Arc::new(Consumers::default())).await
    }

    /// As [`Scene::new`], with consumers.
    ///
    /// # Errors
    /// Pingora does not take the request.
    pub async fn with(raw: &[u8], configuration: Arc<dyn Configuration>) -> Result<Self, Error> {
        // What nobody reads stays in the pipe, and the other end is closed.
        let (mut client, stream) = tokio::io::duplex(raw.len().max(1));
        client
            .write_all(raw)
            .await
            .map_err(|e| Error::new(e.to_string()))?;
        drop(client);
        let mut session = Session::new_h1(Box::new(stream));
        if !session.as_downstream_mut().read_request().await? {
            return Err(Error::new("no request was read"));
        }
        let mut request = Request::new(configuration);
        if session.as_downstream_mut().is_body_empty() {
            request.body = Some(Bytes::new());
        }
        request.client = SocketAddr::from(([192, 0, 2, 1], 40000));
        request.peer = request.client;
        request.server = SocketAddr::from(([192, 0, 2, 2], 9080));
        let host = session
            .req_header()
            .headers
            .get(http::header::HOST)
            .and_then(|h| h.to_str().ok())
            .unwrap_or("");
        request.host = host
            .split(':')
            .next()
            .unwrap_or("")
            .to_ascii_lowercase()
            .into();
        Ok(Self { session, request })
    }

    /// The exchange that a phase gets.
    pub fn exchange(&mut self) -> Exchange<'_> {
        Exchange::new(&mut self.session, &mut self.request)
    }

    /// Runs the rewrite phase of one plugin.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn rewrite(&mut self, plugin: &dyn Instance) -> Result<Flow, Error> {
        finish(plugin.rewrite(&mut self.exchange())).await
    }

    /// Runs the access phase of one plugin.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn access(&mut self, plugin: &dyn Instance) -> Result<Flow, Error> {
        finish(plugin.access(&mut self.exchange())).await
    }

    /// Runs the header filter of one plugin over a response, after the headers that plugins set before.
    ///
    /// # Errors
    /// The plugin's.
    pub fn header_filter(
        &mut self,
        plugin: &dyn Instance,
        head: &mut ResponseHeader,
    ) -> Result<(), Error> {
        for (name, value) in self.request.response_headers.drain(..) {
            head.insert_header(name, value)?;
        }
        plugin.header_filter(&mut self.exchange(), head)
    }
}

/// A stream session without a connection. The client is 192.0.2.1:40000, the listener 192.0.2.2:9100.
pub struct StreamScene {
    /// The session.
    pub session: StreamSession,
}

impl Default for StreamScene {
    fn default() -> Self {
        let client = SocketAddr::from(([192, 0, 2, 1], 40000));
        let server = SocketAddr::from(([192, 0, 2, 2], 9100));
        let session = StreamSession::new(Transport::Tcp, client, server, "192.0.2.2:9100".into());
        Self { session }
    }
}

impl StreamScene {
    /// The exchange that a phase gets.
    pub fn exchange(&mut self) -> StreamExchange<'_> {
        StreamExchange::new(&mut self.session)
    }

    /// Runs the stream access phase of one plugin.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn access(&mut self, plugin: &dyn Instance) -> Result<Flow, Error> {
        finish(plugin.stream_access(&mut self.exchange())).await
    }

    /// Runs the stream log phase of one plugin.
    pub fn log(&mut self, plugin: &dyn Instance) {
        plugin.stream_log(&mut self.exchange());
    }
}

async fn finish(step: Step<'_>) -> Result<Flow, Error> {
    match step {
        Step::Done(flow) => flow,
        Step::Wait(future) => future.await,
    }
}
