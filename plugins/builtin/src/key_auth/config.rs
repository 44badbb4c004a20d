//! Configuration of `key-auth`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Asks for an API key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Header that carries the key.
    #[serde(default = "apikey")]
    pub header: String,
    /// Argument of the query that carries the key, looked at when the header is absent.
    #[serde(default = "apikey")]
    pub query: String,
    /// Whether the key is kept from the upstream.
    #[serde(default)]
    pub hide_credentials: bool,
    /// User name of the consumer that stands in for clients without a valid key. Without it they get a 401.
    #[schemars(length(min = 1))]
    pub anonymous_consumer: Option<String>,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
}

/// A key of a consumer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The key; unique among all consumers.
    #[schemars(length(min = 1))]
    pub key: String,
}

fn apikey() -> String {
    "apikey".to_owned()
}

fn realm() -> String {
    "key".to_owned()
}
