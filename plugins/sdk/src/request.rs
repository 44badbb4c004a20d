//! What the gateway knows of one request, beside its bytes.

use crate::{
    consumer::{AuthSlot, Consumer, CredentialTable, Identity},
    random_id::RandomId,
    rate_limiting::RateLimitingInfo,
    route::{Matched, RouteInfo},
    slots::{Slot, Slots},
    upstream::UpstreamHandle,
    variables::Parsed,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

/// How much of a request body is read where nobody set a limit of their own, in bytes: for variables and conditions.
pub const MAX_BUFFERED_BODY: usize = 1024 * 1024;

/// The one configuration that serves a request.
pub trait Configuration: Send + Sync {
    /// The credentials of an authenticator.
    fn credentials(&self, slot: AuthSlot) -> Option<&CredentialTable>;
    /// A consumer by user name, e.g. an `anonymous_consumer`.
    fn consumer(&self, username: &str) -> Option<Arc<Consumer>>;
    /// A document as it is stored, in JSON, by its key, e.g. `routes/1`.
    fn document(&self, _key: &str) -> Option<Bytes> {
        None
    }
    /// The metadata document of a plugin: for endpoints, which are not built anew when it changes.
    fn metadata(&self, _plugin: &str) -> Option<&serde_json::Value> {
        None
    }
}

/// One request. Fields are written by the gateway and by the plugins named in their comment.
pub struct Request {
    /// When the head was read.
    pub started: Instant,
    /// When the head was read, by the calendar.
    pub started_at: SystemTime,
    /// The configuration that serves this request, start to end.
    pub configuration: Arc<dyn Configuration>,
    /// The client: the transport peer, or what a plugin found out about it. `0.0.0.0:0` when the peer is a Unix socket.
    pub client: SocketAddr,
    /// The transport peer, whatever a plugin finds out about the client. Whom to trust is decided by this one.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
    /// Whether the client speaks TLS.
    pub tls: bool,
    /// Whether the gateway itself sent it, on behalf of `client`.
    pub relayed: bool,
    /// The normalised path, when it differs from the client's spelling; read it with [`Request::path`].
    pub normal_path: Option<Box<str>>,
    /// The host without port, lower case; empty when there is none.
    pub host: Box<str>,
    /// The route, once one matched.
    pub route: Option<Arc<RouteInfo>>,
    /// The route's patterns that matched.
    pub matched: Option<Matched>,
    /// Values of `:name` and `*name` in the path pattern.
    pub path_params: Vec<(Box<str>, Box<str>)>,
    /// The consumer, once an authenticator named one.
    pub identity: Option<Identity>,
    /// What an identity provider says of a user who is no consumer, once a plugin asked it: claims, attributes.
    pub external_user: Option<Arc<serde_json::Value>>,
    /// The upstream that a plugin chose.
    pub upstream_override: Option<UpstreamHandle>,
    /// The query without `?`, once a plugin took something out of it that nobody behind it may see, such as a
    /// credential; read it with [`Request::query`]. Variables, the access log and the upstream go by it.
    pub query: Option<Bytes>,
    /// What the upstream gets in place of what the client sent.
    pub rewritten: Rewritten,
    /// `Host` that the upstream got, once the head was made for it.
    pub upstream_host: Option<HeaderValue>,
    /// Set on the response, whoever makes it.
    pub response_headers: SmallVec<[(HeaderName, HeaderValue); 4]>,
    /// The id of the request, once a plugin gave it one or the client brought one that is kept; read it with
    /// [`Request::id`].
    pub id: Option<HeaderValue>,
    own_id: OnceLock<RandomId>,
    /// The most bytes that the body may have (413); `None` for any number. The settings' limit, unless a plugin sets
    /// another one in the rewrite phase.
    pub max_body: Option<u64>,
    /// The body, when it was read whole or replaced; empty from the start when the request has none.
    pub body: Option<Bytes>,
    /// What was read of a body that turned out to be larger than its reader's limit; it still goes to the upstream.
    pub body_start: Bytes,
    /// Whether `body` is a plugin's and not the client's; see [`crate::exchange::Exchange::replace_body`].
    pub body_replaced: bool,
    /// What is to be logged in place of the body, once a plugin masked it in the log phase; set it with
    /// [`Request::mask_body`].
    pub masked_body: Option<Bytes>,
    json: OnceLock<Option<serde_json::Value>>,
    pub(crate) parsed: Parsed,
    /// Nodes that were tried, in order.
    pub tries: SmallVec<[Try; 1]>,
    /// What is known of the response.
    pub response: Response,
    /// The trailers of the upstream's response, in the last call of `body_filter`; what it leaves in them is sent on to
    /// clients of HTTP/2, unless that call ends the body with bytes of its own.
    pub response_trailers: Option<HeaderMap>,
    /// Whether `upstream_head` is wanted; for plugins that keep responses.
    pub keep_upstream_head: bool,
    /// The head of the upstream's response as it came, before any plugin changed it. Only when it was wanted, and from the
    /// header filters on.
    pub upstream_head: Option<Box<ResponseHeader>>,
    /// What limit plugins say of themselves (`$rate_limiting_info`).
    pub rate_limiting_info: Option<RateLimitingInfo>,
    /// For the chain: what `_meta.filter` said, by slot.
    pub admitted: SmallVec<[(Slot, bool); 2]>,
    /// From the chain: which plugins did not do their part, in order; counted when the request is over.
    pub failures: Vec<Failure>,
    /// State of plugins.
    pub slots: Slots,
}

/// A plugin that did not do its part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub plugin: &'static str,
    /// What it did instead.
    pub kind: FailureKind,
}

