//! Settings of the way that requests take: routing, upstreams, the end.

use super::value::{NameServers, Seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// How a request finds its route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Router {
    /// In which order hosts and paths decide.
    #[schemars(extend("x-applies" = "restart"))]
    pub mode: RouterMode,
    /// Whether one `/` at the end of the path is dropped before matching, so that `/a/` finds the route of `/a`.
    #[schemars(extend("x-applies" = "live"))]
    pub delete_uri_tail_slash: bool,
    /// Whether `;parameters` of path segments are dropped before matching, as servlet containers do. The upstream still gets
    /// the path as the client sent it.
    #[schemars(extend("x-applies" = "live"))]
    pub normalize_uri_like_servlet: bool,
    /// Whether `%2F` in the path stays encoded for matching, so that it is no separator.
    #[schemars(extend("x-applies" = "live"))]
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
    #[schemars(extend("x-applies" = "restart"))]
    pub keepalive_pool_size: usize,
    /// A file with the authorities, in PEM, that may have issued the certificates of nodes; in place of those of the system. An
    /// upstream may name its own in `tls.ca_certs`. Secret managers are verified by them and by those of the system.
    #[schemars(extend("x-applies" = "restart"))]
    pub ca_file: Option<PathBuf>,
    /// How names of nodes are resolved.
    pub dns: Dns,
    /// What answers may not exceed.
    pub limits: UpstreamLimits,
    /// Directories that Unix sockets of nodes (`unix:/run/apps/a.sock`) may be in, and below. Empty: no node is a Unix socket.
    /// Whoever may write documents reaches all sockets in there that the gateway's user may connect to.
    #[schemars(extend("x-applies" = "restart"))]
    pub unix_sockets: Vec<PathBuf>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            keepalive_pool_size: 320,
            ca_file: None,
            dns: Dns::default(),
            limits: UpstreamLimits::default(),
            unix_sockets: Vec::new(),
        }
    }
}

/// What an answer of an upstream may not exceed. Above it the client gets 502, and the connection to the node is closed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamLimits {
    /// Bytes of all header fields of an answer together.
    #[schemars(range(min = 1024, max = 1_048_576))]
    #[schemars(extend("x-applies" = "live"))]
    pub header_bytes: usize,
    /// Number of header fields of an answer.
    #[schemars(range(min = 1, max = 256))]
    #[schemars(extend("x-applies" = "live"))]
    pub header_count: usize,
    /// Interim answers (1xx) before the answer.
    #[schemars(range(min = 1, max = 1000))]
    #[schemars(extend("x-applies" = "live"))]
    pub interim_responses: u32,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            header_bytes: 65536,
            header_count: 200,
            interim_responses: 16,
        }
    }
}

/// How names of nodes are resolved.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name servers: IP addresses, with a port when it is not 53. Empty for those of /etc/resolv.conf.
    #[schemars(extend("x-applies" = "live"))]
    pub servers: NameServers,
}

/// How the gateway stops.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Seconds that requests in flight get to finish after SIGTERM; fractions are allowed.
    #[schemars(extend("x-applies" = "live"))]
    pub drain_timeout: Seconds,
    /// Seconds between the moment when `/status/ready` says no and the end of accepting connections: load balancers that ask it
    /// send their requests elsewhere meanwhile. A second signal ends the wait. Fractions are allowed.
    #[schemars(range(max = 3600))]
    #[schemars(extend("x-applies" = "live"))]
    pub readiness_delay: Seconds,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            drain_timeout: Seconds(Duration::from_secs(30)),
            readiness_delay: Seconds(Duration::ZERO),
        }
    }
}
