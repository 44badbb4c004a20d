//! The attributes that say how Redis is reached.

use crate::redis::{Address, Cluster, Endpoint, Kind, Secret, Sentinels, Server};
use crossway_sdk::build::{BuildCx, BuildError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How Redis is reached; used by the policies that keep counters there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct Redis {
    /// Address of the Redis server. Policy `redis` needs it.
    #[schemars(length(min = 2))]
    redis_host: Option<String>,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default = "port")]
    redis_port: u16,
    /// User name, where access control lists are in use; heeded when there is a password.
    #[schemars(length(min = 1))]
    redis_username: Option<String>,
    /// Password.
    redis_password: Option<Secret>,
    /// Number of the database. A cluster has one only.
    #[serde(default)]
    redis_database: u32,
    /// How long connecting, and how long an answer may take, in milliseconds; for `redis` and `redis-cluster`.
    #[schemars(range(min = 1))]
    #[serde(default = "one_second")]
    redis_timeout: u64,
    /// Whether to speak TLS.
    #[serde(default)]
    redis_ssl: bool,
    /// Whether to verify the server's certificate against the system's authorities.
    #[serde(default)]
    redis_ssl_verify: bool,
    /// Without effect: one connection carries all requests and stays open.
    #[expect(dead_code, reason = "there is nothing to keep or close")]
    #[schemars(range(min = 1))]
    #[serde(default = "ten_seconds")]
    redis_keepalive_timeout: u64,
    /// Without effect: one connection carries all requests.
    #[expect(dead_code, reason = "there is no pool")]
    #[schemars(range(min = 1))]
    #[serde(default = "hundred")]
    redis_keepalive_pool: u32,
    /// Addresses of cluster nodes, as `host:port`. Policy `redis-cluster` needs them.
    #[schemars(length(min = 1), inner(length(min = 2, max = 100)))]
    redis_cluster_nodes: Option<Vec<String>>,
    /// Name of the cluster. Policy `redis-cluster` needs it.
    redis_cluster_name: Option<String>,
    /// Whether to speak TLS with the cluster.
    #[serde(default)]
    redis_cluster_ssl: bool,
    /// Whether to verify the cluster's certificates against the system's authorities.
    #[serde(default)]
    redis_cluster_ssl_verify: bool,
    /// Addresses of the sentinels. Policy `redis-sentinel` needs them.
    #[schemars(length(min = 1))]
    redis_sentinels: Option<Vec<Sentinel>>,
    /// Name of the master that the sentinels watch. Policy `redis-sentinel` needs it.
    redis_master_name: Option<String>,
    /// Role of the server to use. Counters are written, so it must be `master`.
    #[serde(default)]
    redis_role: Role,
    /// How long connecting may take with `redis-sentinel`, in milliseconds.
    #[schemars(range(min = 1))]
    #[serde(default = "one_second")]
    redis_connect_timeout: u64,
    /// How long an answer may take with `redis-sentinel`, in milliseconds.
    #[schemars(range(min = 1))]
    #[serde(default = "one_second")]
    redis_read_timeout: u64,
    /// User name for the sentinels.
    sentinel_username: Option<String>,
    /// Password for the sentinels.
    sentinel_password: Option<Secret>,
}

/// One sentinel.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentinel {
    /// Its address.
    #[schemars(length(min = 2))]
    host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
}

/// Role of a server behind Sentinel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Role {
    /// Takes writes.
    #[default]
    Master,
    /// Follows a master.
    Slave,
}

impl Redis {
    /// One server.
    pub(super) fn server(&self, cx: &BuildCx<'_>) -> Result<Endpoint, BuildError> {
        let host = needed(&self.redis_host, "redis", "redis_host", cx)?;
        let timeout = Duration::from_millis(self.redis_timeout);
        self.endpoint(
            Kind::Server(Server {
                address: Address {
                    host: host.clone(),
                    port: self.redis_port,
                },
                tls: tls(self.redis_ssl, self.redis_ssl_verify),
                server_name: None,
            }),
            [timeout, timeout],
            cx,
        )
    }

    /// A cluster.
    pub(super) fn cluster(&self, cx: &BuildCx<'_>) -> Result<Endpoint, BuildError> {
        let policy = "redis-cluster";
        let nodes = needed(&self.redis_cluster_nodes, policy, "redis_cluster_nodes", cx)?;
        needed(&self.redis_cluster_name, policy, "redis_cluster_name", cx)?;
        if self.redis_database != 0 {
            return Err(cx.error("/redis_database", "a Redis cluster has database 0 only"));
        }
        let nodes = nodes.iter().enumerate().map(|(index, text)| {
            Address::parse(text).ok_or_else(|| {
                let path = format!("/redis_cluster_nodes/{index}");
                cx.error(path, format!("expected host:port, got {text:?}"))
            })
        });
        let timeout = Duration::from_millis(self.redis_timeout);
        self.endpoint(
            Kind::Cluster(Cluster {
                nodes: nodes.collect::<Result<_, _>>()?,
                tls: tls(self.redis_cluster_ssl, self.redis_cluster_ssl_verify),
            }),
            [timeout, timeout],
            cx,
        )
    }

    /// The master that sentinels name.
    pub(super) fn sentinel(&self, cx: &BuildCx<'_>) -> Result<Endpoint, BuildError> {
        let policy = "redis-sentinel";
        let sentinels = needed(&self.redis_sentinels, policy, "redis_sentinels", cx)?;
        let master = needed(&self.redis_master_name, policy, "redis_master_name", cx)?;
        if self.redis_role == Role::Slave {
            return Err(cx.error(
                "/redis_role",
                "counters are written, and a replica takes no writes: expected master",
            ));
        }
        let sentinels = sentinels.iter().map(|sentinel| Address {
            host: sentinel.host.clone(),
            port: sentinel.port,
        });
        let secret = self.sentinel_password.as_ref().and_then(Secret::reveal);
        self.endpoint(
            Kind::Sentinels(Sentinels {
                sentinels: sentinels.collect(),
                master: master.clone(),
                username: self.sentinel_username.clone(),
                password: secret.map(str::to_owned),
                tls: tls(self.redis_ssl, self.redis_ssl_verify),
            }),
            [
                Duration::from_millis(self.redis_connect_timeout),
                Duration::from_millis(self.redis_read_timeout),
            ],
            cx,
        )
    }

    fn endpoint(
        &self,
        kind: Kind,
        [connect_timeout, read_timeout]: [Duration; 2],
        cx: &BuildCx<'_>,
    ) -> Result<Endpoint, BuildError> {
        let password = self.redis_password.as_ref().and_then(Secret::reveal);
        let endpoint = Endpoint {
            kind,
            username: self.redis_username.clone().filter(|_| password.is_some()),
            password: password.map(str::to_owned),
            database: self.redis_database,
            connect_timeout,
            read_timeout,
        };
        endpoint.check().map_err(|e| cx.error("", e))?;
        Ok(endpoint)
    }
}

fn needed<'a, T>(
    value: &'a Option<T>,
    policy: &str,
    name: &str,
    cx: &BuildCx<'_>,
) -> Result<&'a T, BuildError> {
    value
        .as_ref()
        .ok_or_else(|| cx.error(format!("/{name}"), format!("policy {policy} needs {name}")))
}

/// `None` without TLS, else whether certificates are verified.
fn tls(ssl: bool, verify: bool) -> Option<bool> {
    ssl.then_some(verify)
}

fn port() -> u16 {
    6379
}

fn one_second() -> u64 {
    1000
}

fn ten_seconds() -> u64 {
    10_000
}

fn hundred() -> u32 {
    100
}
