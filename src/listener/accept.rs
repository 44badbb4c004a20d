//! The accept loop, and what happens to a connection before somebody serves it.

use super::{
    Bound, Connection, Counters, Govern, Listener, Reason, Socket, Stop, Terms, TlsFacts,
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
    govern: Arc<dyn Govern>,
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
    /// Connections are held to what `govern` gives when they come.
    pub fn new(
        govern: Arc<dyn Govern>,
        census: Arc<dyn Census>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            govern,
            crowd: Crowd::new(),
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
            let terms = self.govern.terms();
            match self.crowd.enter(terms.connections) {
                Ok(place) => {
                    let edge = self.clone();
                    let (listener, stop) = (listener.clone(), stop.clone());
                    tokio::spawn(edge.take((socket, peer), terms, listener, place, stop));
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
        (mut socket, peer): (Socket, Option<SocketAddr>),
        terms: Arc<Terms>,
        listener: Arc<Listener>,
        place: Place,
        stop: Stop,
    ) {
        let _place = place;
        let _open = Open::new(&*self.census);
        let mut ends = (peer, socket.local_addr());
        if listener.proxy_protocol {
            match Box::pin(proxy_header(&terms, &mut socket, peer)).await {
                Ok(Some((client, server))) => ends = (Some(client), Some(server)),
                Ok(None) => {}
                Err(reason) => return self.counters.count(reason),
            }
        }
        let client = ends.0.map(|a| a.ip());
        let _of_client = match self.crowd.of_client(client, terms.per_client) {
            Ok(place) => place,
            Err(reason) => return self.counters.count(reason),
        };
        // Boxed, so that the handshake's state is gone when the connection is idle.
        let (stream, tls) = match Box::pin(secure(&listener, &terms, socket)).await {
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
            terms,
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
    terms: &Terms,
    socket: &mut Socket,
    peer: Option<SocketAddr>,
) -> Result<Option<(SocketAddr, SocketAddr)>, Reason> {
    // Who may open a Unix socket, its permissions have settled.
    if peer.is_some_and(|p| !terms.proxy_trusted.contains(p.ip())) {
        return Err(Reason::ProxyProtocolUntrusted);
    }
    match timeout(terms.proxy_timeout, proxy_protocol::read(socket)).await {
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
    terms: &Terms,
    socket: Socket,
) -> Result<(Transport, Option<Arc<TlsFacts>>), Reason> {
    let Some(tls) = &listener.tls else {
        return Ok((Transport::Plain(socket), None));
    };
    match timeout(terms.handshake_timeout, tls::handshake(&**tls, socket)).await {
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
