//! Crossway, an API gateway.
pub mod chain;
pub mod cli;
pub mod compile;
pub mod matcher;
pub mod model;
pub mod observe;
pub mod proxy;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod sync;
pub mod upstream;
