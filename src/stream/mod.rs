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
    snapshot::{Conduct, Current},
};
use std::sync::Arc;

/// Serves sessions.
pub struct StreamProxy {
    current: Arc<Current>,
    metrics: Arc<Metrics>,
}

impl StreamProxy {
    /// Serves by what `current` holds when a session begins; the session ends with that.
    pub fn new(current: Arc<Current>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { current, metrics })
    }

    /// What the settings say of a session that begins now.
    fn conduct(&self) -> Arc<Conduct> {
        self.current.load().conduct.clone()
    }

    /// A listener whose sessions are counted under this address; `tcp` says whether it is one for TCP.
    pub fn listener(&self, address: &str, tcp: bool) -> Arc<StreamListener> {
        self.metrics.streams().listener(address, tcp)
    }
}
