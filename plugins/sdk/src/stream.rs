//! One TCP, TLS or UDP session in flight, as a plugin sees it.

use crate::{
    request::{Failure, Try},
    route::RouteInfo,
    slots::{Slot, Slots},
    upstream::UpstreamHandle,
};
use smallvec::SmallVec;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A connection, perhaps with TLS.
    Tcp,
    /// Datagrams of one client address.
    Udp,
}

impl Transport {
    /// `TCP` or `UDP`, as nginx names them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Bytes of a session, without those of TLS where the gateway speaks it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionBytes {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
    /// From the node.
    pub upstream_received: u64,
    /// To the node.
    pub upstream_sent: u64,
}

/// One session. Fields are written by the gateway and by the plugins named in their comment.
pub struct StreamSession {
    /// When the connection was accepted, or the first datagram came.
    pub started: Instant,
    /// The same, by the calendar.
    pub started_at: SystemTime,
    /// What carries it.
    pub transport: Transport,
    /// The client: the transport peer, or whom the PROXY protocol named.
    pub client: SocketAddr,
    /// Whether [`client`](Self::client) was named by the PROXY protocol.
    pub proxied: bool,
    /// The address that the client reached.
    pub server: SocketAddr,
    /// The listener, as configured: `0.0.0.0:9100`.
    pub listener: Arc<str>,
    /// Whether the gateway speaks TLS with the client.
    pub tls: bool,
    /// The server name that the client asked for, in lower case.
    pub sni: Option<Arc<str>>,
    /// The stream route, once one matched.
    pub route: Option<Arc<RouteInfo>>,
    /// The upstream that a plugin chose.
    pub upstream_override: Option<UpstreamHandle>,
    /// Nodes that were tried, in order.
    pub tries: SmallVec<[Try; 1]>,
    /// What was transferred.
    pub bytes: SessionBytes,
    /// How it went, in the terms of nginx: 200 when one side closed, 403 (or its own status) when a plugin refused, 500
    /// when one failed, 499 when the client's connection broke, 502 when no node took it, its connection broke or nothing was
    /// sent for too long, 503 when there was no node. 0 while it lasts.
    pub status: u16,
    /// For the chain: what `_meta.filter` said, by slot.
    pub admitted: SmallVec<[(Slot, bool); 2]>,
    /// From the chain: which plugins did not do their part.
    pub failures: Vec<Failure>,
    /// State of plugins.
    pub slots: Slots,
}

impl StreamSession {
    /// A session that has just begun. An IPv4 address in IPv6 form, as a socket for both has it, becomes one of IPv4.
    pub fn new(
        transport: Transport,
        client: SocketAddr,
        server: SocketAddr,
        listener: Arc<str>,
    ) -> Self {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let (client, server) = (canonical(client), canonical(server));
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            transport,
            client,
            proxied: false,
            server,
            listener,
            tls: false,
            sni: None,
            route: None,
            upstream_override: None,
            tries: SmallVec::new(),
            bytes: SessionBytes::default(),
            status: 0,
            admitted: SmallVec::new(),
            failures: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// The node that serves, or the last one that was tried.
    pub fn last_try(&self) -> Option<&Try> {
        self.tries.last()
    }
}

/// A session, and whose turn it is.
pub struct StreamExchange<'s> {
    /// The session.
    pub session: &'s mut StreamSession,
    slot: Slot,
}

impl<'s> StreamExchange<'s> {
    /// For the gateway and for tests.
    pub fn new(session: &'s mut StreamSession) -> Self {
        Self {
            session,
            slot: Slot::default(),
        }
    }

    /// For the chain: the plugin whose turn it is.
    pub fn enter(&mut self, slot: Slot) {
        self.slot = slot;
    }

    /// The running plugin instance's own state for this session; made on first use.
    pub fn state<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        self.session.slots.state(self.slot)
    }

    /// The running plugin instance's state, if it made one.
    pub fn existing_state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.session.slots.existing(self.slot)
    }

    /// Sends the session to this upstream in place of the route's own.
    pub fn send_to(&mut self, upstream: UpstreamHandle) {
        self.session.upstream_override = Some(upstream);
    }
}
