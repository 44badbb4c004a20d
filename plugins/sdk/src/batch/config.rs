//! The attributes of a queue.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Entries that may be pending unless the metadata says otherwise.
pub const DEFAULT_MAX_PENDING_ENTRIES: usize = 8192;

/// Bytes that may be pending in the queues of one plugin, whatever the number of entries.
pub const MAX_PENDING_BYTES: usize = 64 * 1024 * 1024;

/// No time of a queue is longer than 30 days.
const LONGEST: u64 = 30 * 24 * 3600;

/// How entries are collected and sent. Flatten it into the configuration of a plugin.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct BatchConfig {
    /// Name of the queue in metrics and in the log.
    pub name: Option<String>,
    /// Entries in a batch at most; 1 sends each at once.
    #[serde(default = "batch_max_size")]
    #[schemars(range(min = 1))]
    pub batch_max_size: usize,
    /// Seconds after which what was collected is sent when no further entry came.
    #[serde(default = "inactive_timeout")]
    #[schemars(range(min = 1))]
    pub inactive_timeout: u64,
    /// Seconds that an entry waits at most before it is sent.
    #[serde(default = "buffer_duration")]
    #[schemars(range(min = 1))]
    pub buffer_duration: u64,
    /// Times that a batch is tried again before it is dropped; 0 drops it on the first failure.
    #[serde(default)]
    pub max_retry_count: u32,
    /// Seconds between tries.
    #[serde(default = "retry_delay")]
    pub retry_delay: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            name: None,
            batch_max_size: batch_max_size(),
            inactive_timeout: inactive_timeout(),
            buffer_duration: buffer_duration(),
            max_retry_count: 0,
            retry_delay: retry_delay(),
        }
    }
}

fn batch_max_size() -> usize {
    1000
}

fn inactive_timeout() -> u64 {
    5
}

fn buffer_duration() -> u64 {
    60
}

fn retry_delay() -> u64 {
    1
}

/// What the metadata of a plugin says of its queues. Flatten it into the metadata of a plugin.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct BatchMetadata {
    /// Entries that may be pending in all queues of the plugin together; further ones are dropped. 8192 by default.
    #[schemars(range(min = 1))]
    pub max_pending_entries: Option<usize>,
}

/// `max_pending_entries` of a metadata document, else the default.
pub(super) fn max_pending_entries(metadata: Option<&Value>) -> usize {
    metadata
        .and_then(|m| m.get("max_pending_entries")?.as_u64())
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(DEFAULT_MAX_PENDING_ENTRIES)
}

/// The attributes, in the units in which they are used.
pub(super) struct Limits {
    pub(super) batch_max_size: usize,
    pub(super) inactive_timeout: Duration,
    pub(super) buffer_duration: Duration,
    pub(super) max_retry_count: u32,
    pub(super) retry_delay: Duration,
    pub(super) max_pending_entries: usize,
}

impl Limits {
    pub(super) fn new(config: &BatchConfig, max_pending_entries: usize) -> Self {
        let seconds = |n: u64| Duration::from_secs(n.min(LONGEST));
        Self {
            batch_max_size: config.batch_max_size.max(1),
            inactive_timeout: seconds(config.inactive_timeout),
            buffer_duration: seconds(config.buffer_duration),
            max_retry_count: config.max_retry_count,
            retry_delay: seconds(config.retry_delay),
            max_pending_entries,
        }
    }
}
