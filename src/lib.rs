//! Crossway, an API gateway.
pub mod chain;
pub mod matcher;
pub mod model;
pub mod store;
pub mod upstream;
