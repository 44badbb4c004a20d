//! Configuration of `ldap-auth`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Asks for a user name and a password (RFC 7617) that a directory accepts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the users stand in the directory, e.g. `ou=users,dc=example,dc=org`.
    #[schemars(length(min = 1))]
    pub base_dn: String,
    /// Host and port of the directory. Without a port 389 is taken, 636 with `use_tls`.
    #[schemars(length(min = 1))]
    pub ldap_uri: String,
    /// Whether TLS is spoken from the first byte on (`ldaps`).
    #[serde(default)]
    pub use_tls: bool,
    /// Whether the directory's certificate must be valid. Without it anybody on the way can read passwords.
    #[serde(default)]
    pub tls_verify: bool,
    /// Attribute that holds the user name.
    #[serde(default = "cn")]
    #[schemars(length(min = 1))]
    pub uid: String,
    /// Whether `Authorization` is kept from the upstream.
    #[serde(default)]
    pub hide_credentials: bool,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
}

/// The user of the directory that a consumer is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Distinguished name, in the form `<uid>=<user name>,<base_dn>`; unique among all consumers.
    #[schemars(length(min = 1))]
    pub user_dn: String,
}

fn cn() -> String {
    "cn".to_owned()
}

fn realm() -> String {
    "ldap".to_owned()
}
