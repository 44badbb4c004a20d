//! What a plugin for Crossway is written against.
//!
//! A plugin is one struct, one typed configuration and one `impl Plugin`. The gateway's own plugins depend on this
//! crate and on nothing else of Crossway, so they have no power that a third party's plugin lacks.
//!
//! ```
//! use crossway_sdk::prelude::*;
//!
//! /// Refuses requests that lack a header.
//! struct RequireHeader {
//!     name: http::HeaderName,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Header that must be present.
//!     name: String,
//! }
//!
//! #[phases]
//! impl Plugin for RequireHeader {
//!     const NAME: &'static str = "require-header";
//!     const PRIORITY: i32 = 50;
//!     type Config = Config;
//!
//!     fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
//!         let name = config.name.parse().map_err(|_| cx.error("/name", "not a header name"))?;
//!         Ok(Self { name })
//!     }
//!
//!     fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
//!         if ex.session.req_header().headers.contains_key(&self.name) {
//!             Step::next()
//!         } else {
//!             Step::respond(Reply::message(400, "missing header"))
//!         }
//!     }
//! }
//!
//! let registry = Registry::default().plugin(Definition::of::<RequireHeader>());
//! assert!(registry.is_ok());
//! ```

pub mod balance;
pub mod batch;
pub mod body;
pub mod build;
pub mod client;
pub mod consumer;
pub mod definition;
pub mod endpoint;
pub mod exchange;
pub mod expectation;
pub mod expr;
pub mod finish;
pub mod flow;
pub mod handshake;
pub mod nested;
pub mod plugin;
mod random_id;
pub mod rate_limiting;
pub mod relay;
pub mod request;
pub mod route;
pub mod schema;
pub mod shared;
pub mod slots;
pub mod stream;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
pub mod upstream;
pub mod variables;

pub use crossway_sdk_macros::phases;
pub use {
    async_trait, bytes, http, pingora_http, pingora_proxy, prometheus, schemars, serde, serde_json,
};

/// Everything a plugin's file usually names.
pub mod prelude {
    pub use crate::build::{BuildCx, BuildError};
    pub use crate::consumer::{Consumer, Credentials, Found};
    pub use crate::definition::{Definition, Registry};
    pub use crate::exchange::Exchange;
    pub use crate::flow::{Error, Flow, Reply, Step};
    pub use crate::nested::Nested;
    pub use crate::phases;
    pub use crate::plugin::{Authenticator, Phases, Plugin, Scopes};
    pub use crate::request::Request;
    pub use crate::stream::StreamExchange;
    pub use bytes::Bytes;
    pub use http;
    pub use pingora_http::{RequestHeader, ResponseHeader};
    pub use pingora_proxy::Session;
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
    pub use serde_json::Value;
}
