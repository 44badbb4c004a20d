//! A queue between requests and a service that takes what they leave behind, such as log entries: the batch processor of
//! APISIX, with its attributes and their meaning.
//!
//! Pushing never waits: when too much is pending the entry is dropped and counted. Entries are collected until there are
//! `batch_max_size` of them, or none came for `inactive_timeout`, or the first has waited for `buffer_duration`. A batch
//! that the service does not take is tried again `max_retry_count` times and then dropped and counted.
//!
//! A queue belongs to one instance of a plugin: edits elsewhere leave it alone, and when its own configuration changes,
//! what it holds is sent at once to where it was meant to go. So it is when the process is told to end.

mod config;
mod metrics;
mod pending;
mod queue;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod worker;

pub use config::{BatchConfig, BatchMetadata, DEFAULT_MAX_PENDING_ENTRIES, MAX_PENDING_BYTES};
pub use queue::{Origin, Queue};

use std::future::Future;

/// Where batches go.
pub trait Sink: Send + Sync + 'static {
    /// What is collected.
    type Entry: Send + Sync + 'static;

    /// Batches that may be on their way at once.
    const PARALLEL: usize = 4;

    /// The memory that an entry takes, in bytes. Always the same for the same entry.
    fn weight(entry: &Self::Entry) -> usize;

    /// Delivers a batch, which is never empty, within a time of its own.
    ///
    /// # Errors
    /// Not all of it was taken. The text goes to the log.
    fn send(&self, batch: &[Self::Entry]) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// A batch was not taken whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SinkError {
    /// Entries at the beginning of the batch that were taken and are not sent again.
    pub taken: usize,
    /// Why; without secrets.
    pub reason: String,
}

impl SinkError {
    /// None of it was taken.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self {
            taken: 0,
            reason: reason.to_string(),
        }
    }
}
