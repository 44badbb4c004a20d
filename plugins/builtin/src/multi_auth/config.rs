//! Configuration of `multi-auth`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Lets in whom one of several authenticators lets in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The authenticators in the order in which they are tried. Each is an object with one member: the plugin's name, and its
    /// configuration as it would stand on a route.
    #[schemars(length(min = 2))]
    pub auth_plugins: Vec<Map<String, Value>>,
}
