//! What of the settings can change while traffic runs. It hangs on the snapshot: a request finds it with the one load that it
//! makes anyway, and never sees half of a change.

use crate::{
    listener::{Govern, Terms},
    matcher::target,
    observe::AccessLog,
    upstream::ProxyProtocol,
};
use crossway_sdk::expr::IpSet;
use http::HeaderValue;
use std::{sync::Arc, time::Duration};

use super::Current;

/// How connections, requests and sessions are treated.
#[derive(Default)]
pub struct Conduct {
    /// Of client connections.
    pub connections: Arc<Terms>,
    /// Of requests.
    pub requests: RequestRules,
    /// Of TCP and UDP sessions.
    pub sessions: SessionRules,
    /// Where requests are logged.
    pub access_log: Option<Arc<AccessLog>>,
    /// The server name taken for clients that send none.
    pub fallback_sni: Option<Arc<str>>,
}

/// How requests are treated.
#[derive(Debug)]
pub struct RequestRules {
    /// `Server` of every response; `None` leaves the upstream's.
    pub server: Option<HeaderValue>,
    /// Peers whose `X-Forwarded-*` are kept.
    pub trusted: IpSet,
    /// How paths are normalised.
    pub target: target::Options,
    /// Whether upstreams get the normal path in place of what the client wrote.
    pub forward_normal: bool,
    /// What answers of upstreams may not exceed.
    pub answers: AnswerLimits,
    /// Bytes of a request target, above which the answer is 414.
    pub max_target: usize,
    /// Bytes of all request headers, above which the answer is 431.
    pub max_header_bytes: usize,
    /// Number of request headers, above which the answer is 431.
    pub max_headers: usize,
    /// Bytes of a request body, above which the answer is 413; `None` for any.
    pub max_body: Option<u64>,
    /// Whether every response carries `X-APISIX-Upstream-Status`; otherwise those that an upstream answered with 5xx.
    pub show_upstream_status: bool,
    /// How long a response may stand still towards a client that does not read.
    pub client_write_timeout: Duration,
    /// Ports of the listeners, as text for `X-Forwarded-Port`.
    pub ports: Vec<(u16, HeaderValue)>,
}

/// Nobody is trusted, and nothing is too large.
impl Default for RequestRules {
    fn default() -> Self {
        Self {
            server: None,
            trusted: IpSet::default(),
            target: target::Options::default(),
            forward_normal: false,
            answers: AnswerLimits::default(),
            max_target: usize::MAX,
            max_header_bytes: usize::MAX,
            max_headers: usize::MAX,
            max_body: None,
            show_upstream_status: false,
            client_write_timeout: Duration::from_secs(60),
            ports: Vec::new(),
        }
    }
}

/// What an upstream's answer may not exceed; above it, it is as if the node had failed (502).
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// Bytes of all fields of its head.
    pub header_bytes: usize,
    /// Number of the fields of its head.
    pub header_count: usize,
    /// Interim answers (1xx) before it.
    pub interim: u32,
}

/// Nothing is too much.
impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            header_bytes: usize::MAX,
            header_count: usize::MAX,
            interim: u32::MAX,
        }
    }
}

/// How TCP and UDP sessions are treated. A session keeps to what held when it began.
#[derive(Debug, Clone)]
pub struct SessionRules {
    /// How long a TCP session may be silent in both directions, unless its upstream says otherwise.
    pub idle: Duration,
    /// The same for UDP.
    pub udp_idle: Duration,
    /// UDP sessions at once, for each listener.
    pub udp_sessions: usize,
    /// How long a client may take for its TLS hello where it is only read.
    pub hello: Duration,
    /// Bytes of a buffer; a TCP session has two.
    pub buffer: usize,
    /// The PROXY protocol header that connections to nodes begin with, unless their upstream says so itself.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// As the settings have it by default.
impl Default for SessionRules {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            udp_idle: Duration::from_secs(60),
            udp_sessions: 8192,
            hello: Duration::from_secs(30),
            buffer: 16384,
            proxy_protocol: None,
        }
    }
}

impl Govern for Current {
    fn terms(&self) -> Arc<Terms> {
        self.0.load().conduct.connections.clone()
    }
}
