//! Settings of the listeners that clients connect to.

use super::value::{Addresses, Endpoint, Networks, Seconds};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Plain HTTP/1.1: an IP address and a port, or a list of them.
    #[schemars(extend("x-applies" = "restart"))]
    pub http: Addresses,
    /// HTTPS, with HTTP/2 for clients that offer it: an IP address and a port, or a list of them. Certificates are resources
    /// (`ssls`); `tls` says the rest.
    #[schemars(extend("x-applies" = "restart"))]
    pub https: Option<Addresses>,
    /// Paths of Unix sockets, for plain HTTP/1.1. A socket that a process which is gone left behind is replaced.
    #[schemars(extend("x-applies" = "restart"))]
    pub unix: Vec<PathBuf>,
    /// Whether plain listeners take HTTP/2 from clients that begin with it (prior knowledge), too.
    #[schemars(extend("x-applies" = "live"))]
    pub h2c: bool,
    /// Listeners behind a load balancer that speaks the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Connections that the kernel keeps until they are accepted. It has a bound of its own, `net.core.somaxconn`.
    #[schemars(range(min = 1, max = 65535))]
    #[schemars(extend("x-applies" = "restart"))]
    pub backlog: u32,
    /// Whether other processes of the same user may listen on the same addresses; the kernel spreads connections over them
    /// (`SO_REUSEPORT`).
    #[schemars(extend("x-applies" = "restart"))]
    pub reuse_port: bool,
    /// Seconds without traffic after which the kernel asks whether a client is still there; 0 for never.
    #[schemars(extend("x-applies" = "restart"))]
    pub tcp_keepalive: Seconds,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9080)).into(),
            https: None,
            unix: Vec::new(),
            h2c: false,
            proxy_protocol: ProxyProtocol::default(),
            backlog: 4096,
            reuse_port: false,
            tcp_keepalive: Seconds(Duration::from_secs(300)),
        }
    }
}

/// The PROXY protocol, versions 1 and 2: the load balancer in front tells who its client is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Which of the listeners of `listen` it is for. On these every connection has to begin with a header.
    #[schemars(extend("x-applies" = "restart"))]
    pub on: Vec<Endpoint>,
    /// IP addresses and networks of the load balancers. Connections from elsewhere are closed. On a Unix socket, its
    /// permissions decide.
    #[schemars(extend("x-applies" = "live"))]
    pub trusted: Networks,
    /// Seconds that the header may take.
    #[schemars(range(min = 0.1, max = 60))]
    #[schemars(extend("x-applies" = "live"))]
    pub timeout: Seconds,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self {
            on: Vec::new(),
            trusted: Networks::default(),
            timeout: Seconds(Duration::from_secs(5)),
        }
    }
}
