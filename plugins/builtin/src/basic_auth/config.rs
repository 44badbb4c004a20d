//! Configuration of `basic-auth`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Asks for a user name and a password (RFC 7617).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether `Authorization` is kept from the upstream.
    #[serde(default)]
    pub hide_credentials: bool,
    /// User name of the consumer that stands in for clients without valid credentials. Without it they get a 401.
    #[schemars(length(min = 1))]
    pub anonymous_consumer: Option<String>,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
}

/// A user name and a password of a consumer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The user name, without a colon; unique among all consumers.
    #[schemars(length(min = 1))]
    pub username: String,
    /// The password.
    #[schemars(length(min = 1))]
    pub password: String,
}

fn realm() -> String {
    "basic".to_owned()
}
