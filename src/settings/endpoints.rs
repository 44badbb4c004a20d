//! Settings of the endpoints beside the traffic: Admin API, control API, metrics.

use super::value::{Address, HeaderText, Networks, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn loopback(port: u16) -> Address {
    Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The Admin API.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Whether there is an Admin API.
    #[schemars(extend("x-applies" = "restart"))]
    pub enabled: bool,
    /// IP address and port. It stays on the loopback interface until you say otherwise.
    #[schemars(extend("x-applies" = "restart"))]
    pub listen: Address,
    /// The key of an administrator, sent by clients as `X-API-KEY`. When neither this nor `admin.keys` is set, a random key is
    /// made at the first start and kept in `admin.key` in the data directory.
    #[schemars(extend("x-applies" = "live"))]
    pub key: Option<Secret>,
    /// Further keys, each with a name and a role.
    #[schemars(extend("x-applies" = "live"))]
    pub keys: Vec<AdminKey>,
    /// IP addresses and networks that may use the Admin API, in addition to having a key. An empty list admits every address.
    #[schemars(extend("x-applies" = "live"))]
    pub allow: Networks,
    /// Whether browsers on other origins may use the Admin API (CORS headers, answers to `OPTIONS`).
    #[schemars(extend("x-applies" = "live"))]
    pub cors: bool,
    /// Bytes of a request body. Above it the answer is 400.
    #[schemars(range(min = 1024, max = 1_073_741_824_u64))]
    #[schemars(extend("x-applies" = "live"))]
    pub max_body_size: usize,
    /// The `Server` header of the Admin API. Command line clients of APISIX read a version from it and choose by it what they
    /// send.
    #[schemars(extend("x-applies" = "live"))]
    pub server_header: HeaderText,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: loopback(9180),
            key: None,
            keys: Vec::new(),
            allow: Networks::loopback(),
            cors: true,
            max_body_size: 1_572_864,
            server_header: HeaderText::from_static("APISIX/3.18.0"),
        }
    }
}

impl Admin {
    /// Whether a client at this address may speak to the Admin API.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.contains(address)
    }
}

/// A key of the Admin API.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminKey {
    /// Who uses it; appears in logs.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key: visible ASCII characters.
    pub key: Secret,
    /// What it allows.
    pub role: Role,
}

/// What a key of the Admin API allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Reading only.
    Viewer,
}

/// The control API: status, health, explanations. It asks for no key.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// IP address and port. Whoever reaches it needs no key: leave it on the loopback interface.
    #[schemars(extend("x-applies" = "restart"))]
    pub listen: Address,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            listen: loopback(9090),
        }
    }
}

/// The endpoint that Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// IP address and port.
    #[schemars(extend("x-applies" = "restart"))]
    pub listen: Address,
    /// Path of the endpoint.
    #[schemars(regex(pattern = r"^/[!-~]*$"))]
    #[schemars(extend("x-applies" = "restart"))]
    pub path: String,
    /// What the names of the gateway's metrics begin with. With the default, dashboards made for APISIX work.
    #[schemars(regex(pattern = r"^([a-zA-Z_:][a-zA-Z0-9_:]*)?$"))]
    #[schemars(extend("x-applies" = "restart"))]
    pub prefix: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: loopback(9091),
            path: "/apisix/prometheus/metrics".to_owned(),
            prefix: "apisix_".to_owned(),
        }
    }
}
