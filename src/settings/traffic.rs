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
    /// upstream may name its own in `tls.ca_certs`.
    #[schemars(extend("x-applies" = "restart"))]
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
