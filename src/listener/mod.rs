//! The edge: addresses that clients connect to, what is judged before a request or a byte stream exists (limits, the PROXY
//! protocol, TLS), and the connection that results. What a connection carries is for a [`Serve`] to say: HTTP in
//! [`http`], byte streams in a room of their own.

mod accept;
mod bind;
mod connection;
mod counters;
mod crowd;
pub mod endpoint;
pub mod http;
pub mod proxy_protocol;
mod socket;
mod stop;
mod terms;
mod tls;
mod transport;

pub use accept::{Census, Edge};
pub use bind::{Address, BindError, Bound, SocketOptions};
pub use connection::{Connection, Serve};
pub use counters::{Counters, Reason};
pub use socket::Socket;
pub use stop::{Stop, Stopping};
pub use terms::{Govern, Terms};
pub use tls::{ACME_TLS, Tls, TlsFacts};
pub use transport::Transport;

use std::sync::Arc;

/// One address and what stands behind it.
pub struct Listener {
    /// The key of the setting that asked for it, for messages.
    pub setting: &'static str,
    /// Where it listens.
    pub address: Address,
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// Whether connections begin with a PROXY protocol header, version 1 or 2. From whom one is believed, [`Terms`] say.
    pub proxy_protocol: bool,
    /// Who gives certificates; without it, connections are plain.
    pub tls: Option<Arc<dyn Tls>>,
    /// Who takes the connections.
    pub serve: Arc<dyn Serve>,
}

#[cfg(test)]
mod tests;
