//! Metadata of `error-log-logger`.

use crate::kafka_logger::{Broker, ProducerType};
use crossway_sdk::batch::{BatchConfig, BatchMetadata};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ships the gateway's own log. It is told what to do by its metadata alone; a place of use has nothing to say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Where lines of the gateway's own log go. Exactly one of `tcp`, `kafka`, `clickhouse`, `skywalking`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    /// A TCP server.
    pub(super) tcp: Option<TcpConfig>,
    /// A topic of Kafka.
    pub(super) kafka: Option<KafkaConfig>,
    /// A table of ClickHouse.
    pub(super) clickhouse: Option<ClickhouseConfig>,
    /// Apache SkyWalking.
    pub(super) skywalking: Option<SkywalkingConfig>,
    /// The least severe lines that go. `STDERR`, `EMERG`, `ALERT`, `CRIT`, `ERR` and `ERROR` all mean errors; `NOTICE` means `INFO`.
    #[serde(default)]
    pub(super) level: Level,
    /// Seconds within which a batch has to be taken.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Seconds after which an idle connection is closed.
    #[serde(default = "keepalive")]
    #[schemars(range(min = 1))]
    pub(super) keepalive: u64,
    /// Name of the queue in metrics and in the log.
    pub(super) name: Option<String>,
    /// Lines in a batch at most.
    #[serde(default = "batch_max_size")]
    #[schemars(range(min = 0))]
    pub(super) batch_max_size: usize,
    /// Seconds after which what was collected is sent when no further line came.
    #[serde(default = "inactive_timeout")]
    #[schemars(range(min = 1))]
    pub(super) inactive_timeout: u64,
    /// Seconds that a line waits at most before it is sent.
    #[serde(default = "buffer_duration")]
    #[schemars(range(min = 1))]
    pub(super) buffer_duration: u64,
    /// Times that a batch is tried again before it is dropped.
    #[serde(default)]
    pub(super) max_retry_count: u32,
    /// Seconds between tries.
    #[serde(default = "retry_delay")]
    pub(super) retry_delay: u64,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the queue reads it")]
    pub(super) batch: BatchMetadata,
}

impl Metadata {
    pub(super) fn batch(&self) -> BatchConfig {
        BatchConfig {
            name: self.name.clone(),
            batch_max_size: self.batch_max_size.max(1),
            inactive_timeout: self.inactive_timeout,
            buffer_duration: self.buffer_duration,
            max_retry_count: self.max_retry_count,
            retry_delay: self.retry_delay,
        }
    }
}

/// A TCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpConfig {
    /// Its name or address.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Whether TLS is spoken. The server's certificate is not verified.
    #[serde(default)]
    pub(super) tls: bool,
    /// The name to ask for in TLS; by default `host`.
    pub(super) tls_server_name: Option<String>,
}

/// A topic of Kafka.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaConfig {
    /// Brokers to begin with; they tell of the others.
    #[schemars(length(min = 1))]
    pub(super) brokers: Vec<Broker>,
    /// The topic.
    #[schemars(length(min = 1))]
    pub(super) kafka_topic: String,
    /// Whether the gateway waits for the brokers; requests do not.
    #[serde(default)]
    #[expect(dead_code, reason = "both are the same here")]
    producer_type: ProducerType,
    /// Acknowledgements that are waited for: -1 for those of all replicas in sync. 1 gets those of all too.
    #[serde(default = "one")]
    #[schemars(extend("enum" = [1, -1]))]
    #[expect(dead_code, reason = "all replicas are waited for")]
    required_acks: i32,
    /// Key of messages.
    pub(super) key: Option<String>,
    /// Tells producers of several clusters apart in APISIX; not needed here.
    #[serde(default = "one_cluster")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is one producer")]
    cluster_name: u32,
    /// Seconds between refreshes of the metadata in APISIX. Here it is refreshed when it is out of date.
    #[serde(default = "meta_refresh_interval")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "refreshed when it is out of date")]
    meta_refresh_interval: u32,
    /// Version of the produce request in APISIX. Here the newest that both sides know is used.
    #[serde(default = "one_cluster")]
    #[schemars(range(min = 0, max = 2))]
    #[expect(dead_code, reason = "negotiated with the broker")]
    api_version: u32,
    /// Speaks TLS with the brokers.
    pub(super) tls: Option<crate::kafka_logger::Tls>,
}

/// A table of ClickHouse.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickhouseConfig {
    /// Address of the server.
    #[serde(default = "clickhouse_addr")]
    pub(super) endpoint_addr: String,
    /// The user.
    #[serde(default = "clickhouse_user")]
    pub(super) user: String,
    /// The password.
    #[serde(default)]
    pub(super) password: String,
    /// The database.
    #[serde(default)]
    pub(super) database: String,
    /// The table, with a column `data`.
    #[serde(default)]
    pub(super) logtable: String,
}

/// Apache SkyWalking.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkywalkingConfig {
    /// Address of the API for logs.
    #[serde(default = "skywalking_addr")]
    pub(super) endpoint_addr: String,
    /// Name of the service.
    #[serde(default = "service_name")]
    pub(super) service_name: String,
    /// Name of this instance; `$hostname` for that of the machine.
    #[serde(default = "service_instance_name")]
    pub(super) service_instance_name: String,
}

/// Levels of nginx.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are the levels of that name")]
pub enum Level {
    Stderr,
    Emerg,
    Alert,
    Crit,
    Err,
    Error,
    #[default]
    Warn,
    Notice,
    Info,
    Debug,
}

fn timeout() -> u64 {
    3
}

fn keepalive() -> u64 {
    30
}

fn batch_max_size() -> usize {
    1000
}

fn inactive_timeout() -> u64 {
    3
}

fn buffer_duration() -> u64 {
    60
}

fn retry_delay() -> u64 {
    1
}

fn one() -> i32 {
    1
}

fn one_cluster() -> u32 {
    1
}

fn meta_refresh_interval() -> u32 {
    30
}

fn clickhouse_addr() -> String {
    "http://127.0.0.1:8123".to_owned()
}

fn clickhouse_user() -> String {
    "default".to_owned()
}

fn skywalking_addr() -> String {
    "http://127.0.0.1:12900/v3/logs".to_owned()
}

fn service_name() -> String {
    "APISIX".to_owned()
}

fn service_instance_name() -> String {
    "APISIX Instance Name".to_owned()
}
