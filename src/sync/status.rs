//! How the configuration stands, for readiness, the control API and metrics.

use serde::Serialize;
use std::time::SystemTime;

/// How the configuration stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Whether a configuration serves at all.
    pub ready: bool,
    /// Revision of the store up to which changes were looked at.
    pub seen: u64,
    /// Revision of the configuration that serves.
    pub serving: u64,
    /// When it was swapped in.
    pub since: Option<SystemTime>,
    /// The last change that was refused. It stays here after later changes were taken.
    pub refused: Option<Refused>,
    /// How many documents were refused since the start.
    pub refused_total: u64,
    /// Why the store cannot be followed at the moment.
    pub store_error: Option<String>,
}

/// A change that was refused.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Revision that brought it.
    pub revision: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Which documents, and why: at most the first 20.
    pub problems: Vec<RefusedDocument>,
    /// Whether the document's last good form serves (`false`: it was new and does not serve at all, or the whole change was refused).
    pub serving_older: bool,
}

/// One document of a refused change.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedDocument {
    /// Key below the prefix, e.g. `routes/1`.
    pub key: String,
    /// JSON pointer.
    pub path: String,
    /// Why.
    pub error: String,
}
