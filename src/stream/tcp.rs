//! A TCP or TLS session, from the accepted connection to its end.

use super::{
    StreamProxy,
    connect::{NodeStream, connect},
    hello::{self, Hello, plain_name},
    relay::{End, Meters, relay},
};
use crate::{
    listener::{Connection, Serve, Stop},
    observe::metrics::StreamListener,
    snapshot::StreamRoute,
    upstream::{Scheme, Upstream},
};
use async_trait::async_trait;
use crossway_sdk::stream::{StreamSession, Transport};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves the connections of one listener.
pub struct TcpSessions {
    proxy: Arc<StreamProxy>,
    listener: Arc<StreamListener>,
    /// Whether the TLS hello is read, and everything passed on.
    passthrough: bool,
}

/// A connection, as far as sessions care.
pub(super) struct Accepted<S> {
    pub(super) stream: S,
    pub(super) client: SocketAddr,
    /// Whether the PROXY protocol named the client.
    pub(super) proxied: bool,
    pub(super) server: SocketAddr,
    /// Whether the gateway speaks TLS on it.
    pub(super) tls: bool,
    pub(super) sni: Option<Arc<str>>,
}

impl TcpSessions {
    /// Serves connections of `listener`. With `passthrough`, TLS is for the node to speak, and the client's hello tells the
    /// server name alone.
    pub fn new(proxy: Arc<StreamProxy>, listener: Arc<StreamListener>, passthrough: bool) -> Self {
        Self {
            proxy,
            listener,
            passthrough,
        }
    }
}

#[async_trait]
impl Serve for TcpSessions {
    async fn serve(self: Arc<Self>, connection: Connection, _: Stop) {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let socket = connection.stream.socket();
        // Routes go by the address that was reached here; the one that a PROXY header names is that of the machine before.
        let (own_peer, server) = (socket.peer_addr(), socket.local_addr());
        let facts = connection.tls.as_deref();
        let accepted = Accepted {
            client: connection.peer.unwrap_or(nowhere),
            proxied: connection.peer.is_some() && connection.peer != own_peer,
            server: server.unwrap_or(nowhere),
            tls: facts.is_some(),
            sni: facts.and_then(|f| f.server_name.as_deref()).map(plain_name),
            stream: connection.stream,
        };
        self.run(accepted).await;
    }
}

impl TcpSessions {
    /// Serves one connection to its end; the session that it was, if a route was found for it.
    pub(super) async fn run<S>(&self, accepted: Accepted<S>) -> Option<StreamSession>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _open = self.listener.open();
        let Accepted {
            mut stream,
            client,
            proxied,
            server,
            tls,
            sni,
        } = accepted;
        let address = self.listener.address().clone();
        let mut session = StreamSession::new(Transport::Tcp, client, server, address);
        (session.proxied, session.tls, session.sni) = (proxied, tls, sni);
        let mut first = Vec::new();
        if self.passthrough {
            match hello::read(&mut stream, self.proxy.options.hello).await {
                Ok(Hello { bytes, sni }) => (first, session.sni) = (bytes, sni),
                Err(error) => {
                    tracing::debug!(%client, %error, "a client sent no TLS hello");
                    return None;
                }
            }
        }
        let seen = first.len() as u64;
        session.bytes.received = seen;
        let received = &self.listener.received;
        received.fetch_add(seen, std::sync::atomic::Ordering::Relaxed);
        let route = self.proxy.route(&session)?;
        session.route = Some(route.info.clone());
        self.proxied(&mut session, &route, &mut stream, first).await;
        self.proxy.end(&mut session, &route);
        Some(session)
    }

    /// The part of a session that has a route: it ends with a status.
    async fn proxied<S>(
        &self,
        session: &mut StreamSession,
        route: &StreamRoute,
        client: &mut S,
        first: Vec<u8>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (address, stream_route) = (session.client, &*route.info.id);
        let upstream = match self.proxy.admit(session, route).await {
            Ok(upstream) => upstream,
            Err(refused) => {
                session.status = refused.status();
                tracing::debug!(client = %address, stream_route, reason = %refused, "a session was refused");
                return;
            }
        };
        if self.passthrough && upstream.spec().scheme == Scheme::Tls {
            session.status = 500;
            tracing::error!(client = %address, stream_route, upstream = %upstream.spec().key,
                "an upstream with scheme tls cannot be used on a listener with tls_passthrough: the client's TLS would be wrapped in another");
            return;
        }
        let options = &self.proxy.options;
        match connect(&upstream, session, options.proxy_protocol).await {
            Err(none) => session.status = none.0,
            Ok((node, picked)) => {
                let end = self.carry(session, client, node, first, &upstream).await;
                // The node counts the session until here.
                drop(picked);
                tracing::debug!(client = %address, stream_route, %end, "a session ended");
                session.status = match end {
                    End::Closed => 200,
                    End::Client(_) => 499,
                    End::Idle | End::Node(_) => 502,
                };
            }
        }
        if let Some(attempt) = session.tries.last_mut() {
            attempt.ended = Some(attempt.began.elapsed());
        }
    }

    async fn carry<S>(
        &self,
        session: &mut StreamSession,
        client: &mut S,
        node: NodeStream,
        first: Vec<u8>,
        upstream: &Upstream,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let options = &self.proxy.options;
        let idle = upstream.spec().idle.unwrap_or(options.idle);
        let listener = &*self.listener;
        let meters = Meters {
            received: &listener.received,
            sent: &listener.sent,
            upstream_received: &listener.upstream_received,
            upstream_sent: &listener.upstream_sent,
        };
        let (buffer, bytes) = (options.buffer, &mut session.bytes);
        match node {
            NodeStream::Plain(mut node) => {
                relay(client, &mut node, first, buffer, idle, meters, bytes).await
            }
            NodeStream::Tls(mut node) => {
                relay(client, &mut *node, first, buffer, idle, meters, bytes).await
            }
        }
    }
}
