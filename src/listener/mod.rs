//! The edge: addresses that clients connect to, what is judged before a request or a byte stream exists (limits, the PROXY
//! protocol, TLS), and the connection that results. What a connection carries is for a [`Serve`] to say: HTTP in
//! [`http`], byte streams in a room of their own.

mod accept;
mod bind;
mod connection;
mod counters;
mod crowd;
pub mod http;
pub mod proxy_protocol;
mod socket;
mod stop;
mod tls;
mod transport;

pub use accept::{Census, Edge};
pub use bind::{Address, BindError, Bound, SocketOptions};
pub use connection::{Connection, Serve};
pub use counters::{Counters, Reason};
pub use socket::Socket;
pub use stop::{Stop, Stopping};
pub use tls::{ACME_TLS, Tls, TlsFacts};
pub use transport::Transport;

use crossway_sdk::expr::IpSet;
use std::{sync::Arc, time::Duration};

/// One address and what stands behind it.
pub struct Listener {
    /// The key of the setting that asked for it, for messages.
    pub setting: &'static str,
    /// Where it listens.
    pub address: Address,
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// Whether connections begin with a PROXY protocol header, and from whom one is believed.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Who gives certificates; without it, connections are plain.
    pub tls: Option<Arc<dyn Tls>>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Who takes the connections.
    pub serve: Arc<dyn Serve>,
}

/// The PROXY protocol, versions 1 and 2, on a listener.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// Peers that must send the header. Others are refused, as what they send would be taken for a header.
    pub trusted: IpSet,
    /// How long the header may take.
    pub timeout: Duration,
}

#[cfg(test)]
mod tests;
