//! Configuration of `ip-restriction`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Admits or refuses by the client's address. On a stream route the connection of who is refused is closed: `message` and
/// `response_code` have no effect there. Exactly one of `whitelist` and `blacklist` must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses and networks that are admitted; all others are refused.
    #[schemars(length(min = 1))]
    pub whitelist: Option<Vec<String>>,
    /// Addresses and networks that are refused; all others are admitted.
    #[schemars(length(min = 1))]
    pub blacklist: Option<Vec<String>>,
    /// Message of a refusal.
    #[serde(default = "message")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
    /// Status of a refusal.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 403, max = 404))]
    pub response_code: u16,
}

fn message() -> String {
    "Your IP address is not allowed".to_owned()
}

fn forbidden() -> u16 {
    403
}
