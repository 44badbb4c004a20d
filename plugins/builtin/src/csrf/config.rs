//! Configuration of `csrf`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Lets requests that change something pass only with a token that the gateway handed out, both in a cookie and in a header.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The secret that tokens are signed with.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Seconds for which a token is valid; 0 for ever.
    #[serde(default = "two_hours")]
    pub expires: i64,
    /// Name of the cookie and of the header.
    #[serde(default = "name")]
    pub name: String,
}

fn two_hours() -> i64 {
    7200
}

fn name() -> String {
    "apisix-csrf-token".to_owned()
}
