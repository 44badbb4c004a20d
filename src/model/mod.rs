//! Resources as data: what a document of each kind may say, and what it says once its defaults are
//! filled in. Pure functions over JSON; nothing here does I/O, keeps state or knows the proxy.
//!
//! [`kind`] is the table from which generic CRUD follows. A document goes through [`check()`] (schema,
//! then the rules between fields) and then [`decode()`] (the typed model of its kind). Whatever passes
//! the check decodes.

pub mod check;
pub mod consumer;
pub mod consumer_group;
pub mod credential;
pub mod decode;
pub mod global_rule;
pub mod health;
pub mod id;
pub mod key;
pub mod kind;
pub mod node;
pub mod plugin_config;
pub mod plugin_metadata;
pub mod problem;
pub mod proto;
pub mod references;
pub mod route;
pub mod schema;
pub mod secret;
pub mod secret_reference;
pub mod service;
pub mod ssl;
pub mod status;
pub mod stream_route;
pub mod timeout;
pub mod upstream;

mod lua;
mod number;
mod pem;
mod source;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

pub use check::{check, check_all, checked};
pub use consumer::Consumer;
pub use consumer_group::ConsumerGroup;
pub use credential::Credential;
pub use decode::decode;
pub use global_rule::GlobalRule;
pub use health::Checks;
pub use id::{Id, IdError};
pub use key::{KeyError, ResourceKey};
pub use kind::{IdShape, Kind, Verbs};
pub use lua::unknown_plugin;
pub use node::Node;
pub use plugin_config::PluginConfig;
pub use plugin_metadata::PluginMetadata;
pub use problem::Problem;
pub use proto::Proto;
pub use references::{Reference, references};
pub use route::Route;
pub use secret::Secret;
pub use secret_reference::{BadReference, SECRET_SSL, SECRET_TLS, SecretReference, secret_texts};
pub use service::Service;
pub use ssl::Ssl;
pub use status::Status;
pub use stream_route::StreamRoute;
pub use timeout::Timeout;
pub use upstream::Upstream;

/// Plugin configurations by plugin name. They are judged by the plugins themselves, not here.
pub type Plugins = BTreeMap<String, Arc<serde_json::Value>>;

/// Labels of a resource: key to value.
pub type Labels = BTreeMap<String, String>;
