//! What Pingora, and the gateway through it, asks about a connection: who is at its ends, and what the handshake agreed on.

use super::Wire;
use crate::listener::{Connection, TlsFacts};
use pingora_core::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
    l4::socket::SocketAddr as PingoraAddr,
    raw_connect::ProxyDigest,
    tls::{ALPN, SslDigest},
};
use pingora_http::ResponseHeader;
use std::{net::SocketAddr, os::fd::AsRawFd, sync::Arc, time::SystemTime};

/// What stays as it is while a connection is open, in Pingora's terms.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) socket: Arc<SocketDigest>,
    pub(super) ssl: Option<Arc<SslDigest>>,
    /// Carries the [`TlsFacts`].
    facts: Option<Arc<ProxyDigest>>,
    pub(super) http2: bool,
    since: SystemTime,
}

impl Ends {
    pub(super) fn of(connection: &Connection) -> Self {
        let socket = SocketDigest::from_raw_fd(connection.stream.socket().as_raw_fd());
        // Filled in beforehand: nobody has to ask the kernel, and a PROXY header counts.
        let known = |address: Option<SocketAddr>| address.map(PingoraAddr::Inet);
        drop(socket.peer_addr.set(known(connection.peer)));
        drop(socket.local_addr.set(known(connection.local)));
        let tls = connection.tls.as_deref();
        Self {
            socket: Arc::new(socket),
            ssl: tls.map(|facts| Arc::new(facts.digest())),
            facts: connection.tls.clone().and_then(|facts: Arc<TlsFacts>| {
                let nothing = Box::new(ResponseHeader::build_no_case(200, Some(0)).ok()?);
                Some(Arc::new(ProxyDigest::new(nothing, Some(Box::new(facts)))))
            }),
            http2: tls.is_some_and(|facts| facts.alpn.as_deref() == Some(b"h2")),
            since: SystemTime::now(),
        }
    }
}

impl Wire {
    /// What Pingora wants to know of the connection of an HTTP/2 request.
    pub(in super::super) fn digest(&self) -> Digest {
        Digest {
            ssl_digest: self.get_ssl_digest(),
            timing_digest: self.get_timing_digest(),
            proxy_digest: self.get_proxy_digest(),
            socket_digest: self.get_socket_digest(),
        }
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.transport.socket().as_raw_fd()
    }
}

impl Ssl for Wire {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ends.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.ends.http2.then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest {
            established_ts: self.ends.since,
            ..TimingDigest::default()
        })]
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.ends.facts.clone()
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.ends.socket.clone())
    }
}

impl Peek for Wire {}
