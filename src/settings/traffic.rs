//! Settings of the way that requests take: listeners, limits, routing, upstreams.

use super::value::{Addresses, NameServers, Seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
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
    pub http: Addresses,
    /// HTTPS. Not available yet: the gateway refuses to start when this is set.
    pub https: Option<Addresses>,
    /// Bytes of the buffer that each open client connection holds. Larger ones save system calls for large request heads and
    /// uploads, smaller ones save memory when many connections are idle.
    #[schemars(range(min = 1024, max = 65536))]
    pub read_buffer: usize,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9080)).into(),
            https: None,
            read_buffer: 8192,
        }
    }
}

/// What a request may not exceed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the request target, query included. Above it the answer is 414.
    #[schemars(range(min = 64, max = 65535))]
    pub uri_bytes: usize,
    /// Bytes of all request headers together. Above it the answer is 431.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub header_bytes: usize,
    /// Number of request headers. Above it the answer is 431.
    #[schemars(range(min = 1, max = 256))]
    pub header_count: usize,
    /// Bytes of a request body; 0 for no limit. Above it the answer is 413.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri_bytes: 8192,
            header_bytes: 32768,
            header_count: 100,
            body_bytes: 0,
        }
    }
}

/// How a request finds its route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Router {
    /// In which order hosts and paths decide.
    pub mode: RouterMode,
    /// Whether one `/` at the end of the path is dropped before matching, so that `/a/` finds the route of `/a`.
    pub delete_uri_tail_slash: bool,
    /// Whether `;parameters` of path segments are dropped before matching, as servlet containers do. The upstream still gets
    /// the path as the client sent it.
    pub normalize_uri_like_servlet: bool,
    /// Whether `%2F` in the path stays encoded for matching, so that it is no separator.
    pub match_uri_encoded_slash: bool,
}

/// How a request finds its route; the names are APISIX's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RouterMode {
    /// The most specific host first, within it the most specific path.
    #[default]
    #[serde(rename = "radixtree_host_uri")]
    HostUri,
    /// The most specific path first; the host is one condition among others.
    #[serde(rename = "radixtree_uri")]
    Uri,
    /// As `radixtree_uri`, with `:name` and `*name` in paths.
    #[serde(rename = "radixtree_uri_with_parameter")]
    UriWithParameter,
}

/// Connections to upstreams.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Idle connections kept open to all nodes together, for each thread.
    #[schemars(range(min = 1, max = 65536))]
    pub keepalive_pool_size: usize,
    /// A file with the authorities, in PEM, that may have issued the certificates of nodes; in place of those of the system. An
    /// upstream may name its own in `tls.ca_certs`.
    pub ca_file: Option<PathBuf>,
    /// How names of nodes are resolved.
    pub dns: Dns,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            keepalive_pool_size: 320,
            ca_file: None,
            dns: Dns::default(),
        }
    }
}

/// How names of nodes are resolved.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name servers: IP addresses, with a port when it is not 53. Empty for those of /etc/resolv.conf.
    pub servers: NameServers,
}

/// How the gateway stops.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Seconds that requests in flight get to finish after SIGTERM; fractions are allowed.
    pub drain_timeout: Seconds,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            drain_timeout: Seconds(Duration::from_secs(30)),
        }
    }
}
