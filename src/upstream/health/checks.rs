//! What is checked, how often, and how much it takes. Defaults are those of APISIX.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use std::{sync::Arc, time::Duration};

/// Health checks of an upstream.
///
/// Failures to connect and timeouts of traffic count whenever there are checks; the statuses of its answers only with
/// `passive`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// Probes.
    pub active: Option<Active>,
    /// Judging by the answers to traffic.
    pub passive: Option<Passive>,
}

impl Checks {
    /// What probes ask of a node. Health is kept over an edit of the checks as long as this stays.
    pub(crate) fn target(&self) -> Option<impl PartialEq + use<>> {
        self.active.as_ref().map(|active| {
            let Active {
                kind,
                host,
                port,
                method,
                path,
                ..
            } = active;
            (*kind, host.clone(), *port, method.clone(), path.clone())
        })
    }

    /// Timeouts and failures to connect that make a node unhealthy.
    pub(crate) fn passive_failures(&self) -> (u8, u8) {
        let passive = self.passive.as_ref();
        passive.map_or((DEFAULT_TIMEOUTS, DEFAULT_TCP_FAILURES), |p| {
            (p.timeouts, p.tcp_failures)
        })
    }
}

const DEFAULT_TCP_FAILURES: u8 = 2;
const DEFAULT_HTTP_FAILURES: u8 = 5;
const DEFAULT_TIMEOUTS: u8 = 7;

/// How nodes are probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// By what. Default HTTP.
    pub kind: ProbeKind,
    /// How long one probe may take in all. Default 1 s.
    pub timeout: Duration,
    /// Probes of this upstream at the same time, at least 1. Default 10.
    pub concurrency: usize,
    /// `Host` of the request, and the name to ask for in TLS, unless the upstream's own `Host` rule gives one.
    pub host: Option<Arc<str>>,
    /// Port to probe in place of the node's.
    pub port: Option<u16>,
    /// Default GET.
    pub method: Method,
    /// Path and query. Default `/`.
    pub path: Arc<str>,
    /// Body of the request. Default none.
    pub body: Bytes,
    /// Whether a certificate is verified. Default yes.
    pub verify: bool,
    /// Further headers of the request; `Host` here wins over all else.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How nodes that are in use are probed, and what brings others back.
    pub healthy: ActiveHealthy,
    /// How nodes that are out of use are probed, and what takes others out.
    pub unhealthy: ActiveUnhealthy,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            kind: ProbeKind::Http,
            timeout: Duration::from_secs(1),
            concurrency: 10,
            host: None,
            port: None,
            method: Method::GET,
            path: "/".into(),
            body: Bytes::new(),
            verify: true,
            headers: Vec::new(),
            healthy: ActiveHealthy::default(),
            unhealthy: ActiveUnhealthy::default(),
        }
    }
}

/// By what nodes are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// An HTTP/1.1 request.
    Http,
    /// An HTTP/1.1 request over TLS.
    Https,
    /// A connection.
    Tcp,
}

impl ProbeKind {
    /// `http`, `https`, `tcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// Probing of nodes that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveHealthy {
    /// Time between two probes; zero: none. Default 1 s.
    pub interval: Duration,
    /// Statuses that are a success. Default 200, 302.
    pub statuses: Statuses,
    /// Successes that make a node healthy; 0: none does. Default 2.
    pub successes: u8,
}

impl Default for ActiveHealthy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            statuses: Statuses::new([200, 302]),
            successes: 2,
        }
    }
}

/// Probing of nodes that are out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveUnhealthy {
    /// Time between two probes; zero: none. Default 1 s.
    pub interval: Duration,
    /// Statuses that are a failure. Default 429, 404, 500 to 505.
    pub statuses: Statuses,
    /// Such statuses that make a node unhealthy; 0: none does. Default 5.
    pub http_failures: u8,
    /// Failed connections that make a node unhealthy; 0: none does. Default 2.
    pub tcp_failures: u8,
    /// Timeouts that make a node unhealthy; 0: none does. Default 3.
    pub timeouts: u8,
}

impl Default for ActiveUnhealthy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            statuses: Statuses::new([429, 404].into_iter().chain(500..=505)),
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 3,
        }
    }
}

/// Judging nodes by the answers to traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// Statuses that are a success. Default 200 to 208, 226, 300 to 308.
    pub healthy_statuses: Statuses,
    /// Successes that make a node healthy; 0: none does. Default 5.
    pub successes: u8,
    /// Statuses that are a failure. Default 429, 500, 503.
    pub unhealthy_statuses: Statuses,
    /// Such statuses that make a node unhealthy; 0: none does. Default 5.
    pub http_failures: u8,
    /// Failed connections that make a node unhealthy; 0: none does. Default 2.
    pub tcp_failures: u8,
    /// Timeouts that make a node unhealthy; 0: none does. Default 7.
    pub timeouts: u8,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            healthy_statuses: Statuses::new((200..=208).chain([226]).chain(300..=308)),
            successes: 5,
            unhealthy_statuses: Statuses::new([429, 500, 503]),
            http_failures: DEFAULT_HTTP_FAILURES,
            tcp_failures: DEFAULT_TCP_FAILURES,
            timeouts: DEFAULT_TIMEOUTS,
        }
    }
}

/// A set of HTTP statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(Box<[u16]>);

impl Statuses {
    /// These.
    pub fn new(statuses: impl IntoIterator<Item = u16>) -> Self {
        let mut statuses: Vec<u16> = statuses.into_iter().collect();
        statuses.sort_unstable();
        statuses.dedup();
        Self(statuses.into())
    }

    /// Whether it is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.binary_search(&status).is_ok()
    }
}
