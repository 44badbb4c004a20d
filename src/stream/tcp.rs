//! A TCP or TLS session, from the accepted connection to its end.

use super::{
    StreamProxy,
    connect::{NodeStream, connect},
    hello::{self, Hello, plain_name},
    relay::{End, Meters, relay},
};
use crate::{
    listener::{Connection, Serve, Stop, TlsFacts},
    observe::metrics::StreamListener,
    snapshot::{SessionRules, StreamRoute},
    upstream::Scheme,
};
use async_trait::async_trait;
use crossway_sdk::{
    handshake::Verification,
    stream::{StreamSession, Transport},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
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
    /// What the handshake settled, where the gateway speaks TLS.
    pub(super) tls: Option<Arc<TlsFacts>>,
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
        let accepted = Accepted {
            client: connection.peer.unwrap_or(nowhere),
            proxied: connection.peer.is_some() && connection.peer != own_peer,
            server: server.unwrap_or(nowhere),
            tls: connection.tls,
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
        let conduct = self.proxy.conduct();
        let rules = &conduct.sessions;
        let Accepted {
            mut stream,
            client,
            proxied,
            server,
            tls,
        } = accepted;
        let address = self.listener.address().clone();
        let mut session = StreamSession::new(Transport::Tcp, client, server, address);
        (session.proxied, session.tls) = (proxied, tls.is_some());
        let mut first = Vec::new();
        if let Some(facts) = &tls {
            session.sni = self.judge(facts, client)?;
        } else if self.passthrough {
            match hello::read(&mut stream, rules.hello).await {
                Ok(hello) => {
                    session.sni = self.name_of(&hello);
                    first = hello.bytes;
                }
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
        self.proxied(&mut session, &route, rules, &mut stream, first)
            .await;
        self.proxy.end(&mut session, &route);
        Some(session)
    }

    /// The server name that counts for a client; `None` when it has not shown the certificate that this name demands.
    fn judge(&self, facts: &TlsFacts, client: SocketAddr) -> Option<Option<Arc<str>>> {
        let snapshot = self.proxy.current.load();
        let certificates = &snapshot.certificates;
        let name = certificates.server_name(facts.server_name.as_deref());
        let site = name.and_then(|name| certificates.find(name));
        if let Some(verification) = site.and_then(|site| site.client()) {
            let verdict = facts.judged_by(verification, |chain| verification.judge(chain));
            if verdict != Verification::Success {
                tracing::debug!(%client, name, %verdict, "a session has no certificate that it needs");
                return None;
            }
        }
        Some(name.map(plain_name))
    }

    /// The server name that counts for a client whose hello was read: the one of the settings when it named none.
    fn name_of(&self, hello: &Hello) -> Option<Arc<str>> {
        if !hello.is_tls {
            return None;
        }
        let snapshot = self.proxy.current.load();
        let certificates = &snapshot.certificates;
        certificates
            .server_name(hello.sni.as_deref())
            .map(plain_name)
    }

    /// The part of a session that has a route: it ends with a status.
    async fn proxied<S>(
        &self,
        session: &mut StreamSession,
        route: &StreamRoute,
        rules: &SessionRules,
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
        match connect(&upstream, session, rules.proxy_protocol).await {
            Err(none) => session.status = none.0,
            Ok((node, picked)) => {
                let idle = upstream.spec().idle.unwrap_or(rules.idle);
                let limits = (idle, rules.buffer);
                let end = self.carry(session, client, node, first, limits).await;
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
        (idle, buffer): (Duration, usize),
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let listener = &*self.listener;
        let meters = Meters {
            received: &listener.received,
            sent: &listener.sent,
            upstream_received: &listener.upstream_received,
            upstream_sent: &listener.upstream_sent,
        };
        let bytes = &mut session.bytes;
        match node {
            NodeStream::Plain(mut node) => {
                relay(client, &mut node, first, buffer, idle, meters, bytes).await
            }
            NodeStream::Unix(mut node) => {
                relay(client, &mut node, first, buffer, idle, meters, bytes).await
            }
            NodeStream::Tls(mut node) => {
                relay(client, &mut *node, first, buffer, idle, meters, bytes).await
            }
        }
    }
}
