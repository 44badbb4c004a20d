//! Crossway, an API gateway.
pub mod chain;
pub mod store;
