//! Configuration of `kafka-logger`.

use crate::logger::{BodyConfig, FormatConfig};
use crossway_sdk::batch::BatchConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sends entries to a topic of Kafka.
///
/// Either `brokers` or `broker_list`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Brokers to begin with; they tell of the others.
    #[schemars(length(min = 1))]
    pub(super) brokers: Option<Vec<Broker>>,
    /// Brokers as an object from host to port; an older spelling.
    pub(super) broker_list: Option<BTreeMap<String, u16>>,
    /// The topic.
    #[schemars(length(min = 1))]
    pub(super) kafka_topic: String,
    /// Key of messages: those with one key go to one partition. Without it, partitions take turns.
    pub(super) key: Option<String>,
    /// Whether the gateway waits for the brokers. Either way requests do not, and a batch is done when it was acknowledged.
    #[serde(default)]
    #[expect(dead_code, reason = "both are the same here")]
    producer_type: ProducerType,
    /// Acknowledgements that are waited for: -1 for those of all replicas in sync. 1, that of the leader, gets those of all too.
    #[serde(default = "one")]
    #[schemars(extend("enum" = [1, -1]))]
    #[expect(dead_code, reason = "all replicas are waited for")]
    required_acks: i32,
    /// Seconds within which a batch has to be acknowledged.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// `default` for entries in JSON, `origin` for the head of the request as it came.
    #[serde(default)]
    pub(super) meta_format: MetaFormat,
    /// Speaks TLS with the brokers.
    pub(super) tls: Option<Tls>,
    /// Tells producers of several clusters apart in APISIX; not needed here.
    #[serde(default = "one_cluster")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "each place of use has a producer of its own")]
    cluster_name: u32,
    /// Messages that APISIX's producer sends at once. A batch is one message here and there.
    #[serde(default = "producer_batch_num")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is no second buffer behind the queue")]
    producer_batch_num: u32,
    /// Bytes that APISIX's producer sends at once.
    #[serde(default = "producer_batch_size")]
    #[schemars(range(min = 0))]
    #[expect(dead_code, reason = "there is no second buffer behind the queue")]
    producer_batch_size: u32,
    /// Messages that APISIX's producer keeps.
    #[serde(default = "producer_max_buffering")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is no second buffer behind the queue")]
    producer_max_buffering: u32,
    /// Seconds that APISIX's producer collects for.
    #[serde(default = "producer_time_linger")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "there is no second buffer behind the queue")]
    producer_time_linger: u32,
    /// Seconds between refreshes of the metadata in APISIX. Here it is refreshed when a broker says that it is out of date.
    #[serde(default = "meta_refresh_interval")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "refreshed when it is out of date")]
    meta_refresh_interval: u32,
    /// Version of the produce request in APISIX. Here the newest that both sides know is used.
    #[serde(default = "one_version")]
    #[schemars(range(min = 0, max = 2))]
    #[expect(dead_code, reason = "negotiated with the broker")]
    api_version: u32,
    #[serde(flatten)]
    pub(super) format: FormatConfig,
    #[serde(flatten)]
    pub(super) bodies: BodyConfig,
    #[serde(flatten)]
    pub(super) batch: BatchConfig,
}

/// A broker.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Broker {
    /// Its name or address.
    #[schemars(length(min = 1))]
    pub(super) host: String,
    /// Its port.
    #[schemars(range(min = 1))]
    pub(super) port: u16,
    /// How to log in; the same for all brokers.
    pub(super) sasl_config: Option<Sasl>,
}

/// How to log in.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sasl {
    /// The mechanism.
    #[serde(default)]
    pub(super) mechanism: Mechanism,
    /// The user.
    pub(super) user: String,
    /// The password.
    pub(super) password: String,
}

/// A mechanism of SASL.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(super) enum Mechanism {
    /// The password itself.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A proof of the password, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// TLS with the brokers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Whether certificates of brokers are verified.
    #[serde(default)]
    pub(crate) verify: bool,
}

/// Whether the gateway waits for the brokers.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProducerType {
    /// It does not.
    #[default]
    Async,
    /// It does.
    Sync,
}

/// What a message holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MetaFormat {
    /// The entry in JSON.
    #[default]
    Default,
    /// The head of the request, and its body where it is included.
    Origin,
}

fn one() -> i32 {
    1
}

fn timeout() -> u64 {
    3
}

fn one_cluster() -> u32 {
    1
}

fn producer_batch_num() -> u32 {
    200
}

fn producer_batch_size() -> u32 {
    1_048_576
}

fn producer_max_buffering() -> u32 {
    50_000
}

fn producer_time_linger() -> u32 {
    1
}

fn meta_refresh_interval() -> u32 {
    30
}

fn one_version() -> u32 {
    1
}
