//! A connection that was accepted, and who takes it.

use super::{Stop, Terms, TlsFacts, Transport};
use async_trait::async_trait;
use std::{net::SocketAddr, sync::Arc};

/// A client's connection, after the PROXY protocol header and the TLS handshake, if the listener has them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Its bytes.
    pub stream: Transport,
    /// The client: the other end of the socket, or who a believed PROXY header names. `None` on a Unix socket without one.
    pub peer: Option<SocketAddr>,
    /// The address that the client connected to; as `peer`.
    pub local: Option<SocketAddr>,
    /// What the TLS handshake settled.
    pub tls: Option<Arc<TlsFacts>>,
    /// What it is held to.
    pub terms: Arc<Terms>,
}

/// Takes connections.
#[async_trait]
pub trait Serve: Send + Sync + 'static {
    /// Serves one connection to its end. When `stop` says so, it should end as soon as what is in flight allows.
    async fn serve(self: Arc<Self>, connection: Connection, stop: Stop);
}
