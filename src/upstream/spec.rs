//! What an upstream is to be: data that a dialect's resources are lowered to. No dialect is named here.

use super::{hash::HashKey, health::Checks, proxy_protocol::ProxyProtocol};
use http::HeaderValue;
use pingora_core::{protocols::tls::CaType, upstreams::peer::PeerOptions, utils::tls::CertKey};
use std::{sync::Arc, time::Duration};

/// An upstream as configured, with all defaults filled in.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Identity: `upstreams/1`, `routes/7#upstream`. Live state of a node belongs to this key, its host and its port.
    pub key: Arc<str>,
    /// For people; the key when it has no name.
    pub name: Arc<str>,
    /// Nodes in the order of the configuration. Of several with the same priority, host and port the last one counts.
    pub nodes: Vec<NodeSpec>,
    /// Name of the balancer.
    pub balance: Arc<str>,
    /// What a request is hashed by, for balancers that do; `None` hashes the client's address when the balancer is
    /// `chash`, and nothing otherwise.
    pub hash_key: Option<HashKey>,
    /// What nodes speak.
    pub scheme: Scheme,
    /// Which `Host` nodes get.
    pub pass_host: PassHost,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How long a stream session may be silent in both directions; `None` leaves it to the settings.
    pub idle: Option<Duration>,
    /// Further tries after the first; `None`: one for each further node.
    pub retries: Option<u32>,
    /// No further try after this time, from the first pick; `None`: no limit.
    pub retry_timeout: Option<Duration>,
    /// Idle connections.
    pub keepalive: Keepalive,
    /// TLS to nodes, when the scheme has it.
    pub tls: Tls,
    /// Whether connections to nodes begin with a PROXY protocol header that tells who the client is.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Health checks.
    pub checks: Option<Checks>,
    /// What to do when health checks let no node pass.
    pub on_all_unhealthy: OnAllUnhealthy,
}

impl Spec {
    /// An upstream of these nodes with all defaults.
    pub fn new(key: impl Into<Arc<str>>, nodes: Vec<NodeSpec>) -> Self {
        let key = key.into();
        Self {
            name: key.clone(),
            key,
            nodes,
            balance: "roundrobin".into(),
            hash_key: None,
            scheme: Scheme::default(),
            pass_host: PassHost::default(),
            timeouts: Timeouts::default(),
            idle: None,
            retries: None,
            retry_timeout: None,
            keepalive: Keepalive::default(),
            tls: Tls::default(),
            proxy_protocol: None,
            checks: None,
            on_all_unhealthy: OnAllUnhealthy::default(),
        }
    }
}

/// A node as configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeSpec {
    /// Name or address; an IPv6 address may be in brackets.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Weight, 0 and up.
    pub weight: u32,
    /// Nodes of a lower priority are used when all of the higher ones are unhealthy or were tried.
    pub priority: i32,
}

impl NodeSpec {
    /// A node of priority 0.
    pub fn new(host: impl Into<Arc<str>>, port: u16, weight: u32) -> Self {
        Self {
            host: host.into(),
            port,
            weight,
            priority: 0,
        }
    }
}

/// What nodes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 with prior knowledge.
    Grpc,
    /// HTTP/2 over TLS.
    Grpcs,
    /// Bytes, for stream routes.
    Tcp,
    /// Bytes over TLS, for stream routes.
    Tls,
    /// Datagrams, for stream routes.
    Udp,
}

impl Scheme {
    /// As configured: `http`, `https`, `grpc`, `grpcs`, `tcp`, `tls`, `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    /// Whether it is over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Tls)
    }

    /// Whether it is HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }

    /// Whether it is for stream routes alone.
    pub fn is_layer_four(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Udp)
    }

    /// The port that a node has when none is given, and that a `Host` does not name: 80 or 443; none without HTTP.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Http | Self::Grpc => Some(80),
            Self::Https | Self::Grpcs => Some(443),
            Self::Tcp | Self::Tls | Self::Udp => None,
        }
    }
}

/// Which `Host` nodes get.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum PassHost {
    /// What the client sent.
    #[default]
    Pass,
    /// The node's own host, with its port unless that is the scheme's default.
    Node,
    /// This.
    Rewrite(HeaderValue),
}

/// How long to wait for a node; 60 s each by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// To establish a connection; counted anew for the TLS handshake, as nginx does.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Between two reads.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            connect: minute,
            send: minute,
            read: minute,
        }
    }
}

impl Timeouts {
    /// Sets them on a peer, e.g. those of a route in place of those of its upstream.
    pub fn apply(&self, options: &mut PeerOptions) {
        options.connection_timeout = Some(self.connect);
        options.total_connection_timeout = Some(self.connect.saturating_mul(2));
        options.write_timeout = Some(self.send);
        options.read_timeout = Some(self.read);
    }
}

/// Idle connections to nodes.
///
/// Only `idle_timeout` acts for an upstream by itself. Pingora 0.9.1 keeps one pool of idle connections for the whole
/// proxy, bounded by one number (`upstream_keepalive_pool_size` × threads, the least recently used leaves), and has no
/// count of requests per connection: `size` and `requests` are accepted for compatibility and have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Accepted, without effect: the pool is one for the whole proxy. Default 320.
    pub size: u32,
    /// How long a connection stays idle before it is closed; zero: for ever. Default 60 s.
    pub idle_timeout: Duration,
    /// Accepted, without effect: connections are not counted out. Default 1000.
    pub requests: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            size: 320,
            idle_timeout: Duration::from_secs(60),
            requests: 1000,
        }
    }
}

/// TLS to nodes.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whether certificates of nodes are verified, by chain and name. Default no, as in APISIX.
    pub verify: bool,
    /// Authorities to verify by; `None`: those of the system. A list that is empty trusts nobody.
    pub ca: Option<Arc<CaType>>,
    /// Certificate to show to nodes.
    pub client_cert: Option<Arc<CertKey>>,
    /// The name to ask for and to verify.
    pub sni: Sni,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("verify", &self.verify)
            .field("ca", &self.ca.as_ref().map(|ca| ca.len()))
            .field("client_cert", &self.client_cert)
            .field("sni", &self.sni)
            .finish()
    }
}

/// The name to ask a node for in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Sni {
    /// That of the `Host` which the node gets, without port; the node's own host when there is none.
    #[default]
    Host,
    /// The node's own host.
    Node,
    /// This.
    Name(Arc<str>),
}

/// What to do when health checks let no node pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnAllUnhealthy {
    /// Use all nodes as if all were healthy.
    #[default]
    UseAll,
    /// Refuse the request.
    Fail,
}
