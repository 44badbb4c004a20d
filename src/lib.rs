//! Crossway, an API gateway on Cloudflare Pingora that takes the configuration of Apache APISIX as it is.
//!
//! A custom gateway is a `main.rs` of a few lines over [`Gateway`]. The rooms and floors of this crate are described in
//! `ARCHITECTURE.md`.

pub mod acme;
pub mod admin;
pub mod chain;
pub mod cli;
pub mod compile;
pub mod gateway;
pub mod listener;
pub mod matcher;
pub mod model;
pub mod observe;
pub mod proxy;
pub mod secret;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod stream;
pub mod sync;
pub mod tls;
pub mod upstream;

pub use gateway::Gateway;

/// Of every binary that links the gateway, also of a custom one: the system's allocator costs a request a fifth more.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: crossway_allocator::Mimalloc = crossway_allocator::Mimalloc;