/// How a plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It returned an error.
    Error,
    /// It panicked.
    Panic,
}

/// What the upstream gets in place of what the client sent. `None`: as the client sent it.
#[derive(Debug, Clone, Default)]
pub struct Rewritten {
    /// Path and query, as bytes on the wire.
    pub target: Option<Bytes>,
    /// Method.
    pub method: Option<Method>,
    /// Host header; `pass_host` of the upstream may override it.
    pub host: Option<HeaderValue>,
}

/// One attempt at a node.
#[derive(Debug, Clone)]
pub struct Try {
    /// Its address; `None` when none was reached.
    pub address: Option<SocketAddr>,
    /// Host of the node as configured.
    pub host: Arc<str>,
    /// Port of the node as configured or by its scheme.
    pub port: u16,
    /// Scheme spoken with it: `http`, `https`, `grpc`, `grpcs`.
    pub scheme: &'static str,
    /// Status that it answered with; 502 or 504 when it failed.
    pub status: Option<u16>,
    /// Whether it failed only because the node had closed an idle connection.
    pub stale: bool,
    /// When the attempt began.
    pub began: Instant,
    /// Until a connection was there.
    pub connected: Option<Duration>,
    /// Until the response head was there.
    pub answered: Option<Duration>,
    /// Until the response was there whole, or the attempt failed.
    pub ended: Option<Duration>,
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseSource {
    /// The gateway or one of its plugins.
    #[default]
    Gateway,
    /// The gateway's proxy layer, because the upstream failed. APISIX's metrics call this `nginx`.
    Proxy,
    /// The upstream.
    Upstream,
}

/// What is known of the response.
#[derive(Debug, Clone, Copy, Default)]
pub struct Response {
    /// Status that the client got; 0 when it got none.
    pub status: u16,
    /// Who made it.
    pub source: ResponseSource,
    /// Bytes of the request head and body, for bandwidth metrics.
    pub bytes_in: u64,
    /// Bytes of the response head and body.
    pub bytes_out: u64,
}

impl Request {
    /// A request that has just arrived.
    pub fn new(configuration: Arc<dyn Configuration>) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            configuration,
            client: nowhere,
            peer: nowhere,
            server: nowhere,
            tls: false,
            relayed: false,
            normal_path: None,
            host: Box::default(),
            route: None,
            matched: None,
            path_params: Vec::new(),
            identity: None,
            external_user: None,
            upstream_override: None,
            query: None,
            rewritten: Rewritten::default(),
            upstream_host: None,
            response_headers: SmallVec::new(),
            id: None,
            own_id: OnceLock::new(),
            max_body: None,
            body: None,
            body_start: Bytes::new(),
            body_replaced: false,
            masked_body: None,
            json: OnceLock::new(),
            parsed: Parsed::default(),
            tries: SmallVec::new(),
            response: Response::default(),
            response_trailers: None,
            keep_upstream_head: false,
            upstream_head: None,
            rate_limiting_info: None,
            admitted: SmallVec::new(),
            failures: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// The id of the request: a plugin's, else 32 hexadecimal digits of the gateway's own, made when somebody first asks.
    pub fn id(&self) -> &[u8] {
        match &self.id {
            Some(id) => id.as_bytes(),
            None => self.own_id.get_or_init(RandomId::new).as_bytes(),
        }
    }

