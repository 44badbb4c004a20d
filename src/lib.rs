//! Crossway, an API gateway.
pub mod chain;
pub mod upstream;
