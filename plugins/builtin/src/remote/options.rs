//! How connections to a service are made and kept.

use crossway_sdk::client::ClientOptions;
use std::time::Duration;

/// The largest answer of a service that is read, in bytes.
pub(crate) const MOST: usize = 1024 * 1024;

/// The attributes that decide about connections.
pub(crate) struct Connections {
    /// Whether certificates must be valid.
    pub(crate) ssl_verify: bool,
    /// Whether connections are kept.
    pub(crate) keepalive: bool,
    /// For how long, in milliseconds.
    pub(crate) keepalive_timeout: u64,
    /// How many.
    pub(crate) keepalive_pool: usize,
}

impl From<Connections> for ClientOptions {
    fn from(given: Connections) -> Self {
        let mut options = Self::verifying(given.ssl_verify);
        options.idle_timeout = Some(Duration::from_millis(given.keepalive_timeout));
        options.idle_per_host = if given.keepalive {
            given.keepalive_pool
        } else {
            0
        };
        options
    }
}