    /// The normalised path of the request: what routes were matched by, and what plugins decide by.
    pub fn path<'a>(&'a self, head: &'a RequestHeader) -> &'a str {
        match &self.normal_path {
            Some(path) => path,
            None => head.uri.path(),
        }
    }

    /// The query without `?`, less what plugins took out of it; `None` when there is none. Bytes on the wire, which need
    /// not be UTF-8.
    pub fn query<'a>(&'a self, head: &'a RequestHeader) -> Option<&'a [u8]> {
        match &self.query {
            Some(kept) => (!kept.is_empty()).then_some(&**kept),
            None => split(origin_form(head)).1,
        }
    }

    /// Path and query as the client wrote them, less what plugins took out of the query.
    pub fn target<'a>(&'a self, head: &'a RequestHeader) -> Cow<'a, [u8]> {
        let target = origin_form(head);
        match &self.query {
            None => Cow::Borrowed(target),
            Some(kept) => {
                let (path, _) = split(target);
                match kept.is_empty() {
                    true => Cow::Borrowed(path),
                    false => Cow::Owned([path, kept].join(&b'?')),
                }
            }
        }
    }

    /// The body as JSON, when it was read whole and is JSON; parsed once.
    pub fn json_body(&self) -> Option<&serde_json::Value> {
        let body = self.body.as_ref()?;
        self.json
            .get_or_init(|| serde_json::from_slice(body).ok())
            .as_ref()
    }

    /// Puts a body in place of the client's; what was made of the old one is forgotten.
    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.body = Some(body);
        self.body_start = Bytes::new();
        self.body_replaced = true;
        self.json = OnceLock::new();
        self.parsed = Parsed::default();
    }

    /// Has variables and loggers see this in place of the body. For the log phase: the upstream has got the body by then.
    pub fn mask_body(&mut self, masked: Bytes) {
        self.json = OnceLock::new();
        self.parsed = Parsed::default();
        self.body = Some(masked.clone());
        self.masked_body = Some(masked);
    }

    /// The name of the consumer.
    pub fn consumer_name(&self) -> Option<&str> {
        self.identity.as_ref().map(|i| &*i.consumer.username)
    }

    /// The node that gave the answer, or the last one that was tried.
    pub fn last_try(&self) -> Option<&Try> {
        self.tries.last()
    }
}

/// Path and query, of a target in absolute form too (RFC 9112 §3.2.2). Bytes on the wire.
fn origin_form(head: &RequestHeader) -> &[u8] {
    match head.raw_path() {
        target if target.starts_with(b"/") || target == b"*" => target,
        _ => head
            .uri
            .path_and_query()
            .map_or(&b"/"[..], |target| target.as_str().as_bytes()),
    }
}

fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at_checked(at).unwrap_or((target, b""));
    (path, query.strip_prefix(b"?"))
}
