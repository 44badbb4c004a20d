//! Crossway, an API gateway.
pub mod chain;
pub mod cli;
pub mod matcher;
pub mod model;
pub mod observe;
pub mod settings;
pub mod store;
