//! What the gateway tells of itself: metrics, the access log, its own log. Nothing here may slow a request down or wait for
//! whoever reads it.

pub mod access_log;
pub mod host;
pub mod log;
pub mod metrics;
mod shard;
pub mod tap;

pub use access_log::AccessLog;
pub use metrics::Metrics;
