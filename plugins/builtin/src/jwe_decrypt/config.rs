//! Configuration of `jwe-decrypt`.

use ring::aead::LessSafeKey;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::OnceLock;

/// Decrypts a token (RFC 7516, `dir` with `A256GCM`) and hands what is in it to the upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Header that carries the token, with or without `Bearer` before it.
    #[serde(default = "authorization")]
    pub header: String,
    /// Header in which the upstream gets what was decrypted.
    #[serde(default = "authorization")]
    pub forward_header: String,
    /// Whether a request without a token is refused with 403. Else it goes on, without `forward_header`.
    #[serde(default = "yes")]
    pub strict: bool,
}

/// What a consumer's tokens are decrypted with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Name of the key, as `kid` in a token's header says it; unique among all consumers.
    #[schemars(length(min = 1))]
    pub key: String,
    /// The key: 32 bytes, as they are or in Base64.
    pub secret: String,
    /// Whether `secret` is written in Base64.
    #[serde(default)]
    pub is_base64_encoded: bool,
    #[serde(skip)]
    pub(super) cipher: OnceLock<LessSafeKey>,
}

fn authorization() -> String {
    "Authorization".to_owned()
}

fn yes() -> bool {
    true
}
