//! Configuration of `proxy-control`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Taken without effect: request bodies are always sent on as they come, which is what `request_buffering: false` asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether the whole body would be read before the upstream gets any of it. It never is, unless another plugin reads it.
    #[serde(default = "yes")]
    pub request_buffering: bool,
}

fn yes() -> bool {
    true
}
