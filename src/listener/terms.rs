//! What the settings say of connections, which can change while connections are open.

use super::http;
use crossway_sdk::expr::IpSet;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The terms that a connection is held to: those of the moment when it was accepted. On HTTP/1 each request is held to those of
/// the moment when it came.
#[derive(Debug)]
pub struct Terms {
    /// Connections at a time; 0 for as many as come.
    pub connections: usize,
    /// Connections at a time of one client; 0 for any number.
    pub per_client: u32,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Peers that must send a PROXY protocol header, where a listener wants one. Others are refused, as what they send would be
    /// taken for a header.
    pub proxy_trusted: IpSet,
    /// How long that header may take.
    pub proxy_timeout: Duration,
    /// Bounds of HTTP.
    pub http: http::Options,
    superseded: AtomicBool,
}

/// Gives the terms of now.
pub trait Govern: Send + Sync + 'static {
    /// Those for a connection that comes now.
    fn terms(&self) -> Arc<Terms>;
}

impl Terms {
    /// With these bounds of HTTP, any number of connections, and nobody trusted.
    pub fn new(http: http::Options) -> Self {
        Self {
            connections: 0,
            per_client: 0,
            handshake_timeout: Duration::from_secs(10),
            proxy_trusted: IpSet::default(),
            proxy_timeout: Duration::from_secs(5),
            http,
            superseded: AtomicBool::new(false),
        }
    }

    /// Tells the connections that hold these terms to ask for others. To be called once [`Govern::terms`] gives the others.
    pub fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
    }

    /// Whether there are others by now. A connection asks with each request; it costs a look at what the request reads anyway.
    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new(http::Options::default())
    }
}
