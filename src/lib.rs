//! Crossway, an API gateway.
pub mod chain;
