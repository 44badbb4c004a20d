//! Configuration of `referer-restriction`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Admits or refuses by the host in the Referer. Exactly one of `whitelist` and `blacklist` must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether a request without a Referer passes, or with one that is no http or https URI.
    #[serde(default)]
    pub bypass_missing: bool,
    /// Hosts that are admitted; all others are refused. A `*` at the beginning stands for anything.
    #[schemars(length(min = 1), inner(regex(pattern = r"^\*?[0-9a-zA-Z-._\[\]:]+$")))]
    pub whitelist: Option<Vec<String>>,
    /// Hosts that are refused; all others are admitted. A `*` at the beginning stands for anything.
    #[schemars(length(min = 1), inner(regex(pattern = r"^\*?[0-9a-zA-Z-._\[\]:]+$")))]
    pub blacklist: Option<Vec<String>>,
    /// Message of a refusal.
    #[serde(default = "message")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
}

fn message() -> String {
    "Your referer host is not allowed".to_owned()
}
