//! Layer four: TCP, TLS and UDP sessions over one snapshot. Connections are accepted elsewhere; here a session finds its
//! stream route, its plugins and its node, and bytes go back and forth until one side ends it.
//!
//! Nothing here keeps more of a session than its two buffers, and nothing is sent twice: another node is tried only as
//! long as no byte of the client was sent to one.

mod connect;
mod hello;
mod relay;
mod session;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use tcp::TcpSessions;

use crate::{
    observe::{Metrics, metrics::StreamListener},
    snapshot::Current,
    upstream::ProxyProtocol,
};
use std::{sync::Arc, time::Duration};

/// What the operator decides about sessions.
#[derive(Debug, Clone)]
pub struct Options {
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
    /// Whether connections to nodes begin with a PROXY protocol header, unless their upstream says so itself.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Serves sessions.
pub struct StreamProxy {
    current: Arc<Current>,
    options: Options,
    metrics: Arc<Metrics>,
}

impl StreamProxy {
    /// Serves by what `current` holds when a session begins; the session ends with that.
    pub fn new(current: Arc<Current>, options: Options, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            current,
            options,
            metrics,
        })
    }

    /// A listener whose sessions are counted under this address; `tcp` says whether it is one for TCP.
    pub fn listener(&self, address: &str, tcp: bool) -> Arc<StreamListener> {
        self.metrics.streams().listener(address, tcp)
    }
}
