//! The configuration of shared counters. They are not available yet: what is written is judged, and then refused.

use crossway_sdk::build::{BuildCx, BuildError};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where counters live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Policy {
    /// In this process.
    #[default]
    Local,
    /// In one Redis server. Not available yet.
    Redis,
    /// In a Redis cluster. Not available yet.
    RedisCluster,
    /// In Redis behind Sentinel. Not available yet.
    RedisSentinel,
}

/// How Redis is reached; used by the policies that keep counters there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "read when counters can live in Redis")]
pub(crate) struct Redis {
    /// Address of the Redis server.
    redis_host: Option<String>,
    /// Its port. Default: 6379.
    #[schemars(range(min = 1, max = 65535))]
    redis_port: Option<u16>,
    /// User name, where access control lists are in use.
    redis_username: Option<String>,
    /// Password.
    redis_password: Option<String>,
    /// Number of the database. Default: 0.
    redis_database: Option<u32>,
    /// Timeout in milliseconds. Default: 1000.
    #[schemars(range(min = 1))]
    redis_timeout: Option<u64>,
    /// Whether to speak TLS. Default: false.
    redis_ssl: Option<bool>,
    /// Whether to verify the server's certificate. Default: false.
    redis_ssl_verify: Option<bool>,
    /// How long an idle connection is kept, in milliseconds. Default: 10000.
    #[schemars(range(min = 1))]
    redis_keepalive_timeout: Option<u64>,
    /// How many idle connections are kept. Default: 100.
    #[schemars(range(min = 1))]
    redis_keepalive_pool: Option<u32>,
    /// Addresses of cluster nodes.
    redis_cluster_nodes: Option<Vec<String>>,
    /// Name of the cluster.
    redis_cluster_name: Option<String>,
    /// Whether to speak TLS with the cluster. Default: false.
    redis_cluster_ssl: Option<bool>,
    /// Whether to verify the cluster's certificates. Default: false.
    redis_cluster_ssl_verify: Option<bool>,
    /// Addresses of the sentinels.
    redis_sentinels: Option<Vec<Sentinel>>,
    /// Name of the master that the sentinels watch.
    redis_master_name: Option<String>,
    /// Role of the server to use. Default: master.
    redis_role: Option<Role>,
    /// Timeout of connecting, in milliseconds. Default: 1000.
    #[schemars(range(min = 1))]
    redis_connect_timeout: Option<u64>,
    /// Timeout of reading, in milliseconds. Default: 1000.
    #[schemars(range(min = 1))]
    redis_read_timeout: Option<u64>,
    /// User name for the sentinels.
    sentinel_username: Option<String>,
    /// Password for the sentinels.
    sentinel_password: Option<String>,
}

/// One sentinel.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read when counters can live in Redis")]
pub(crate) struct Sentinel {
    /// Its address.
    #[schemars(length(min = 2))]
    host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
}

/// Role of a server behind Sentinel.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Role {
    /// Takes writes.
    Master,
    /// Follows a master.
    Slave,
}

/// Refuses every policy but `local`.
///
/// # Errors
/// Names the policy.
pub(crate) fn local_only(policy: Policy, cx: &BuildCx<'_>) -> Result<(), BuildError> {
    let name = match policy {
        Policy::Local => return Ok(()),
        Policy::Redis => "redis",
        Policy::RedisCluster => "redis-cluster",
        Policy::RedisSentinel => "redis-sentinel",
    };
    Err(cx.error(
        "/policy",
        format!("policy {name} is not available yet, expected local"),
    ))
}
