//! Configuration of `hmac-auth`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a signature over parts of the request, made with a secret of a consumer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Algorithms that a request may name.
    #[serde(default = "every_algorithm")]
    #[schemars(length(min = 1))]
    pub allowed_algorithms: Vec<Algorithm>,
    /// Seconds by which `Date`, or `X-Date` where that is absent, may differ from the gateway's clock.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1))]
    pub clock_skew: u32,
    /// Names that the request's `headers` must list, in this spelling. Without `date` among them, a signature is good for ever:
    /// the time it is judged by could be anybody's.
    #[serde(default = "date")]
    #[schemars(inner(length(min = 1, max = 50)))]
    pub signed_headers: Vec<String>,
    /// Whether `Digest` must be there and be `SHA-256=` with the Base64 of the body's hash. The digest protects the body only
    /// where `digest` is among the signed headers.
    #[serde(default)]
    pub validate_request_body: bool,
    /// Largest body, in bytes, that is read for `validate_request_body`. A larger one gets 413.
    #[serde(default = "sixty_four_mebibytes")]
    #[schemars(range(min = 1))]
    pub max_req_body_size: u64,
    /// Whether `Authorization` is kept from the upstream.
    #[serde(default)]
    pub hide_credentials: bool,
    /// User name of the consumer that stands in for clients without a valid signature. Without it they get a 401.
    #[schemars(length(min = 1))]
    pub anonymous_consumer: Option<String>,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
}

/// A hash function for the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// SHA-1.
    #[serde(rename = "hmac-sha1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// SHA-512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

impl Algorithm {
    /// The algorithm that a request names.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "hmac-sha1" => Some(Self::Sha1),
            "hmac-sha256" => Some(Self::Sha256),
            "hmac-sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// A key of a consumer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Name of the key, as `keyId` says it; unique among all consumers.
    #[schemars(length(min = 1, max = 256))]
    pub key_id: String,
    /// The secret that signatures are made with.
    #[schemars(length(min = 1, max = 256))]
    pub secret_key: String,
}

fn every_algorithm() -> Vec<Algorithm> {
    vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]
}

fn five_minutes() -> u32 {
    300
}

fn date() -> Vec<String> {
    vec!["date".to_owned()]
}

fn sixty_four_mebibytes() -> u64 {
    64 * 1024 * 1024
}

fn realm() -> String {
    "hmac".to_owned()
}
