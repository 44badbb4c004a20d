//! The accept loop, and what happens to a connection before somebody serves it.

use super::{
    Bound, Connection, Counters, Listener, ProxyProtocol, Reason, Socket, Stop, TlsFacts,
    Transport,
    bind::Kind,
    crowd::{Crowd, Place},
    proxy_protocol,
    tls::{self, HandshakeError},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Without a file descriptor there is nothing to do but to wait until a connection closes.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// What all listeners of the process share.
pub struct Edge {
    crowd: Arc<Crowd>,
    counters: Arc<Counters>,
    census: Arc<dyn Census>,
}

/// Who counts the connections that are open.
pub trait Census: Send + Sync + 'static {
    /// One was accepted. One call of [`closed`](Self::closed) follows.
    fn opened(&self);
    /// One is closed.
    fn closed(&self);
}

impl Edge {
    /// At most so many `connections`, and `per_client`; 0 for as many as come.
    pub fn new(
        connections: usize,
        per_client: u32,
        census: Arc<dyn Census>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            crowd: Crowd::new(connections, per_client),
            counters,
            census,
        })
    }

    /// Accepts connections until `stop` says otherwise, then closes the listener. Connections go on in tasks of their own.
    pub async fn accept(self: Arc<Self>, mut bound: Bound, listener: Listener, mut stop: Stop) {
        let listener = Arc::new(listener);
        let mut given = stop.clone();
        let given = given.given();
        tokio::pin!(given);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut given => break,
                accepted = accept(&bound) => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.accept_failed(&error, &mut stop).await;
                    continue;
                }
            };
            match self.crowd.enter() {
                Ok(place) => {
                    let edge = self.clone();
                    let (listener, stop) = (listener.clone(), stop.clone());
                    tokio::spawn(edge.take(socket, peer, listener, place, stop));
                }
                Err(reason) => self.counters.count(reason),
            }
        }
        bound.unlink(!stop.has_successor());
    }

    async fn accept_failed(&self, error: &io::Error, stop: &mut Stop) {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                self.counters.count(Reason::FileDescriptors);
                tracing::debug!(%error, "a connection was not accepted");
                tokio::select! {
                    () = tokio::time::sleep(NO_DESCRIPTOR) => {}
                    () = stop.given() => {}
                }
            }
            // The client is gone already (accept(2)).
            _ => tracing::debug!(%error, "a connection was not accepted"),
        }
    }

    async fn take(
        self: Arc<Self>,
        mut socket: Socket,
        peer: Option<SocketAddr>,
        listener: Arc<Listener>,
        place: Place,
        stop: Stop,
    ) {
        let _place = place;
        let _open = Open::new(&*self.census);
        let mut ends = (peer, socket.local_addr());
        if let Some(protocol) = &listener.proxy_protocol {
            match Box::pin(proxy_header(protocol, &mut socket, peer)).await {
                Ok(Some((client, server))) => ends = (Some(client), Some(server)),
                Ok(None) => {}
                Err(reason) => return self.counters.count(reason),
            }
        }
        let _of_client = match self.crowd.of_client(ends.0.map(|a| a.ip())) {
            Ok(place) => place,
            Err(reason) => return self.counters.count(reason),
        };
        // Boxed, so that the handshake's state is gone when the connection is idle.
        let (stream, tls) = match Box::pin(secure(&listener, socket)).await {
            Ok(secured) => secured,
            Err(reason) => return self.counters.count(reason),
        };
        if tls.as_ref().and_then(|t| t.alpn.as_deref()) == Some(tls::ACME_TLS) {
            // The handshake was all that there is to it: nothing may follow (RFC 8737 §3).
            return;
        }
        let connection = Connection {
            stream,
            peer: ends.0,
            local: ends.1,
            tls,
        };
        listener.serve.clone().serve(connection, stop).await;
    }
}

async fn accept(bound: &Bound) -> io::Result<(Socket, Option<SocketAddr>)> {
    match &bound.0 {
        Kind::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Ok((stream.into(), Some(peer)))
        }
        Kind::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            Ok((stream.into(), None))
        }
    }
}

/// Reads the PROXY header; the client and the server that it names, `None` when it names none.
async fn proxy_header(
    protocol: &ProxyProtocol,
    socket: &mut Socket,
    peer: Option<SocketAddr>,
) -> Result<Option<(SocketAddr, SocketAddr)>, Reason> {
    // Who may open a Unix socket, its permissions have settled.
    if peer.is_some_and(|p| !protocol.trusted.contains(p.ip())) {
        return Err(Reason::ProxyProtocolUntrusted);
    }
    match timeout(protocol.timeout, proxy_protocol::read(socket)).await {
        Ok(Ok(ends)) => Ok(ends),
        Ok(Err(error)) => {
            tracing::debug!(%error, ?peer, "no PROXY header");
            Err(Reason::ProxyProtocolInvalid)
        }
        Err(_) => Err(Reason::ProxyProtocolTimeout),
    }
}

async fn secure(
    listener: &Listener,
    socket: Socket,
) -> Result<(Transport, Option<Arc<TlsFacts>>), Reason> {
    let Some(tls) = &listener.tls else {
        return Ok((Transport::Plain(socket), None));
    };
    match timeout(listener.handshake_timeout, tls::handshake(&**tls, socket)).await {
        Ok(Ok((stream, facts))) => Ok((Transport::Tls(Box::new(stream)), Some(Arc::new(facts)))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Err(match error {
                HandshakeError::Refused(_) => Reason::TlsUnrecognizedName,
                HandshakeError::Failed(_) => Reason::TlsFailed,
            })
        }
        Err(_) => Err(Reason::TlsTimeout),
    }
}

/// A connection that is open; it closes when this is dropped, be it by a panic.
struct Open<'c>(&'c dyn Census);

impl<'c> Open<'c> {
    fn new(census: &'c dyn Census) -> Self {
        census.opened();
        Self(census)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
