//! Configuration of `syslog`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sends entries to a syslog server, in the format of RFC 5424.
///
/// On a stream route there is an entry for each session, with the fields of `log_format`; without `log_format`, here or in
/// the metadata, there are no entries of sessions. What is said of bodies is for requests alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name or address of the server.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// How it is spoken to.
    #[serde(default)]
    pub(super) sock_type: SockType,
    /// Whether TLS is spoken over TCP. The server's certificate is not verified.
    #[serde(default)]
    pub(super) tls: bool,
    /// Bytes that are collected before they are sent. A batch is always sent whole, so this changes nothing.
    #[serde(default = "flush_limit")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "a batch is sent whole")]
    flush_limit: usize,
    /// Bytes of a message at most; a longer one is dropped.
    #[serde(default = "drop_limit")]
    pub(super) drop_limit: usize,
    /// Milliseconds in which a connection has to be there, and messages to be written.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Connections that are kept for later.
    #[serde(default = "pool_size")]
    #[schemars(range(min = 5))]
    pub(super) pool_size: usize,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) bodies: BodyConfig,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

/// How a syslog server is spoken to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SockType {
    /// By TCP, messages one after another, each ended by a line feed (RFC 6587 §3.4.2).
    #[default]
    Tcp,
    /// By UDP, a datagram for each message (RFC 5426).
    Udp,
}

fn flush_limit() -> usize {
    4096
}

fn drop_limit() -> usize {
    1_048_576
}

fn timeout() -> u64 {
    3000
}

fn pool_size() -> usize {
    5
}
