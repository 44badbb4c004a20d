//! Configuration of `jwt-auth`.

use super::verify::Verifier;
use jsonwebtoken::Algorithm as Signature;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Asks for a JSON Web Token (RFC 7519) that is signed for a consumer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Header that carries the token, with or without `Bearer` before it.
    #[serde(default = "header")]
    pub header: String,
    /// Argument of the query that carries the token, looked at when the header is absent.
    #[serde(default = "jwt")]
    pub query: String,
    /// Cookie that carries the token, looked at when header and argument are absent.
    #[serde(default = "jwt")]
    pub cookie: String,
    /// Claim that holds the credential's `key`.
    #[serde(default = "key")]
    #[schemars(length(min = 1))]
    pub key_claim_name: String,
    /// Whether the token is kept from the upstream.
    #[serde(default)]
    pub hide_credentials: bool,
    /// Whether the verified claims are kept for plugins that run later.
    #[serde(default)]
    pub store_in_ctx: bool,
    /// Claims that are checked against the clock when the token has them.
    #[serde(default = "every_claim")]
    #[schemars(extend("uniqueItems" = true))]
    pub claims_to_verify: Vec<Claim>,
    /// User name of the consumer that stands in for clients without a valid token. Without it they get a 401.
    #[schemars(length(min = 1))]
    pub anonymous_consumer: Option<String>,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "jwt")]
    pub realm: String,
}

/// A claim about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// The token is valid before this time.
    Exp,
    /// The token is valid from this time on.
    Nbf,
}

/// What a consumer's tokens are verified with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Value of the key claim; unique among all consumers.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Secret of the algorithms HS256, HS384 and HS512.
    #[schemars(length(min = 1))]
    pub secret: Option<String>,
    /// Public key in PEM, for all other algorithms.
    pub public_key: Option<String>,
    /// The one algorithm that tokens of this credential may name.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Life time, in seconds, of tokens that are issued for this credential. Verification does not look at it.
    #[serde(default = "one_day")]
    #[schemars(range(min = 1))]
    pub exp: u64,
    /// Whether `secret` is written in Base64.
    #[serde(default)]
    pub base64_secret: bool,
    /// Seconds by which the clocks of issuer and gateway may differ.
    #[serde(default)]
    pub lifetime_grace_period: u32,
    #[serde(skip)]
    pub(super) verifier: OnceLock<Verifier>,
}

/// Algorithms of RFC 7518 §3.1 and RFC 8037. `none` is not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512. Not supported: a credential with it is refused.
    ES512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// Its name in a token's header, and the implementation; `None` where there is none.
    pub(super) fn implementation(self) -> (&'static str, Option<Signature>) {
        match self {
            Self::HS256 => ("HS256", Some(Signature::HS256)),
            Self::HS384 => ("HS384", Some(Signature::HS384)),
            Self::HS512 => ("HS512", Some(Signature::HS512)),
            Self::RS256 => ("RS256", Some(Signature::RS256)),
            Self::RS384 => ("RS384", Some(Signature::RS384)),
            Self::RS512 => ("RS512", Some(Signature::RS512)),
            Self::ES256 => ("ES256", Some(Signature::ES256)),
            Self::ES384 => ("ES384", Some(Signature::ES384)),
            Self::ES512 => ("ES512", None),
            Self::PS256 => ("PS256", Some(Signature::PS256)),
            Self::PS384 => ("PS384", Some(Signature::PS384)),
            Self::PS512 => ("PS512", Some(Signature::PS512)),
            Self::EdDSA => ("EdDSA", Some(Signature::EdDSA)),
        }
    }
}

fn header() -> String {
    "authorization".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

fn key() -> String {
    "key".to_owned()
}

fn every_claim() -> Vec<Claim> {
    vec![Claim::Exp, Claim::Nbf]
}

fn one_day() -> u64 {
    86_400
}
